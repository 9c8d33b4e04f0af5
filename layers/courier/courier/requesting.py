"""Asking a provider to start a build: at most once per request, whatever happens to the answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from courier.endings import Ending
from courier.errors import (
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceRejectedError,
    SourceUnauthorizedError,
)
from courier.models import Build, BuildRef, BuildRequest, BuildStatus, FrozenModel, Outcome, Problem, Verdict
from courier.observability import logger

if TYPE_CHECKING:
    from datetime import datetime

    from courier.discovery import Discovery
    from courier.ledger import BuildLedger, RequestLedger
    from courier.providers.base import Provider

# The provider's clock and ours may differ by this much when a build is matched to the request that asked for it.
CLOCK_SKEW = timedelta(minutes=2)


class RequestResult(FrozenModel):
    """What became of a request; ``build`` stands for the request itself where no build exists."""

    build: BuildRef
    begun: bool
    note: str


class Requesting:
    """Turns requests into builds that are looked after."""

    def __init__(self, *, requests: RequestLedger, builds: BuildLedger, discovery: Discovery) -> None:
        self._requests = requests
        self._builds = builds
        self._discovery = discovery

    def request(self, provider: Provider, request: BuildRequest, *, request_id: str) -> RequestResult:
        """Serve one request.

        Raises
        ------
        SettingsError
            The request does not fit the source.
        SourceUnavailableError
            The provider was not reached and has started nothing: worth a repetition.
        """
        if request.build_id is not None:
            return self._adopt(provider, request, request.build_id)
        scope = provider.request_scope(request)
        asked_at = self._requests.claim(request.source, request_id)
        if asked_at is None:
            return self._repeat(provider, scope, request_id)
        twin = self._find(provider, scope, lambda build: not build.status.is_terminal)
        if twin is not None:
            self._requests.note_started(request_id, twin.ref)
            return self._begin(provider, twin, "a build of the same scope was running already and is looked after")
        return self._start(provider, request, scope, request_id, asked_at)

    def _adopt(self, provider: Provider, request: BuildRequest, build_id: str) -> RequestResult:
        scope = request.scope or _only_scope(provider)
        build = provider.get_build(BuildRef(source=request.source, scope=scope, build_id=build_id))
        return self._begin(provider, build, "the build is looked after")

    def _start(
        self, provider: Provider, request: BuildRequest, scope: str, request_id: str, asked_at: datetime
    ) -> RequestResult:
        stand_in = _stand_in(request.source, scope, request_id)
        try:
            build = provider.start_build(request)
        except EmptyReportError as exc:
            return self._end(provider, stand_in, Outcome.EMPTY, exc)
        except RequestUncertainError as exc:
            return self._recover(provider, scope, request_id, asked_at, exc)
        except SourceRejectedError as exc:
            if isinstance(exc, SourceUnauthorizedError):
                self._requests.withdraw(request.source, request_id)
                raise
            return self._end(provider, stand_in, Outcome.FAILED, exc)
        except (SourceError, SettingsError):
            # Nothing was sent, or the provider certainly started nothing.
            self._requests.withdraw(request.source, request_id)
            raise
        self._requests.note_started(request_id, build.ref)
        return self._begin(provider, build, "the build was started")

    def _repeat(self, provider: Provider, scope: str, request_id: str) -> RequestResult:
        """Serve an invocation that was there before: go on where it stopped, but never ask again."""
        source = provider.settings.name
        started = self._requests.started(source, request_id)
        if started is not None:
            return self._begin(provider, provider.get_build(started), "the request had been served before")
        stand_in = _stand_in(source, scope, request_id)
        if self._builds.find(stand_in) is not None:
            return RequestResult(build=stand_in, begun=False, note="the request had been served before")
        lost = RequestUncertainError("an earlier attempt was cut off after the provider may have been asked")
        return self._recover(provider, scope, request_id, self._requests.asked_at(source, request_id), lost)

    def _recover(
        self, provider: Provider, scope: str, request_id: str, asked_at: datetime, error: RequestUncertainError
    ) -> RequestResult:
        """Find the build whose answer was lost; where nobody can tell, say so and ask no second time."""
        earliest = asked_at - CLOCK_SKEW
        found = self._find(provider, scope, lambda build: build.created_at is not None and build.created_at >= earliest)
        if found is None:
            logger.warning("request uncertain", request_id=request_id, reason=str(error))
            return self._end(provider, _stand_in(provider.settings.name, scope, request_id), Outcome.LOST, error)
        self._requests.note_started(request_id, found.ref)
        return self._begin(provider, found, "the answer was lost; the build was found by listing")

    def _find(self, provider: Provider, scope: str, fits: Callable[[Build], bool]) -> Build | None:
        """Give the newest listed build that fits, where the provider can list."""
        if not provider.can_list:
            return None
        fitting = [build for build in provider.list_builds(scope) if fits(build)]
        return max(fitting, key=lambda build: (build.created_at is not None, build.created_at), default=None)

    def _begin(self, provider: Provider, build: Build, note: str) -> RequestResult:
        begun = self._discovery.begin(provider, build)
        return RequestResult(build=build.ref, begun=begun, note=note)

    def _end(self, provider: Provider, stand_in: BuildRef, outcome: Outcome, error: SourceError) -> RequestResult:
        """Give a request that led to no known build an end like any other: a record and a notice."""
        problem = Problem(name=type(error).__name__, message=str(error))
        build = Build(ref=stand_in, status=BuildStatus.UNKNOWN)
        begun = self._discovery.begin_ended(provider, build, Ending(Verdict.RECORD, outcome, None, problem))
        return RequestResult(build=stand_in, begun=begun, note=str(error))


def _stand_in(source: str, scope: str, request_id: str) -> BuildRef:
    return BuildRef(source=source, scope=scope, build_id=f"request-{request_id}")


def _only_scope(provider: Provider) -> str:
    scopes = provider.scopes()
    if len(scopes) != 1:
        raise SettingsError(f"source {provider.settings.name} has {len(scopes)} scopes: name the build's scope")
    return scopes[0]
