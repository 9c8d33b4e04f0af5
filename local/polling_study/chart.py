"""Mean lag against requests as an SVG chart: the lower bound, the best strategy on ticks, the simulated strategies.

This is the only module that needs matplotlib, which a plain installation does not have.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
from matplotlib.figure import Figure

from courier.config.settings import PollingSettings
from local.polling_study.comparison import StudyResult, simulate_courier, simulate_fixed, simulate_loop
from local.polling_study.lower_bound import KellerLimit, Point, best_on_ticks
from local.polling_study.workload import Workload, draw_trace

# The values of first_seconds and of the fixed interval, in ticks.
_FIRST_TICKS = (1, 2, 3, 4)
_FIXED_TICKS = (1, 2, 3, 4, 5)
# The prices of a request, in ticks of lag.
_PRICES = tuple(0.005 * 1.5**step for step in range(14))
# Okabe and Ito: also colour-blind readers distinguish these colours.
_BLACK, _ORANGE, _BLUE, _GREEN, _RED, _GREY = "#222222", "#e69f00", "#0072b2", "#009e73", "#d55e00", "#888888"


@dataclass(frozen=True, kw_only=True)
class ChartSeries:
    """One line of the chart (``style``), one set of marks (``mark``), or both, in matplotlib's notation."""

    name: str
    points: Sequence[Point]
    color: str
    style: str = "-"
    mark: str = ""
    labels: Sequence[str] = ()


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
        ChartSeries(
            name="Keller's limit, durations known",
            points=[Point(count, limit.lag_seconds(count)) for count in requests],
            color=_BLACK,
        ),
        ChartSeries(name="best on ticks, durations known", points=_best(workload), color=_GREY, style="--"),
        ChartSeries(
            name="fixed interval",
            points=_points(fixed),
            color=_ORANGE,
            mark="s",
            labels=[f"{ticks * workload.tick_seconds:g} s" for ticks in _FIXED_TICKS],
        ),
        ChartSeries(name="Job-Poller loop", points=[loop.point], color=_RED, style="none", mark="o"),
        ChartSeries(
            name=f"courier, {workload.history} known, by first_seconds",
            points=_points(varied),
            color=_BLUE,
            mark="o",
            labels=["", *(f"{ticks * workload.tick_seconds:g} s" for ticks in _FIRST_TICKS[1:])],
        ),
        ChartSeries(
            name="courier, by builds known",
            points=_points(known),
            color=_GREEN,
            style="none",
            mark="D",
            labels=[str(count) for count in histories],
        ),
    ]
    return draw(
        f"Waiting for builds: {workload.durations}", series, most_requests=most_requests, most_lag_seconds=most_lag
    )


def draw(title: str, series: Sequence[ChartSeries], *, most_requests: float, most_lag_seconds: float) -> str:
    """Draw the series as SVG; points beyond the ends of the axes are left out."""
    # Text stays text, and the same data makes the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "build-courier"}):
        figure = Figure(figsize=(8.2, 5.2), layout="constrained")
        axes = figure.add_subplot(
            title=title,
            xlabel="provider requests per build",
            ylabel="mean lag from the end of a build to its notice (s)",
            xlim=(0, most_requests),
            ylim=(0, most_lag_seconds),
        )
        axes.grid(color="#e4e4e4")
        for one in series:
            points = [(point.requests, point.lag_seconds) for point in one.points]
            axes.plot(*zip(*points, strict=True), linestyle=one.style, marker=one.mark, color=one.color, label=one.name)
            for label, point in zip(one.labels, points, strict=False):
                axes.annotate(label, point, (6, 6), textcoords="offset points", color=one.color, annotation_clip=True)
        axes.legend(loc="upper right")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return text.getvalue()


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
