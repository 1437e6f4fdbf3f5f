"""Whether the machine can spare a training now, and what to say when it cannot.

`obstacle` decides over small facts, `read` gets those that the machine tells, `History` those that
only show over time. Knows nothing of what is trained, or by whom. psutil (6 ms, 1 MB) is imported
when there is something to train, and not before.
"""

import math
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Who stops to think in the middle of a page is back within it; to pause costs a signal, so nothing
# is lost if it was too short.
AWAY_S: Final = 60.0
STEADY_S: Final = 30.0  # on mains until it counts: who moves house pulls the plug more than once
SETTLE_S: Final = 300.0  # after waking up: mail, indexes and backups all want to catch up
# Of the wall clock against the other: the machine slept, for no clock drifts so fast.
JUMP_S: Final = 30.0
MOST_PRESSURE: Final = 10.0  # percent of the last ten seconds in which some process had to wait
MOST_LOAD: Final = 0.5  # processes per core that run or want to, where nothing better is known

OFF: Final = "off: learning.enable is false"
PAUSED: Final = "paused; to go on: afterword resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why not now."""

    sentence: str  # for people, to go on after "learning: "
    again_s: float  # when to look again; it changes no sooner, or somebody tells
    ends: bool = False  # whether what is under way has to end, instead of standing still


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What the machine tells at one moment."""

    on_battery: bool | None  # None: it has no battery
    is_saving: bool  # the user has asked the machine to save power
    pressure: float | None  # percent, see `MOST_PRESSURE`; None where it is not told
    load: float  # processes per core, without our own
    memory_free: int  # bytes that programs could still have
    disk_free: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the decision depends on. Without defaults: what is left out would be no obstacle."""

    is_enabled: bool
    is_paused: bool
    may_use_battery: bool
    mains_s: float  # since when there is mains power; 0 on battery, infinite without one
    gauges: Gauges | None  # None while somebody types, when nobody asks the machine
    memory_needed: int  # bytes
    disk_needed: int  # bytes
    awake_s: float  # since the machine woke up
    quiet_s: float  # since somebody typed


def obstacle(facts: Facts) -> Reason | None:
    """What is in the way, that which lasts longest first; None: nothing is."""
    if not facts.is_enabled:
        return Reason(sentence=OFF, again_s=math.inf, ends=True)
    if facts.is_paused:
        return Reason(sentence=PAUSED, again_s=math.inf, ends=True)
    gauges = facts.gauges
    if gauges and (lack := _lack(facts, gauges)):
        return lack
    if facts.awake_s < SETTLE_S:
        sentence = "waits until the machine has been awake for five minutes"
        return Reason(sentence=sentence, again_s=SETTLE_S - facts.awake_s)
    if facts.quiet_s < AWAY_S:
        sentence = "waits until nobody has typed for a minute"
        return Reason(sentence=sentence, again_s=AWAY_S - facts.quiet_s)
    if gauges is None or _is_busy(gauges):
        # Ten seconds is what the figure looks back on.
        return Reason(sentence="waits until the machine is less busy", again_s=15.0)
    return None


def _lack(facts: Facts, gauges: Gauges) -> Reason | None:
    """What the machine has not enough of."""
    if facts.mains_s < STEADY_S and not facts.may_use_battery:
        return Reason(sentence="waits for mains power", again_s=60.0)
    if gauges.is_saving:
        return Reason(sentence="waits until the machine saves power no more", again_s=60.0)
    if gauges.memory_free < facts.memory_needed:
        sentence = f"waits for {facts.memory_needed >> 20:,} MB of free memory"
        return Reason(sentence=sentence, again_s=60.0, ends=True)
    if gauges.disk_free < facts.disk_needed:
        sentence = f"waits for {facts.disk_needed >> 20:,} MB of free disk"
        return Reason(sentence=sentence, again_s=60.0, ends=True)
    return None


def _is_busy(gauges: Gauges) -> bool:
    if gauges.pressure is None:
        return gauges.load > MOST_LOAD
    return gauges.pressure > MOST_PRESSURE


def read(folder: Path, *, own_load: float = 0.0, system: Path = Path("/")) -> Gauges:
    """Ask the machine; `folder` is on the disk that counts, `own_load` what a child of ours makes.

    A battery may take tens of milliseconds to answer, so call it where nobody waits.
    `system` is where /proc and /sys are.
    """
    import psutil

    # Where psutil knows of no batteries, it has no such function.
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    load = os.getloadavg()[0] - own_load
    while not folder.exists():
        folder = folder.parent
    return Gauges(
        # It may be there and not know whether it is charged.
        on_battery=None if battery is None else battery.power_plugged is False,
        is_saving=_text(system / "sys/firmware/acpi/platform_profile").strip() == "low-power",
        pressure=_pressure(_text(system / "proc/pressure/cpu")),
        load=max(0.0, load) / (os.cpu_count() or 1),
        memory_free=int(psutil.virtual_memory().available),
        disk_free=shutil.disk_usage(folder).free,
    )


class History:
    """What only shows over time: how long there has been mains power, when the machine woke."""

    def __init__(self, monotonic: float, wall: float) -> None:
        """From now on, by a clock that never jumps and the one on the wall, in seconds."""
        self._ahead_s = wall - monotonic
        self._woke = -math.inf
        self._mains_since: float | None = None

    def tick(self, monotonic: float, wall: float) -> None:
        """Compare the clocks. While the machine sleeps, only the one on the wall goes on."""
        ahead_s = wall - monotonic
        if ahead_s - self._ahead_s > JUMP_S:
            self._woke = monotonic
        self._ahead_s = ahead_s

    def see(self, gauges: Gauges, monotonic: float) -> None:
        """Take up where the power comes from: battery holds at once, mains has to last."""
        if gauges.on_battery is None:
            self._mains_since = -math.inf
        elif gauges.on_battery:
            self._mains_since = None
        elif self._mains_since is None:
            self._mains_since = monotonic

    def awake_s(self, monotonic: float) -> float:
        """Since the machine woke up; infinite if it did not sleep."""
        return monotonic - self._woke

    def mains_s(self, monotonic: float) -> float:
        """Since when there is mains power; 0 on battery."""
        return 0.0 if self._mains_since is None else monotonic - self._mains_since


def _pressure(text: str) -> float | None:
    found = re.search(r"^some avg10=(\d+\.\d+)", text, re.MULTILINE)
    return float(found[1]) if found else None


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""
