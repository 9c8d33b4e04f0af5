"""``courier simulate``: what waiting for builds would cost, and how late their ends would be detected."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from courier.config.settings import PollingSettings
    from local.polling_study.comparison import StudyResult
    from local.polling_study.durations import Durations
    from local.polling_study.lower_bound import KellerLimit
    from local.polling_study.prices import PriceList


def simulate(
    *,
    durations: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Measured durations in seconds: a CSV's first column, or a JSON list."
        ),
    ] = None,
    median_minutes: Annotated[float, typer.Option(min=0.01, help="Median of log-normal durations.")] = 20,
    sigma: Annotated[float, typer.Option(min=0.01, max=3, help="Standard deviation of their logarithms.")] = 0.35,
    builds: Annotated[int, typer.Option(min=1, max=100_000, help="How many builds to simulate.")] = 2000,
    in_flight: Annotated[float, typer.Option(min=0.01, help="Mean number of builds running at a time.")] = 20,
    scopes: Annotated[int, typer.Option(min=1, help="Number of scopes that share the builds.")] = 5,
    history: Annotated[int, typer.Option(min=0, max=100, help="Known durations of each scope.")] = 30,
    batched: Annotated[
        bool, typer.Option("--batched", help="One list request polls all due builds of a scope.")
    ] = False,
    latency_seconds: Annotated[float, typer.Option(min=0, max=60, help="Response time of the provider.")] = 0.15,
    requests_per_minute: Annotated[float, typer.Option(min=1, help="Rate limit of the provider.")] = 60,
    fault_rate: Annotated[float, typer.Option(min=0, max=0.9, help="Share of requests that fail.")] = 0,
    first_seconds: Annotated[
        float, typer.Option(help="Setting of the source: time until the first poll, and shortest gap.")
    ] = 60,
    longest_seconds: Annotated[float, typer.Option(help="Setting of the source: longest gap.")] = 900,
    give_up_after_hours: Annotated[float, typer.Option(help="Setting of the source: the deadline.")] = 24,
    tick_seconds: Annotated[float, typer.Option(min=0.1, help="Interval at which the poller is invoked.")] = 60,
    quota: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Quota of concurrent Lambda executions, such as 10 in a new account: simulates copy and record too, "
            "and says how late notices are.",
        ),
    ] = None,
    copy_seconds: Annotated[
        float, typer.Option(min=0, max=900, help="With --quota: duration of a copy; 0 for builds without a report.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same builds.")] = 1,
    chart: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, writable=True, help="Draw lag against requests in this SVG file (needs matplotlib)."
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Price list in YAML. [default: list prices of us-east-1]"),
    ] = None,
) -> None:
    """Simulate waiting for builds, compared with a fixed polling interval and a Wait-Task-Choice loop.

    The simulation runs the module that schedules the polls on AWS.
    To write a price list of your own, copy `local/polling_study/prices.yaml`.
    """
    from local.polling_study.comparison import compare
    from local.polling_study.lower_bound import KellerLimit
    from local.polling_study.prices import PRICE_FILE, read_prices
    from local.polling_study.workload import Workload

    if chart is not None and find_spec("matplotlib") is None:
        raise typer.BadParameter("matplotlib is not installed: pip install matplotlib", param_hint="--chart")
    workload = Workload(
        durations=_durations(durations, median_minutes, sigma),
        builds=builds,
        in_flight=in_flight,
        scopes=scopes,
        history=history,
        batched=batched,
        polling=_polling(first_seconds, longest_seconds, give_up_after_hours),
        tick_seconds=tick_seconds,
        latency_seconds=latency_seconds,
        requests_per_minute=requests_per_minute,
        fault_rate=fault_rate,
        seed=seed,
    )
    price_list = read_prices(prices or PRICE_FILE)
    findings = compare(workload)
    console = Console()
    console.print(
        f"{workload.builds} builds ({workload.durations}), {in_flight:g} in flight, {history} durations known per scope"
    )
    console.print(_table(findings, price_list))
    console.print(_limit(KellerLimit.of(workload.durations), findings[0]))
    console.print(
        f"Lambda, DynamoDB and Scheduler usage as counted by the simulation; prices of {price_list.region}, "
        f"{price_list.gathered:%Y-%m-%d}; copy, record and notice not included."
    )
    if quota is not None:
        console.print(_effect_of(quota, findings[0], copy_seconds, seed))
    if chart is not None:
        from local.polling_study.chart import trade_off_chart

        chart.write_text(trade_off_chart(workload, histories=sorted({0, 5, history})))
        console.print(f"Chart: {chart}")


def _effect_of(quota: int, finding: StudyResult, copy_seconds: float, seed: int) -> str:
    from local.polling_study.concurrency import apply_quota, percentile

    unlimited = apply_quota(finding.counts, quota=None, copy_seconds=copy_seconds, seed=seed)
    effect = apply_quota(finding.counts, quota=quota, copy_seconds=copy_seconds, seed=seed)
    delays = ", ".join(
        f"{name} {percentile(effect.notice_seconds, percent):.1f} s"
        for name, percent in (("median", 50), ("p99", 99), ("longest", 100))
    )
    text = (
        f"With {quota} concurrent Lambda executions: from the detected end to the notice {delays} "
        f"(without a quota {percentile(unlimited.notice_seconds, 50):.1f} s). "
        f"{unlimited.mean_concurrency:.1f} executions run on average, {effect.throttled} attempts are throttled, "
        f"{effect.dropped_ticks} ticks are dropped, {effect.failed_executions} executions fail."
    )
    if unlimited.mean_concurrency > quota / 2:
        text += " The quota is too small for this load: raise it (docs/quota.md)."
    return text


def _durations(path: Path | None, median_minutes: float, sigma: float) -> Durations:
    from local.polling_study.durations import LogNormal, read_durations

    if path is None:
        return LogNormal(median_minutes * 60, sigma)
    try:
        return read_durations(path)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--durations") from exc


def _polling(first_seconds: float, longest_seconds: float, give_up_after_hours: float) -> PollingSettings:
    from pydantic import ValidationError

    from courier.config.settings import PollingSettings
    from courier.config.validation import describe_validation

    try:
        return PollingSettings(
            first_seconds=first_seconds, longest_seconds=longest_seconds, give_up_after_hours=give_up_after_hours
        )
    except ValidationError as exc:
        raise typer.BadParameter(describe_validation(exc)) from exc


def _table(findings: list[StudyResult], prices: PriceList) -> Table:
    table = Table(header_style="bold")
    table.add_column("per build")
    for finding in findings:
        table.add_column(finding.name, justify="right")
    for name, cells in (
        ("provider requests", [f"{one.requests:.2f}" for one in findings]),
        ("mean lag (s)", [f"{one.lag_seconds:.1f}" for one in findings]),
        *(
            (f"lag p{percent} (s)", [f"{one.lag_percentile(percent):.0f}" for one in findings])
            for percent in (50, 95, 99)
        ),
        ("Lambda invocations", [f"{one.counts.invocations / one.counts.builds:.2f}" for one in findings]),
        ("Lambda GB-seconds", [f"{one.units.lambda_gb_second / one.counts.builds:.3f}" for one in findings]),
        ("state transitions", [f"{one.units.step_functions_transition / one.counts.builds:.1f}" for one in findings]),
        ("responses with 429", [f"{one.counts.throttled / one.counts.builds:.2f}" for one in findings]),
        ("given up", [f"{one.counts.given_up / one.counts.builds:.3f}" for one in findings]),
        ("dollars for 1,000", [f"{one.dollars_per_thousand(prices):.3f}" for one in findings]),
    ):
        table.add_row(name, *cells)
    return table


def _limit(limit: KellerLimit, courier: StudyResult) -> str:
    if math.isnan(courier.lag_seconds):
        return "No end was detected before the deadline."
    requests = limit.requests(courier.lag_seconds)
    share = courier.requests / requests - 1
    return (
        f"Keller's limit for one request per poll with known durations: {requests:.2f} requests at a mean lag of "
        f"{courier.lag_seconds:.1f} s; the courier is {abs(share):.0%} {'above' if share > 0 else 'below'}."
    )
