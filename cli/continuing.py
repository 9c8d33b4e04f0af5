"""How ``courier run`` continues where the last run stopped: what it may delete first, and the command that goes on."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.shared import EXIT_FAILED
from courier.errors import SettingsError
from courier.models import Outcome

if TYPE_CHECKING:
    from local.runs.results_folder import ResultsFolder
    from local.runs.run_report import RunReport


def prepare_folder(results: ResultsFolder, *, simulated: bool, fresh: bool, yes: bool) -> None:
    """Delete the results of earlier runs where this run begins anew: those of a simulation, or any with ``--fresh``.

    Raises
    ------
    SettingsError
        Reports of real providers would be deleted, and there is no terminal to ask on.
    typer.Exit
        The user declined.
    """
    count = 0 if results.is_simulated else results.object_count
    if fresh and count and not yes:
        question = f"--fresh deletes what was delivered to {results.folder}, {count} file{'' if count == 1 else 's'}"
        if not sys.stdin.isatty():
            raise SettingsError(f"{question}; add --yes to delete them without a question")
        if not typer.confirm(f"{question}. Continue?", err=True):
            typer.echo("Nothing was deleted.", err=True)
            raise typer.Exit(EXIT_FAILED)
    if fresh or results.is_simulated:
        if results.is_simulated and results.object_count:
            typer.echo(f"The results of the last simulation in {results.folder} are replaced")
        results.delete_results()
    elif simulated and count:
        raise SettingsError(
            f"--out {results.folder}: holds what your own sources delivered, which a simulation would replace; "
            "name another folder, or add --fresh"
        )
    results.check_ledger()


def parse_outcomes(text: str | None, *, option: str = "--fail-on") -> frozenset[Outcome]:
    """Parse a list of outcomes, such as that of ``--fail-on``.

    Raises
    ------
    SettingsError
        A word is no outcome.
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if unknown := [word for word in words if word not in set(Outcome)]:
        raise SettingsError(f"{option}: {unknown[0]} is not an outcome; use {', '.join(Outcome)}")
    return frozenset(Outcome(word) for word in words)


def explain_fail_on(outcomes: Sequence[str | None], fail_on: Collection[Outcome]) -> str | None:
    """Return why ``--fail-on`` makes a run fail, None when it does not."""
    found = Counter(outcome for outcome in outcomes if outcome is not None and outcome in set(fail_on))
    counts = ", ".join(f"{number} {name}" for name, number in sorted(found.items()))
    return f"--fail-on: {counts}" if counts else None


def command_to_continue(arguments: Sequence[str], run_report: RunReport) -> str | None:
    """Return the command that goes on with what is unfinished, None when nothing is.

    The ledger holds the builds, so only requests that were not served are named again, and ``--fresh`` is not.
    """
    if not (run_report.unfinished or run_report.unserved_requests):
        return None
    again: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        option, has_value, value = argument.partition("=")
        if option in {"--fresh", "--yes"}:
            continue
        if option in {"--request", "--watch"}:
            value = value if has_value else next(remaining, "")
            place = f"request {Path(value)}" if option == "--request" else f"--watch {value}"
            again += [option, value] if place in run_report.unserved_requests else []
            continue
        again.append(argument)
    return shlex.join(["courier", *again])
