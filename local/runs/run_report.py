"""The report of a run of the courier: what failed, and whether the courier or the user's input is the cause."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from courier.config.settings import SourceSettings
from courier.providers import provider_class
from courier.sources.health import FAILURES_BEFORE_BACKOFF
from local.embedded.results import ExecutionReport

# Errors that the user can fix, in the request or in the account.
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
    """An asynchronous invocation that failed for good."""

    function: str
    error: str
    message: str
    attempts: int

    @property
    def is_user_error(self) -> bool:
        """Whether the configuration or the request is the cause, and not the courier."""
        return self.error in _USER_ERRORS


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The report of a run; every empty field is good.

    ``unhealthy``
        The published problem of each unhealthy source, which only its owner can fix.
    ``unresponsive``
        The last error of each source whose requests failed repeatedly.
    ``never_responded``
        The host of each source without a single good response, and its last error.
    ``failing_scopes``
        The last error of each scope that could not be listed, by ``source/scope``.
    ``unserved_requests``
        The labels of requests that have not been processed.
    ``is_still_running``
        A function was still working, for example on a long copy.
    """

    failed_executions: Sequence[ExecutionReport] = ()
    dead_letters: Sequence[DeadLetter] = ()
    unfinished: Sequence[str] = ()
    unhealthy: Mapping[str, str] = field(default_factory=dict)
    unresponsive: Mapping[str, str] = field(default_factory=dict)
    never_responded: Mapping[str, str] = field(default_factory=dict)
    failing_scopes: Mapping[str, str] = field(default_factory=dict)
    unserved_requests: Sequence[str] = ()
    is_still_running: bool = False

    @property
    def is_good(self) -> bool:
        """Whether every build has an outcome, every source responded, and the courier did not fail."""
        failed = any(not dead_letter.is_user_error for dead_letter in self.dead_letters)
        is_left = self.unfinished or self.unserved_requests or self.never_responded or self.unresponsive
        return not (self.failed_executions or failed or is_left)

    @property
    def has_user_errors(self) -> bool:
        """Whether the configuration or a request is wrong."""
        wrong_requests = any(dead_letter.is_user_error for dead_letter in self.dead_letters)
        return bool(self.unhealthy or self.failing_scopes or wrong_requests)


def is_backing_off(row: Mapping[str, object]) -> bool:
    """Return whether a source, by its ledger row, has failed so often that polling backs off."""
    return int(str(row.get("failures") or 0)) >= FAILURES_BEFORE_BACKOFF


def find_never_responded(
    sources: Sequence[SourceSettings],
    rows: Mapping[str, Mapping[str, object]],
    *,
    responded: Set[str],
    has_discovered: bool,
) -> dict[str, str]:
    """Return host and last error of sources without a good response that are neither unhealthy nor backing off.

    Parameters
    ----------
    rows
        The sources' rows in the ledger, by name.
    responded
        The sources with a good response, or a build that this run has seen first.
    has_discovered
        Whether a discovery has ended. A source without any builds leaves no other trace.
    """
    hosts: dict[str, str] = {}
    for source in sources:
        row = rows.get(source.name, {})
        if row.get("illness") or is_backing_off(row) or source.name in responded:
            continue
        can_list = provider_class({"provider": source.provider}).lists(source)
        if row.get("failures") or (can_list and not has_discovered):
            host = urlsplit(source.endpoint).hostname or source.endpoint
            hosts[source.name] = f"{host}: {row['last_error']}" if row.get("last_error") else host
    return hosts


def read_dead_letter(text: str, names: Mapping[str, str]) -> DeadLetter:
    """Parse the document that Lambda sends to an ``OnFailure`` destination.

    ``names`` maps physical names to logical ids.
    """
    document = json.loads(text)
    context, response = document["requestContext"], document["responsePayload"] or {}
    physical = context["functionArn"].rpartition("function:")[2].removesuffix(":$LATEST")
    return DeadLetter(
        function=names.get(physical, physical),
        error=response.get("errorType", "no response"),
        message=response.get("errorMessage", ""),
        attempts=context["approximateInvokeCount"],
    )
