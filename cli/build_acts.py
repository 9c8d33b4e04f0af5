"""``courier stop``, ``retry``, ``resend`` and ``adopt``: what an operator does to builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import (
    DEFAULT_STACK,
    SEARCHED,
    BuildArguments,
    DryRun,
    EndpointUrl,
    Note,
    Profile,
    Region,
    SearchedSince,
    StackName,
    Yes,
)
from cli.tables import Format, FormatOption
from courier.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cli.stack import Stack
    from courier.models import BuildRef, Outcome

_OfOutcome = Annotated[
    str | None,
    typer.Option("--outcome", metavar="OUTCOMES", help="All builds that ended so since `--since`, instead of names."),
]
_OfSource = Annotated[str | None, typer.Option("--source", help="With `--outcome`: only builds of this source.")]


def stop(
    builds: BuildArguments = None,
    source: Annotated[
        str | None, typer.Option("--source", help="All builds in flight of this source, instead of names.")
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Also ask the provider to cancel the build, where it can.")
    ] = False,
    note: Note = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    since: SearchedSince = SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Stop waiting for builds: each gets the outcome `canceled`, with a record and a notice, and raises no alarm.

    The build itself runs on at its provider, unless `--cancel` is given. `courier retry` waits for it again.

    **Examples**

        courier stop dd4519b2 --cancel --note "started by mistake"

        courier stop --source red-team --dry-run

    **Exit code** 0: all were stopped. 1: at least one was not, or you said no. 2: an option is wrong, no build or
    several begin so, or AWS refuses.
    """
    from cli.act import builds_in_flight_of, confirm, named_builds, perform, print_results
    from cli.stack import open_stack

    if bool(builds) == bool(source):
        raise SettingsError("name builds, or a --source whose builds are meant")
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        refs = builds_in_flight_of(target, source) if source else named_builds(target, builds or [], since=since)
        confirm("Stop", refs, yes=yes, dry_run=dry_run)
        events = [{"action": "stop", "build": str(ref), "cancels": cancel} for ref in refs]
        results = perform(target, events, note=note, dry_run=dry_run)
    print_results(results, output_format)


def retry(
    builds: BuildArguments = None,
    outcome: _OfOutcome = None,
    source: _OfSource = None,
    note: Note = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    since: SearchedSince = SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Try again to deliver builds that ended as `undeliverable`, `timed_out`, `lost` or `canceled`.

    The provider is asked for the build. Its report is copied if it has ended, otherwise it is polled again, with a new
    deadline. The new outcome replaces the record, which keeps the earlier attempts, and has a notice of its own;
    `latest` moves as after any build. First remove the cause: `courier show BUILD` says it.

    **Examples**

        courier retry dd4519b2

        courier retry --outcome undeliverable --source red-team --since 7d

    **Exit code** 0: an attempt has begun for all. 1: for at least one it has not, or you said no. 2: an option is
    wrong, no build or several begin so, or AWS refuses.
    """
    from cli.act import print_results
    from cli.stack import open_stack

    outcomes = _checked_outcomes(builds, outcome, source)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        refs = _ended(target, builds, outcomes, source, since)
        results = _act_on_ended(target, "retry", refs, note=note, yes=yes, dry_run=dry_run)
    print_results(results, output_format)


def resend(
    builds: BuildArguments = None,
    outcome: _OfOutcome = None,
    source: _OfSource = None,
    note: Note = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    since: SearchedSince = SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Publish the notices of ended builds again, with the same event ids: who has seen one ignores it.

    **Example**

        courier resend dd4519b2

    **Exit code** 0: all were published. 1: at least one was not, or you said no. 2: an option is wrong, no build or
    several begin so, or AWS refuses.
    """
    from cli.act import print_results
    from cli.stack import open_stack

    outcomes = _checked_outcomes(builds, outcome, source)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        refs = _ended(target, builds, outcomes, source, since)
        results = _act_on_ended(target, "resend", refs, note=note, yes=yes, dry_run=dry_run)
    print_results(results, output_format)


def adopt(
    builds: Annotated[list[str], typer.Argument(metavar="SOURCE/SCOPE/ID", help="Builds that others started.")],
    note: Note = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Wait for builds that others started, and that the courier does not find by itself.

    **Example**

        courier adopt red-team/acme/main/chatbot/2489e9ad-2ee2-8e00-8ec9-32d5f69181c0

    **Exit code** 0: all are tracked. 1: at least one is not, or you said no. 2: an option is wrong, or AWS refuses.
    """
    from cli.act import confirm, perform, print_results
    from cli.stack import open_stack
    from courier.models import BuildRef

    refs = []
    for text in dict.fromkeys(builds):
        try:
            refs.append(BuildRef.parse(text))
        except ValueError as exc:
            raise SettingsError(f"{text}: a build that the courier does not know is SOURCE/SCOPE/ID") from exc
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        confirm("Adopt", refs, yes=yes, dry_run=dry_run)
        events = [{"action": "adopt", "build": str(ref)} for ref in refs]
        results = perform(target, events, note=note, dry_run=dry_run)
    print_results(results, output_format)


def _checked_outcomes(texts: Sequence[str] | None, outcome: str | None, source: str | None) -> Collection[Outcome]:
    """Return the outcomes of the builds that are meant; none where they are named."""
    from cli.continuing import parse_outcomes

    outcomes = parse_outcomes(outcome, option="--outcome")
    if bool(texts) == bool(outcomes) or (source and not outcomes):
        raise SettingsError("name builds, or --outcome with the outcomes of those that are meant")
    return outcomes


def _ended(
    stack: Stack, texts: Sequence[str] | None, outcomes: Collection[Outcome], source: str | None, since: str
) -> list[BuildRef]:
    from cli.act import ended_builds, named_builds

    if texts:
        return named_builds(stack, texts, since=since)
    return ended_builds(stack, outcomes, source=source, since=since)


def _act_on_ended(
    stack: Stack, action: str, refs: Sequence[BuildRef], *, note: str | None, yes: bool, dry_run: bool
) -> list[dict[str, Any]]:
    from cli.act import confirm, perform

    confirm(action.capitalize(), refs, yes=yes, dry_run=dry_run)
    return perform(stack, [{"action": action, "build": str(ref)} for ref in refs], note=note, dry_run=dry_run)
