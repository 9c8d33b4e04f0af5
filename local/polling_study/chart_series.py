"""The series of the chart: the lower bound, the best strategy on ticks, and the simulated strategies."""

from collections.abc import Sequence
from dataclasses import replace

from courier.config.settings import PollingSettings
from local.polling_study.chart import BLACK, BLUE, GREEN, GREY, ORANGE, RED, Series, draw
from local.polling_study.comparison import StudyResult, simulate_courier, simulate_fixed, simulate_loop
from local.polling_study.lower_bound import KellerLimit, Point, best_on_ticks
from local.polling_study.workload import Workload, draw_trace

# The values of first_seconds and of the fixed interval, in ticks.
_FIRST_TICKS = (1, 2, 3, 4)
_FIXED_TICKS = (1, 2, 3, 4, 5)
# The prices of a request, in ticks of lag.
_PRICES = tuple(0.005 * 1.5**step for step in range(14))


def trade_off_chart(workload: Workload, *, histories: Sequence[int] = (0, 5, 30)) -> str:
    """Draw lag against requests for a workload, as SVG."""
    trace = draw_trace(workload)
    limit = KellerLimit.of(workload.durations)
    fixed = [simulate_fixed(workload, trace, ticks * workload.tick_seconds) for ticks in _FIXED_TICKS]
    loop = simulate_loop(workload, trace, workload.tick_seconds)
    varied = [simulate_courier(setting, trace) for setting in _settings(workload)]
    known = [simulate_courier(other, draw_trace(other)) for other in (replace(workload, history=n) for n in histories)]

    measured = [finding.point for finding in (*fixed, loop, *varied, *known)]
    most_requests = 1.08 * max(point.requests for point in measured)
    most_lag = 1.15 * max(point.lag_seconds for point in measured)
    requests = [most_requests * (step + 1) / 200 for step in range(200)]
    series = [
        Series(
            name="Keller's limit, durations known",
            points=[Point(count, limit.lag_seconds(count)) for count in requests],
            colour=BLACK,
        ),
        Series(name="best on ticks, durations known", points=_best(workload), colour=GREY, dashed=True),
        Series(
            name="fixed beat",
            points=_points(fixed),
            colour=ORANGE,
            mark="square",
            labels=[f"{ticks * workload.tick_seconds:g} s" for ticks in _FIXED_TICKS],
        ),
        Series(name="Job-Poller loop", points=[loop.point], colour=RED, line=False, mark="circle"),
        Series(
            name=f"courier, {workload.history} known, by first_seconds",
            points=_points(varied),
            colour=BLUE,
            mark="circle",
            labels=["", *(f"{ticks * workload.tick_seconds:g} s" for ticks in _FIRST_TICKS[1:])],
        ),
        Series(
            name="courier, by builds known",
            points=_points(known),
            colour=GREEN,
            line=False,
            mark="diamond",
            labels=[str(count) for count in histories],
            labels_above=True,
        ),
    ]
    return draw(
        f"Waiting for builds: {workload.durations}", series, most_requests=most_requests, most_lag_seconds=most_lag
    )


def _settings(workload: Workload) -> list[Workload]:
    polling = workload.polling
    return [
        replace(
            workload,
            polling=PollingSettings(
                first_seconds=ticks * workload.tick_seconds,
                longest_seconds=max(polling.longest_seconds, ticks * workload.tick_seconds),
                give_up_after_hours=polling.give_up_after_hours,
            ),
        )
        for ticks in _FIRST_TICKS
    ]


def _best(workload: Workload) -> list[Point]:
    tick = workload.tick_seconds
    return [
        best_on_ticks(
            workload.durations,
            price_seconds=price * tick,
            tick_seconds=tick,
            longest_seconds=workload.polling.longest_seconds,
        )
        for price in _PRICES
    ]


def _points(findings: Sequence[StudyResult]) -> list[Point]:
    return [finding.point for finding in findings]
