"""The lines and marks of the chart: the limit, what can be reached on ticks, and what the watchers do."""

from collections.abc import Sequence
from dataclasses import replace

from courier.config.settings import PollingSettings
from local.polling_study.chart import BLACK, BLUE, GREEN, GREY, ORANGE, RED, Series, draw
from local.polling_study.comparison import StudyResult, study_courier, study_fixed, study_loop
from local.polling_study.lower_bound import KellerLimit, Point, best_on_ticks
from local.polling_study.workload import Workload, draw_trace

# In ticks: what the setting first_seconds and a fixed gap are varied over.
_FIRST_TICKS = (1, 2, 3, 4)
_FIXED_TICKS = (1, 2, 3, 4, 5)
# In ticks of lag for a request saved.
_PRICES = tuple(0.005 * 1.5**step for step in range(14))


def trade_off_chart(scenario: Workload, *, histories: Sequence[int] = (0, 5, 30)) -> str:
    """Draw lag against requests for a scenario, as SVG."""
    world = draw_trace(scenario)
    limit = KellerLimit.of(scenario.durations)
    fixed = [study_fixed(scenario, world, ticks * scenario.tick_seconds) for ticks in _FIXED_TICKS]
    loop = study_loop(scenario, world, scenario.tick_seconds)
    varied = [study_courier(setting, world) for setting in _settings(scenario)]
    known = [study_courier(other, draw_trace(other)) for other in (replace(scenario, history=n) for n in histories)]

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
        Series(name="best on ticks, durations known", points=_best(scenario), colour=GREY, dashed=True),
        Series(
            name="fixed beat",
            points=_points(fixed),
            colour=ORANGE,
            mark="square",
            labels=[f"{ticks * scenario.tick_seconds:g} s" for ticks in _FIXED_TICKS],
        ),
        Series(name="Job-Poller loop", points=[loop.point], colour=RED, line=False, mark="circle"),
        Series(
            name=f"courier, {scenario.history} known, by first_seconds",
            points=_points(varied),
            colour=BLUE,
            mark="circle",
            labels=["", *(f"{ticks * scenario.tick_seconds:g} s" for ticks in _FIRST_TICKS[1:])],
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
        f"Waiting for builds: {scenario.durations}", series, most_requests=most_requests, most_lag_seconds=most_lag
    )


def _settings(scenario: Workload) -> list[Workload]:
    polling = scenario.polling
    return [
        replace(
            scenario,
            polling=PollingSettings(
                first_seconds=ticks * scenario.tick_seconds,
                longest_seconds=max(polling.longest_seconds, ticks * scenario.tick_seconds),
                give_up_after_hours=polling.give_up_after_hours,
            ),
        )
        for ticks in _FIRST_TICKS
    ]


def _best(scenario: Workload) -> list[Point]:
    tick = scenario.tick_seconds
    return [
        best_on_ticks(
            scenario.durations,
            price_seconds=price * tick,
            tick_seconds=tick,
            longest_seconds=scenario.polling.longest_seconds,
        )
        for price in _PRICES
    ]


def _points(findings: Sequence[StudyResult]) -> list[Point]:
    return [finding.point for finding in findings]
