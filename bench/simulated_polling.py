"""How near the poll schedule comes to the limit, and what waiting costs: writes polling.md and polling.svg.

Run from the root of the repository: ``python -m bench.simulated_polling``. It runs the real module `poll_schedule` in
the simulation of ``local/polling_study``, which measures every number in the tables, under fixed seeds.
"""

from __future__ import annotations

import timeit
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from random import Random
from statistics import fmean, stdev

from bench.markdown import fold, table
from courier.builds.poll_schedule import next_gap
from courier.config.settings import PollingSettings
from local.polling_study.chart import trade_off_chart
from local.polling_study.comparison import StudyResult, compare, simulate_courier, simulate_fixed, simulate_loop
from local.polling_study.concurrency import apply_quota, percentile
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
# Many scopes with few builds each, so that no single history decides, and no rate limit.
REFERENCE = Workload(builds=5000, scopes=500, in_flight=500, requests_per_minute=1_000_000)


@dataclass(frozen=True)
class MeanResult:
    """Means over the seeds with their standard errors."""

    requests: float
    requests_error: float
    lag_seconds: float
    lag_error_seconds: float
    p99_seconds: float

    @classmethod
    def over(cls, findings: Sequence[StudyResult]) -> MeanResult:
        """Return the means of the results of different seeds."""
        requests = [finding.requests for finding in findings]
        lags = [finding.lag_seconds for finding in findings]
        root = sqrt(len(findings))
        p99 = fmean(finding.lag_percentile(99) for finding in findings)
        return cls(fmean(requests), stdev(requests) / root, fmean(lags), stdev(lags) / root, p99)


@dataclass(frozen=True)
class PollingTarget:
    """The target with this number of ended builds; ``most_above_limit`` is a share of Keller's limit."""

    history: int
    most_lag_seconds: float
    most_requests: float | None = None
    most_above_limit: float | None = None

    def compare(self, measured: MeanResult, limit: KellerLimit) -> str:
        """Return "met", or by how much each figure misses the target."""
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
    PollingTarget(history=30, most_lag_seconds=45, most_requests=9.4, most_above_limit=0.15),
    PollingTarget(history=5, most_lag_seconds=45, most_above_limit=0.35),
    PollingTarget(history=0, most_lag_seconds=60, most_requests=17),
)


def main() -> None:
    """Measure, print, and write the report and the chart."""
    text = fold(_report())
    REPORT.write_text(text)
    CHART.write_text(trade_off_chart(replace(REFERENCE, seed=1)))
    print(text)


def _report() -> Iterator[str]:
    yield "# Polling: requests, lag and cost"
    yield ""
    yield f"""\
Written by `make bench-poll`; do not edit. The simulation of `local/polling_study` measures every number with the real
`courier/builds/poll_schedule.py`; numbers with an error are means over {len(SEEDS)} seeds of {REFERENCE.builds} builds.
Lag is the time from the end of a build to the response that reports it; the poller ticks once a minute. Costs and loads
measured on the embedded AWS: [polling-real.md](polling-real.md)."""
    yield ""
    yield from _reference()
    yield from _first_seconds()
    yield from _other_durations()
    yield from _cost()
    yield from _busy()
    yield from _quota()
    yield from _speed()


def _reference() -> Iterator[str]:
    limit = KellerLimit.of(TWENTY_MINUTES)
    yield f"## Against the limit: {TWENTY_MINUTES}"
    yield ""
    yield "Keller's limit for known durations, computed by integrating their hazard:"
    yield "; ".join(f"{limit.requests(lag):.1f} requests at a mean lag of {lag} s" for lag in (45, 60, 75)) + "."
    best = best_on_ticks(TWENTY_MINUTES, price_seconds=6.0)
    yield "The best polls on ticks of a minute for known durations, by dynamic programming:"
    yield f"{best.requests:.1f} requests at {best.lag_seconds:.1f} s, {_above(best.requests, best.lag_seconds, limit)}."
    yield ""
    rows = []
    for target in TARGETS:
        measured = _measure(replace(REFERENCE, history=target.history))
        name = f"courier, {target.history} ended builds"
        rows.append((name, *_cells(measured, limit), str(target), target.compare(measured, limit)))
    traces = [(workload, draw_trace(workload)) for workload in _seeded(REFERENCE)]
    for seconds in (60, 120):
        fixed = MeanResult.over([simulate_fixed(workload, trace, seconds) for workload, trace in traces])
        rows.append((f"fixed interval of {seconds} s", *_cells(fixed, limit), "", ""))
    loops = MeanResult.over([simulate_loop(workload, trace, 60) for workload, trace in traces])
    rows.append(("Job-Poller loop of 60 s", *_cells(loops, limit), "", ""))
    heads = ("", "requests per build", "mean lag (s)", "p99 (s)", "of the limit at that lag", "target", "result")
    yield from table(heads, rows)
    yield """\
Without a history, the schedule has to serve builds of two minutes and of ten hours alike, so it cannot match a fixed
interval that was chosen for twenty minutes. This ends with the fifth build of the scope."""
    yield ""
    yield "![Lag against requests](polling.svg)"
    yield ""


def _first_seconds() -> Iterator[str]:
    limit = KellerLimit.of(TWENTY_MINUTES)
    yield "## The trade-off: `first_seconds`"
    yield ""
    yield "The shortest gap is also the unit of the price of a poll: a longer one means fewer requests and more lag."
    yield ""
    rows = []
    for first in (60, 120, 180, 240):
        polling = PollingSettings(first_seconds=first)
        measured = _measure(replace(REFERENCE, polling=polling))
        rows.append((f"`first_seconds: {first}`", *_cells(measured, limit)))
    heads = ("30 ended builds", "requests per build", "mean lag (s)", "p99 (s)", "of the limit at that lag")
    yield from table(heads, rows)


def _other_durations() -> Iterator[str]:
    yield "## Other builds"
    yield ""
    yield """\
All settings have their defaults. Keller's limit allows gaps shorter than a minute and a first poll at any time; the
courier's gaps are at least a minute, and its first poll is not later than `longest_seconds`."""
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
        case = replace(REFERENCE, durations=durations, past=past)
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
    yield from table(("builds", "30 ended builds known", "limit at that lag", "none known"), rows)


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
        "strategy",
        "requests",
        "Lambda invocations",
        "GB-seconds",
        "transitions",
        "written units",
        "dollars",
    )
    yield from table(heads, rows)
    yield f"""\
Counted per build by the simulation, with these assumptions: an invocation takes {INVOCATION_SECONDS:g} s beside the
provider's latency of {Workload.latency_seconds:g} s, {PARALLEL_REQUESTS} requests run concurrently, a build enters
{COURIER_TRANSITIONS} states (the loop {LOOP_TRANSITIONS}, and {LOOP_TRANSITIONS_PER_POLL} for each poll), a build
writes {WRITES_PER_BUILD} units and a poll {WRITES_PER_POLL}, a tick reads {READS_PER_TICK:g} units and more with due
rows. The functions for copy, record and notice are not included."""
    yield ""


def _busy() -> Iterator[str]:
    yield "## One source with a limit of 60 requests a minute"
    yield ""
    rows = []
    for in_flight, faults in ((50, 0.0), (50, 0.05), (200, 0.0), (1000, 0.0)):
        workload = Workload(builds=max(2000, 5 * in_flight), in_flight=in_flight, fault_rate=faults)
        trace = draw_trace(workload)
        batched = replace(workload, batched=True)
        for name, finding in (
            ("courier", simulate_courier(workload, trace)),
            ("courier, one list call per scope", simulate_courier(batched, trace)),
            ("fixed interval of 60 s", simulate_fixed(workload, trace, 60)),
            ("Job-Poller loop", simulate_loop(workload, trace, 60)),
        ):
            rows.append((f"{in_flight:,}", f"{faults:.0%}", name, *_busy_cells(finding)))
    heads = (
        "in flight",
        "faults",
        "strategy",
        "requests",
        "mean lag (s)",
        "p95 (s)",
        "p99 (s)",
        "429 per build",
        "given up",
    )
    yield from table(heads, rows)
    yield "Requests and 429s are per build; five scopes. The loop has no rate limit and repeats refused requests."
    yield ""


def _quota() -> Iterator[str]:
    yield "## With a quota of concurrent Lambda executions"
    yield ""
    rows = []
    for in_flight in (100, 1000, 10_000):
        # Fifty sources, each with the usual rate limit.
        workload = Workload(
            builds=max(2000, 3 * in_flight), in_flight=in_flight, scopes=50, requests_per_minute=3000, batched=True
        )
        counts = simulate_courier(workload, draw_trace(workload)).counts
        for copy_seconds in (0, 2, 10):
            mean = apply_quota(counts, quota=None, copy_seconds=copy_seconds).mean_concurrency
            for quota in (1000, 100, 10):
                effect = apply_quota(counts, quota=quota, copy_seconds=copy_seconds)
                delays = (percentile(effect.notice_seconds, percent) for percent in (50, 99, 100))
                rows.append(
                    (
                        f"{in_flight:,}",
                        f"{copy_seconds} s" if copy_seconds else "no copy",
                        f"{mean:.1f}",
                        f"{quota:,}",
                        *(f"{delay:,.0f}" for delay in delays),
                        f"{effect.throttled / counts.builds:.2f}",
                        f"{effect.dropped_ticks / len(counts.poller_runs):.0%}",
                        f"{effect.failed_executions / counts.builds:.0%}",
                    )
                )
    heads = (
        "in flight",
        "a copy takes",
        "executions on average",
        "quota",
        "median (s)",
        "p99 (s)",
        "longest (s)",
        "throttled attempts per build",
        "ticks dropped",
        "executions failed",
    )
    yield from table(heads, rows)
    yield """\
Seconds from the detected end to the notice; builds of 20 minutes, so 10,000 in flight are eight ends a second, which
ticks detect in bursts. Throttled tasks are repeated as in the state machine, throttled ticks as Lambda repeats events;
a dropped tick is a dead letter, and its builds are polled at the next one. While fewer executions run on average than
half of the quota, no execution fails, and a tick in a hundred is dropped at most. Above the quota the queue grows
without end: ticks are dropped, and executions fail after 99 attempts. `courier simulate --quota` computes it for your
builds."""
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
            timeit.repeat(lambda: next_gap(700.0, polling, seed="a/b/c", history=known), number=calls, repeat=3)  # noqa: B023 - called immediately
        )
        yield f"- {name}: {seconds / calls * 1e6:.1f} µs on this machine"
    yield ""


def _measure(workload: Workload) -> MeanResult:
    return MeanResult.over([simulate_courier(seeded, draw_trace(seeded)) for seeded in _seeded(workload)])


def _seeded(workload: Workload) -> Iterator[Workload]:
    return (replace(workload, seed=seed) for seed in SEEDS)


def _cells(measured: MeanResult, limit: KellerLimit) -> tuple[str, ...]:
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


if __name__ == "__main__":
    main()
