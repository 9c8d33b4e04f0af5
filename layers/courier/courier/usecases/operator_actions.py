"""What an operator does to builds and sources: an event to ``request_build`` with an ``action``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, StringConstraints, model_validator

from courier.builds.actions import RETRIED
from courier.errors import CourierError, SettingsError, SourceError
from courier.ledger.pauses import pause_at
from courier.ledger.rows import BuildKey
from courier.models import Act, BuildRef, BuildRequest, FrozenModel, Identifier, Slug, StrictModel
from courier.observability.logger import logger
from courier.observability.redaction import redact
from courier.usecases.events import PROVIDER_CALL_SECONDS

if TYPE_CHECKING:
    from courier.builds.requests import BuildRequester, RequestResult
    from courier.ledger import SourceState
    from courier.providers.base import Provider
    from courier.usecases.container import Container

# An ARN of an assumed role with its session fits; a row keeps ten of them.
_BY_CHARACTERS = 200
_NOTE_CHARACTERS = 200

# Shown to others in records and notices.
_Shown = AfterValidator(lambda text: redact(text, limit=_BY_CHARACTERS))


# What an act is about, where that is not a build.
_OBJECTS = {"request": "request", "pause": "source", "resume": "source", "probe": "source"}


class OperatorAction(StrictModel):
    """An act of an operator on a build, for a build to come, or on a source.

    ``id``
        The same at each delivery of the same event: what is done already is not done again.
    ``by``, ``note``
        Who the operator is, as the sender says, and why. CloudTrail knows who invoked the function.
    ``cancels``
        With ``stop``: also ask the provider to cancel the build.
    ``until``
        With ``pause``: when the source is called again; without it, when an operator resumes it.
    ``dry_run``
        Make all checks, also at the provider, and change nothing.
    """

    action: Literal["stop", "retry", "resend", "adopt", "request", "pause", "resume", "probe"]
    id: Annotated[Identifier, StringConstraints(max_length=150)]
    by: Annotated[str, StringConstraints(min_length=1), _Shown]
    note: Annotated[str, _Shown] | None = None
    build: BuildKey | None = None
    request: BuildRequest | None = None
    source: Slug | None = None
    cancels: bool = False
    until: AwareDatetime | None = None
    dry_run: bool = False

    @model_validator(mode="after")
    def _has_its_object(self) -> Self:
        needs = _OBJECTS.get(self.action, "build")
        for name in ("build", "request", "source"):
            if (getattr(self, name) is not None) != (name == needs):
                raise ValueError(f"{self.action} needs {needs}, and nothing else")
        if self.cancels and self.action != "stop":
            raise ValueError("only stop may cancel a build")
        if self.until is not None and self.action != "pause":
            raise ValueError("only pause has an end")
        return self


class ActionResult(FrozenModel):
    """What became of an act: the build (also that of a request) or the source, and a sentence for the operator."""

    action: str
    build: str | None
    source: str | None = None
    done: bool
    note: str


def perform_action(container: Container, action: OperatorAction) -> ActionResult:
    """Perform one act. What cannot be done is a result with the reason, and no error: nothing is to be retried."""
    act = Act(id=action.id, at=container.clock(), by=action.by, action=action.action, note=action.note)
    try:
        build, note = _perform(container, action, act)
    except CourierError as exc:
        logger.warning("act not done", action=action.action, by=action.by, build=action.build, reason=str(exc))
        return _result(action, action.build, str(exc), done=False)
    logger.info("act done", action=action.action, by=action.by, build=build, note=note)
    return _result(action, build, note, done=True)


def _result(action: OperatorAction, build: str | None, note: str, *, done: bool) -> ActionResult:
    # What a provider says begins with the name of the source, which the result has already.
    note = note.removeprefix(f"{action.source}: ")
    return ActionResult(action=action.action, build=build, source=action.source, done=done, note=note)


def _perform(container: Container, action: OperatorAction, act: Act) -> tuple[str | None, str]:
    if action.source is not None:
        # The operator may have changed them a moment ago.
        settings = container.sources.load(fresh=True).get(action.source)
        match action.action:
            case "pause":
                return None, container.source_actions.pause(settings, act, until=action.until, dry_run=action.dry_run)
            case "resume":
                return None, container.source_actions.resume(settings, dry_run=action.dry_run)
            case _:
                provider = container.provider(settings, call_limit_seconds=PROVIDER_CALL_SECONDS, fresh_secret=True)
                return None, container.source_actions.probe(provider, dry_run=action.dry_run)
    if action.request is not None:
        return _request(container, action.request, act, dry_run=action.dry_run)
    ref = BuildRef.parse(action.build or "")
    match action.action:
        case "stop":
            open_provider = partial(_provider, container, ref) if action.cancels else None
            note = container.actions.stop(ref, act, open_provider=open_provider, dry_run=action.dry_run)
        case "retry":
            _refuse_while_paused(container, ref.source)
            note = container.actions.retry(ref, act, _provider(container, ref), dry_run=action.dry_run)
        case "resend":
            note = container.actions.resend(ref, act, dry_run=action.dry_run)
        case _:
            request = BuildRequest(source=ref.source, scope=ref.scope, build_id=ref.build_id)
            return _request(container, request, act, dry_run=action.dry_run)
    return str(ref), note


def _provider(container: Container, ref: BuildRef) -> Provider:
    return container.provider(container.sources.load().get(ref.source))


def _refuse_while_paused(container: Container, source: str) -> SourceState:
    state = container.health.state(source)
    if pause := pause_at(state.pauses, container.clock()):
        end = "" if pause.until is None else f" until {pause.until:%Y-%m-%d %H:%M} UTC"
        raise SettingsError(f"source {source} is paused{end} by {pause.by}; first: courier resume {source}")
    return state


def _request(container: Container, request: BuildRequest, act: Act, *, dry_run: bool) -> tuple[str | None, str]:
    if dry_run:
        provider = container.provider(container.sources.load().get(request.source))
        scope = provider.request_scope(request)
        if request.build_id is None:
            return None, f"a build of {request.source}/{scope} would be requested, unless one is running"
        found = provider.get_build(BuildRef(source=request.source, scope=scope, build_id=request.build_id))
        return str(found.ref), f"the build is {found.status}, and would be tracked"
    result = send_request(container, container.requester_for(act), request, act.id)
    if result.begun:
        return str(result.build), result.note
    # The build is known: it keeps the act as well.
    row = container.acts.add(result.build, act)
    if row is not None and row.outcome is not None:
        hint = "; courier retry tries again" if row.outcome in RETRIED else ""
        raise SettingsError(f"it has ended already: {row.outcome}{hint}")
    return str(result.build), result.note


def send_request(
    container: Container, requester: BuildRequester, request: BuildRequest, request_id: str
) -> RequestResult:
    """Process one request for a build, and record what the provider's response says about the source's health."""
    settings = container.sources.load().get(request.source)
    state = _refuse_while_paused(container, settings.name)
    try:
        result = requester.request(container.provider(settings), request, request_id=request_id)
    except SourceError as exc:
        container.health.record_failure(settings, state, exc)
        raise
    if result.provider_responded:
        container.health.record_success(settings, state)
    return result
