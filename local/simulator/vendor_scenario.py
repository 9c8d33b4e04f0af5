"""What a simulated vendor plays: one YAML file for each definition that comes with the courier, in ``vendors``.

A file is written from the vendor's documents and not from the definition, so that the two check each other: its paths,
bodies and words are the vendor's, and ``means`` says what the vendor's documents say about a word. Texts may hold the
placeholders of `vendor_templates`.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from local.simulator.messages import RequestKind

FOLDER = Path(__file__).resolve().parent / "vendors"
# A path segment; a placeholder in a path matches one.
_SEGMENT = re.compile(r"\\{(id|file)\\}")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VendorAnswer(_Model):
    """One response; without a body it is empty."""

    status: int = 200
    headers: dict[str, str] = {}
    body: JsonValue = None
    content_type: str = "application/json"


class Route(_Model):
    """One operation of the API.

    ``call``
        Method and path; ``{id}`` stands for a job, ``{file}`` for one of its files.
    ``kind``
        ``file`` serves a file itself, ``link`` returns or redirects to its address.
    ``when``
        A text in the body, where operations share a path.
    ``id_in``
        Where the job's id is, if not in the path: ``query.token``, ``body.variables.id``.
    ``expect``, ``expect_form``, ``expect_query``, ``expect_headers``
        What the request must carry: JSON and form exactly, the others at least.
    ``becomes``
        The word of a job that this cancels, or takes a further step with.
    """

    call: Annotated[str, StringConstraints(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$")]
    kind: Literal["start", "step", "status", "list", "link", "file", "cancel", "preflight", "scopes", "limits"]
    when: str | None = None
    id_in: str | None = None
    expect: JsonValue = None
    expect_form: dict[str, str] | None = None
    expect_query: dict[str, str] = {}
    expect_headers: dict[str, str] = {}
    becomes: str | None = None
    answer: VendorAnswer = VendorAnswer()

    @cached_property
    def method(self) -> str:
        """The HTTP method."""
        return self.call.partition(" ")[0]

    @cached_property
    def path(self) -> re.Pattern[str]:
        """The path, as a pattern."""
        return re.compile(_SEGMENT.sub(r"(?P<\1>[^/]+)", re.escape(self.call.partition(" ")[2])))

    @property
    def request_kind(self) -> RequestKind:
        """The kind under which requests are logged, and faults injected."""
        return _KINDS[self.kind]


_KINDS = {
    "start": RequestKind.START_JOB,
    "step": RequestKind.CONTINUE_JOB,
    "status": RequestKind.GET_JOB,
    "list": RequestKind.LIST_BUILDS,
    "link": RequestKind.LOCATE_ARTIFACT,
    "file": RequestKind.ARTIFACT,
    "cancel": RequestKind.CANCEL_BUILD,
    "preflight": RequestKind.PREFLIGHT,
    "scopes": RequestKind.LIST_MODELS,
    "limits": RequestKind.GET_LIMITS,
}


class TokenEndpoint(_Model):
    """Where a token is requested; ``form`` and ``query`` are what must be sent, ``headers`` at least."""

    call: str
    form: dict[str, str] | None = None
    query: dict[str, str] | None = None
    headers: dict[str, str] = {}
    life_seconds: int = 3600
    answer: VendorAnswer
    refused: VendorAnswer


class JobState(_Model):
    """What a word means by the vendor's documents, what it adds to the job's body, and another answer to a poll."""

    means: Literal["queued", "running", "succeeded", "failed", "canceled", "empty", "gone"]
    body: dict[str, JsonValue] = {}
    answer: VendorAnswer | None = None


class Course(_Model):
    """The words of a job in order, and how many files it leaves."""

    words: Annotated[tuple[str, ...], Field(min_length=1)]
    files: int = 1


class Job(_Model):
    """What a job looks like; ``seconds`` is how long each word but the last one lasts."""

    id: str
    body: dict[str, JsonValue] = {}
    states: dict[str, JobState]
    seconds: float = 2.0
    course: Course
    empty: Course | None = None

    def state(self, word: str) -> JobState | None:
        """Return the state of a word in any case; None for a word that the vendor does not document."""
        return next((state for name, state in self.states.items() if name.casefold() == word.casefold()), None)


class Pages(_Model):
    """How a list is cut into pages: by a token, by the last id, or by a number that a ``Link`` header names."""

    size: int = 2
    by: Literal["token", "last", "link"]
    query: str
    alone: bool = False


class VendorFile(_Model):
    """The file of a job: its format, and its address if it does not lie behind a presigned link."""

    format: Literal["csv", "jsonl", "json", "pdf", "zip", "gzip"]
    content_type: str
    life_seconds: int = 300
    address: str | None = None
    each: JsonValue = None


class VendorError(_Model):
    """An error that the vendor documents, and the courier's error that it must become."""

    name: str
    of: Literal["start", "step", "status", "list", "link"]
    answer: VendorAnswer
    raises: str


class VendorScenario(_Model):
    """One file of ``vendors``.

    ``sources``
        The documents that it was written from.
    ``endpoint``
        The path of the endpoint below the server's origin.
    ``token_url``, ``also_for``
        What a source sets besides the endpoint, to reach the simulated vendor.
    ``secret``
        The secret's value, or its fields.
    ``source``
        Further settings of a source.
    ``input``, ``scope``
        What a build request asks for.
    ``credentials``
        Headers that each request to the API must carry.
    ``also_accepted``
        Other headers that are as good, as the vendor's own client sends them.
    ``refused``, ``missing``
        The answers to wrong credentials, and about a job that does not exist.
    ``request_answer``
        The answer to a request that is not what the documents say.
    """

    api: str
    sources: tuple[str, ...]
    endpoint: str = ""
    token_url: str | None = None
    also_for: tuple[str, ...] = ()
    secret: str | dict[str, str]
    source: dict[str, Any] = {}
    input: dict[str, JsonValue] = {}
    scope: str = "main"
    credentials: dict[str, str]
    also_accepted: tuple[dict[str, str], ...] = ()
    token: TokenEndpoint | None = None
    refused: VendorAnswer
    missing: VendorAnswer
    routes: tuple[Route, ...]
    job: Job
    pages: Pages | None = None
    file: VendorFile | None = None
    errors: tuple[VendorError, ...] = ()


def vendor_names() -> list[str]:
    """Return the names of all definitions that a simulated vendor can play."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@lru_cache(maxsize=64)
def load_vendor(name: str) -> VendorScenario:
    """Return the scenario of a definition, by its name with or without the version.

    Raises
    ------
    KeyError
        No simulated vendor plays it.
    """
    found = next((known for known in vendor_names() if name in {known, known.partition("@")[0]}), None)
    if found is None:
        raise KeyError(name)
    return VendorScenario.model_validate(yaml.safe_load((FOLDER / f"{found}.yaml").read_text(encoding="utf-8")))
