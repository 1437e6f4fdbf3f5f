"""When the daemon trains, and the care of the child that does it.

It counts what is new, and when that is enough and the machine has nothing better to do, a child
process trains (`python -m afterword_trainer.cli update`): never while somebody types, on battery or
on a busy machine, and slowly enough that no fan starts. Whatever comes between, the child stands
still at once. What comes of it, better or no better, it has said and put to use itself; the daemon
sees the pointer move. While nothing is due there is no timer.

What somebody has trained by hand does not wait, whether it was told before that or after.

Knows amounts and times; knows no text, no model and no connection, and what a child says only as
`trainee` understands it.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from afterword_trainer import ledger
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry

from afterword_daemon import conditions, discreet, protocol, trainee
from afterword_daemon.backlog import HOUR_S, Backlog, Result
from afterword_daemon.child import ChildError, Usage
from afterword_daemon.conditions import Facts, Gauges, History, Reason, obstacle
from afterword_daemon.config import Settings
from afterword_daemon.machine import GRACE_S, HURRY_S, Machine, ThisMachine, Worker
from afterword_daemon.trainee import Said

logger = logging.getLogger(__name__)

NAME: Final = "learning.json"

LEAST_S: Final = 0.01  # of sleep; what is left of a shorter one is an error of rounding
SLICE_S: Final = 0.5  # of work, then it is measured and rests; so short that nothing gets warm
LOOK_S: Final = 5.0  # between two looks at battery and load while it works
PATIENCE_S: Final = 600.0  # to stand still; then the memory it holds is worth more than its minutes
SAVE_S: Final = 300.0  # until what was counted is written down; a crash loses no more than that


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one training may cost; a child that goes beyond is killed."""

    memory: int = trainee.MOST_MEMORY
    memory_to_begin: int = 1_600 << 20  # what it needs, and some for everybody else
    memory_to_go_on: int = 250 << 20  # below, programs that somebody uses are swapped out
    disk: int = 1 << 30  # prepared text, checkpoint and model, and room for others
    # At a quarter of a core two hours. 224,000 characters, the gate included, took more than 600 s
    # beside fifteen other processes.
    cpu_s: float = 1800.0
    running_s: float = 3600.0  # not standing still: it hangs if it uses no processor so long


Phase = Literal["waiting", "training", "halted", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is; told whenever one of these changes, the share by a hundredth."""

    phase: Phase
    share: float = 0.0  # of the training, 0 to 1
    detail: str = ""  # a sentence for people: what it waits for, or what came of it


class Learning:
    """What is new, when it is due, and the one child that learns it."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        is_paused: bool = False,
        tell: Callable[[Progress], None] = lambda _: None,
        command: Sequence[str] = trainee.UPDATE,
        limits: Limits = Limits(),
        machine: Machine | None = None,
    ) -> None:
        """`tell` hears every change, in the event loop; folders are added to the `command`."""
        self._paths = paths
        self._settings = settings
        self._is_paused = is_paused
        self._tell = tell
        self._command = tuple(command)
        self._limits = limits
        self._machine: Machine = machine or ThisMachine()
        self._history = History(self._machine.monotonic(), self._machine.wall())
        self._gauges: Gauges | None = None
        self._read_at = -math.inf
        self._typed_at = -math.inf
        self._backlog = Backlog(paths.data / NAME, self._machine.wall())
        self._unsaved_at: float | None = None  # since when something is to be written down
        self._progress = Progress(phase="ended")
        self._worker: Worker | None = None
        self._given_up = ""  # why the child has to end
        self._is_held = False  # others are at work on models
        self._changed = asyncio.Event()
        self._is_new = True  # somebody may have trained since the ledger was looked at
        self._learned: _Learned | None = None  # None: not looked at for these folders yet
        self._told: list[tuple[str, int]] = []  # what was saved until then
        self._drop_unwatched()

    # -- what others tell ----------------------------------------------------------------------

    def saved(self, path: str, characters: int) -> None:
        """So much of a file was saved, or found; it waits unless it was learned by hand before."""
        if not self._settings.watch:
            return  # told late, of a folder that was removed
        if self._learned is None:
            self._told.append((path, characters))
            return
        if self._learned.holds(path, self._machine.wall()):
            return
        is_news = self._backlog.add(characters, self._machine.wall())
        if self._unsaved_at is None:
            self._unsaved_at = self._machine.monotonic()
            is_news = True
        if is_news:  # and not at each of thousands
            self._changed.set()

    def typed(self) -> None:
        """Somebody is at the keys: from here on the machine is theirs. To be called at every key,
        and costs nothing there.
        """
        self._typed_at = self._machine.monotonic()
        if self._worker and not self._worker.stands_still:
            self._worker.stop()
            self._changed.set()

    def adjust(self, settings: Settings, *, is_paused: bool) -> None:
        """Take up what was set. Paused, or off, or with other folders, the child ends at once."""
        if [*trainee.arguments(settings)] != [*trainee.arguments(self._settings)]:
            self.give_up("what is watched has changed")
            self._learned = None  # so that all of a new folder does not count before that is known
        self._settings, self._is_paused = settings, is_paused
        self._drop_unwatched()
        self._is_new = True  # it is called when another model is in use, too
        if self._worker and (is_paused or not settings.learning.enable):
            self._worker.stop()
        self._changed.set()

    def _drop_unwatched(self) -> None:
        """Nothing waits of what is watched no more."""
        if self._settings.watch:
            return
        self._told = []
        if self._backlog.drop() and self._unsaved_at is None:
            self._unsaved_at = self._machine.monotonic()

    def give_up(self, why: str) -> None:
        """End what is under way, as it may be learning what it must not; it begins anew later."""
        if self._worker:
            self._given_up = why
            self._worker.stop()
            self._changed.set()

    def hold(self, is_held: bool) -> None:
        """Begin nothing as long as this is so; what is under way ends."""
        if is_held and not self._is_held:
            self.give_up("something is being forgotten")
        self._is_held = is_held
        self._changed.set()

    def facts(self) -> protocol.Learning:
        """For `status`."""
        backlog = self._backlog
        state, detail = self._now()
        last = backlog.last
        return protocol.Learning(
            state=state,
            detail=detail,
            share=self._progress.share if self._worker else None,
            waiting_characters=backlog.waiting,
            next=backlog.next if state == "resting" else None,
            failures=backlog.failures,
            last=protocol.Training(**msgspec.structs.asdict(last)) if last else None,
        )

    # -- its one task --------------------------------------------------------------------------

    async def run(self) -> None:
        """Learn for as long as the daemon lives; cancelled, it leaves no child behind."""
        try:
            while True:
                if self._is_new and self._settings.watch:
                    await self._look_back()
                    continue
                due_s = self._due_s()
                if due_s is None:
                    await self._sleep(None)
                elif due_s > 0:
                    # A timer stands still while the machine sleeps, and the hours do not.
                    await self._sleep(min(due_s, HOUR_S))
                elif reason := await self._obstacle(self._limits.memory_to_begin):
                    self._enter("waiting", reason.sentence)
                    await self._sleep(reason.again_s)
                else:
                    await self._train()
        finally:
            for _, characters in self._told:
                self._backlog.add(characters, self._machine.wall())
            is_news = self._backlog.interrupt() or self._unsaved_at is not None or self._told
            # Who removed the data folder wants it to stay so.
            if is_news and self._paths.data.is_dir():
                with suppress(StateError):  # then a minute's count is lost
                    self._stored()()

    async def _look_back(self) -> None:
        """Let go of what waited until somebody trained by hand, and count what was told since."""
        self._is_new = False
        found: list[_Learned] = []
        await self._machine.elsewhere(lambda: found.append(_last_learned(self._paths)))
        if self._is_new:
            return  # something has changed meanwhile: once more
        [self._learned] = found
        when = self._learned.when_all(self._settings.watch)
        if self._backlog.learned(when, self._machine.wall()) and self._unsaved_at is None:
            self._unsaved_at = self._machine.monotonic()
        told, self._told = self._told, []
        for path, characters in told:
            self.saved(path, characters)

    def _due_s(self) -> float | None:
        """Seconds until there may be something to do; None: not before somebody tells."""
        if self._is_paused or self._is_held:
            return None
        if not self._settings.learning.enable or not self._settings.watch:
            return None
        return self._backlog.due_s(self._machine.wall())

    async def _obstacle(self, memory_needed: int) -> Reason | None:
        """What is in the way now. The machine is asked when that can make a difference."""
        machine, now = self._machine, self._machine.monotonic()
        self._history.tick(now, machine.wall())
        if now - self._typed_at >= conditions.AWAY_S and now - self._read_at >= LOOK_S:
            own_load = self._rate if self._worker else 0.0
            self._gauges = await machine.read(self._paths.data, own_load)
            self._read_at = now = machine.monotonic()
            self._history.see(self._gauges, now)
        facts = Facts(
            is_enabled=self._settings.learning.enable,
            is_paused=self._is_paused,
            may_use_battery=self._settings.learning.on_battery,
            mains_s=self._history.mains_s(now),
            gauges=self._gauges,
            memory_needed=memory_needed,
            disk_needed=self._limits.disk,
            awake_s=self._history.awake_s(now),
            quiet_s=now - self._typed_at,
        )
        return obstacle(facts)

    async def _sleep(self, seconds: float | None) -> None:
        """Until then, or until something is told; None: as long as it takes."""
        if self._unsaved_at is not None:
            save_s = self._unsaved_at + SAVE_S - self._machine.monotonic()
            if save_s <= 0:
                await self._save()
                save_s = math.inf
            seconds = min(save_s, math.inf if seconds is None else seconds)
        if seconds is None or seconds == math.inf:
            await self._changed.wait()
        else:
            either = [
                asyncio.ensure_future(self._changed.wait()),
                asyncio.ensure_future(self._machine.sleep(max(seconds, LEAST_S))),
            ]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in either:
                    one.cancel()
        self._changed.clear()

    # -- one training --------------------------------------------------------------------------

    @property
    def _rate(self) -> float:
        """Seconds of processor that it may use in a second."""
        return self._settings.learning.max_cpu_percent / 100

    async def _train(self) -> None:
        """From the start of a child to its end."""
        backlog, machine = self._backlog, self._machine
        n_known, said = backlog.waiting, Said()
        backlog.begin(machine.wall())
        if not await self._save():
            backlog.interrupt()
            self._enter("waiting", "waits until its own files can be written; see: afterword logs")
            return
        try:
            self._worker = worker = machine.start(
                [*self._command, *trainee.arguments(self._settings)],
                log=self._paths.logs / trainee.ERRORS,
                environment=trainee.environment(self._paths),
            )
        except (ChildError, StateError) as error:
            end = Result(how="died", sentence=str(error))
        else:
            self._given_up = ""
            self._enter("training", "")
            try:
                end = await self._attend(worker, said)
            finally:
                await worker.end(HURRY_S)
                worker.close()
                self._worker = None
        logger.info("training ended: %s", end.how)
        backlog.conclude(end, n_known - said.n_left, machine.wall())
        self._note(Progress(phase="ended", share=1.0, detail=end.sentence))
        await self._save()

    async def _attend(self, worker: Worker, said: Said) -> Result:
        """Let the child work in slices, as much as it may, until it has ended."""
        machine, limits = self._machine, self._limits
        cpu_s = running_s = 0.0
        paid_at = -math.inf  # when what it has used is no more than it may use
        halted_at: float | None = None
        while worker.exit_code() is None:
            # 1) may it go on?
            reason = await self._obstacle(limits.memory_to_go_on)
            now = machine.monotonic()
            if self._given_up:
                reason = Reason(sentence=self._given_up, again_s=0.0, ends=True)
            if reason:
                worker.stop()
                self._enter("halted", reason.sentence)
                halted_at = now if halted_at is None else halted_at
                left_s = halted_at + PATIENCE_S - now
                if reason.ends or left_s <= 0:
                    await worker.end(GRACE_S)
                    return Result(how="put-off", sentence=reason.sentence)
                await self._sleep(min(reason.again_s, left_s))
                continue
            halted_at = None
            self._enter("training", "")
            if now < paid_at:
                await self._sleep(paid_at - now)
                continue

            # 2) a slice of work, and what it cost
            worker.go_on()
            await self._sleep(SLICE_S)
            worker.stop()
            running_s += machine.monotonic() - now
            try:
                usage = await worker.measure()
            except ChildError as error:
                return Result(how="died", sentence=str(error))
            if usage:
                # What it did not use is not saved up for later: there is no burst.
                paid_at = now + max(0.0, usage.cpu_s - cpu_s) / self._rate
                cpu_s = max(cpu_s, usage.cpu_s)

            # 3) what it says, and whether it has gone too far
            said.take(worker.records())
            self._enter("training", "", said.share)
            if excess := _excess(limits, usage, cpu_s, running_s):
                return Result(how="died", sentence=f"training was ended: {excess}")
        while records := worker.records():
            said.take(records)
        return trainee.result_of(worker.exit_code(), said, self._paths)

    # -- what is told and written --------------------------------------------------------------

    def _now(self) -> tuple[str, str]:
        """State and sentence, as `status` has them."""
        settings, backlog = self._settings, self._backlog
        if not settings.learning.enable:
            return "off", conditions.OFF
        if self._is_paused:
            return "paused", conditions.PAUSED
        if not settings.watch:
            return "off", "no folder is watched; to name one: afterword watch add FOLDER"
        if self._worker:
            return self._progress.phase, self._progress.detail
        due_s = self._due_s()
        if due_s is None:
            return "idle", ""
        if due_s > 0:
            return "resting", backlog.last.sentence if backlog.last and backlog.failures else ""
        return "waiting", self._progress.detail if self._progress.phase == "waiting" else ""

    def _enter(self, phase: Phase, detail: str, share: float | None = None) -> None:
        share = self._progress.share if share is None else share
        if phase == "waiting" or self._progress.phase in ("waiting", "ended"):
            share = 0.0
        self._note(Progress(phase=phase, share=round(share, 2), detail=detail))

    def _note(self, progress: Progress) -> None:
        if progress != self._progress:
            self._progress = progress
            self._tell(progress)

    async def _save(self) -> bool:
        """Write the state down; whether that was possible."""
        try:
            await self._machine.elsewhere(self._stored())
        except StateError as error:
            logger.error("what waits cannot be stored: %s", discreet.without_text(error))
            return False
        return True

    def _stored(self) -> Callable[[], None]:
        self._unsaved_at = None  # a full disk is asked once a minute, and not all the time
        return self._backlog.stored()


def _excess(limits: Limits, usage: Usage | None, cpu_s: float, running_s: float) -> str:
    """How a child has gone too far; "" if it has not."""
    if usage and usage.resident > limits.memory:
        return (
            f"it took {usage.resident >> 20:,} MB of memory, "
            f"where {limits.memory >> 20:,} are the most"
        )
    if cpu_s > limits.cpu_s or running_s > limits.running_s:
        return "it found no end by itself"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """The last training of which a model is in use."""

    when: float = 0.0  # Unix time; 0: there was none
    roots: frozenset[Path] = frozenset()  # folders and files that took part

    def when_all(self, folders: Sequence[Path]) -> float:
        """When it was, if all of these folders took part; else 0."""
        return self.when if all(map(self._covers, folders)) else 0.0

    def holds(self, path: str, now: float) -> bool:
        """Whether a file took part as it is: nobody wrote it, or put it there, since."""
        if not (self.when <= now and self._covers(Path(path))):
            return False
        try:
            # Not the time of its text, which a file that is moved brings with it.
            return Path(path).stat().st_ctime < self.when
        except OSError:
            return False

    def _covers(self, path: Path) -> bool:
        return not self.roots.isdisjoint({path, *path.parents})


def _last_learned(paths: Paths) -> _Learned:
    try:
        last = ledger.read(paths).last_learned
        if last is None:
            return _Learned()
        roots = Registry.load(paths).roots_of(last.roots)
        return _Learned(when=last.time, roots=frozenset(map(Path, roots)))
    except (StateError, TypeError, ValueError) as error:
        logger.error("what was learned cannot be told: %s", discreet.without_text(error))
        return _Learned()
