"""The domain models: builds, statuses, outcomes, and the payloads of the state machine."""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from courier.errors import MESSAGE_LIMIT_CHARACTERS

# A provider's identifiers become S3 key segments, execution names and log keys, all of them bounded.
# Real ones are UUIDs of 36 characters and slugs; 200 leaves room, and one of them cannot fill an S3 key (1,024 bytes).
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$")]
Scope = Annotated[
    str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f/]+(/[^\x00-\x1f\x7f/]+)*$")
]
SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def canonical_id(text: str) -> str:
    """Return an identifier as it is compared: a UUID in lower case, because its case means nothing (RFC 9562, 4)."""
    return text if text.islower() or not _UUID.fullmatch(text) else text.lower()


# A partition key has at most 2,048 bytes (DynamoDB developer guide, "Constraints"); a character takes up to four.
KEY_LIMIT_BYTES = 2_048

# Texts go through Step Functions (256 KiB a payload) and, escaped twice, into notices (256 KB): they are cut.
ShortText = Annotated[str, AfterValidator(lambda text: text[:MESSAGE_LIMIT_CHARACTERS])]

TIMED_OUT_ADVICE = (
    "Check what the provider said last. If its builds take so long, raise polling.give_up_after_hours "
    "(or stall_after_hours) of the source."
)

# A Standard execution lasts at most a year; the waiting state has an hour more than this.
LONGEST_WAIT_SECONDS = 31_532_400


class FrozenModel(BaseModel):
    """An immutable value, compared by content.

    Fields of a later 1.x version are ignored: during an update of a stack, new code starts executions that old code
    ends.
    """

    # defer_build: the schema is built at first use, so cold starts that do not need the model do not pay for it.
    # hide_input_in_errors: an invalid value may be an API key that was pasted into the wrong field.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, hide_input_in_errors=True)


class StrictModel(FrozenModel):
    """Input that a person writes: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class BuildStatus(StrEnum):
    """The status of a build, mapped from the provider's status."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether the build has ended; an unknown status never counts as terminal."""
        return self in _TERMINAL


_TERMINAL = frozenset({BuildStatus.SUCCEEDED, BuildStatus.FAILED, BuildStatus.CANCELED})


class Outcome(StrEnum):
    """The final result of one build."""

    DELIVERED = "delivered"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EMPTY = "empty"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    UNDELIVERABLE = "undeliverable"


class BuildRef(FrozenModel):
    """The identity of one build: its source, its scope there, and the provider's id."""

    source: Slug
    scope: Scope
    build_id: Identifier

    @model_validator(mode="after")
    def _fits_into_the_ledger(self) -> Self:
        if len(str(self).encode()) > KEY_LIMIT_BYTES:
            raise ValueError(f"a build's reference may have at most {KEY_LIMIT_BYTES} bytes, this one is longer")
        return self

    def __str__(self) -> str:
        return f"{self.source}/{self.scope}/{self.build_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``source/scope/build_id``; the scope may itself contain slashes.

        Raises
        ------
        ValueError
            The text has fewer than three segments, or one that cannot be part of a reference.
        """
        source, _, rest = text.partition("/")
        scope, _, build_id = rest.rpartition("/")
        return cls(source=source, scope=scope, build_id=build_id)

    def log_keys(self) -> dict[str, str]:
        """Return the keys to bind to the logger while this build is processed."""
        return {"source": self.source, "scope": self.scope, "build_id": self.build_id}


class Build(FrozenModel):
    """One poll result: the state of a build as its provider reports it.

    ``artifact_bytes`` is the size that the provider reports, None where it reports none. ``provider_status`` is the
    provider's own status, where it is unknown to us.

    Four fields are in no payload. ``ended_as`` is the outcome of a build that has ended in a way that its status does
    not say: it left nothing to fetch, or the provider has dropped it. ``retry_after_seconds`` is how long the provider
    asks not to be polled for. ``times_unreadable`` says that the provider reports a time that we cannot read, and
    ``spelled_ref`` is the reference in the provider's own spelling, where that differs: the courier stored it so
    before it compared UUIDs without case.
    """

    ref: BuildRef
    spelled_ref: Annotated[BuildRef | None, Field(exclude=True)] = None
    times_unreadable: Annotated[bool, Field(exclude=True)] = False
    ended_as: Annotated[Outcome | None, Field(exclude=True)] = None
    retry_after_seconds: Annotated[float | None, Field(exclude=True)] = None
    status: BuildStatus
    provider_status: ShortText | None = None
    has_artifact: bool = False
    artifact_bytes: Annotated[int, Field(ge=0)] | None = None
    created_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    error_message: ShortText | None = None


class NextStep(StrEnum):
    """The next step of the state machine: the value of ``verdict``, which its Choice state reads."""

    WAIT = "wait"
    FETCH = "fetch"
    RECORD = "record"


class Problem(FrozenModel):
    """An error, with the text of the component that reported it.

    ``name`` is one of our error classes or a state machine error such as ``States.Timeout``.
    """

    name: ShortText
    message: ShortText
    advice: ShortText | None = None


class AccountLimits(FrozenModel):
    """The limits of an account in GB, as its provider reports them; None where it reports none."""

    build_size_gb: float | None = None
    query_size_gb: float | None = None


class StoredArtifact(FrozenModel):
    """A report that is stored completely in the bucket.

    ``verified`` is false when no length was known in advance and the format has no end mark to check.
    ``content_encoding`` is set where the store keeps the report encoded, as the stored object is then.
    """

    bucket: str
    key: str
    version_id: str | None = None
    size_bytes: int
    sha256: str
    content_type: str
    content_encoding: str | None = None
    verified: bool
    copied_at: AwareDatetime


class BuildRequest(StrictModel):
    """A request for one build; exactly one of the four fields names it.

    ``data_model``
        Start a build of this Treasure Insights data model.
    ``report``
        Start a Dreadnode report with this body: ``preset`` or ``template_id``.
    ``input``
        Start a build at an API that a definition describes, with these values.
    ``build_id``
        Start nothing; track a build that was started elsewhere. Its ``scope`` is required
        where the source has more than one.
    """

    source: Slug
    data_model: Annotated[Identifier, AfterValidator(canonical_id)] | None = None
    report: dict[str, JsonValue] | None = None
    input: dict[str, JsonValue] | None = None
    build_id: Annotated[Identifier, AfterValidator(canonical_id)] | None = None
    scope: Scope | None = None

    @model_validator(mode="after")
    def _names_one_build(self) -> Self:
        ways = [name for name in ("data_model", "report", "input", "build_id") if getattr(self, name) is not None]
        if len(ways) != 1:
            found = " and ".join(ways) or "none"
            raise ValueError(f"give exactly one of data_model, report, input and build_id, not {found}")
        return self


class Act(FrozenModel):
    """What an operator did to a build, or to have it built; ``by`` is who the operator says to be.

    ``id`` is the id of the event: an act that is delivered twice is done once.
    """

    id: Identifier
    at: AwareDatetime
    by: ShortText
    action: ShortText
    note: ShortText | None = None


class Attempt(FrozenModel):
    """How an earlier attempt at a build ended, which an operator retried."""

    number: int
    outcome: Outcome
    detected_at: AwareDatetime
    execution: str
    polls: int
    problem: Problem | None = None


class CaughtError(FrozenModel):
    """An error as the state machine's ``Catch`` passes it on (Amazon States Language, "Error output")."""

    Error: str
    Cause: str = ""


class Passage(FrozenModel):
    """The payload of one execution.

    The execution starts with it, the waiting state merges the poller's `News` into it, and
    ``record_outcome`` receives it. ``outcome`` is set where it is already decided; a build whose report
    is still to be copied has none. It holds no link and no API key: histories are readable for 90 days.

    ``leaves_report``
        Whether a build of this source can have a report, which is known before it has ended. A passage without
        the field takes the path of those that can: it works for both.
    ``attempt``, ``earlier_attempts``
        An operator may retry a build: the number of this attempt, and how the earlier ones ended.
    ``waits``
        The number of this wait of the attempt: another one begins if the source was paused past a timeout.
    """

    provider: str
    build: Build
    verdict: NextStep
    outcome: Outcome | None = None
    leaves_report: bool = True
    first_seen_at: AwareDatetime
    detected_at: AwareDatetime | None = None
    wait_seconds: Annotated[int, Field(ge=1, le=LONGEST_WAIT_SECONDS)]
    polls: Annotated[int, Field(ge=0)] = 0
    limits: AccountLimits | None = None
    problem: Problem | None = None
    artifact: StoredArtifact | None = None
    caught: CaughtError | None = None
    attempt: Annotated[int, Field(ge=1)] = 1
    waits: Annotated[int, Field(ge=1)] = 1
    earlier_attempts: tuple[Attempt, ...] = ()


class News(FrozenModel):
    """The result that the poller sends to a waiting execution; merged into the `Passage`."""

    build: Build
    verdict: NextStep
    outcome: Outcome | None
    detected_at: AwareDatetime
    polls: Annotated[int, Field(ge=0)]
    limits: AccountLimits | None = None
    problem: Problem | None = None
