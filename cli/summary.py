"""What a run prints at its end: each outcome with its files and duration, what was published, what failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.shared import OUTCOME_COLOURS, say
from cli.tables import print_paragraph
from local.chaos.chaos_run import ChaosReport, FaultProfile
from local.embedded.results import ReceivedNotice
from local.runs.results_folder import BUCKET
from local.runs.run_report import RunReport
from local.runs.session import Session

_INDENT = " " * 15
# A narrower terminal has no room for the indent.
_WIDE = 100
NOTHING_HINT = (
    "No builds. Builds that ended before the run are not polled: set backfill_hours of the source to include them, "
    "name one with --watch, or request a new one with --request."
)


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """A build that reached an outcome."""

    outcome: str
    build: str
    seconds: float
    places: Sequence[Path]
    messages: Sequence[str]


def print_summary(
    console: Console, errors: Console, session: Session, run_report: RunReport, out: Path, *, seconds: float
) -> None:
    """Print the outcomes and the figures, and the failures on the other console."""
    notices = session.notices()
    ended = _ended(notices, {line.build: line.seconds for line in session.builds()}, out)
    if ended:
        say(console, "")
    for row in ended:
        _print_ended(console, row)
    if ended:
        say(console, "")
    elif run_report.is_good and not run_report.has_user_errors and not session.requests:
        print_paragraph(console, NOTHING_HINT, indent=0)
    executions = session.aws.executions()
    invocations = sum(usage.invocations for usage in session.aws.usage().values())
    say(console, _published(len(notices), Counter(row.outcome for row in ended)))
    say(
        console,
        f"{len(executions)} executions with {sum(len(run.states) for run in executions)} state transitions, "
        f"{invocations} Lambda invocations, {sum(session.provider_requests().values())} provider requests, "
        f"{seconds:.1f} s",
    )
    for value, times in session.unexpected_values().items():
        say(console, f"unexpected in a response of {value}, {_times(times)}", style="yellow")
    say(console, f"Results: {out}")
    for line in _failures(run_report):
        print_paragraph(errors, f"courier: {line}", indent=0, style="red")


def print_chaos_report(console: Console, errors: Console, profile: FaultProfile, report: ChaosReport) -> None:
    """Print which faults were injected and how often, which promises were broken, and which were not checked."""
    say(console, "")
    say(console, f"{sum(report.injected.values())} faults injected, {profile}")
    for (fault, kind), times in report.injected.items():
        say(console, f"{times:5}  {kind:<12}  {fault}{'' if times else '  (no request matched)'}")
    for explanation in report.explained:
        say(console, f"explained by a fault: {explanation}")
    kept = "all kept" if report.is_good else f"{len(report.violations)} broken"
    say(console, f"{report.promises} promises checked over {report.builds} records: {kept}")
    if report.unchecked:
        builds = "1 build" if report.unchecked == 1 else f"{report.unchecked} builds"
        text = f"the run ended before {builds} had an outcome; the promises of those were not checked"
        say(errors, f"courier: {text}", style="yellow")
    for violation in report.violations:
        say(errors, f"courier: broken promise: {violation}", style="red")


def _print_ended(console: Console, row: _Ended) -> None:
    line = Text(f"{row.outcome:<13}  ", style=OUTCOME_COLOURS.get(row.outcome, ""))
    if console.is_terminal and console.width < len(_INDENT + row.build) + 8:
        # The id on a line of its own, so that a narrow terminal does not cut it.
        console.print(line.append(f"{row.seconds:.1f} s", style="default"))
        say(console, f"    {row.build}")
        line = Text()
    # Text shows what a provider sent as it is, and reads no markup in it.
    if line:
        console.print(line.append(f"{row.build}  {row.seconds:.1f} s", style="default"), soft_wrap=True)
    indent = _INDENT if not console.is_terminal or console.width > _WIDE else "    "
    for place in row.places:
        say(console, f"{indent}{place}")
    for message in row.messages:
        print_paragraph(console, message, indent=len(indent))


def _published(notices: int, outcomes: Counter[str]) -> str:
    counts = [f"{number} {name}" for name, number in sorted(outcomes.items())]
    about_sources = notices - outcomes.total()
    if about_sources:
        counts.append(f"{about_sources} about sources")
    return f"{notices} notice{'' if notices == 1 else 's'} published{': ' if counts else ''}{', '.join(counts)}"


def _ended(notices: Sequence[ReceivedNotice], seconds_of: dict[str, float], out: Path) -> list[_Ended]:
    """Read the outcomes from the messages of a subscriber; notices about sources have none."""
    rows = []
    for notice in notices:
        event = json.loads(notice.message)
        payload = event["data"]
        if "outcome" not in payload:
            continue
        problem = payload["problem"] or {}
        objects = filter(None, (payload["artifact"], payload["record"]))
        rows.append(
            _Ended(
                outcome=payload["outcome"],
                build=event["subject"],
                seconds=seconds_of.get(event["subject"], 0.0),
                places=[out / BUCKET / each["key"] for each in objects],
                messages=[text for text in (problem.get("message"), problem.get("advice")) if text],
            )
        )
    return rows


def _failures(run_report: RunReport) -> list[str]:
    lines = [f"execution {run.name} failed: {run.error}: {run.cause}" for run in run_report.failed_executions]
    # A function that fails at each tick would fill the screen with one message.
    for letter, times in Counter(run_report.dead_letters).items():
        lines.append(f"{letter.function} failed {_times(letter.attempts * times)}: {letter.error}: {letter.message}")
    lines += [f"source {name} is unhealthy: {reason}" for name, reason in run_report.unhealthy.items()]
    lines += [f"source {name} cannot be polled: {error}" for name, error in run_report.unresponsive.items()]
    lines += [f"source {name} has not responded ({cause})" for name, cause in run_report.never_responded.items()]
    lines += [f"{scope} cannot be listed: {error}" for scope, error in run_report.failing_scopes.items()]
    lines += [f"{place} was not served when the run ended" for place in run_report.unserved_requests]
    lines += [f"{build} was still running when the run ended" for build in run_report.unfinished]
    return [" ".join(line.split()) for line in lines]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
