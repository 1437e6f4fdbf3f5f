"""Where the marks of a chart stand."""

from itertools import pairwise

import pytest
from afterword_trainer import charts
from afterword_trainer.charts import Curve, Measure, line_chart
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (37.8, 26.4, {"both": 26, "ours": 12, "yours": 62}),
        (20.0, 26.4, {"both": 20, "theirs": 6, "yours": 74}),
        (20.0, 0.0, {"ours": 20, "yours": 80}),
        (-3.0, 0.0, {"yours": 100}),
    ],
)
def test_a_hundred_keys(ours: float, theirs: float, expected: dict[str, int]) -> None:
    """Those that both save come first, then what one saves more, then those left to press."""
    keys = charts.keys(ours, theirs)

    assert [style for style, n in expected.items() for _ in range(n)] == [k.style for k in keys]
    assert len({(key.x, key.y) for key in keys}) == 100


def test_bars_are_as_long_as_what_they_show() -> None:
    """The longest at the top and as wide as there is room; next to nothing can still be seen."""
    measures = [
        Measure("words", "", 10.0, False),
        Measure("you-3", "this model", 40.0, True),
        Measure("none", "", 0.0, False),
    ]

    assert [(bar.name, bar.width, bar.label) for bar in charts.bars(measures)] == [
        ("you-3", 520.0, "40.0"),
        ("words", 130.0, "10.0"),
        ("none", 1.0, "0.0"),
    ]
    assert charts.bars(measures[2:]) == charts.bars([]) == []


def test_curves_stand_between_round_numbers() -> None:
    """Minutes to the right, fewer bits further down, ticks that people would choose."""
    curve = Curve(
        name="a", style="main", points=((0.0, 3.0), (1.0, 2.0), (2.0, 2.5)), best=(1.0, 2.0)
    )
    (stroke,) = line_chart("t", "f", [curve, Curve(name="none", style="thin", points=())]).strokes
    chart = line_chart("t", "f", [curve])

    assert stroke.points == [(0.0, 0.0), (220.0, 230.0), (440.0, 115.0)]
    assert stroke.dot == (220.0, 230.0)
    assert stroke.label == "2.50"
    assert [label for _, label in chart.x_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert chart.y_ticks == [(230.0, "2.0"), (115.0, "2.5"), (0.0, "3.0")]


@given(st.lists(st.floats(2.0, 4.0), min_size=1, max_size=6))
def test_labels_neither_overlap_nor_leave_the_plot(ends: list[float]) -> None:
    """Curves that end together have their labels one above the other, in their order."""
    curves = [Curve(name="", style="main", points=((0.0, 3.0), (1.0, end))) for end in ends]
    strokes = line_chart("t", "f", curves).strokes
    label_ys = [s.label_y for s in sorted(strokes, key=lambda s: (s.label_y, s.points[-1][1]))]

    assert all(below - above >= 37.9 for above, below in pairwise(label_ys))
    assert label_ys[0] >= -0.1
    assert label_ys[-1] <= 230
    assert [s.points[-1][1] for s in sorted(strokes, key=lambda s: s.label_y)] == sorted(
        s.points[-1][1] for s in strokes
    )


def test_dots_show_numbers_by_their_area() -> None:
    """Said to the right, came true upwards; a quarter of the suggestions is half the radius."""
    groups = [(0.25, 0.5, 100), (1.0, 1.0, 400), (0.0, 1.5, 0)]

    assert [(dot.x, dot.y, dot.radius) for dot in charts.dots(groups)] == [
        (65.0, 130.0, 7.5),
        (260.0, 0.0, 12.0),
        (0.0, 0.0, 3.0),
    ]
    assert charts.dots([]) == []


def test_a_trade_off_is_a_line_with_names() -> None:
    """Right to the right, saved upwards to the next ten; what is no percentage is not drawn."""
    points = [(20.0, 34.0, ""), (50.0, 20.0, "quiet"), (float("nan"), 1.0, ""), (1.0, 1e9, "x")]
    chart = charts.trade_off(points)

    assert chart is not None
    assert chart.line == [(52.0, 39.0), (130.0, 130.0)]
    assert chart.named == [(130.0, 130.0, "quiet")]
    assert [label for _, label in chart.y_ticks] == ["0", "10", "20", "30", "40"]
    assert charts.trade_off([]) is None


def test_names_in_a_trade_off_do_not_touch() -> None:
    """Degrees of eagerness that save as much as each other stand one above the other."""
    chart = charts.trade_off([(27.0, 34.4, "chatty"), (33.0, 33.7, "balanced"), (64.0, 26.0, "")])

    assert chart is not None
    first, second = chart.label_ys
    assert second - first >= 15.9
    assert first >= 12  # below the title of the axis
    assert second < chart.named[1][1]  # above its place, where the line does not cross it


@pytest.mark.parametrize(
    ("n", "at_most", "expected"),
    [(3, 5, (0, 1, 2)), (5, 3, (0, 2, 4)), (100, 4, (0, 33, 66, 99)), (0, 3, ())],
)
def test_what_is_too_much_is_thinned(n: int, at_most: int, expected: tuple[int, ...]) -> None:
    """Evenly, with the first and the last."""
    assert expected == charts.spread(range(n), at_most)


def test_what_a_broken_network_says_is_not_drawn() -> None:
    """NaN, infinity, less than nothing, a hundred bits."""
    said = [(0.0, 3.0), (1.0, float("nan")), (2.0, float("inf")), (3.0, -1.0), (4.0, 100.0)]

    assert charts.sound([*said, (float("inf"), 2.0), (5.0, 2.0)]) == ((0.0, 3.0), (5.0, 2.0))
