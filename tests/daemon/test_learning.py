"""When a training begins, what interrupts it, what it costs, and what is told of it.

Most of it on a machine whose clock stands still until the test lets time pass, with children that
work by that clock; what signals and processors really do, on this one.
"""

import asyncio
import heapq
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from afterword_daemon import protocol, trainee
from afterword_daemon.backlog import DAY_S, ENOUGH, HOUR_S, LITTLE, RETRY_S
from afterword_daemon.child import Child, ChildError, Usage
from afterword_daemon.conditions import AWAY_S, SETTLE_S, Gauges
from afterword_daemon.config import Learning as LearningSettings
from afterword_daemon.config import Settings
from afterword_daemon.learning import (
    LOOK_S,
    PATIENCE_S,
    SAVE_S,
    SLICE_S,
    Learning,
    Limits,
    Progress,
)
from afterword_daemon.machine import GRACE_S, HURRY_S, ThisMachine
from afterword_trainer import background, ledger
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry
from daemons import eventually, lives

FOLDER = Path("/home/somebody/notes")
WATCHED = Settings(watch=(FOLDER,), ignore=("drafts/", "-x"))
FINE = Gauges(
    on_battery=None,
    is_saving=False,
    pressure=0.0,
    load=0.0,
    memory_free=8 << 30,
    disk_free=100 << 30,
)
VERDICT = {
    "accepted": True,
    "sentence": "the new model is better",
    "reasons": [],
    "before": {"ksr": 30.0, "bits_per_character": 2.0, "base_bits_per_character": None},
    "after": {"ksr": 31.5, "bits_per_character": 1.9},
}
BETTER = {"event": "updated", "id": "you-7", "active": True, "verdict": VERDICT}
WORSE = {"accepted": False, "sentence": "the new model is no better"}
NO_BETTER = {"event": "updated", "id": None, "verdict": WORSE}
NOTHING = {"event": "updated", "id": None, "verdict": None}
FIRST = {"event": "updated", "id": "you-1", "verdict": None}


# -- a machine by whose clock a week passes in a second ----------------------------------------


@dataclass(eq=False)
class Work:
    """A child that needs so much processor, says what it has to say, and ends."""

    machine: "Simulated"
    needs_s: float = 20.0  # of processor
    threads: int = 2
    says: Sequence[dict[str, Any]] = (BETTER,)
    code: int = 0
    resident: int = 800 << 20
    is_deaf: bool = False  # to SIGTERM

    stands_still: bool = False
    runs: list[tuple[float, float]] = field(default_factory=list)  # from when till when
    ran_s: float = 0.0
    ended: int | None = None
    since: float = 0.0

    def __post_init__(self) -> None:
        self.since = self.machine.now

    @property
    def cpu_s(self) -> float:
        ran_s = self.ran_s
        if not self.stands_still and self.ended is None:
            ran_s += self.machine.now - self.since
        return min(self.needs_s, ran_s * self.threads)

    def stop(self) -> None:
        if not self.stands_still and self.ended is None:
            self.runs.append((self.since, self.machine.now))
            self.ran_s += self.machine.now - self.since
        self.stands_still = True

    def go_on(self) -> None:
        if self.stands_still:
            self.since = self.machine.now
        self.stands_still = False

    def exit_code(self) -> int | None:
        if self.ended is None and self.cpu_s >= self.needs_s:
            self.stop()
            self.ended = self.code
        return self.ended

    def records(self) -> list[dict[str, Any]]:
        if self.exit_code() is None:
            return [{"event": "stepped", "share": self.cpu_s / self.needs_s}]
        said, self.says = list(self.says), ()
        return said

    async def measure(self) -> Usage | None:
        return None if self.ended is not None else Usage(cpu_s=self.cpu_s, resident=self.resident)

    async def end(self, grace_s: float) -> None:
        if self.exit_code() is None:
            self.go_on()
            if self.is_deaf:
                await self.machine.sleep(grace_s)
            self.stop()
            self.ended = -signal.SIGKILL if self.is_deaf else -signal.SIGTERM

    def close(self) -> None:
        assert self.ended is not None


class Simulated:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead_s = 2e9  # of the clock on the wall
        self.reading = FINE
        self.next: Callable[[Simulated], Work] = Work  # what is started
        self.started: list[Work] = []
        self.commands: list[list[str]] = []
        self.timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.n_reads = self.n_timers = 0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.n_timers += 1
        timer = (self.now + seconds, self.n_timers, waited)
        heapq.heappush(self.timers, timer)
        try:
            await waited
        finally:
            if timer in self.timers:
                self.timers.remove(timer)
                heapq.heapify(self.timers)

    async def elsewhere(self, work: Callable[[], None]) -> None:
        work()

    async def read(self, folder: Path, own_load: float) -> Gauges:
        self.n_reads += 1
        return self.reading

    def start(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Work:
        self.commands.append(list(command))
        self.started.append(self.next(self))
        return self.started[-1]

    async def let_pass(self, seconds: float) -> None:
        """Everything that happens in so many seconds."""
        end = self.now + seconds
        await _settle()
        while self.timers and self.timers[0][0] <= end:
            self.now, _, waited = heapq.heappop(self.timers)
            if not waited.done():
                waited.set_result(None)
            await _settle()
        self.now = end

    def ran(self, since: float, until: float) -> float:
        """Seconds in which a child worked."""
        spans = [span for work in self.started for span in work.runs]
        spans += [(w.since, self.now) for w in self.started if not w.stands_still and not w.ended]
        return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in spans)


async def _settle() -> None:
    for _ in range(8):  # tasks that wait for one another; none here is longer
        await asyncio.sleep(0)


@dataclass
class Desk:
    """A daemon's learning on such a machine, and all that it told."""

    machine: Simulated
    learning: Learning
    paths: Paths
    told: list[Progress]

    async def let_pass(self, seconds: float) -> None:
        await self.machine.let_pass(seconds)

    @property
    def state(self) -> str:
        return str(self.learning.facts().state)

    @property
    def work(self) -> Work:
        return self.machine.started[-1]

    async def begun(self) -> Work:
        """A training that has just begun."""
        self.learning.saved("", ENOUGH)
        await self.let_pass(1.0)
        return self.work


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home of this test."""
    return Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})


@asynccontextmanager
async def at_a_desk(
    paths: Paths, machine: Simulated | None = None, settings: Settings = WATCHED, **named: Any
) -> AsyncIterator[Desk]:
    """A daemon that learns, until the block ends."""
    machine, told = machine or Simulated(), []
    one = Learning(paths, settings, machine=machine, tell=told.append, **named)
    running = asyncio.ensure_future(one.run())
    await _settle()
    try:
        yield Desk(machine, one, paths, told)
    finally:
        running.cancel()
        await machine.let_pass(HURRY_S + 0.1)
    assert running.cancelled()
    assert all(work.ended is not None for work in machine.started)
    await _settle()
    assert not machine.timers


# -- when it begins ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_while_nothing_is_due_there_is_no_timer(paths: Paths) -> None:
    """But for the one that stores what was counted, once."""
    async with at_a_desk(paths) as desk:
        assert not desk.machine.timers
        desk.learning.saved("", LITTLE - 1)
        await desk.let_pass(400.0)
        assert not desk.machine.timers
        assert (desk.machine.n_timers, desk.machine.n_reads, desk.state) == (1, 0, "idle")
        stored = json.loads((paths.data / "learning.json").read_bytes())
        assert stored["waiting"] == LITTLE - 1


@pytest.mark.asyncio
async def test_enough_new_text_is_learned(paths: Paths) -> None:
    """By the trainer, of the folders that are watched; then nothing waits."""
    async with at_a_desk(paths) as desk:
        desk.learning.saved("", ENOUGH)
        await desk.let_pass(600.0)
        assert desk.machine.commands == [
            [
                *(sys.executable, "-m", "afterword_trainer.cli"),
                *("update", "--background", "--json"),
                *("--ignore=drafts/", "--ignore=-x", "--", str(FOLDER)),
            ]
        ]
        last = desk.learning.facts().last
        assert desk.learning.facts() == protocol.Learning(state="idle", last=last)
        assert last
        assert last.how == "better"
        assert (last.model, last.sentence) == ("you-7", VERDICT["sentence"])
        assert last.before == {"ksr": 30.0, "bits_per_character": 2.0}
        assert last.after == VERDICT["after"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        replace(WATCHED, learning=LearningSettings(enable=False)),
    ],
)
async def test_off_is_off(paths: Paths, settings: Settings) -> None:
    """Whatever is saved, until it is set otherwise."""
    async with at_a_desk(paths, settings=settings) as desk:
        desk.learning.saved("", 10 * ENOUGH)
        await desk.let_pass(DAY_S)
        assert (desk.state, desk.machine.started) == ("off", [])
        desk.learning.adjust(WATCHED, is_paused=True)
        desk.learning.saved("", 10 * ENOUGH)  # what nobody watched did not count
        await desk.let_pass(DAY_S)
        assert (desk.state, desk.machine.started) == ("paused", [])
        desk.learning.adjust(WATCHED, is_paused=False)
        await desk.let_pass(1.0)
        assert desk.state == "training"


@pytest.mark.asyncio
async def test_of_folders_that_are_watched_no_more_nothing_waits(paths: Paths) -> None:
    """Else it would be counted twice when they are watched again; also across daemons."""
    async with at_a_desk(paths) as desk:
        desk.learning.saved("", ENOUGH // 2)
        await desk.let_pass(1.0)
        assert desk.learning.facts().waiting_characters == ENOUGH // 2
        desk.learning.adjust(Settings(), is_paused=False)
        desk.learning.saved("", ENOUGH // 2)  # it was under way
        assert desk.learning.facts().waiting_characters == 0
    async with at_a_desk(paths) as desk:
        assert desk.learning.facts().waiting_characters == 0
        desk.learning.saved("", ENOUGH // 2)
        await desk.let_pass(1.0)
    async with at_a_desk(paths, settings=Settings()):  # removed while there was no daemon
        pass
    async with at_a_desk(paths) as desk:
        assert desk.learning.facts().waiting_characters == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reading", "sentence"),
    [
        (replace(FINE, on_battery=True), "waits for mains power"),
        (replace(FINE, is_saving=True), "waits until the machine saves power no more"),
        (replace(FINE, pressure=50.0), "waits until the machine is less busy"),
        (replace(FINE, memory_free=1 << 30), "waits for 1,600 MB of free memory"),
        (replace(FINE, disk_free=1 << 20), "waits for 1,024 MB of free disk"),
    ],
)
async def test_it_waits_for_the_machine_and_says_for_what(
    paths: Paths, reading: Gauges, sentence: str
) -> None:
    """It looks once a minute or so, and begins within two when nothing is in the way."""
    async with at_a_desk(paths) as desk:
        desk.machine.reading = reading
        desk.learning.saved("", ENOUGH)
        await desk.let_pass(HOUR_S)
        facts = desk.learning.facts()
        assert (facts.state, facts.detail) == ("waiting", sentence)
        assert desk.told == [Progress(phase="waiting", detail=sentence)]
        assert desk.machine.n_reads <= HOUR_S / 15 + 1
        desk.machine.reading = replace(FINE, on_battery=reading.on_battery and False)
        await desk.let_pass(120.0)
        assert len(desk.machine.started) == 1


@pytest.mark.asyncio
async def test_it_begins_when_nobody_has_typed_for_a_minute(paths: Paths) -> None:
    """And is asked nothing meanwhile."""
    async with at_a_desk(paths) as desk:
        desk.learning.saved("", ENOUGH)
        for _ in range(100):
            desk.learning.typed()
            await desk.let_pass(AWAY_S - 1)
        assert (desk.state, desk.machine.n_reads) == ("waiting", 0)
        await desk.let_pass(2.0)
        assert desk.state == "training"


@pytest.mark.asyncio
async def test_time_that_the_machine_slept_counts(paths: Paths) -> None:
    """A day is one by the clock on the wall, and not a day of work."""
    async with at_a_desk(paths) as desk:
        desk.learning.saved("", LITTLE)
        await desk.let_pass(2 * SAVE_S)
        desk.machine.ahead_s += DAY_S
        await desk.let_pass(HOUR_S + SETTLE_S)
        assert len(desk.machine.started) == 1


# -- what interrupts it ------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_key_stops_it_at_once(paths: Paths) -> None:
    """In the same turn of the loop; it goes on after a minute of quiet."""
    async with at_a_desk(paths) as desk:
        work = await desk.begun()
        work.go_on()
        desk.learning.typed()
        assert work.stands_still
        await desk.let_pass(AWAY_S - 1)
        before = work.cpu_s
        assert desk.learning.facts().detail == "waits until nobody has typed for a minute"
        assert desk.state == "halted"
        await desk.let_pass(60.0)
        assert (desk.state, work.cpu_s > before) == ("training", True)


@pytest.mark.asyncio
async def test_a_key_at_any_moment_of_a_training_stops_it(paths: Paths) -> None:
    """Two hundred of them, some in a slice of work, some in a rest, some while it stands still."""
    async with at_a_desk(paths) as desk:
        desk.machine.next = lambda machine: Work(machine, needs_s=500.0)
        await desk.begun()
        chance = random.Random(1)
        for _ in range(200):
            await desk.let_pass(chance.choice([0.1, 0.7, 61.0, 65.0, 70.3]))
            desk.learning.typed()
            typed_at = desk.machine.now
            await desk.let_pass(chance.uniform(0.0, AWAY_S - 0.1))
            assert desk.machine.ran(typed_at, desk.machine.now) == 0.0
        assert desk.machine.ran(0.0, desk.machine.now) > 10.0


@pytest.mark.asyncio
async def test_not_one_step_is_made_on_battery(paths: Paths) -> None:
    """battery_flip: of a hundred changes of the plug each is obeyed within 35 seconds."""
    async with at_a_desk(paths) as desk:
        machine, chance = desk.machine, random.Random(2)
        machine.next = lambda machine: Work(machine, needs_s=500.0)
        machine.reading = replace(FINE, on_battery=False)
        desk.learning.saved("", 10**9)
        n_unplugged = ran_s = 0.0
        for change in range(100):
            since = machine.now
            await desk.let_pass(chance.uniform(1.0, 400.0))
            if machine.reading.on_battery:
                assert machine.ran(since + 35.0, machine.now) == 0.0
                n_unplugged += 1
            else:
                ran_s += machine.ran(since, machine.now)
            machine.reading = replace(FINE, on_battery=not change % 2)
        assert n_unplugged == 50
        assert ran_s > 100.0


@pytest.mark.asyncio
async def test_who_slept_is_left_alone_for_five_minutes(paths: Paths) -> None:
    """A lid that was closed during a training."""
    async with at_a_desk(paths) as desk:
        await desk.begun()
        desk.machine.ahead_s += 8 * HOUR_S
        await desk.let_pass(5.0)
        woken_at = desk.machine.now
        await desk.let_pass(SETTLE_S - 10)
        assert desk.state == "halted"
        assert desk.machine.ran(woken_at, desk.machine.now) == 0.0
        await desk.let_pass(20.0)
        assert desk.state == "training"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reason",
    [
        lambda desk: desk.learning.adjust(WATCHED, is_paused=True),
        lambda desk: desk.learning.adjust(
            replace(WATCHED, learning=LearningSettings(enable=False)), is_paused=False
        ),
        lambda desk: desk.learning.adjust(
            replace(WATCHED, watch=(Path("/elsewhere"),)), is_paused=False
        ),
        lambda desk: desk.learning.give_up("something was forgotten"),
        lambda desk: setattr(desk.machine, "reading", replace(FINE, memory_free=1 << 20)),
        lambda desk: setattr(desk.machine, "reading", replace(FINE, disk_free=0)),
    ],
)
@pytest.mark.parametrize("is_deaf", [False, True])
async def test_some_things_end_it(
    paths: Paths, reason: Callable[[Desk], None], is_deaf: bool
) -> None:
    """It is nobody's failure: what waited does so still, and it begins again ten minutes later."""
    async with at_a_desk(paths) as desk:
        desk.machine.next = lambda machine: Work(machine, is_deaf=is_deaf)
        work = await desk.begun()
        reason(desk)
        await desk.let_pass(LOOK_S + SLICE_S + GRACE_S + 4.0)
        assert work.ended == (-signal.SIGKILL if is_deaf else -signal.SIGTERM)
        facts = desk.learning.facts()
        assert (facts.failures, facts.last) == (0, None)
        assert facts.waiting_characters == ENOUGH
        desk.machine.reading = FINE
        desk.learning.adjust(WATCHED, is_paused=False)
        await desk.let_pass(RETRY_S - 30.0)
        assert len(desk.machine.started) == 1
        await desk.let_pass(60.0)
        assert len(desk.machine.started) == 2


@pytest.mark.asyncio
async def test_what_is_ordered_stops_it_before_it_ends(paths: Paths) -> None:
    """Paused, it makes not one step more, but for tidying up."""
    async with at_a_desk(paths) as desk:
        work = await desk.begun()
        work.go_on()
        desk.learning.adjust(WATCHED, is_paused=True)
        assert work.stands_still


@pytest.mark.asyncio
async def test_nothing_is_learned_while_something_is_forgotten(paths: Paths) -> None:
    """What is under way ends, and is no failure; it begins again when that is done."""
    async with at_a_desk(paths) as desk:
        work = await desk.begun()
        desk.learning.hold(True)
        await desk.let_pass(LOOK_S)
        assert work.ended == -signal.SIGTERM
        await desk.let_pass(DAY_S)
        assert len(desk.machine.started) == 1
        desk.learning.hold(False)
        await desk.let_pass(LOOK_S)
        assert len(desk.machine.started) == 2


@pytest.mark.asyncio
async def test_who_stands_still_for_long_gives_back_its_memory(paths: Paths) -> None:
    """Ten minutes of somebody typing; what was done is on disk, and it goes on another time."""
    async with at_a_desk(paths) as desk:
        work = await desk.begun()
        end = desk.machine.now + PATIENCE_S
        while desk.machine.now < end:
            desk.learning.typed()
            await desk.let_pass(1.0)
            assert work.ended is None or desk.machine.now >= end
        await desk.let_pass(AWAY_S)
        assert (work.ended, desk.learning.facts().failures) == (-signal.SIGTERM, 0)


@pytest.mark.asyncio
async def test_the_end_of_the_daemon_is_the_end_of_the_child(paths: Paths) -> None:
    """And is no death: the next daemon may train after ten minutes as if nothing had been."""
    machine = Simulated()
    async with at_a_desk(paths, machine) as desk:
        await desk.begun()
    assert json.loads((paths.data / "learning.json").read_bytes())["is_training"] is False
    async with at_a_desk(paths, machine) as desk:
        await desk.let_pass(RETRY_S)
        assert len(machine.started) == 2


# -- what it costs -----------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("percent", [1.0, 25.0, 100.0])
async def test_it_takes_its_share_of_a_core_and_no_more(
    paths: Paths, threads: int, percent: float
) -> None:
    """In any ten minutes, however many threads it has; and no less, as long as it is let."""
    settings = replace(WATCHED, learning=LearningSettings(max_cpu_percent=percent))
    limits = Limits(cpu_s=1e9, running_s=1e9)
    async with at_a_desk(paths, settings=settings, limits=limits) as desk:
        desk.machine.next = lambda machine: Work(machine, needs_s=1e9, threads=threads)
        work = await desk.begun()
        spent = [work.cpu_s]
        for _ in range(25):
            await desk.let_pass(60.0)
            spent.append(work.cpu_s)
        most = max(later - earlier for earlier, later in zip(spent, spent[10:], strict=False))
        slice_s = SLICE_S * threads
        assert most <= 600.0 * percent / 100 + slice_s
        assert spent[-1] >= 1_500.0 * percent / 100 - slice_s


@pytest.mark.asyncio
async def test_time_that_it_stood_still_is_not_made_up_for(paths: Paths) -> None:
    """After an hour in which somebody typed there is no burst."""
    async with at_a_desk(paths, limits=Limits(cpu_s=1e9, running_s=1e9)) as desk:
        desk.machine.next = lambda machine: Work(machine, needs_s=1e9)
        work = await desk.begun()
        for _ in range(9):
            desk.learning.typed()
            await desk.let_pass(59.0)
        await desk.let_pass(2.0)
        before = work.cpu_s
        await desk.let_pass(100.0)
        assert work.cpu_s - before <= 25.0 + 2 * SLICE_S


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (
            {"needs_s": 1e9, "resident": 2 << 30},
            "training was ended: it took 2,048 MB of memory, where 1,900 are the most",
        ),
        ({"needs_s": 1e9}, "training was ended: it found no end by itself"),
        ({"needs_s": 1e9, "threads": 0}, "training was ended: it found no end by itself"),
        ({"code": 1}, "training ended with code 1; see "),
        ({"code": -9, "says": ()}, "training ended by signal 9; see "),
    ],
)
@pytest.mark.parametrize("is_deaf", [False, True])
async def test_who_goes_too_far_is_ended_and_waits(
    paths: Paths, work: dict[str, Any], sentence: str, is_deaf: bool
) -> None:
    """Too much memory, too much work, a child that hangs, one that fails: an hour, then two."""
    limits = Limits(cpu_s=600.0, running_s=1800.0)
    async with at_a_desk(paths, limits=limits) as desk:
        desk.machine.next = lambda machine: Work(machine, is_deaf=is_deaf, **work)
        await desk.begun()
        await desk.let_pass(HOUR_S - 60.0)
        facts = desk.learning.facts()
        assert desk.machine.started[0].ended
        assert (facts.state, facts.failures) == ("resting", 1)
        assert facts.last.how == "died"
        assert facts.detail.startswith(sentence)
        assert facts.waiting_characters == ENOUGH
        await desk.let_pass(HOUR_S)
        assert len(desk.machine.started) == 2
        await desk.let_pass(HOUR_S)
        assert len(desk.machine.started) == 2


@pytest.mark.asyncio
async def test_a_child_that_cannot_be_had_is_a_failure(paths: Paths) -> None:
    """The program is gone; the daemon goes on."""

    def refuse(machine: Simulated) -> Work:
        raise ChildError("python: it cannot be started (no such file or directory)")

    async with at_a_desk(paths) as desk:
        desk.machine.next = refuse
        desk.learning.saved("", ENOUGH)
        await desk.let_pass(1.0)
        facts = desk.learning.facts()
        assert (facts.state, facts.failures) == ("resting", 1)
        assert "it cannot be started" in facts.detail


@pytest.mark.asyncio
async def test_what_cannot_be_written_down_is_not_begun(paths: Paths, tmp_path: Path) -> None:
    """Else a training that kills the daemon would kill the next one too, and the next."""
    (tmp_path / "data").write_text("a file in the way")
    async with at_a_desk(paths) as desk:
        desk.learning.saved("", ENOUGH)
        await desk.let_pass(HOUR_S)
        assert (desk.machine.started, desk.state) == ([], "resting")
        (tmp_path / "data").unlink()
        desk.learning.saved("", 1)
        await desk.let_pass(SAVE_S)  # before the next attempt
        assert json.loads((paths.data / "learning.json").read_bytes())["is_training"] is False
        await desk.let_pass(RETRY_S)
        assert len(desk.machine.started) == 1


# -- what is told ------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("says", "code", "how", "sentence"),
    [
        ([BETTER], 0, "better", "the new model is better"),
        ([NO_BETTER], 0, "no-better", "the new model is no better"),
        ([NOTHING], 0, "no-better", "there was nothing new to learn"),
        ([FIRST], 0, "better", "you-1 is in use"),
        ([NO_BETTER, BETTER], 0, "better", "the new model is better"),
        ([BETTER, {"event": "noticed", "message": "one more"}], 0, "better", None),
        ([{"event": 7}, {"share": "x"}, {"share": 1e9}, BETTER], 0, "better", None),
        ([], 0, "died", "training ended and did not say what came of it"),
        ([{**BETTER, "id": 7}], 0, "died", None),
        ([{**BETTER, "verdict": {"accepted": "yes", "sentence": ""}}], 0, "died", None),
        ([{**BETTER, "verdict": {**VERDICT, "sentence": "x" * 2000}}], 0, "died", None),
        ([{**BETTER, "verdict": {**VERDICT, "after": {"ksr": "x"}}}], 0, "died", None),
        ([BETTER], 1, "died", None),
        ([], 75, "died", "training gave way, as there was no room beside others"),
    ],
)
async def test_what_came_of_it_is_heard(
    paths: Paths, says: Sequence[dict[str, Any]], code: int, how: str, sentence: str | None
) -> None:
    """The last that was judged counts, if the child came to its end; nonsense is passed over."""
    async with at_a_desk(paths) as desk:
        desk.machine.next = lambda machine: Work(machine, says=says, code=code)
        await desk.begun()
        await desk.let_pass(300.0)
        last = desk.learning.facts().last
        assert last
        assert how == last.how
        assert sentence in (None, last.sentence)
        stored = json.loads((paths.data / "learning.json").read_bytes())["last"]
        assert {name: stored[name] for name in stored} == msgspec.to_builtins(last)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("what", "roots", "when", "waiting"),
    [
        ("learned", [FOLDER], "2099-01-01T00:00:00Z", ENOUGH - 1),  # a clock that was set back
        ("learned", [FOLDER], "2020-01-01T00:00:00Z", ENOUGH - 1),  # before it was saved
        ("learned", [FOLDER], None, 0),
        ("updated", ["/tmp", FOLDER.parent], None, 0),
        ("rebuilt", [FOLDER], None, 0),
        ("learned", [FOLDER / "inner"], None, ENOUGH - 1),
        ("updated", ["/somewhere/else"], None, ENOUGH - 1),
        ("rejected", [FOLDER], None, ENOUGH - 1),
        ("used", [FOLDER], None, ENOUGH - 1),
    ],
)
async def test_what_was_learned_by_hand_waits_no_more(
    paths: Paths, what: ledger.What, roots: list[Path | str], when: str | None, waiting: int
) -> None:
    """If all that is watched took part; a model that is not in use has learned nothing."""
    async with at_a_desk(paths) as desk:
        desk.learning.saved("", ENOUGH - 1)
        await desk.let_pass(60.0)
        registry = Registry(paths)
        ids = [registry.root(str(root)).id for root in roots]
        registry.save()
        now = datetime.fromtimestamp(desk.machine.wall() - 5.0, timezone.utc).isoformat()
        settings = {"roots": ids}
        entry = ledger.Entry(what=what, when=when or now, model="you-1", settings=settings)
        ledger.add(paths, entry)
        desk.learning.adjust(WATCHED, is_paused=False)
        await desk.let_pass(1.0)
        assert desk.learning.facts().waiting_characters == waiting
        desk.learning.saved("", 7)
        desk.learning.adjust(WATCHED, is_paused=False)
        await desk.let_pass(1.0)
        assert desk.learning.facts().waiting_characters == waiting + 7
    assert json.loads((paths.data / "learning.json").read_bytes())["waiting"] == waiting + 7


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("what", "root", "ago_s", "waiting"),
    [
        ("learned", ".", 0.0, 0),
        ("updated", "notes", 0.0, 0),
        ("learned", "notes/one.md", 0.0, 0),
        ("learned", "notes", 3600.0, ENOUGH - 1),  # and written on since
        ("learned", "letters", 0.0, ENOUGH - 1),
        ("rejected", "notes", 0.0, ENOUGH - 1),
    ],
)
async def test_a_folder_that_was_learned_does_not_wait_when_it_is_watched(
    paths: Paths, tmp_path: Path, what: ledger.What, root: str, ago_s: float, waiting: int
) -> None:
    """Though all of its files are news to the memory; what is in another folder waits."""
    files = [tmp_path / folder / "one.md" for folder in ("notes", "other")]
    for file in files:
        file.parent.mkdir()
        file.touch()
    registry = Registry(paths)
    ids = [registry.root(str(tmp_path / root)).id]
    registry.save()
    async with at_a_desk(paths, settings=replace(WATCHED, watch=())) as desk:
        desk.machine.ahead_s = files[0].stat().st_ctime  # a clock by which it is not long ago
        when = datetime.fromtimestamp(desk.machine.ahead_s + 1.0 - ago_s, timezone.utc)
        entry = ledger.Entry(
            what=what, when=when.isoformat(), model="you-1", settings={"roots": ids}
        )
        ledger.add(paths, entry)
        both = replace(WATCHED, watch=tuple(file.parent for file in files))
        desk.learning.adjust(both, is_paused=False)
        desk.learning.saved(str(files[0]), ENOUGH - 1)  # before the ledger can have been read
        await desk.let_pass(1.0)
        assert desk.learning.facts().waiting_characters == waiting
        desk.learning.saved(str(files[0]), 5)
        desk.learning.saved(str(files[1]), 7)
        also = 0 if waiting == 0 else 5
        other = 0 if root == "." else 7
        assert desk.learning.facts().waiting_characters == waiting + also + other


@pytest.mark.asyncio
async def test_what_had_no_room_waits_on(paths: Paths) -> None:
    """And is learned by the next training."""
    async with at_a_desk(paths) as desk:
        desk.machine.next = lambda machine: Work(machine, says=[{**BETTER, "n_left": 5000}])
        desk.learning.saved("", 100_000)
        await desk.let_pass(300.0)
        assert desk.learning.facts().waiting_characters == 5000


@pytest.mark.asyncio
async def test_every_change_is_told_once(paths: Paths) -> None:
    """A share is told by the hundredth, a halt with its reason, the end with its sentence."""
    async with at_a_desk(paths) as desk:
        desk.machine.reading = replace(FINE, pressure=50.0)
        desk.learning.saved("", ENOUGH)
        await desk.let_pass(10.0)
        desk.machine.reading = FINE
        await desk.let_pass(30.0)
        desk.learning.typed()
        await desk.let_pass(300.0)
        phases = [one.phase for one in desk.told]
        first_halt = phases.index("halted")
        assert phases == [
            *("waiting", *["training"] * (first_halt - 1), "halted"),
            *(*["training"] * (len(phases) - first_halt - 2), "ended"),
        ]
        shares = [one.share for one in desk.told]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)
        assert all(one != other for one, other in pairwise(desk.told))
        assert desk.told[-1].detail == VERDICT["sentence"]


# -- a week ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_week_passes(paths: Paths) -> None:
    """10,000 saves by day, keys between them, no work at night: what is kept does not grow."""
    async with at_a_desk(paths) as desk:
        chance, n_tasks = random.Random(3), []
        desk.machine.next = lambda machine: Work(
            machine, needs_s=10.0, says=[chance.choice([BETTER, BETTER, NO_BETTER])]
        )
        for _ in range(7):
            for n in range(1430):
                desk.learning.saved("", chance.randrange(1000))
                if n % 7:
                    desk.learning.typed()
                await desk.let_pass(chance.choice([1.0, 5.0, 20.0, 100.0]))
            await desk.let_pass(DAY_S / 2)
            n_tasks.append(len(asyncio.all_tasks()))
        assert 30 <= len(desk.machine.started) <= 168
        assert desk.learning.facts().waiting_characters < ENOUGH
        assert max(n_tasks) <= 4
        assert (paths.data / "learning.json").stat().st_size < 2000
        assert sorted(path.name for path in paths.data.iterdir()) == ["learning.json"]


# -- where a child looks -----------------------------------------------------------------------


def test_a_child_is_told_of_the_same_folders(tmp_path: Path) -> None:
    """Whatever the daemon's own environment says; the rest of that is kept."""
    ours = Paths.from_environment(
        {"AFTERWORD_HOME": str(tmp_path), "AFTERWORD_BASE": str(tmp_path / "base")}
    )
    for environ in ({}, {"AFTERWORD_HOME": "/elsewhere"}, {"XDG_RUNTIME_DIR": "/run/user/7"}):
        found = trainee.environment(ours, {"PYTHONPATH": "/somewhere", **environ})
        assert Paths.from_environment(found) == ours
        assert found["PYTHONPATH"] == "/somewhere"
    usual = Paths.from_environment({})
    assert "AFTERWORD_HOME" not in trainee.environment(usual, {})


def test_a_child_that_would_look_elsewhere_is_not_started(paths: Paths, tmp_path: Path) -> None:
    """It could teach another person's model."""
    with pytest.raises(ChildError, match="a child would look elsewhere"):
        trainee.environment(replace(paths, cache=tmp_path / "not" / "the" / "usual"), {})


def test_giving_way_is_one_number_at_both_ends() -> None:
    """The daemon may not import the room that ends with it."""
    assert background.LEFT == trainee.GAVE_WAY


# -- on this machine ---------------------------------------------------------------------------


class Idle(ThisMachine):
    """This machine, as if nothing else went on: the tests beside this one do."""

    def __init__(self) -> None:
        self.started: list[Child] = []

    async def read(self, folder: Path, own_load: float) -> Gauges:
        return FINE

    def start(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Child:
        self.started.append(Child(command, log=log, environment=environment))
        return self.started[-1]


def stands_still(pid: int) -> bool:
    """Whether the kernel has it so."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def script(*lines: str) -> tuple[str, ...]:
    """A child that runs these lines; the folders that follow are its arguments."""
    say = "def say(**what): print(json.dumps(what), flush=True)"
    return (sys.executable, "-c", "\n".join(["import json, os, sys, time", say, *lines]))


@dataclass
class Real:
    """A daemon's learning on this machine."""

    machine: Idle
    learning: Learning
    told: list[Progress]


@asynccontextmanager
async def really(paths: Paths, *lines: str) -> AsyncIterator[Real]:
    """Learning with a process of its own that runs these lines."""
    machine, told = Idle(), []
    one = Learning(paths, WATCHED, machine=machine, command=script(*lines), tell=told.append)
    running = asyncio.ensure_future(one.run())
    try:
        yield Real(machine, one, told)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Let others work until it is so."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_a_process_is_heard_to_its_end(paths: Paths) -> None:
    """What it says, among other things, and the folders that it was given."""
    async with really(
        paths,
        "print('Welcome to a library that prints')",
        "say(event='stepped', share=0.5)",
        "say(event='updated', id='you-1', verdict=dict(accepted=True, sentence=sys.argv[-1]))",
    ) as real:
        real.learning.saved("", ENOUGH)
        await until(lambda: real.learning.facts().last is not None)
        assert real.learning.facts().last.sentence == str(FOLDER)
        assert real.told[-1] == Progress(phase="ended", share=1.0, detail=str(FOLDER))


@pytest.mark.asyncio
async def test_a_process_stands_still_at_a_key(paths: Paths) -> None:
    """And is gone when the daemon ends."""
    async with really(paths, "while True: pass") as real:
        real.learning.saved("", ENOUGH)
        await until(lambda: bool(real.machine.started))
        real.learning.typed()
        pid = real.machine.started[0].pid
        await until(lambda: stands_still(pid))
        await until(lambda: real.learning.facts().state == "halted")
    assert eventually(lambda: not lives(pid))


# Beside other work, one that gives way to everything could take minutes for what takes seconds.
HURRIED = [part for part in trainee.UPDATE if part != "--background"]


@pytest.fixture
def noted(base: Path, tmp_path: Path) -> Paths:
    """A home with a tiny model that has learned nothing yet, beside some notes."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(6):
        lines = [f"On day {number} we counted {n * n} boats.\n" for n in range(60)]
        (notes / f"{number}.md").write_text("".join(lines))
    return Paths.from_environment(
        {"AFTERWORD_HOME": str(tmp_path / "home"), "AFTERWORD_BASE": str(base)}
    )


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_real_trainer_is_understood(noted: Paths, tmp_path: Path) -> None:
    """It updates the model in use, says how far it is, and what came of it."""
    settings = Settings(
        watch=(tmp_path / "notes",), learning=LearningSettings(max_cpu_percent=100.0)
    )
    told: list[Progress] = []
    one = Learning(noted, settings, machine=Idle(), tell=told.append, command=HURRIED)
    running = asyncio.ensure_future(one.run())
    one.saved("", ENOUGH)
    await until(lambda: one.facts().last is not None, within_s=100.0)
    running.cancel()
    last = one.facts().last
    assert last
    assert last.how in ("better", "no-better")
    assert "bits per character" in last.sentence
    assert last.before.keys() >= {"ksr", "bits_per_character"} <= last.after.keys()
    assert last.model == ("you-1" if last.how == "better" else "")
    assert any(said.share > 0.0 for said in told if said.phase == "training")
    assert [entry.what for entry in ledger.read(noted).entries][-1] == (
        "updated" if last.how == "better" else "rejected"
    )


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_real_trainer_is_gone_when_learning_is_paused(
    noted: Paths, tmp_path: Path
) -> None:
    """Wherever it is in its work; the model in use stays as it is."""
    settings = Settings(
        watch=(tmp_path / "notes",), learning=LearningSettings(max_cpu_percent=100.0)
    )
    machine = Idle()
    one = Learning(noted, settings, machine=machine, command=HURRIED)
    running = asyncio.ensure_future(one.run())
    one.saved("", ENOUGH)
    await until(lambda: bool(machine.started))
    pid = machine.started[0].pid
    await until(lambda: psutil.Process(pid).cpu_times().user > 1.0, within_s=100.0)
    one.adjust(settings, is_paused=True)
    await until(lambda: not lives(pid), within_s=GRACE_S + 1.0)
    await until(lambda: one.facts().share is None)
    assert (one.facts().state, one.facts().failures) == ("paused", 0)
    running.cancel()
    assert not ledger.read(noted).entries


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_process_takes_its_share_of_a_core(paths: Paths) -> None:
    """Two processes that want two cores get a quarter of one, measured by the kernel."""
    async with really(paths, "os.fork()", "while True: pass") as real:
        real.learning.saved("", ENOUGH)
        await until(lambda: bool(real.machine.started))
        begun = time.monotonic()
        await asyncio.sleep(20.0)
        usage = await real.machine.started[0].measure()
        share = usage.cpu_s / (time.monotonic() - begun) if usage else 0.0
    # Of the last slice a second of both may not be paid yet.
    assert 0.15 < share < 0.25 + 1.0 / 20.0


DAEMON = """
import asyncio, sys
from test_learning import *
async def main():
    paths = Paths.from_environment({"AFTERWORD_HOME": sys.argv[1]})
    async with really(paths, "while True: pass") as real:
        real.learning.saved("", ENOUGH)
        await until(lambda: bool(real.machine.started))
        if sys.argv[2] == "halted":
            real.learning.typed()
        print(real.machine.started[0].pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["resting between slices", "halted"])
def test_a_daemon_that_is_killed_leaves_no_child(tmp_path: Path, state: str) -> None:
    """One that never looks at its input, and stands still nearly all the time."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path), state],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=trainee.environment(Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)}))
        | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    try:
        assert daemon.stdout
        pid = int(daemon.stdout.readline())
        assert eventually(lambda: stands_still(pid))
        daemon.kill()
        daemon.wait()
        assert eventually(lambda: not lives(pid), within_s=2.0)
    finally:
        daemon.kill()
        daemon.communicate()
