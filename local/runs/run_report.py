"""How a run of the courier went, and whose fault it is where it did not go well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from courier.config.settings import SourceSettings
from courier.providers import provider_class
from courier.sources.health import FAILURES_BEFORE_BACKOFF
from local.embedded.results import ExecutionReport

# A request that fails so is not the courier's failure: whoever asked, or owns the account, can mend it.
_USER_ERRORS = frozenset(
    {
        "SettingsError",
        "SourceUnauthorizedError",
        "SourceExhaustedError",
        "SourceRejectedError",
        "BuildNotFoundError",
    }
)


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """An asynchronous call of a function that failed for good."""

    function: str
    error: str
    message: str
    attempts: int

    @property
    def is_user_error(self) -> bool:
        """Whether the configuration or the request is to blame, and not the courier."""
        return self.error in _USER_ERRORS


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How a run went; empty lists are good news.

    ``unhealthy``
        What the sources say that only their owner can heal, by source.
    ``unresponsive``
        Sources that did not answer, again and again.
    ``never_responded``
        The hosts of sources that have given no good answer so far, by source.
    ``unserved_requests``
        Where the requests were given that nobody has served yet.
    ``is_still_running``
        A function was still in the middle of something, such as a long copy.
    """

    failed_executions: Sequence[ExecutionReport] = ()
    dead_letters: Sequence[DeadLetter] = ()
    unfinished: Sequence[str] = ()
    unhealthy: Mapping[str, str] = field(default_factory=dict)
    unresponsive: Sequence[str] = ()
    never_responded: Mapping[str, str] = field(default_factory=dict)
    unserved_requests: Sequence[str] = ()
    is_still_running: bool = False

    @property
    def is_good(self) -> bool:
        """Whether every build reached an outcome, everybody answered, and the courier failed nowhere."""
        failed = any(not letter.is_user_error for letter in self.dead_letters)
        is_left = self.unfinished or self.unserved_requests or self.never_responded or self.unresponsive
        return not (self.failed_executions or failed or is_left)

    @property
    def has_user_errors(self) -> bool:
        """Whether the configuration or a request turned out to be wrong."""
        return bool(self.unhealthy) or any(letter.is_user_error for letter in self.dead_letters)


def is_backing_off(row: Mapping[str, object]) -> bool:
    """Whether a source, by its row in the ledger, has failed so often that it is left alone for a while."""
    return int(str(row.get("failures") or 0)) >= FAILURES_BEFORE_BACKOFF


def find_never_responded(
    sources: Sequence[SourceSettings],
    rows: Mapping[str, Mapping[str, object]],
    *,
    with_builds: Set[str],
    has_discovered: bool,
) -> dict[str, str]:
    """Give the hosts of the sources that have given no good answer, and are neither ill nor known to be down.

    Parameters
    ----------
    rows
        The sources' rows in the ledger, by name.
    with_builds
        The sources of which a build is known: somebody must have told us.
    has_discovered
        Whether a discovery has come to its end. An account without anything to list leaves no trace but that.
    """
    hosts: dict[str, str] = {}
    for source in sources:
        row = rows.get(source.name, {})
        if row.get("illness") or is_backing_off(row) or row.get("first_sight_at") or source.name in with_builds:
            continue
        can_list = provider_class({"provider": source.provider}).can_list
        if row.get("failures") or (can_list and not has_discovered):
            hosts[source.name] = urlsplit(source.endpoint).hostname or source.endpoint
    return hosts


def read_dead_letter(text: str, names: Mapping[str, str]) -> DeadLetter:
    """Read what Lambda sends to an ``OnFailure`` destination.

    ``names`` gives logical ids by physical names.
    """
    document = json.loads(text)
    context, response = document["requestContext"], document["responsePayload"] or {}
    physical = context["functionArn"].rpartition("function:")[2].removesuffix(":$LATEST")
    return DeadLetter(
        function=names.get(physical, physical),
        error=response.get("errorType", "no answer"),
        message=response.get("errorMessage", ""),
        attempts=context["approximateInvokeCount"],
    )
