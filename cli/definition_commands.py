"""``courier config check``: for those who describe an API; it needs neither AWS nor a network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.shared import EXIT_BAD_USAGE, say
from cli.tables import Format, FormatOption, print_data

if TYPE_CHECKING:
    from cli.source_files import CheckedFile

SecretPrefix = Annotated[
    str | None, typer.Option("--secret-prefix", help="SecretPrefix of the stack. [default: build-courier/]")
]


def check(
    file: Annotated[Path, typer.Argument(help="YAML file with your sources, or with a definition (`api`) alone.")],
    output_format: FormatOption = Format.TABLE,
    secret_prefix: SecretPrefix = None,
) -> None:
    """Check a file with sources or with a definition: every key, expression, placeholder and word. Sends nothing.

    Each problem is one line with its place in the file, and all of them are reported at once.

    **Examples**

        courier config check sources.yaml

        courier config check sources.yaml --format json

    **Exit code** 0: nothing is wrong. 2: something is.
    """
    from cli.source_files import check_file
    from courier.config.environment import DEFAULT_SECRET_PREFIX

    checked = check_file(file, secret_prefix=secret_prefix or DEFAULT_SECRET_PREFIX)
    if output_format is not Format.TABLE:
        rows = [
            {"level": level, **asdict(problem)}
            for level, problems in (("error", checked.problems), ("warning", checked.warnings))
            for problem in problems
        ]
        print_data(rows, rows, output_format)
    else:
        console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
        for problem in checked.problems:
            say(errors, problem.line_for(file), style="red")
        for warning in checked.warnings:
            say(errors, f"{warning.line_for(file)} (a warning)", style="yellow")
        for line in _summary(checked):
            say(console, line)
    if checked.problems:
        raise typer.Exit(EXIT_BAD_USAGE)


def _summary(checked: CheckedFile) -> list[str]:
    from cli.source_changes import describe_origins

    lines = []
    for settings in checked.sources:
        origins = describe_origins(settings)
        lines.append(f"{settings.name}: ok, {settings.provider}" + (f"; {origins}" if origins else ""))
    if checked.definition is not None:
        lines.append("The definition is ok.")
    if checked.needs:
        lines.append(f"A source that uses it fills in {', '.join(checked.needs)}.")
    return lines
