"""What a build's end means: whether there is something to fetch, and what to say about a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from courier.errors import SourceError
from courier.models import AccountLimits, Build, BuildStatus, Outcome, Problem, Verdict
from courier.observability.logger import logger

if TYPE_CHECKING:
    from courier.providers.base import Provider

BUILD_FAILED = "BuildFailed"


class Ending(NamedTuple):
    """What the state machine has to know about the end of a build."""

    verdict: Verdict
    outcome: Outcome | None
    limits: AccountLimits | None = None
    problem: Problem | None = None


WAITING = Ending(Verdict.WAIT, None)


def ending_of(build: Build, provider: Provider) -> Ending:
    """Judge a look at a build; a failed one may cost a request for the account's limits."""
    match build.status:
        case BuildStatus.SUCCEEDED if build.has_artifact:
            return Ending(Verdict.FETCH, None)
        case BuildStatus.SUCCEEDED:
            return Ending(Verdict.RECORD, Outcome.SUCCEEDED)
        case BuildStatus.CANCELED:
            return Ending(Verdict.RECORD, Outcome.CANCELED)
        case BuildStatus.FAILED:
            limits = _limits(provider)
            problem = Problem(
                name=BUILD_FAILED,
                message=build.error_message or "the provider reports that the build failed, without a reason",
                advice=provider.failure_advice(limits),
            )
            return Ending(Verdict.RECORD, Outcome.FAILED, limits, problem)
        case _:
            return WAITING


def _limits(provider: Provider) -> AccountLimits | None:
    try:
        return provider.account_limits()
    except SourceError as exc:
        # The notice is better without limits than late.
        logger.warning("account limits not read", reason=str(exc))
        return None
