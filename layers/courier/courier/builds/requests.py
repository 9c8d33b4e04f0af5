"""Asking a provider to start a build: at most once per request, whatever happens to the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from courier.builds.outcome_rules import Ending
from courier.errors import (
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceRejectedError,
    SourceUnauthorizedError,
)
from courier.models import Build, BuildRef, BuildRequest, BuildStatus, FrozenModel, Outcome, Problem, Verdict
from courier.observability.logger import logger
from courier.sources.health import concerns_whole_source

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.discovery import Discovery
    from courier.builds.executions import Lifecycle
    from courier.clock import Clock
    from courier.ledger import BuildLedger, RequestLedger
    from courier.providers.base import Provider

# The provider's clock and ours may differ by this much when a build is matched to the request that asked for it.
CLOCK_SKEW = timedelta(minutes=2)
# Longer than request_build may run (120 s): an attempt that old has been cut off and is not at work any more.
ATTEMPT_TAKES = timedelta(seconds=130)
SERVED_BEFORE = "the request had been served before"


class RequestResult(FrozenModel):
    """What became of a request; ``build`` stands for the request itself where no build exists.

    ``answered`` tells whether the provider was asked and has answered.
    """

    build: BuildRef
    begun: bool
    note: str
    answered: Annotated[bool, Field(exclude=True)] = False


class Requesting:
    """Turns requests into builds that are looked after."""

    def __init__(
        self,
        *,
        requests: RequestLedger,
        builds: BuildLedger,
        lifecycle: Lifecycle,
        discovery: Discovery,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._builds = builds
        self._lifecycle = lifecycle
        self._discovery = discovery
        self._clock = clock

    def request(self, provider: Provider, request: BuildRequest, *, request_id: str) -> RequestResult:
        """Serve one request.

        Raises
        ------
        SettingsError
            The request does not fit the source.
        SourceUnavailableError
            The provider was not reached and has started nothing: worth a repetition.
        RequestUncertainError
            Nobody can tell yet whether the build was started; a repetition looks for it and asks no second time.
        """
        scope = provider.request_scope(request)
        if request.build_id is not None:
            build = provider.get_build(BuildRef(source=request.source, scope=scope, build_id=request.build_id))
            return self._begin(provider, build, "the build is looked after", answered=True)
        asked_at = self._requests.claim(request.source, request_id)
        if asked_at is None:
            return self._repeat(provider, scope, request_id)
        with self._withdrawn_if_not_asked(request.source, request_id):
            twin = self._find_twin(provider, scope)
        if twin is not None:
            self._requests.note_started(request_id, twin.ref)
            note = "a build of the same scope was running already and is looked after"
            return self._begin(provider, twin, note, answered=True)
        return self._start(provider, request, scope, request_id, asked_at)

    def _start(
        self, provider: Provider, request: BuildRequest, scope: str, request_id: str, asked_at: datetime
    ) -> RequestResult:
        stand_in = _stand_in(request.source, scope, request_id)
        try:
            with self._withdrawn_if_not_asked(request.source, request_id):
                build = provider.start_build(request)
        except EmptyReportError as exc:
            return self._end(provider, stand_in, Outcome.EMPTY, exc)
        except RequestUncertainError as exc:
            return self._recover(provider, scope, request_id, asked_at, exc)
        except SourceUnauthorizedError:
            raise
        except SourceRejectedError as exc:
            return self._end(provider, stand_in, Outcome.FAILED, exc)
        self._requests.note_started(request_id, build.ref)
        return self._begin(provider, build, "the build was started", answered=True)

    @contextmanager
    def _withdrawn_if_not_asked(self, source: str, request_id: str) -> Iterator[None]:
        """Let a repetition ask again after an error that says: nothing was sent, or certainly nothing was started.

        A refusal stays claimed, for it is an outcome, unless it is one of the key, which an operator can mend.
        """
        try:
            yield
        except (SourceError, SettingsError) as exc:
            final = isinstance(exc, SourceRejectedError) and not isinstance(exc, SourceUnauthorizedError)
            if not final and not isinstance(exc, RequestUncertainError):
                self._requests.withdraw(source, request_id)
            raise

    def _repeat(self, provider: Provider, scope: str, request_id: str) -> RequestResult:
        """Serve an invocation that was there before: go on where it stopped, but never ask again."""
        source = provider.settings.name
        started = self._requests.started(source, request_id)
        if started is not None:
            # What has become of it, the poller will see.
            build = Build(ref=started, status=BuildStatus.UNKNOWN)
            return self._begin(provider, build, SERVED_BEFORE, answered=False)
        stand_in = _stand_in(source, scope, request_id)
        row = self._builds.find(stand_in)
        if row is not None:
            self._lifecycle.resume(row)
            return RequestResult(build=stand_in, begun=False, note=SERVED_BEFORE)
        asked_at = self._requests.asked_at(source, request_id)
        if self._clock() < asked_at + ATTEMPT_TAKES:
            raise RequestUncertainError(f"{source}: the same request is being served right now, ask again later")
        lost = RequestUncertainError("an earlier attempt was cut off after the provider may have been asked")
        return self._recover(provider, scope, request_id, asked_at, lost)

    def _recover(
        self, provider: Provider, scope: str, request_id: str, asked_at: datetime, error: RequestUncertainError
    ) -> RequestResult:
        """Find the build whose answer was lost; where nobody can tell, say so and ask no second time."""
        earliest = asked_at - CLOCK_SKEW
        try:
            found = self._find(
                provider, scope, lambda build: build.created_at is not None and build.created_at >= earliest
            )
        except SourceError as exc:
            # Not to be withdrawn: a repetition must look for the build again, and not ask for another.
            raise RequestUncertainError(f"{error}; looking for it failed too: {exc}") from exc
        if found is None:
            logger.warning("request uncertain", request_id=request_id, reason=str(error))
            return self._end(provider, _stand_in(provider.settings.name, scope, request_id), Outcome.LOST, error)
        self._requests.note_started(request_id, found.ref)
        return self._begin(provider, found, "the answer was lost; the build was found by listing", answered=True)

    def _find_twin(self, provider: Provider, scope: str) -> Build | None:
        """Give a build that is under way; not one that stands still, or whose status nobody understands."""
        oldest = self._clock() - timedelta(hours=provider.settings.polling.give_up_after_hours)
        under_way = {BuildStatus.QUEUED, BuildStatus.RUNNING}
        try:
            return self._find(
                provider,
                scope,
                lambda build: build.status in under_way and build.created_at is not None and build.created_at >= oldest,
            )
        except SourceRejectedError as exc:
            if concerns_whole_source(exc):
                raise
            # The scope cannot be listed; the answer to the request itself says what is wrong with it.
            logger.warning("no look for a running build", scope=scope, reason=str(exc))
            return None

    def _find(self, provider: Provider, scope: str, fits: Callable[[Build], bool]) -> Build | None:
        """Give the newest listed build that fits, where the provider can list."""
        if not provider.can_list:
            return None
        fitting = [build for build in provider.list_builds(scope) if fits(build)]
        return max(fitting, key=lambda build: (build.created_at is not None, build.created_at), default=None)

    def _begin(self, provider: Provider, build: Build, note: str, *, answered: bool) -> RequestResult:
        begun = self._discovery.begin(provider, build)
        return RequestResult(build=build.ref, begun=begun, note=note, answered=answered)

    def _end(self, provider: Provider, stand_in: BuildRef, outcome: Outcome, error: SourceError) -> RequestResult:
        """Give a request that led to no known build an end like any other: a record and a notice."""
        problem = Problem(name=type(error).__name__, message=str(error))
        build = Build(ref=stand_in, status=BuildStatus.UNKNOWN)
        begun = self._discovery.begin_ended(provider, build, Ending(Verdict.RECORD, outcome, None, problem))
        answered = not isinstance(error, RequestUncertainError)
        return RequestResult(build=stand_in, begun=begun, note=str(error), answered=answered)


def _stand_in(source: str, scope: str, request_id: str) -> BuildRef:
    return BuildRef(source=source, scope=scope, build_id=f"request-{request_id}")
