"""What a run says at its end: every outcome, where it lies, how long it took, what was published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.progress import OUTCOME_COLOURS, say
from local.embedded.results import ReceivedNotice
from local.runs.results_folder import BUCKET
from local.runs.run_report import RunReport
from local.runs.session import Session

_INDENT = " " * 15
NOTHING_HINT = (
    "No builds. What had ended before the run is history: backfill_hours of a source fetches it, "
    "--watch names one build, --request asks for a new one."
)


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """One build that reached an outcome."""

    outcome: str
    build: str
    seconds: float
    places: Sequence[Path]
    words: Sequence[str]


def print_summary(
    console: Console, errors: Console, session: Session, run_report: RunReport, out: Path, *, seconds: float
) -> None:
    """Print the outcomes and the figures, and on the other console what went wrong."""
    notices = session.notices()
    ended = _ended(notices, {line.build: line.seconds for line in session.builds()}, out)
    if ended:
        say(console, "")
    for row in ended:
        _print_ended(console, row)
    if ended:
        say(console, "")
    elif run_report.is_good and not run_report.has_user_errors and not session.requests:
        say(console, NOTHING_HINT)
    executions = session.aws.executions()
    invocations = sum(usage.invocations for usage in session.aws.usage().values())
    say(console, _published(len(notices), Counter(row.outcome for row in ended)))
    say(
        console,
        f"{len(executions)} executions with {sum(len(run.states) for run in executions)} state transitions, "
        f"{invocations} Lambda invocations, {sum(session.provider_requests().values())} provider requests, "
        f"{seconds:.1f} s",
    )
    say(console, f"Results: {out}")
    for line in _troubles(run_report):
        say(errors, f"courier: {line}", style="red")


def _print_ended(console: Console, row: _Ended) -> None:
    line = Text(f"{row.outcome:<13}  ", style=OUTCOME_COLOURS.get(row.outcome, ""))
    # Words of providers: Text shows them as they are and reads no markup in them.
    console.print(line.append(f"{row.build}  {row.seconds:.1f} s", style="default"), soft_wrap=True)
    for place in row.places:
        say(console, f"{_INDENT}{place}")
    for words in row.words:
        say(console, f"{_INDENT}{words}")


def _published(notices: int, outcomes: Counter[str]) -> str:
    told = ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items()))
    about_sources = notices - outcomes.total()
    if about_sources:
        told = ", ".join(filter(None, (told, f"{about_sources} about sources")))
    return f"{notices} notice{'' if notices == 1 else 's'} published{': ' if told else ''}{told}"


def _ended(notices: Sequence[ReceivedNotice], seconds_of: dict[str, float], out: Path) -> list[_Ended]:
    """Read the outcomes from what a subscriber received; notices about sources have none."""
    rows = []
    for notice in notices:
        event = json.loads(notice.message)
        news = event["data"]
        if "outcome" not in news:
            continue
        problem = news["problem"] or {}
        objects = filter(None, (news["artifact"], news["record"]))
        rows.append(
            _Ended(
                outcome=news["outcome"],
                build=event["subject"],
                seconds=seconds_of.get(event["subject"], 0.0),
                places=[out / BUCKET / each["key"] for each in objects],
                words=[text for text in (problem.get("message"), problem.get("advice")) if text],
            )
        )
    return rows


def _troubles(run_report: RunReport) -> list[str]:
    lines = [f"execution {run.name} failed: {run.error}: {run.cause}" for run in run_report.failed_executions]
    # A function that fails at each tick would fill the screen with one sentence.
    for letter, times in Counter(run_report.dead_letters).items():
        lines.append(f"{letter.function} failed {_times(letter.attempts * times)}: {letter.error}: {letter.message}")
    lines += [f"source {name} is ill: {words}" for name, words in run_report.unhealthy.items()]
    lines += [f"source {name} did not answer" for name in run_report.unresponsive]
    lines += [f"{name}: its API has not answered ({host})" for name, host in run_report.never_responded.items()]
    lines += [f"{place} was not carried out when the run ended" for place in run_report.unserved_requests]
    lines += [f"{build} had not ended when the run did" for build in run_report.unfinished]
    return [" ".join(line.split()) for line in lines]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
