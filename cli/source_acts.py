"""``courier pause``, ``resume`` and ``probe``: what an operator does to sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import DEFAULT_STACK, DryRun, EndpointUrl, Note, Profile, Region, StackName
from cli.tables import Format, FormatOption
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.stack import Stack

_Sources = Annotated[list[str], typer.Argument(metavar="SOURCE", help="Names of sources.")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def pause(
    sources: _Sources,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="End: `2h`, `30m`, `1d`, or a time. [default: `courier resume`]"),
    ] = None,
    note: Note = None,
    dry_run: DryRun = False,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Stop calling sources for a while, for example while a provider is maintained.

    Their builds stay in flight, and the deadlines of these builds stand still. Scheduled requests are skipped; other
    requests are refused. A report that is being copied is copied on. Pausing a source again changes the end.

    **Example**

        courier pause red-team --until 2h --note "the provider is moved"

    **Exit code** 0: all are paused. 1: at least one is not. 2: an option is wrong, or AWS refuses.
    """
    end = None if until is None else parse_until(until, now=datetime.now(UTC))
    fields = {} if end is None else {"until": end.isoformat()}
    from cli.act import print_results
    from cli.stack import open_stack

    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        results = _act(target, "pause", sources, fields, note=note, dry_run=dry_run)
    print_results(results, output_format)


def resume(
    sources: _Sources,
    note: Note = None,
    dry_run: DryRun = False,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """End the pause of sources: the next tick polls their builds, whose deadlines are later by as long as it lasted.

    **Example**

        courier resume red-team

    **Exit code** 0: none is paused. 1: at least one is. 2: an option is wrong, or AWS refuses.
    """
    from cli.act import print_results
    from cli.stack import open_stack

    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        results = _act(target, "resume", sources, note=note, dry_run=dry_run)
    print_results(results, output_format)


def probe(
    sources: _Sources,
    dry_run: DryRun = False,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Call sources now, for example after their keys or their settings were corrected.

    A source that responds is healthy at once, and does not back off any more; scopes that could not be listed are tried
    again by the next discovery.

    **Example**

        courier probe red-team

    **Exit code** 0: all responded. 1: at least one did not, and the reason is printed. 2: an option is wrong, or AWS
    refuses.
    """
    from cli.act import print_results
    from cli.stack import open_stack

    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        results = _act(target, "probe", sources, dry_run=dry_run)
    print_results(results, output_format)


def parse_until(text: str, *, now: datetime) -> datetime:
    """Parse ``2h``, ``30m``, ``1d``, or a time.

    Raises
    ------
    SettingsError
        It is none of these, or in the past.
    """
    try:
        if match := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
        instant = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as exc:
        raise SettingsError(f"--until: {text} is neither like 2h, 30m or 1d nor a time like 2026-11-25T14:00") from exc
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if instant <= now:
        raise SettingsError(f"--until: {text} is in the past (times are UTC)")
    return instant


def _act(
    stack: Stack,
    action: str,
    sources: Sequence[str],
    fields: Mapping[str, object] = MappingProxyType({}),
    *,
    note: str | None = None,
    dry_run: bool,
) -> list[dict[str, Any]]:
    from cli.act import perform

    known = stack.container.sources.load()
    for source in sources:
        known.get(source)
    events = [{"action": action, "source": each, **fields} for each in dict.fromkeys(sources)]
    return perform(stack, events, note=note, dry_run=dry_run)
