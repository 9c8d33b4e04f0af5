"""How near the beat comes to the limit, and what waiting costs: writes polling.md and polling.svg beside this file.

Run from the root of the repository: ``python -m bench.simulated_polling``. It runs the real polling module in the
simulation of ``local/polling_study``; every number in the tables is measured by it, under fixed seeds.
"""

from __future__ import annotations

import timeit
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from random import Random
from statistics import fmean, stdev

from bench.markdown import fold
from courier.builds.poll_schedule import next_gap
from courier.config.settings import PollingSettings
from local.polling_study.chart_series import trade_off_chart
from local.polling_study.comparison import StudyResult, compare, simulate_courier, simulate_fixed, simulate_loop
from local.polling_study.durations import Durations, LogNormal, Mixture
from local.polling_study.lower_bound import KellerLimit, best_on_ticks
from local.polling_study.prices import (
    COURIER_TRANSITIONS,
    INVOCATION_SECONDS,
    LOOP_TRANSITIONS,
    LOOP_TRANSITIONS_PER_POLL,
    READS_PER_TICK,
    WRITES_PER_BUILD,
    WRITES_PER_POLL,
    PriceList,
    read_prices,
)
from local.polling_study.strategies import PARALLEL_REQUESTS
from local.polling_study.workload import TWENTY_MINUTES, Workload, draw_trace

REPORT = Path(__file__).with_name("polling.md")
CHART = Path(__file__).with_name("polling.svg")

SEEDS = range(1, 9)
# Scopes with few builds each, so that one lucky history does not decide; no budget, which is another question.
REACH = Workload(builds=5000, scopes=500, in_flight=500, requests_per_minute=1_000_000)


@dataclass(frozen=True)
class Measured:
    """Means over the seeds with their standard errors."""

    requests: float
    requests_error: float
    lag_seconds: float
    lag_error_seconds: float
    p99_seconds: float

    @classmethod
    def over(cls, findings: Sequence[StudyResult]) -> Measured:
        """Average findings of different seeds."""
        requests = [finding.requests for finding in findings]
        lags = [finding.lag_seconds for finding in findings]
        root = sqrt(len(findings))
        p99 = fmean(finding.lag_percentile(99) for finding in findings)
        return cls(fmean(requests), stdev(requests) / root, fmean(lags), stdev(lags) / root, p99)


@dataclass(frozen=True)
class Target:
    """What the beat is to reach with so many ended builds; ``above_limit`` is a share of Keller's limit."""

    history: int
    most_lag_seconds: float
    most_requests: float | None = None
    most_above_limit: float | None = None

    def verdict(self, measured: Measured, limit: KellerLimit) -> str:
        """Say whether it is met, and if not, by how much it is missed."""
        over = [("lag", measured.lag_seconds / self.most_lag_seconds)]
        if self.most_requests is not None:
            over.append(("requests", measured.requests / self.most_requests))
        if self.most_above_limit is not None:
            allowed = limit.requests(measured.lag_seconds) * (1 + self.most_above_limit)
            over.append(("requests above the limit", measured.requests / allowed))
        missed = [f"{name} by {share - 1:.1%}" for name, share in over if share > 1]
        return f"missed: {', '.join(missed)}" if missed else "met"

    def __str__(self) -> str:
        words = [f"lag at most {self.most_lag_seconds:g} s"]
        if self.most_requests is not None:
            words.append(f"at most {self.most_requests:g} requests")
        if self.most_above_limit is not None:
            words.append(f"at most {self.most_above_limit:.0%} above the limit")
        return ", ".join(words)


TARGETS = (
    Target(history=30, most_lag_seconds=45, most_requests=9.4, most_above_limit=0.15),
    Target(history=5, most_lag_seconds=45, most_above_limit=0.35),
    Target(history=0, most_lag_seconds=60, most_requests=17),
)


def main() -> None:
    """Measure, print, and write the report and the chart."""
    text = fold(_report())
    REPORT.write_text(text)
    CHART.write_text(trade_off_chart(replace(REACH, seed=1)))
    print(text)


def _report() -> Iterator[str]:
    yield "# Waiting: requests, lag and cost"
    yield ""
    yield "Written by `make bench-poll`; do not edit. Every number is measured by the simulation of"
    yield f"`local/polling_study` with `courier/polling.py` as it is; over {len(SEEDS)} seeds of {REACH.builds} builds"
    yield "where it has an error."
    yield "Lag is the time from the end of a build to the answer that tells of it; the poller ticks once a minute."
    yield "Costs and loads counted from what really ran on the embedded AWS: [polling-real.md](polling-real.md)."
    yield ""
    yield from _reach()
    yield from _knob()
    yield from _other_durations()
    yield from _cost()
    yield from _busy()
    yield from _speed()


def _reach() -> Iterator[str]:
    limit = KellerLimit.of(TWENTY_MINUTES)
    yield f"## Reach: {TWENTY_MINUTES}"
    yield ""
    yield "Keller's limit for known durations, computed by integrating their hazard:"
    yield "; ".join(f"{limit.requests(lag):.1f} requests at a mean lag of {lag} s" for lag in (45, 60, 75)) + "."
    best = best_on_ticks(TWENTY_MINUTES, price_seconds=6.0)
    yield "Whole looks on ticks of a minute, durations known, by dynamic programming:"
    yield f"{best.requests:.1f} requests at {best.lag_seconds:.1f} s, {_above(best.requests, best.lag_seconds, limit)}."
    yield ""
    rows = []
    for target in TARGETS:
        measured = _measure(replace(REACH, history=target.history))
        name = f"courier, {target.history} ended builds"
        rows.append((name, *_cells(measured, limit), str(target), target.verdict(measured, limit)))
    traces = [(workload, draw_trace(workload)) for workload in _seeded(REACH)]
    for seconds in (60, 120):
        fixed = Measured.over([simulate_fixed(workload, trace, seconds) for workload, trace in traces])
        rows.append((f"fixed beat of {seconds} s", *_cells(fixed, limit), "", ""))
    loops = Measured.over([simulate_loop(workload, trace, 60) for workload, trace in traces])
    rows.append(("Job-Poller loop of 60 s", *_cells(loops, limit), "", ""))
    heads = ("", "requests per build", "mean lag (s)", "p99 (s)", "of the limit at that lag", "target", "verdict")
    yield from _table(heads, rows)
    yield "A beat that knows nothing of a scope has to serve builds of two minutes and of ten hours alike, so it"
    yield "cannot match a fixed beat that was chosen for twenty minutes; it ends with the fifth build of the scope."
    yield ""
    yield "![Lag against requests](polling.svg)"
    yield ""


def _knob() -> Iterator[str]:
    limit = KellerLimit.of(TWENTY_MINUTES)
    yield "## The trade-off: `first_seconds`"
    yield ""
    yield "The shortest gap is also the unit of the price of a look: a longer one means fewer requests and more lag."
    yield ""
    rows = []
    for first in (60, 120, 180, 240):
        polling = PollingSettings(first_seconds=first)
        measured = _measure(replace(REACH, polling=polling))
        rows.append((f"`first_seconds: {first}`", *_cells(measured, limit)))
    heads = ("30 ended builds", "requests per build", "mean lag (s)", "p99 (s)", "of the limit at that lag")
    yield from _table(heads, rows)


def _other_durations() -> Iterator[str]:
    yield "## Other builds"
    yield ""
    yield "Defaults, no tuning. Keller's limit lets gaps be shorter than a minute, which the courier's never are, and"
    yield "lets the first look come as late as it likes, which the courier's may not (`longest_seconds`)."
    yield ""
    two_kinds = Mixture([(2 / 3, LogNormal(180, 0.2)), (1 / 3, LogNormal(2400, 0.2))])
    failing = Mixture([(0.1, LogNormal(20, 0.5)), (0.9, TWENTY_MINUTES)])
    cases: tuple[tuple[str, Durations, Durations | None], ...] = (
        ("median 20 min, sigma 0.15", LogNormal(1200, 0.15), None),
        ("median 20 min, sigma 0.7", LogNormal(1200, 0.7), None),
        ("median 3 min, sigma 0.35", LogNormal(180, 0.35), None),
        ("median 2 h, sigma 0.35", LogNormal(7200, 0.35), None),
        ("two thirds of 3 min, one third of 40 min", two_kinds, None),
        ("20 min, but one in ten fails after 20 s", failing, None),
        ("20 min, the history says 10 min", TWENTY_MINUTES, LogNormal(600, 0.35)),
        ("20 min, the history says 60 min", TWENTY_MINUTES, LogNormal(3600, 0.35)),
    )
    rows = []
    for name, durations, past in cases:
        case = replace(REACH, durations=durations, past=past)
        known = _measure(case)
        unknown = _measure(replace(case, history=0))
        limit = KellerLimit.of(durations)
        rows.append(
            (
                name,
                f"{known.requests:.1f} at {known.lag_seconds:.0f} s, p99 {known.p99_seconds:.0f} s",
                f"{limit.requests(known.lag_seconds):.1f}",
                f"{unknown.requests:.1f} at {unknown.lag_seconds:.0f} s, p99 {unknown.p99_seconds:.0f} s",
            )
        )
    yield from _table(("builds", "30 ended builds known", "limit at that lag", "none known"), rows)


def _cost() -> Iterator[str]:
    prices = read_prices()
    yield f"## Cost of waiting, dollars per 1,000 builds of 20 minutes ({prices.region}, {prices.gathered:%Y-%m-%d})"
    yield ""
    rows = []
    for in_flight in (1, 10, 100, 1000):
        workload = Workload(builds=max(2000, 5 * in_flight), in_flight=in_flight, requests_per_minute=1_000_000)
        rows += [(f"{in_flight:,}", *_cost_cells(finding, prices)) for finding in compare(workload)]
    heads = (
        "in flight",
        "watcher",
        "requests",
        "Lambda invocations",
        "GB-seconds",
        "transitions",
        "written units",
        "dollars",
    )
    yield from _table(heads, rows)
    yield "Counted per build, by the simulation, except for the sizes of things, which are assumed: an invocation takes"
    yield f"{INVOCATION_SECONDS:g} s beside the provider's latency of {Workload.latency_seconds:g} s,"
    yield f"{PARALLEL_REQUESTS} requests run at once, a build enters {COURIER_TRANSITIONS} states (the loop"
    yield f"{LOOP_TRANSITIONS}, and {LOOP_TRANSITIONS_PER_POLL} for each look), a build writes {WRITES_PER_BUILD} units"
    yield f"and a look {WRITES_PER_POLL}, a tick reads {READS_PER_TICK:g} units and more with due rows."
    yield "What the functions for copy, record and notice cost is not in it."
    yield ""


def _busy() -> Iterator[str]:
    yield "## One source that bears 60 requests a minute"
    yield ""
    rows = []
    for in_flight, faults in ((50, 0.0), (50, 0.05), (200, 0.0), (1000, 0.0)):
        workload = Workload(builds=max(2000, 5 * in_flight), in_flight=in_flight, fault_rate=faults)
        trace = draw_trace(workload)
        batched = replace(workload, batched=True)
        for name, finding in (
            ("courier", simulate_courier(workload, trace)),
            ("courier, one list call per scope", simulate_courier(batched, trace)),
            ("fixed beat of 60 s", simulate_fixed(workload, trace, 60)),
            ("Job-Poller loop", simulate_loop(workload, trace, 60)),
        ):
            rows.append((f"{in_flight:,}", f"{faults:.0%}", name, *_busy_cells(finding)))
    heads = (
        "in flight",
        "faults",
        "watcher",
        "requests",
        "mean lag (s)",
        "p95 (s)",
        "p99 (s)",
        "429 per build",
        "given up",
    )
    yield from _table(heads, rows)
    yield "Requests and 429s are per build; five scopes. The loop keeps no budget and asks again what was refused."
    yield ""


def _speed() -> Iterator[str]:
    random = Random(1)  # noqa: S311 - a simulation, repeatable by its seed
    history = [TWENTY_MINUTES.draw(random) for _ in range(30)]
    polling = PollingSettings()
    calls = 20_000
    yield "## Time of one decision"
    yield ""
    for name, known in (("without a history", []), ("with 30 ended builds", history)):
        seconds = min(
            timeit.repeat(lambda: next_gap(700.0, polling, seed="a/b/c", history=known), number=calls, repeat=3)  # noqa: B023 - called at once
        )
        yield f"- {name}: {seconds / calls * 1e6:.1f} µs on this machine"
    yield ""


def _measure(workload: Workload) -> Measured:
    return Measured.over([simulate_courier(seeded, draw_trace(seeded)) for seeded in _seeded(workload)])


def _seeded(workload: Workload) -> Iterator[Workload]:
    return (replace(workload, seed=seed) for seed in SEEDS)


def _cells(measured: Measured, limit: KellerLimit) -> tuple[str, ...]:
    return (
        f"{measured.requests:.2f} ± {measured.requests_error:.2f}",
        f"{measured.lag_seconds:.1f} ± {measured.lag_error_seconds:.1f}",
        f"{measured.p99_seconds:.0f}",
        _above(measured.requests, measured.lag_seconds, limit),
    )


def _cost_cells(finding: StudyResult, prices: PriceList) -> tuple[str, ...]:
    counts, units = finding.counts, finding.units
    per_build = (
        finding.requests,
        counts.invocations / counts.builds,
        units.lambda_gb_second / counts.builds,
        units.step_functions_transition / counts.builds,
        units.dynamodb_write_unit / counts.builds,
    )
    return finding.name, *(f"{number:.2f}" for number in per_build), f"{finding.dollars_per_thousand(prices):.3f}"


def _busy_cells(finding: StudyResult) -> tuple[str, ...]:
    counts = finding.counts
    return (
        f"{finding.requests:.2f}",
        f"{finding.lag_seconds:.0f}",
        f"{finding.lag_percentile(95):.0f}",
        f"{finding.lag_percentile(99):.0f}",
        f"{counts.throttled / counts.builds:.2f}",
        str(counts.given_up),
    )


def _above(requests: float, lag_seconds: float, limit: KellerLimit) -> str:
    return f"{requests / limit.requests(lag_seconds) - 1:+.0%}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


if __name__ == "__main__":
    main()
