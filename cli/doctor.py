"""``courier doctor``: check a deployed stack from outside, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.shared import DEFAULT_STACK, EXIT_FAILED, EndpointUrl, Profile, Region, StackName, say
from cli.tables import Format, FormatOption, print_data, print_table

if TYPE_CHECKING:
    from cli.diagnosis import Finding

# Nothing wrong was found, but something could not be checked.
EXIT_UNCHECKED = 3
_STYLES = {"good": "green", "note": "", "problem": "red", "unchecked": "yellow"}


def doctor(
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Check a deployed stack: one line for each check, good or with what to do. It only reads, and calls no provider.

    It checks the outputs, the schedules, the alarms, the dead letters, the subscriptions, the sources and their
    secrets, the Lambda quota, the last tick, the last copy, the functions with their layer, and the policy of a KMS key
    of yours. A check for which your credentials have no permission says so. Some twenty calls of AWS.

    **Example**

        courier doctor -f json | jq '.[] | select(.state == "problem")'

    **Exit code** 0: all is well; notes do not count. 1: at least one problem. 2: an error, such as no such stack. 3: no
    problem was found, but something could not be checked.
    """
    from cli.diagnosis import State, examine
    from cli.stack import open_stack

    console = Console(highlight=False)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        if output_format is Format.TABLE:
            say(console, f"Stack {target.name}, {target.origin}")
        findings = list(examine(target))
    if output_format is Format.TABLE:
        _print(console, findings)
    else:
        rows = [finding.as_row() for finding in findings]
        print_data(rows, rows, output_format)
    states = {finding.state for finding in findings}
    if State.PROBLEM in states:
        raise typer.Exit(EXIT_FAILED)
    if State.UNCHECKED in states:
        raise typer.Exit(EXIT_UNCHECKED)


def _print(console: Console, findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.check, Text(finding.message))
    print_table(console, table)
