"""When the machine can spare a training: facts in, a sentence or nothing out."""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from afterword_daemon.conditions import (
    AWAY_S,
    SETTLE_S,
    STEADY_S,
    Facts,
    Gauges,
    History,
    obstacle,
    read,
)

PLUGGED = Gauges(
    on_battery=False, is_saving=False, pressure=None, load=0.0, memory_free=2, disk_free=2
)
UNPLUGGED = replace(PLUGGED, on_battery=True)
NO_BATTERY = replace(PLUGGED, on_battery=None)
FINE = Facts(
    is_enabled=True,
    is_paused=False,
    may_use_battery=False,
    mains_s=math.inf,
    gauges=PLUGGED,
    memory_needed=1,
    disk_needed=1,
    awake_s=math.inf,
    quiet_s=math.inf,
)


def but(**changes: Any) -> Facts:
    """All is fine but this, of the facts or of the gauges."""
    names = {field.name for field in fields(Gauges)}
    gauges = {name: changes.pop(name) for name in names & {*changes}}
    return replace(FINE, gauges=replace(PLUGGED, **gauges), **changes)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (FINE, None),
        (but(is_enabled=False), "off: learning.enable is false"),
        (but(is_paused=True), "paused; to go on: afterword resume"),
        (but(mains_s=0.0), "waits for mains power"),
        (but(mains_s=STEADY_S - 1), "waits for mains power"),
        (but(mains_s=STEADY_S), None),
        (but(mains_s=0.0, may_use_battery=True), None),
        (but(is_saving=True), "waits until the machine saves power no more"),
        (but(pressure=10.0), None),
        (but(pressure=10.1), "waits until the machine is less busy"),
        (but(pressure=0.0, load=9.0), None),
        (but(load=0.5), None),
        (but(load=0.6), "waits until the machine is less busy"),
        (
            but(memory_free=1 << 30, memory_needed=1200 << 20),
            "waits for 1,200 MB of free memory",
        ),
        (
            but(disk_free=1, disk_needed=1 << 30),
            "waits for 1,024 MB of free disk",
        ),
        (
            but(awake_s=SETTLE_S - 1),
            "waits until the machine has been awake for five minutes",
        ),
        (but(awake_s=SETTLE_S), None),
        (but(quiet_s=59.0), "waits until nobody has typed for a minute"),
        (but(quiet_s=AWAY_S), None),
        (replace(FINE, gauges=None, quiet_s=1.0), "waits until nobody has typed for a minute"),
        (replace(FINE, gauges=None), "waits until the machine is less busy"),
        # Of several, that which lasts longest is told.
        (but(quiet_s=1.0, mains_s=0.0, pressure=50.0), "waits for mains power"),
        (
            but(quiet_s=1.0, mains_s=0.0, is_paused=True),
            "paused; to go on: afterword resume",
        ),
    ],
)
def test_one_obstacle_is_enough_and_is_told(facts: Facts, sentence: str | None) -> None:
    """Each fact alone is in the way; without any nothing is."""
    found = obstacle(facts)
    assert sentence == (found and found.sentence)


def test_it_looks_again_when_that_which_passes_by_itself_has_passed() -> None:
    """A minute since a key, five minutes since waking up, are waited for and no longer."""
    typing = obstacle(but(quiet_s=50.0))
    woke = obstacle(but(awake_s=100.0))
    assert (typing and typing.again_s, woke and woke.again_s) == (10.0, 200.0)


@pytest.mark.parametrize(
    ("facts", "ends"),
    [
        (but(is_enabled=False), True),
        (but(is_paused=True), True),
        (but(memory_free=0, memory_needed=1), True),
        (but(disk_free=0, disk_needed=1), True),
        (but(mains_s=0.0), False),
        (but(quiet_s=0.0), False),
    ],
)
def test_what_standing_still_would_not_help_ends_it(facts: Facts, ends: bool) -> None:
    """A child that stands still keeps its memory and its disk, and none may be there when off."""
    found = obstacle(facts)
    assert found
    assert ends == found.ends


def test_battery_holds_at_once_and_mains_when_it_has_lasted() -> None:
    """The plug is pulled, and put in again twice."""
    history = History(0.0, 1e9)
    seen = []
    for at, reading in (
        (10.0, PLUGGED),
        (30.0, PLUGGED),
        (50.0, UNPLUGGED),
        (60.0, PLUGGED),
        (65.0, UNPLUGGED),
        (70.0, PLUGGED),
        (110.0, PLUGGED),
    ):
        history.see(reading, at)
        seen.append(history.mains_s(at))
    assert seen == [0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 40.0]


def test_without_a_battery_there_is_mains() -> None:
    """A desktop computer need not prove that its plug stays in."""
    history = History(0.0, 1e9)
    history.see(NO_BATTERY, 1.0)
    assert math.inf == history.mains_s(1.0)


@pytest.mark.parametrize(
    ("clocks", "awake_s"),
    [
        ([(10.0, 1010.0), (20.0, 1020.0)], math.inf),
        ([(10.0, 9010.0)], 0.0),  # slept for hours
        ([(10.0, 9010.0), (130.0, 9130.0)], 120.0),
        ([(10.0, 9010.0), (130.0, 19130.0)], 0.0),  # and again
        ([(10.0, 10.0)], math.inf),  # the clock was set back
        ([(10.0, 10.0), (20.0, 1020.0)], 0.0),  # and put right
        ([(10.0, 1015.0), (20.0, 1030.0), (30.0, 1045.0)], math.inf),  # a clock that runs fast
    ],
)
def test_who_slept_is_known_by_the_clock_on_the_wall(
    clocks: list[tuple[float, float]], awake_s: float
) -> None:
    """The other clock stands still while the machine sleeps."""
    history = History(0.0, 1000.0)
    now = 0.0
    for now, wall in clocks:
        history.tick(now, wall)
    assert awake_s == history.awake_s(now)


PRESSURE = "some avg10=26.35 avg60=8.07 avg300=4.18 total=11439090354\nfull avg10=0.00 avg60=0.00\n"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("proc/pressure/cpu", PRESSURE, {"pressure": 26.35, "is_saving": False}),
        ("proc/pressure/cpu", "full avg10=99.00 avg60=0.00\n", {"pressure": None}),
        ("proc/pressure/cpu", "\xff\x00", {"pressure": None}),
        ("sys/firmware/acpi/platform_profile", "low-power\n", {"is_saving": True}),
        ("sys/firmware/acpi/platform_profile", "balanced\n", {"is_saving": False}),
        ("elsewhere", "", {"pressure": None, "is_saving": False}),
    ],
)
def test_what_the_kernel_tells_is_read(
    tmp_path: Path, file: str, text: str, expected: dict[str, object]
) -> None:
    """Files as a kernel writes them, and as none does."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text, encoding="latin-1")
    found = read(tmp_path, system=tmp_path)
    assert expected == {name: getattr(found, name) for name in expected}


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    """Memory, disk and load have figures that can be, also where the folder is yet to be made."""
    found = read(tmp_path / "not" / "there")
    busier = read(tmp_path, own_load=1e6)
    assert found.memory_free > 1 << 20
    assert found.disk_free > 1 << 20
    assert (found.load >= 0.0, 0.0) == (True, busier.load)
