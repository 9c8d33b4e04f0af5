"""Lag against requests, drawn as SVG by hand: a chart needs no library."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from local.polling_study.lower_bound import Point

WIDTH, HEIGHT = 820, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 56, 64
_INK, _FAINT = "#222", "#e4e4e4"
_FONT = "font-family='Helvetica, Arial, sans-serif'"
# Okabe and Ito: told apart by colour-blind readers too; the shapes of the marks differ as well.
BLACK, ORANGE, BLUE, GREEN, RED, GREY = "#222222", "#e69f00", "#0072b2", "#009e73", "#d55e00", "#888888"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of the chart, one set of marks, or both.

    ``mark`` is ``circle``, ``square``, ``diamond`` or ``none``; ``labels`` stand beside the points, or above.
    """

    name: str
    points: Sequence[Point]
    colour: str
    line: bool = True
    dashed: bool = False
    mark: str = "none"
    labels: Sequence[str] = ()
    labels_above: bool = False


@dataclass(frozen=True)
class _Frame:
    """From requests and seconds to places on the paper; both axes begin at zero."""

    most_requests: float
    most_lag: float

    def x(self, requests: float) -> float:
        return _LEFT + requests / self.most_requests * (WIDTH - _LEFT - _RIGHT)

    def y(self, lag_seconds: float) -> float:
        return HEIGHT - _BOTTOM - lag_seconds / self.most_lag * (HEIGHT - _TOP - _BOTTOM)

    def holds(self, point: Point) -> bool:
        return 0 <= point.requests <= self.most_requests and 0 <= point.lag_seconds <= self.most_lag


def draw(title: str, series: Sequence[Series], *, most_requests: float, most_lag_seconds: float) -> str:
    """Draw the series; points beyond the ends of the axes are left out."""
    frame = _Frame(most_requests, most_lag_seconds)
    body = [*_axes(frame), *(line for one in series for line in _series(one, frame)), *_legend(series)]
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}'>",
            f"<title>{escape(title)}</title>",
            f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
            _text(_LEFT, 30, title, size=17, weight="bold"),
            *body,
            "</svg>\n",
        ]
    )


def _axes(frame: _Frame) -> Iterator[str]:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    for value in _steps(frame.most_requests):
        x = frame.x(value)
        yield f"<line x1='{x:.1f}' y1='{top}' x2='{x:.1f}' y2='{bottom}' stroke='{_FAINT}'/>"
        yield _text(x, bottom + 20, f"{value:g}", anchor="middle")
    for value in _steps(frame.most_lag):
        y = frame.y(value)
        yield f"<line x1='{left}' y1='{y:.1f}' x2='{right}' y2='{y:.1f}' stroke='{_FAINT}'/>"
        yield _text(left - 8, y + 4, f"{value:g}", anchor="end")
    yield f"<path d='M{left} {top}V{bottom}H{right}' fill='none' stroke='{_INK}'/>"
    yield _text((left + right) / 2, HEIGHT - 16, "provider requests per build", anchor="middle", size=14)
    middle = (top + bottom) / 2
    label = _text(20, middle, "mean lag from the end of a build to its notice, in seconds", anchor="middle", size=14)
    yield f"<g transform='rotate(-90 20 {middle})'>{label}</g>"


def _steps(end: float) -> Iterator[float]:
    """Return round numbers from zero to the end, between five and ten of them."""
    rough = end / 8
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    for number in range(int(end / step + 1e-9) + 1):
        yield number * step


def _series(series: Series, frame: _Frame) -> Iterator[str]:
    shown = [
        (frame.x(point.requests), frame.y(point.lag_seconds), label)
        for point, label in zip(series.points, _padded(series), strict=True)
        if frame.holds(point)
    ]
    if series.line and shown:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in shown)
        yield f"<polyline points='{path}' {_stroke(series)}/>"
    for x, y, label in shown:
        yield _mark(series, x, y)
        if label and series.labels_above:
            yield _text(x, y - 11, label, anchor="middle", size=12, colour=series.colour)
        elif label:
            yield _text(x + 9, y - 7, label, size=12, colour=series.colour)


def _stroke(series: Series) -> str:
    dash = " stroke-dasharray='6 4'" if series.dashed else ""
    return f"fill='none' stroke='{series.colour}' stroke-width='2'{dash}"


def _padded(series: Series) -> Sequence[str]:
    return [*series.labels, *[""] * (len(series.points) - len(series.labels))]


def _mark(series: Series, x: float, y: float) -> str:
    fill = f"fill='{series.colour}' stroke='white'"
    match series.mark:
        case "circle":
            return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='5.5' {fill}/>"
        case "square":
            return f"<rect x='{x - 5:.1f}' y='{y - 5:.1f}' width='10' height='10' {fill}/>"
        case "diamond":
            return f"<path d='M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z' {fill}/>"
        case _:
            return ""


def _legend(series: Sequence[Series]) -> Iterator[str]:
    width, row = 300, 20
    left, top = WIDTH - _RIGHT - width - 8, _TOP + 8
    height = row * len(series) + 12
    yield f"<rect x='{left}' y='{top}' width='{width}' height='{height}' fill='white' stroke='{_FAINT}'/>"
    for number, one in enumerate(series):
        y = top + 16 + number * row
        if one.line:
            yield f"<path d='M{left + 10} {y}h32' {_stroke(one)}/>"
        yield _mark(one, left + 26, y)
        yield _text(left + 52, y + 4, one.name)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, weight: str = "normal", colour: str = _INK
) -> str:
    place = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'"
    return f"<text {place} {_FONT} font-size='{size}' font-weight='{weight}' fill='{colour}'>{escape(text)}</text>"
