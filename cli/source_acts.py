"""``courier pause``, ``resume`` and ``probe``: what an operator does to sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli.shared import DEFAULT_STACK, DryRun, EndpointUrl, Note, Profile, Region, StackName
from cli.tables import Format, FormatOption
from courier.errors import SettingsError

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
    _act(
        "pause",
        sources,
        fields,
        note,
        dry_run,
        output_format,
        stack=stack,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
    )


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
    _act(
        "resume",
        sources,
        {},
        note,
        dry_run,
        output_format,
        stack=stack,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
    )


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
    _act(
        "probe",
        sources,
        {},
        None,
        dry_run,
        output_format,
        stack=stack,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
    )


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
    action: str,
    sources: Sequence[str],
    fields: Mapping[str, object],
    note: str | None,
    dry_run: bool,
    output_format: Format,
    **target_options: str | None,
) -> None:
    from cli.act import perform, print_results
    from cli.stack import open_stack

    name = target_options.pop("stack") or DEFAULT_STACK
    with open_stack(name, **target_options) as target:
        known = target.container.sources.load()
        for source in sources:
            known.get(source)
        extra = fields if note is None else {**fields, "note": note}
        names = dict.fromkeys(sources)
        events = [{"action": action, "source": each, "dry_run": dry_run, **extra} for each in names]
        results = perform(target, events)
    print_results(results, output_format)
