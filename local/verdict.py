"""How a run of the courier went, and whose fault it is where it did not go well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.results import ExecutionReport

# A request that fails so is not the courier's failure: whoever asked, or owns the account, can mend it.
_MENDABLE = frozenset(
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
    def is_mendable(self) -> bool:
        """Whether the configuration or the request is to blame, and not the courier."""
        return self.error in _MENDABLE


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run went; empty lists are good news.

    ``ill``
        What the sources say that only their owner can heal, by source.
    ``silent``
        Sources that did not answer, again and again.
    ``is_at_work``
        A function was still in the middle of something, such as a long copy.
    """

    failed_executions: Sequence[ExecutionReport] = ()
    dead_letters: Sequence[DeadLetter] = ()
    unfinished: Sequence[str] = ()
    ill: Mapping[str, str] = field(default_factory=dict)
    silent: Sequence[str] = ()
    is_at_work: bool = False

    @property
    def is_good(self) -> bool:
        """Whether every build reached an outcome and the courier failed nowhere."""
        failed = any(not letter.is_mendable for letter in self.dead_letters)
        return not (self.failed_executions or failed or self.unfinished or self.silent)

    @property
    def needs_mending(self) -> bool:
        """Whether the configuration or a request turned out to be wrong."""
        return bool(self.ill) or any(letter.is_mendable for letter in self.dead_letters)


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
