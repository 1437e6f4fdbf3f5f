"""Where every mark of a chart stands, in the units of its drawing.

Knows numbers, lengths and places; knows neither models nor the words around a chart.
`charts.html.jinja` draws what is placed here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

Points = tuple[tuple[float, float], ...]  # (minutes, bits), in time order
T = TypeVar("T")

DASHES = (
    "main",
    "dashed",
    "dotted",
    "long",
    "dashdot",
    "thin",
)  # curves differ not by colour alone
N_POINTS = 160  # of a curve: one for every third pixel
N_IN_TABLE = 12  # of its points, in the table for those who do not see it


@dataclass(frozen=True, slots=True)
class Key:
    """One of a hundred keys: who saves it."""

    x: float
    y: float
    style: str  # "both" | "ours" | "theirs" | "yours"


def keys(ours: float, theirs: float) -> list[Key]:
    """A hundred keys in four rows, of which we save so many and a rival so many."""
    fewer, more = sorted((round(ours), round(theirs)))
    winner = "ours" if ours >= theirs else "theirs"
    return [
        Key(
            x=i % N_KEYS_IN_ROW * KEY_PITCH + 2,
            y=i // N_KEYS_IN_ROW * KEY_PITCH + 2,
            style="both" if i < fewer else winner if i < more else "yours",
        )
        for i in range(100)
    ]


class Measure(NamedTuple):
    """A number to be drawn as a bar, and its words."""

    name: str
    note: str
    value: float
    ours: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A measure in its place."""

    name: str
    note: str
    label: str
    width: float
    y: float
    ours: bool


def bars(measures: Iterable[Measure]) -> list[Bar]:
    """One bar each, the longest at the top; none if nothing is above zero."""
    ordered = sorted(measures, key=lambda measure: -measure.value)
    if not ordered or ordered[0].value <= 0:
        return []
    return [
        Bar(
            name=measure.name,
            note=measure.note,
            label=f"{measure.value:.1f}",
            width=max(1.0, BAR_WIDTH * measure.value / ordered[0].value),
            y=i * BAR_PITCH,
            ours=measure.ours,
        )
        for i, measure in enumerate(ordered)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A number over minutes; of its points, `best` gets a dot."""

    name: str
    style: str  # one of DASHES
    points: Points
    best: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Stroke:
    """A curve in its place, with the place of its label at the right end."""

    name: str
    label: str
    style: str
    points: list[tuple[float, float]]
    label_y: float
    dot: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class LineChart:
    """Strokes, ticks (place, label), and the same curves as numbers."""

    title: str
    finding: str  # what is to be seen, in a sentence
    strokes: list[Stroke]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    table: list[tuple[str, Points]]


def line_chart(title: str, finding: str, curves: Iterable[Curve]) -> LineChart:
    """Curves in one plot; at least one has points, and all points are `sound`."""
    drawn = [(curve, spread(curve.points, N_POINTS)) for curve in curves if curve.points]
    every = [y for _, points in drawn for _, y in points]
    span = max(1 / 60, *(x for _, points in drawn for x, _ in points))
    low, high = min(every), max(every)
    high = max(min(high, 2 * low), low + 0.1)  # the first seconds would flatten all the rest
    x_step, y_step = _step(span, 5), _step(high - low, 4)
    bottom = math.floor(low / y_step) * y_step
    top = math.ceil(high / y_step) * y_step

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        return round(PLOT_WIDTH * x / span, 1), round(PLOT_HEIGHT * (top - y) / (top - bottom), 1)

    ends = [place(points[-1])[1] for _, points in drawn]
    label_ys = _apart(ends, LABEL_HEIGHT, PLOT_HEIGHT)
    return LineChart(
        title=title,
        finding=finding,
        strokes=[
            Stroke(
                name=curve.name,
                label=f"{points[-1][1]:.2f}",
                style=curve.style,
                points=[place(point) for point in points],
                label_y=label_y,
                dot=place(curve.best) if curve.best else None,
            )
            for (curve, points), label_y in zip(drawn, label_ys, strict=True)
        ],
        x_ticks=[
            (place((n * x_step, low))[0], f"{n * x_step:g}") for n in range(int(span / x_step) + 1)
        ],
        y_ticks=[
            (place((0, value))[1], f"{value:.{1 if y_step >= 0.1 else 2}f}")
            for n in range(round((top - bottom) / y_step) + 1)
            for value in [bottom + n * y_step]
        ],
        table=[(curve.name, spread(points, N_IN_TABLE)) for curve, points in drawn],
    )


@dataclass(frozen=True, slots=True)
class TradeOff:
    """A line through places, some of them named, and its scale."""

    line: list[tuple[float, float]]
    named: list[tuple[float, float, str]]
    label_ys: list[float]  # of their names, which do not touch each other
    y_ticks: list[tuple[float, str]]


def trade_off(points: Iterable[tuple[float, float, str]]) -> TradeOff | None:
    """Points (percent, percent, name or "") in a square whose height ends at a round number."""
    sound = [(x, y, name) for x, y, name in points if 0 <= x <= 100 and 0 <= y <= 100]
    if not sound:
        return None
    highest = max(y for _, y, _ in sound)
    top = 10 * max(1, math.ceil(1.15 * highest / 10))  # with room for two names above the highest
    placed = [
        (round(SQUARE * x / 100, 1), round(SQUARE * (1 - y / top), 1), name) for x, y, name in sound
    ]
    named = [place for place in placed if place[2]]
    return TradeOff(
        line=[(x, y) for x, y, _ in placed],
        named=named,
        # Above and to the right, where a line that falls never comes; so they are moved upwards.
        label_ys=[
            round(SQUARE - up, 1)
            for up in _apart([SQUARE - y + 6 for _, y, _ in named], NAME_HEIGHT, SQUARE)
        ],
        y_ticks=[(round(SQUARE * (1 - y / top), 1), str(y)) for y in range(0, top + 1, 10)],
    )


@dataclass(frozen=True, slots=True)
class Dot:
    """A group of suggestions, placed by what was said and what came true."""

    x: float
    y: float
    radius: float


def dots(groups: Sequence[tuple[float, float, int]]) -> list[Dot]:
    """Groups of (said, was, how many), shares from 0 to 1, in a square; the area is the number."""
    most = max((n for _, _, n in groups), default=0) or 1
    return [
        Dot(
            x=round(SQUARE * min(1.0, max(0.0, said)), 1),
            y=round(SQUARE * (1 - min(1.0, max(0.0, was))), 1),
            radius=round(3 + 9 * math.sqrt(n / most), 1),
        )
        for said, was, n in groups
    ]


def sound(points: Iterable[tuple[float, float]]) -> Points:
    """Without what a network says that has blown up: NaN, infinity, a hundred bits."""
    return tuple((x, y) for x, y in points if math.isfinite(x) and 0 <= y < 100)


def spread(items: Sequence[T], at_most: int) -> tuple[T, ...]:
    """At most so many of `items`, evenly spread, the first and the last among them."""
    if len(items) <= at_most:
        return tuple(items)
    last = len(items) - 1
    return tuple(items[round(i * last / (at_most - 1))] for i in range(at_most))


# `charts.html.jinja` has the same lengths in its view boxes and axes.
N_KEYS_IN_ROW = 25
KEY_PITCH = 24
BAR_WIDTH = 520.0
BAR_PITCH = 48.0
PLOT_WIDTH, PLOT_HEIGHT = 440.0, 230.0
LABEL_HEIGHT = 38.0  # two lines of text; labels closer than this would overlap
NAME_HEIGHT = 16.0  # one line
SQUARE = 260.0  # side of the calibration plot


def _step(span: float, n: int) -> float:
    """A round step that cuts `span` into about `n` parts: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(span / n))
    return next((m * power for m in (1, 2, 5) if span / (m * power) <= n), 10 * power)


def _apart(ys: Sequence[float], least: float, height: float) -> list[float]:
    """Heights moved, their order kept, so that they are `least` apart and within the plot's."""
    order = sorted(range(len(ys)), key=lambda i: ys[i])
    placed = list(ys)
    limit = 0.0
    for i in order:
        placed[i] = max(placed[i], limit)
        limit = placed[i] + least
    limit = height
    for i in reversed(order):
        placed[i] = round(min(placed[i], limit), 1)
        limit = placed[i] - least
    return placed
