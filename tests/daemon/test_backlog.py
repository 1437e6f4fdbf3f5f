"""What waits, when it is due, and what is kept of it."""

import json
from pathlib import Path

import pytest
from afterword_daemon.backlog import (
    DAY_S,
    ENOUGH,
    HOUR_S,
    LITTLE,
    RETRY_S,
    Backlog,
    How,
    Result,
)

NOW = 2e9
BETTER = Result(
    how="better", sentence="it saves more", model="you-7", before={"ksr": 1}, after={"ksr": 2}
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is kept."""
    return tmp_path / "learning.json"


def ended(how: How) -> Result:
    """A training that ended so."""
    return Result(how=how, sentence=how)


@pytest.mark.parametrize(
    ("saved", "due_s"),
    [
        ([], None),
        ([LITTLE - 1], None),
        ([-5, LITTLE - 1], None),
        ([LITTLE], DAY_S),
        ([LITTLE, 100], DAY_S),
        ([ENOUGH - 1], DAY_S),
        ([ENOUGH], 0.0),
        ([ENOUGH // 2] * 2, 0.0),
    ],
)
def test_much_is_due_at_once_and_little_after_a_day(
    path: Path, saved: list[int], due_s: float | None
) -> None:
    """Less than a page is never due."""
    backlog = Backlog(path, NOW)
    for characters in saved:
        backlog.add(characters, NOW)
    assert due_s == backlog.due_s(NOW)
    assert sum(max(0, n) for n in saved) == backlog.waiting


def test_little_is_due_a_day_after_it_began_to_wait() -> None:
    """What is saved later does not put it off."""
    backlog = Backlog(Path("unused"), NOW)
    backlog.add(LITTLE, NOW)
    backlog.add(10, NOW + DAY_S - 1)
    assert (backlog.due_s(NOW + DAY_S - 1), backlog.due_s(NOW + DAY_S)) == (1.0, 0.0)


def test_it_says_when_a_sum_makes_a_difference() -> None:
    """Thousands of saves wake the daemon twice."""
    backlog = Backlog(Path("unused"), NOW)
    said = [backlog.add(100, NOW) for _ in range(1000)]
    assert [n for n, one in enumerate(said) if one] == [LITTLE // 100 - 1, ENOUGH // 100 - 1]


@pytest.mark.parametrize(
    ("ends", "next_s", "failures"),
    [
        (["better"], HOUR_S, 0),
        (["no-better"], HOUR_S, 1),
        (["died"], HOUR_S, 1),
        (["no-better"] * 2, 2 * HOUR_S, 2),
        (["died", "no-better", "died"], 4 * HOUR_S, 3),
        (["no-better"] * 5, 16 * HOUR_S, 5),
        (["no-better"] * 6, DAY_S, 6),
        (["no-better"] * 2000, DAY_S, 2000),
        (["no-better"] * 5 + ["better"], HOUR_S, 0),
        (["put-off"], RETRY_S, 0),
        (["no-better", "put-off"], RETRY_S, 1),
    ],
)
def test_who_gains_nothing_waits_twice_as_long(
    ends: list[How], next_s: float, failures: int
) -> None:
    """An hour, doubling to a day; what was put off comes again soon."""
    backlog, now = Backlog(Path("unused"), NOW), NOW
    for how in ends:
        now += DAY_S
        backlog.add(ENOUGH, now)
        backlog.begin(now)
        backlog.conclude(ended(how), backlog.waiting, now)
    backlog.add(ENOUGH, now)
    assert (next_s, failures) == (backlog.due_s(now), backlog.failures)


@pytest.mark.parametrize(
    ("how", "left"),
    [("better", 7), ("no-better", 7), ("died", ENOUGH + 7), ("put-off", ENOUGH + 7)],
)
def test_what_was_judged_waits_no_more(how: How, left: int) -> None:
    """What was saved meanwhile does, and what nobody has judged."""
    backlog = Backlog(Path("unused"), NOW)
    backlog.add(ENOUGH, NOW)
    backlog.begin(NOW)
    backlog.add(7, NOW)
    backlog.conclude(ended(how), ENOUGH, NOW)
    assert left == backlog.waiting


def test_three_deaths_in_an_hour_are_followed_by_a_day(path: Path) -> None:
    """Here of daemons that died with their training, each after ten minutes."""
    backlog, now = Backlog(path, NOW), NOW
    backlog.add(ENOUGH, now)
    due = []
    for _ in range(4):
        backlog.begin(now)
        backlog.stored()()
        now += RETRY_S
        backlog = Backlog(path, now)
        due.append(backlog.due_s(now))
    assert due == [0.0, 0.0, DAY_S, DAY_S]


def test_deaths_long_ago_do_not_count(path: Path) -> None:
    """Three of them, half an hour and more apart."""
    backlog = Backlog(path, NOW)
    backlog.add(ENOUGH, NOW)
    for n in range(3):
        backlog.begin(NOW + n * (HOUR_S / 2 + 1))
        backlog.conclude(ended("died"), 0, NOW + n * (HOUR_S / 2 + 1))
    assert backlog.due_s(NOW + HOUR_S + 2) == 4 * HOUR_S


def test_it_outlives_the_daemon(path: Path) -> None:
    """Amount, times, failures and what came of the last training, figures and all."""
    backlog = Backlog(path, NOW)
    backlog.add(ENOUGH + LITTLE, NOW)
    backlog.begin(NOW)
    backlog.conclude(BETTER, ENOUGH, NOW + 60)
    backlog.stored()()
    again = Backlog(path, NOW + 61)
    assert (again.waiting, again.failures, again.next) == (LITTLE, 0, NOW + 60 + HOUR_S)
    assert again.due_s(NOW + 61) == DAY_S - 1
    assert again.last
    assert (
        *(again.last.model, again.last.before, again.last.after),
        again.last.when,
    ) == ("you-7", {"ksr": 1}, {"ksr": 2}, NOW + 60)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"[]",
        b'{"version": 2}',
        b'{"waiting": -1}',
        b'{"waiting": 1e999}',
        b'{"next": 1e300}',
        b'{"deaths": [1, 2, 3, 4]}',
        b'{"last": {"how": "well"}}',
        b'{"waiting": 5' + b" " * 70_000 + b"}",
    ],
)
def test_a_damaged_file_is_one_that_says_nothing(path: Path, data: bytes) -> None:
    """It begins anew, not at once, and can be stored again."""
    path.write_bytes(data)
    backlog = Backlog(path, NOW)
    backlog.add(ENOUGH, NOW)
    assert (backlog.due_s(NOW), backlog.last) == (RETRY_S, None)
    backlog.stored()()
    assert json.loads(path.read_bytes())["waiting"] == ENOUGH


@pytest.mark.parametrize("years_s", [-30 * 365 * DAY_S, 30 * 365 * DAY_S])
def test_a_clock_that_is_set_delays_by_a_day_at_most(path: Path, years_s: float) -> None:
    """Set back, or put right after it was far in the future."""
    backlog = Backlog(path, NOW)
    for characters in (ENOUGH, LITTLE):  # the rest of it waits for time alone
        backlog.add(characters, NOW)
        backlog.begin(NOW)
        backlog.conclude(ended("no-better"), backlog.waiting - LITTLE, NOW)
        now = NOW + years_s
        first = backlog.due_s(now)
        assert first is not None
        assert first <= DAY_S
        assert backlog.due_s(now + first) == 0.0
