"""What a run says at its end: every outcome, where it lies, how long it took, what was published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.keepsakes import BUCKET
from local.results import Notice
from local.session import Session, Verdict


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """One build that reached an outcome."""

    outcome: str
    build: str
    seconds: float
    place: Path
    problem: str


def print_summary(console: Console, session: Session, verdict: Verdict, out: Path, *, seconds: float) -> None:
    """Print the outcomes, the figures, and what went wrong."""
    notices = session.notices()
    ended = _ended(notices, {line.build: line.seconds for line in session.builds()}, out)
    if console.is_terminal:
        console.print(_table(ended))
    else:
        for row in ended:
            _say(console, f"{row.outcome:<14} {row.build}  {row.seconds:.1f} s  {row.place}")
            if row.problem:
                _say(console, f"{'':14} {row.problem}")
    outcomes = Counter(row.outcome for row in ended)
    executions = session.aws.executions()
    invocations = sum(usage.invocations for usage in session.aws.usage().values())
    _say(
        console, f"{len(notices)} notices published: {', '.join(f'{n} {name}' for name, n in sorted(outcomes.items()))}"
    )
    _say(
        console,
        f"{len(executions)} executions with {sum(len(run.states) for run in executions)} state transitions, "
        f"{invocations} Lambda invocations, {sum(session.provider_requests().values())} provider requests, "
        f"{seconds:.1f} s",
    )
    _say(console, f"Results: {out}")
    for line in _troubles(verdict):
        _say(console, line, style="red")


def _ended(notices: Sequence[Notice], seconds_of: dict[str, float], out: Path) -> list[_Ended]:
    """Read the outcomes from what a subscriber received; notices about sources have none."""
    rows = []
    for notice in notices:
        event = json.loads(notice.message)
        news = event["data"]
        if "outcome" not in news:
            continue
        problem = news["problem"]
        rows.append(
            _Ended(
                outcome=news["outcome"],
                build=event["subject"],
                seconds=seconds_of.get(event["subject"], 0.0),
                place=out / BUCKET / (news["artifact"] or news["record"])["key"],
                problem=" ".join(filter(None, (problem["message"], problem["advice"]))) if problem else "",
            )
        )
    return rows


def _table(ended: Sequence[_Ended]) -> Table:
    table = Table(title="Outcomes", title_justify="left")
    for heading in ("outcome", "build", "seconds", "where it lies, and why"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "seconds" else "left")
    for row in ended:
        # Words of providers: Text shows them as they are and reads no markup in them.
        why = Text(f"{row.place}\n{row.problem}" if row.problem else str(row.place))
        table.add_row(row.outcome, Text(row.build), f"{row.seconds:.1f}", why)
    return table


def _troubles(verdict: Verdict) -> list[str]:
    lines = [f"failed execution {run.name}: {run.error}: {run.cause}" for run in verdict.failed_executions]
    lines += [f"dead letter: {letter[:500]}" for letter in verdict.dead_letters]
    lines += [f"not ended when the time was up: {build}" for build in verdict.unfinished]
    return lines


def _say(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
