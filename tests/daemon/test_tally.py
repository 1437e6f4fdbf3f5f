"""Counts, and what the gate learns from them."""

from pathlib import Path
from typing import Literal

import pytest
from afterword_daemon.tally import Tally
from afterword_trainer import durable
from afterword_trainer.durable import StateError

DAY_S = 86_400.0


class Clock:
    """A clock that is set by hand, at noon of some day."""

    now = 1_900_000_000.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


def show(tally: Tally, probability: float, n: int, n_accepted: int) -> None:
    """`n` suggestions of this stated probability, `n_accepted` of them taken."""
    for i in range(n):
        number = f"{probability} {i}"
        tally.offered(number, probability)
        tally.count(number, "shown")
        if i < n_accepted:
            tally.count(number, "accepted", 5)


def test_each_suggestion_counts_once() -> None:
    """However often a client says so, and whether or not it tells that it was shown."""
    tally = Tally(clock=Clock())
    events: list[tuple[str, Literal["shown", "accepted", "partly", "rejected"], int]] = [
        ("a", "shown", 0),
        ("a", "shown", 0),
        ("a", "accepted", 7),
        ("a", "accepted", 7),
        ("a", "rejected", 0),
        ("b", "accepted", 3),
        ("c", "partly", 4),
        ("c", "partly", 2),
        ("c", "rejected", 0),
        ("unknown", "accepted", 100),
    ]
    for number in "abcd":
        tally.offered(number, 0.5)
    for number, event, characters in events:
        tally.count(number, event, characters)
    total = tally.facts()["total"]
    assert total == {"shown": 3, "accepted": 2, "partly": 1, "rejected": 1, "characters": 16}


def test_counts_are_kept_by_day_and_across_processes(tmp_path: Path) -> None:
    """What was counted yesterday is there tomorrow."""
    clock = Clock()
    path = tmp_path / "tally.json"
    tally = Tally(path, clock=clock)
    show(tally, 0.5, 3, 1)
    tally.save()
    clock.now += DAY_S
    later = Tally(path, clock=clock)
    show(later, 0.9, 2, 2)
    later.save()
    facts = Tally(path, clock=clock).facts()
    assert [day["shown"] for day in facts["days"].values()] == [3, 2]
    assert facts["total"]["accepted"] == 3
    assert facts == later.facts()


def test_it_writes_once_a_minute_and_only_what_is_new(tmp_path: Path) -> None:
    """The disk sleeps while nothing happens."""
    clock = Clock()
    path = tmp_path / "tally.json"
    tally = Tally(path, clock=clock)
    show(tally, 0.5, 1, 1)
    assert tally.due() is None
    clock.now += 61
    store = tally.due()
    assert store
    assert tally.due() is None  # while it is on its way
    store()
    assert Tally(path, clock=clock).facts() == tally.facts()
    clock.now += 61
    assert tally.due() is None


def test_what_comes_last_is_stored(tmp_path: Path) -> None:
    """However long a thread takes that stores older counts."""
    clock = Clock()
    path = tmp_path / "tally.json"
    tally = Tally(path, clock=clock)
    for probability, late in ((0.5, tally.save), (0.6, tally.clear)):
        show(tally, probability, 1, 1)
        clock.now += 61
        store = tally.due()
        assert store
        show(tally, probability + 0.01, 1, 1)
        late()
        store()
        assert Tally(path, clock=clock).facts() == tally.facts()
    assert not path.exists()


def test_a_clock_that_is_set_back_puts_nothing_off(tmp_path: Path) -> None:
    """Ten years, and nothing would be stored until it had caught up."""
    clock = Clock()
    tally = Tally(tmp_path / "tally.json", clock=clock)
    clock.now -= 3650 * DAY_S
    show(tally, 0.5, 1, 1)
    assert tally.due()


def test_what_could_not_be_stored_is_tried_again(tmp_path: Path) -> None:
    """A minute later, and without anything new."""
    clock = Clock()
    (tmp_path / "folder").write_text("in the way")
    path = tmp_path / "folder" / "tally.json"
    tally = Tally(path, clock=clock)
    show(tally, 0.5, 1, 1)
    clock.now += 61
    store = tally.due()
    assert store
    with pytest.raises(StateError):
        store()
    (tmp_path / "folder").unlink()
    clock.now += 61
    store = tally.due()
    assert store
    store()
    assert Tally(path, clock=clock).facts() == tally.facts()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"version": 1, "days": 3, "bins": []}', b"\xff" * 9, b"null"],
)
def test_a_damaged_file_is_begun_anew(tmp_path: Path, data: bytes) -> None:
    """Counts are a convenience; nothing stops for them."""
    path = tmp_path / "tally.json"
    path.write_bytes(data)
    tally = Tally(path, clock=Clock())
    show(tally, 0.5, 1, 0)
    tally.save()
    assert Tally(path, clock=Clock()).facts()["total"]["shown"] == 1
    assert [aside.read_bytes() for aside in durable.aside(tmp_path)] == [data]


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    """Neither here nor on disk."""
    path = tmp_path / "tally.json"
    tally = Tally(path, clock=Clock())
    show(tally, 0.5, 300, 10)
    tally.save()
    tally.clear()
    tally.save()
    assert list(tmp_path.iterdir()) == []
    assert tally.facts()["total"]["shown"] == 0
    assert tally.gate(0.5) == 0.5


@pytest.mark.parametrize(
    ("shown", "gate", "low", "high"),
    [
        pytest.param([(0.5, 100, 0)], 0.4, 0.4, 0.4, id="too little evidence"),
        pytest.param([(0.45, 400, 180), (0.15, 400, 60)], 0.3, 0.29, 0.31, id="as stated"),
        pytest.param([(0.45, 400, 80), (0.75, 400, 300)], 0.4, 0.5, 0.65, id="too sure of itself"),
        pytest.param([(0.25, 400, 160), (0.45, 400, 300)], 0.3, 0.15, 0.25, id="too modest"),
        pytest.param([(0.3, 2000, 0), (0.8, 2000, 0)], 0.1, 0.3, 0.35, id="nothing ever accepted"),
        pytest.param([(0.3, 2000, 2000)], 0.2, 0.1, 0.15, id="all accepted"),
        pytest.param([(0.3, 2000, 0)], 0.0, 0.0, 0.0, id="show all"),
    ],
)
def test_the_gate_follows_what_is_accepted(
    shown: list[tuple[float, int, int]], gate: float, low: float, high: float
) -> None:
    """It moves with evidence, towards it, and never so far that nothing is shown any more."""
    tally = Tally(clock=Clock())
    for probability, n, n_accepted in shown:
        show(tally, probability, n, n_accepted)
    assert low <= tally.gate(gate) <= high


def test_old_habits_fade() -> None:
    """Thousands of rejections do not outweigh a thousand acceptances for ever."""
    tally = Tally(clock=Clock())
    show(tally, 0.31, 5000, 0)
    for i in range(5000):
        tally.offered(f"new {i}", 0.31)
        tally.count(f"new {i}", "accepted", 5)
    (calibration,) = tally.facts()["calibration"]
    assert calibration["accepted"] / calibration["shown"] > 0.95


def test_offers_that_nobody_settles_are_forgotten() -> None:
    """What is waited for is bounded."""
    tally = Tally(clock=Clock())
    for i in range(2000):
        tally.offered(str(i), 0.5)
    tally.count("0", "shown")
    tally.count("1999", "shown")
    assert tally.facts()["total"]["shown"] == 1
