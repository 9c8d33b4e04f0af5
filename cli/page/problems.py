"""What needs the operator: each problem with what it means, its cure, and the command to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from cli.deployment import USUAL_STACK
from cli.shared import UNHEALTHY_REASONS
from cli.statistics import BAD_OUTCOMES, GOOD_OUTCOMES
from cli.tables import age, describe_pause, duration, moment
from courier.models import Outcome
from courier.usecases.discover_builds import MAX_ROUND_SECONDS, sufficient_requests_per_minute

if TYPE_CHECKING:
    from datetime import datetime

    from cli.page.content import PageContent, RunningBuild, SourceView
    from cli.records import EndedRecord
    from courier.models import BuildRef

# A build that is due for longer is not polled: a tick lasts a minute, and a busy one a few.
OVERDUE = timedelta(minutes=10)
# A build whose wait is used up so far ends soon as timed out.
DEADLINE_SHARE = 0.8
FAILED_POLLS = 3
# A complete round of discovery that takes longer raises the alarm (docs/runbook.md#discovery-round).
LONG_ROUND = timedelta(seconds=MAX_ROUND_SECONDS)
# Builds of one kind of problem that are named one by one, and commands that name several.
MOST_NAMED = 5
MOST_IN_COMMAND = 20
# Failures that a good build of the same scope followed need no action; an undelivered report is still missing.
UNDELIVERED = timedelta(days=14)

# The last sentence, if it ends in a colon.
_ANNOUNCEMENT = re.compile(r"\s*[^.!?]*:$")


@dataclass(frozen=True, kw_only=True)
class ActionItem:
    """One thing that needs the operator.

    ``level`` is ``act`` where something is lost or waits for an operator, and ``watch`` where it may pass.
    """

    level: Literal["act", "watch"]
    title: str
    subject: str
    detail: str = ""
    cure: str = ""
    commands: Sequence[str] = ()

    def without_commands(self) -> ActionItem:
        """Return the item for a place where no command works: its cure does not announce one."""
        return replace(self, cure=_ANNOUNCEMENT.sub("", self.cure), commands=())


class Commands:
    """Command lines for one stack; every value is quoted, because ids come from providers."""

    def __init__(self, stack: str, region: str | None) -> None:
        self._options = [] if stack == USUAL_STACK else ["--stack", stack]
        self._options += ["--region", region] if region else []
        self._region = region

    def courier(self, *words: object) -> str:
        """Return a command line of ours."""
        return shlex.join(["courier", *map(str, words), *self._options])

    def aws(self, *words: str) -> str:
        """Return a command line of the AWS CLI."""
        return shlex.join(["aws", *words, *(["--region", self._region] if self._region else [])])


def find_action_items(content: PageContent, commands: Commands) -> list[ActionItem]:
    """Return what needs the operator, the most urgent first."""
    items = [
        *_overdue_items(content, commands),
        *_execution_items(content, commands),
        *(item for source in content.sources for item in _source_items(source, content.now, commands)),
        *_ended_items(content, commands),
        *_running_items(content, commands),
        *_dead_letter_items(content, commands),
    ]
    return sorted(items, key=lambda item: item.level != "act")


def _overdue_items(content: PageContent, commands: Commands) -> Iterator[ActionItem]:
    resting = {source.name for source in content.sources if _is_resting(source, content.now)}
    overdue = [
        build
        for build in content.running
        if build.build.next_poll_at is not None
        and build.build.ref.source not in resting
        and _instant(build.build.next_poll_at) < content.now - OVERDUE
    ]
    if overdue:
        since = min(_instant(build.build.next_poll_at or "") for build in overdue)
        yield ActionItem(
            level="act",
            title="Builds are not polled",
            subject=_count(len(overdue), "build"),
            detail=f"Their polls are due, the first one for {age(content.now, since)}.",
            cure="Check that PollState is ENABLED, and the log of poll_builds. No build is lost meanwhile.",
            commands=[commands.aws("logs", "tail", f"/{content.stack.name}/poll_builds", "--since", "1h")],
        )


def _execution_items(content: PageContent, commands: Commands) -> Iterator[ActionItem]:
    for run in content.failed_executions[:MOST_NAMED]:
        yield ActionItem(
            level="act",
            title="An execution failed",
            subject=run.name,
            detail=f"{run.status.replace('_', ' ').lower()} at {moment(run.stopped_at)}; its build has no record.",
            cure="Find the failed state in the Step Functions console, fix its cause, then redrive. "
            "The runbook lists the usual causes (Executions).",
            commands=[commands.aws("stepfunctions", "redrive-execution", "--execution-arn", run.arn)],
        )
    if more := content.failed_executions[MOST_NAMED:]:
        yield ActionItem(level="act", title="More executions failed", subject=_count(len(more), "execution"))


def _dead_letter_items(content: PageContent, commands: Commands) -> Iterator[ActionItem]:
    if content.dead_letters:
        url = content.stack.outputs["DeadLettersUrl"]
        yield ActionItem(
            level="act",
            title="Dead letters",
            subject=_count(content.dead_letters, "message"),
            detail="A tick or a request failed on every attempt. A tick is harmless, because the next one finds the "
            "same work; a request is lost unless it is sent again.",
            cure="Read the message: requestPayload is the event, responsePayload the error. Then fix the cause, send a "
            "request again, and delete the message (aws sqs delete-message; docs/runbook.md, Dead letters).",
            commands=[
                commands.aws(
                    "sqs",
                    "receive-message",
                    "--queue-url",
                    url,
                    "--attribute-names",
                    "All",
                    "--max-number-of-messages",
                    "10",
                )
            ],
        )


def _source_items(source: SourceView, now: datetime, commands: Commands) -> Iterator[ActionItem]:
    if source.broken is not None:
        yield ActionItem(
            level="act",
            title="A source is misconfigured",
            subject=source.name,
            detail=source.broken,
            cure="Correct the setting in sources.yaml and push it. The courier ignores the source until then.",
            commands=[commands.courier("config", "push", "sources.yaml")],
        )
    if source.state is None or source.settings is None:
        return
    state, settings = source.state, source.settings
    if pause := source.pause_at(now):
        waiting = _count(source.in_flight, "build") if source.in_flight else "nothing"
        yield ActionItem(
            level="act" if pause.until is None else "watch",
            title="A source is paused",
            subject=source.name,
            detail=_sentence(f"{describe_pause(pause)}; {waiting} in flight"),
            cure="It is not called, and the deadlines of its builds stand still. When the reason is over:",
            commands=[commands.courier("resume", source.name)],
        )
        return
    if state.is_unhealthy_as_a_whole:
        error = state.unhealthy_error or ""
        reason = UNHEALTHY_REASONS.get(error, "the provider refuses the request itself")
        secret = commands.courier("config", "set-secret", settings.secret)
        probe = commands.courier("probe", source.name)
        push = commands.courier("config", "push", "sources.yaml")
        cure, run = {
            "SourceUnauthorizedError": (
                f"Store a valid key in the secret {settings.secret}, or grant the key the missing permission.",
                [secret, probe],
            ),
            "SourceExhaustedError": ("Buy credits, or wait for the account's next period.", [probe]),
            "SettingsError": ("Correct its settings and push them, or store its secret.", [push, secret]),
        }.get(error, ("Check its endpoint: the API may have moved.", [push, probe]))
        yield ActionItem(
            level="act",
            title=f"A source is unhealthy: {reason}",
            subject=source.name,
            detail=_sentence(f"For {age(now, state.unhealthy_since)}: {state.last_error or error}"),
            cure=cure,
            commands=run,
        )
    elif state.backoff_until is not None and state.backoff_until > now:
        yield ActionItem(
            level="watch",
            title="A provider is not available",
            subject=source.name,
            detail=_sentence(f"{_count(state.failures, 'failure')} in a row: {state.last_error or 'no response'}"),
            cure=f"The courier tries again in {age(state.backoff_until, now)}, and by itself from then on. To try now:",
            commands=[commands.courier("probe", source.name)],
        )
    if source.failing_scopes:
        named = [f"{scope}: {failing.message}" for scope, failing in sorted(source.failing_scopes.items())]
        more = len(named) - MOST_NAMED
        yield ActionItem(
            level="act" if state.is_unhealthy else "watch",
            title=f"{_count(len(named), 'scope')} cannot be listed",
            subject=source.name,
            detail=_sentence("; ".join(named[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")),
            cure="Remove them from the source's settings and push, or grant its API key access to them. "
            "The other scopes work.",
            commands=[commands.courier("config", "push", "sources.yaml")],
        )
    if state.unlisted_scopes and state.round_started_at and now - state.round_started_at > LONG_ROUND:
        took = (now - state.round_started_at).total_seconds()
        enough = sufficient_requests_per_minute(
            settings.requests_per_minute, scopes=state.scopes, unlisted=state.unlisted_scopes, seconds=took
        )
        yield ActionItem(
            level="act",
            title="Discovery is too slow",
            subject=source.name,
            detail=f"{state.unlisted_scopes} of {state.scopes} scopes are still to be listed in a round that has taken "
            f"{duration(took)}, so new builds are found late.",
            cure=f"Raise requests_per_minute from {settings.requests_per_minute} to about {enough} if the API allows "
            "that, or name fewer data_models; then push.",
            commands=[commands.courier("config", "push", "sources.yaml")],
        )


def _ended_items(content: PageContent, commands: Commands) -> Iterator[ActionItem]:
    """Group the builds that ended badly by scope and outcome: one cause, one item."""
    last_good: dict[tuple[str, str], datetime] = {}
    groups: dict[tuple[str, str, str], list[EndedRecord]] = {}
    for record in content.ended.values():
        scope = (record.build.source, record.build.scope)
        if record.outcome in GOOD_OUTCOMES:
            last_good[scope] = max(record.ended_at, last_good.get(scope, record.ended_at))
    # A build that is retried has its old record until it ends again.
    retried = {build.build.ref for build in content.running}
    for record in content.ended.values():
        scope = (record.build.source, record.build.scope)
        if record.build in retried:
            continue
        if record.outcome == Outcome.UNDELIVERABLE:
            is_open = record.ended_at > content.now - UNDELIVERED
        else:
            is_open = record.outcome in BAD_OUTCOMES and (scope not in last_good or record.ended_at > last_good[scope])
        if is_open:
            groups.setdefault((*scope, record.outcome), []).append(record)
    for (source, name, outcome), records in groups.items():
        newest = max(records, key=lambda record: record.ended_at)
        yield _ended_item(f"{source}/{name}", outcome, newest, [record.build for record in records], content, commands)


_ENDED_TITLES = {
    Outcome.UNDELIVERABLE: ("A report could not be delivered", "reports could not be delivered"),
    Outcome.TIMED_OUT: ("A build timed out", "builds timed out"),
    Outcome.LOST: ("A build was lost", "builds were lost"),
    Outcome.FAILED: ("A build failed", "builds failed"),
}
# The cure of a build without an advice of its own, and what follows one.
_ENDED_CURES = {
    Outcome.UNDELIVERABLE: "Correct what the message names.",
    Outcome.TIMED_OUT: "Look at what the provider says about the build.",
    Outcome.LOST: "Look for the build in the provider's console.",
    Outcome.FAILED: "Fix the cause at the provider.",
}
_THEN = {
    Outcome.UNDELIVERABLE: "Push it, then deliver after all:",
    Outcome.TIMED_OUT: "If it has ended meanwhile, deliver it after all:",
    Outcome.LOST: "If it is not there, start it again. If it is, deliver it after all:",
    Outcome.FAILED: "Then request it again. For details:",
}


def _ended_item(
    scope: str,
    outcome: str,
    newest: EndedRecord,
    refs: Sequence[BuildRef],
    content: PageContent,
    commands: Commands,
) -> ActionItem:
    one, many = _ENDED_TITLES[Outcome(outcome)]
    problem = newest.problem
    last = f"{'It' if len(refs) == 1 else 'The last one'} ended {age(content.now, newest.ended_at)} ago"
    message = problem.message if problem else ""
    advice = problem.advice if problem and problem.advice else ""
    retry = commands.courier("retry", *sorted(map(str, refs))[:MOST_IN_COMMAND])
    run = {
        Outcome.UNDELIVERABLE: [commands.courier("config", "push", "sources.yaml"), retry],
        Outcome.FAILED: [commands.courier("show", newest.build)],
    }.get(Outcome(outcome), [retry])
    return ActionItem(
        level="act",
        title=one if len(refs) == 1 else f"{len(refs)} {many}",
        subject=str(newest.build) if len(refs) == 1 else scope,
        detail=_sentence(": ".join(filter(None, (last, message)))),
        cure=f"{_sentence(advice or _ENDED_CURES[Outcome(outcome)])} {_THEN[Outcome(outcome)]}",
        commands=run,
    )


def _running_items(content: PageContent, commands: Commands) -> Iterator[ActionItem]:
    found = [(build, reason) for build in content.running if (reason := _stuck(build, content.now))]
    for build, (what, detail) in found[:MOST_NAMED]:
        ref = build.build.ref
        yield ActionItem(
            level="act",
            title=what,
            subject=str(ref),
            detail=f"{detail} {build.last_words}.".strip(),
            cure="Compare with the provider's own console. To end the wait, and the remote build with it where the "
            "provider can cancel:",
            commands=[commands.courier("show", ref), commands.courier("stop", ref, "--cancel")],
        )
    if len(found) > MOST_NAMED:
        yield ActionItem(
            level="act",
            title="More builds take too long",
            subject=_count(len(found) - MOST_NAMED, "build"),
            commands=[commands.courier("builds", "--in-flight")],
        )


def _stuck(build: RunningBuild, now: datetime) -> tuple[str, str] | None:
    """Return what is wrong with a build in flight: title and detail; None when it is as it should be."""
    if build.build.paused or (build.row is not None and build.row.stop_requested):
        return None
    deadline, start = build.build.deadline_at, build.build.first_seen_at
    left = f"The wait ends {'in ' + age(deadline, now) if deadline > now else 'now'}."
    if build.row is not None and build.row.failures >= FAILED_POLLS:
        return "A build cannot be polled", f"{_count(build.row.failures, 'poll')} failed in a row. {left}"
    if build.is_slow:
        return "A build seems stuck", f"It takes {duration(build.seconds)}, usually {duration(build.p50)}. {left}"
    if (now - start) > DEADLINE_SHARE * (deadline - start):
        return "A build is about to time out", f"It has taken {duration(build.seconds)}. {left}"
    return None


@dataclass(frozen=True)
class Health:
    """A source's health: its color, and the words."""

    level: Literal["good", "warn", "bad"]
    text: str


def health_of(source: SourceView, now: datetime) -> Health:
    """Return the health of a source for a reader."""
    state = source.state
    if source.broken is not None or state is None:
        return Health("bad", "misconfigured")
    if pause := source.pause_at(now):
        return Health("warn", f"paused until {moment(pause.until)}" if pause.until else "paused")
    if state.is_unhealthy_as_a_whole:
        return Health("bad", f"unhealthy for {age(now, state.unhealthy_since)}")
    concerns = [
        f"backing off for {age(state.backoff_until, now)}" if state.backoff_until and state.backoff_until > now else "",
        f"{_count(len(source.failing_scopes), 'scope')} failing" if source.failing_scopes else "",
        f"{_count(state.failures, 'failure')} in a row" if state.failures else "",
    ]
    concern = next(filter(None, concerns), None)
    return Health("warn", concern) if concern else Health("good", "healthy")


def _is_resting(source: SourceView, now: datetime) -> bool:
    state = source.state
    if source.pause_at(now) is not None:
        return True
    return state is None or state.is_unhealthy or (state.backoff_until is not None and state.backoff_until > now)


def _instant(stamp: str) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(stamp)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sentence(text: str) -> str:
    stripped = " ".join(text.split())
    text = stripped[:1].upper() + stripped[1:]
    return text if not text or text[-1] in ".!?" else f"{text}."
