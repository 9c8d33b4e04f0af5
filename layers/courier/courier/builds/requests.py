"""Requests for builds: the provider is asked at most once per request, whatever happens to its response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from courier.builds.evaluation import Decision
from courier.errors import (
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceRejectedError,
    SourceUnauthorizedError,
)
from courier.models import Build, BuildRef, BuildRequest, BuildStatus, FrozenModel, NextStep, Outcome, Problem
from courier.observability.logger import logger
from courier.sources.health import affects_whole_source

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.executions import Executions
    from courier.builds.intake import Intake
    from courier.clock import Clock
    from courier.ledger import BuildLedger, RequestLedger
    from courier.providers.base import Provider

# The provider's clock and ours may differ by this much when a build is matched to the request that started it.
CLOCK_SKEW = timedelta(minutes=2)
# Longer than request_build may run (120 s): an attempt that old was cut off and is no longer running.
MAX_ATTEMPT_DURATION = timedelta(seconds=130)
SERVED_BEFORE = "the request had been served before"


class RequestResult(FrozenModel):
    """The result of a request; ``build`` is a placeholder for the request itself where no build exists.

    ``provider_responded`` says whether this invocation got a response from the provider.
    """

    build: BuildRef
    begun: bool
    note: str
    provider_responded: Annotated[bool, Field(exclude=True)] = False


class BuildRequester:
    """Turns requests into registered builds."""

    def __init__(
        self,
        *,
        requests: RequestLedger,
        builds: BuildLedger,
        executions: Executions,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._builds = builds
        self._executions = executions
        self._intake = intake
        self._clock = clock

    def request(self, provider: Provider, request: BuildRequest, *, request_id: str) -> RequestResult:
        """Process one request.

        Raises
        ------
        SettingsError
            The request does not fit the source.
        SourceUnavailableError
            The provider was not reached and has started nothing: a retry is safe.
        RequestUncertainError
            It is unknown whether the build was started; a retry searches for it and does not request another.
        """
        scope = provider.request_scope(request)
        if request.build_id is not None:
            build = provider.get_build(BuildRef(source=request.source, scope=scope, build_id=request.build_id))
            return self._register(provider, build, "the build is tracked", provider_responded=True)
        claimed_at = self._requests.claim(request.source, request_id)
        if claimed_at is None:
            return self._repeat(provider, request, scope, request_id)
        running = None
        if provider.builds_are_alike:
            with self._claim_withdrawn_if_not_sent(request.source, request_id):
                running = self._find_running(provider, scope)
        if running is not None:
            self._requests.set_started_build(request_id, running.ref)
            note = "a build of the same scope was already running and is tracked"
            return self._register(provider, running, note, provider_responded=True)
        return self._start(provider, request, scope, request_id, claimed_at)

    def _start(
        self, provider: Provider, request: BuildRequest, scope: str, request_id: str, claimed_at: datetime
    ) -> RequestResult:
        placeholder = _placeholder(request.source, scope, request_id)
        try:
            with self._claim_withdrawn_if_not_sent(request.source, request_id):
                build = provider.start_build(request, once=request_id)
        except EmptyReportError as exc:
            return self._register_ended(provider, placeholder, Outcome.EMPTY, exc)
        except RequestUncertainError as exc:
            return self._recover(provider, scope, request_id, claimed_at, exc)
        except SourceUnauthorizedError:
            raise
        except SourceRejectedError as exc:
            return self._register_ended(provider, placeholder, Outcome.FAILED, exc)
        self._requests.set_started_build(request_id, build.ref)
        return self._register(provider, build, "the build was started", provider_responded=True)

    @contextmanager
    def _claim_withdrawn_if_not_sent(self, source: str, request_id: str) -> Iterator[None]:
        """Withdraw the claim after an error that means: nothing was sent, or certainly nothing was started.

        Then a retry may request the build again. A rejected request stays claimed, because the rejection is an
        outcome, unless the API key was rejected, which an operator can fix.
        """
        try:
            yield
        except (SourceError, SettingsError) as exc:
            final = isinstance(exc, SourceRejectedError) and not isinstance(exc, SourceUnauthorizedError)
            if not final and not isinstance(exc, RequestUncertainError):
                self._requests.withdraw(source, request_id)
            raise

    def _repeat(self, provider: Provider, request: BuildRequest, scope: str, request_id: str) -> RequestResult:
        """Process a request that an earlier invocation claimed: continue where it stopped.

        The provider is asked again only where it recognizes the repetition.
        """
        source = provider.settings.name
        started = self._requests.started_build(source, request_id)
        if started is not None:
            # The poller finds out its status.
            build = Build(ref=started, status=BuildStatus.UNKNOWN)
            return self._register(provider, build, SERVED_BEFORE, provider_responded=False)
        placeholder = _placeholder(source, scope, request_id)
        row = self._builds.find(placeholder)
        if row is not None:
            self._executions.start_missing(row)
            return RequestResult(build=placeholder, begun=False, note=SERVED_BEFORE)
        claimed_at = self._requests.claimed_at(source, request_id)
        if self._clock() < claimed_at + MAX_ATTEMPT_DURATION:
            raise RequestUncertainError(f"{source}: the same request is being processed right now, retry later")
        if provider.repeats_starts:
            return self._start(provider, request, scope, request_id, claimed_at)
        lost = RequestUncertainError("an earlier attempt was cut off after the provider may have been asked")
        return self._recover(provider, scope, request_id, claimed_at, lost)

    def _recover(
        self, provider: Provider, scope: str, request_id: str, claimed_at: datetime, error: RequestUncertainError
    ) -> RequestResult:
        """Search for the build whose response was lost; without a result, record that and never request again."""
        earliest = claimed_at - CLOCK_SKEW
        try:
            found = self._find(
                provider, scope, lambda build: build.created_at is not None and build.created_at >= earliest
            )
        except SourceError as exc:
            # The claim stays: a retry must search for the build again, and not request another.
            raise RequestUncertainError(f"{error}; the search for it failed too: {exc}") from exc
        if found is None:
            logger.warning("request uncertain", request_id=request_id, reason=str(error))
            placeholder = _placeholder(provider.settings.name, scope, request_id)
            return self._register_ended(provider, placeholder, Outcome.LOST, error)
        self._requests.set_started_build(request_id, found.ref)
        note = "the response was lost; the build was found by listing"
        return self._register(provider, found, note, provider_responded=True)

    def _find_running(self, provider: Provider, scope: str) -> Build | None:
        """Return a running build of the scope; not one that is stalled, nor one of unknown status."""
        oldest = self._clock() - timedelta(hours=provider.settings.polling.give_up_after_hours)
        running = {BuildStatus.QUEUED, BuildStatus.RUNNING}
        try:
            return self._find(
                provider,
                scope,
                lambda build: build.status in running and build.created_at is not None and build.created_at >= oldest,
            )
        except SourceRejectedError as exc:
            if affects_whole_source(exc):
                raise
            # The scope cannot be listed; the response to the request itself says what is wrong with it.
            logger.warning("scope not searched for a running build", scope=scope, reason=str(exc))
            return None

    def _find(self, provider: Provider, scope: str, matches: Callable[[Build], bool]) -> Build | None:
        """Return the newest listed build that matches, where the provider can list."""
        if not provider.can_list:
            return None
        matching = [build for build in provider.list_builds(scope) if matches(build)]
        if not provider.builds_are_alike:
            # Another request may have started one of them; of several that are not tracked, any may be the right one.
            known = self._builds.find_many([build.ref for build in matching])
            matching = [build for build in matching if build.ref not in known]
            return matching[0] if len(matching) == 1 else None
        return max(matching, key=lambda build: (build.created_at is not None, build.created_at), default=None)

    def _register(self, provider: Provider, build: Build, note: str, *, provider_responded: bool) -> RequestResult:
        registered = self._intake.register(provider, build)
        return RequestResult(build=build.ref, begun=registered, note=note, provider_responded=provider_responded)

    def _register_ended(
        self, provider: Provider, placeholder: BuildRef, outcome: Outcome, error: SourceError
    ) -> RequestResult:
        """Register a request without a build as ended: it gets a record and a notice like any other."""
        problem = Problem(name=type(error).__name__, message=str(error))
        build = Build(ref=placeholder, status=BuildStatus.UNKNOWN)
        registered = self._intake.register_with(provider, build, Decision(NextStep.RECORD, outcome, None, problem))
        responded = not isinstance(error, RequestUncertainError)
        return RequestResult(build=placeholder, begun=registered, note=str(error), provider_responded=responded)


def _placeholder(source: str, scope: str, request_id: str) -> BuildRef:
    return BuildRef(source=source, scope=scope, build_id=f"request-{request_id}")
