"""A week of saving and training in half an hour: what disk and memory are at the end of each day.

    .venv/bin/python benchmarks/week.py [--saves 10000] [--trainings 50]

What the daemon does with files runs as it is: the reader's process, the memory kept in step with
it, the library, the backlog, when to train and the care of the child; and so does the child, of a
tiny base that is made first. Only the clock of the event loop is set forward. Some 300 files are
saved over and over; now and then one is deleted, and another is new. Targets: what lies on disk and
in memory after the last day is no more than a quarter above what it was in the middle of the week;
the ledger, which only grows, stands apart.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from afterword_trainer.paths import Paths
from soak import EXAMPLES, make_base
from stopwatch import finish, say

LETTERS = EXAMPLES / "1915-dear-enemy"
DAYS = 7
FILES = 300
LINES = 12  # of a letter, in a file
MOST_TIMES = 1.25  # at the end, of what there was in the middle of the week


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--saves", type=int, default=10_000, help="in the week (10000)")
    parser.add_argument("--trainings", type=int, default=50, help="in the week (50)")
    parser.add_argument("--base-symbols", type=int, default=300_000, help="to make the base of")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--units", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="afterword-benchmark-") as scratch:
        loop = Hastened()
        asyncio.set_event_loop(loop)
        try:
            found = loop.run_until_complete(Week(Path(scratch), loop, options).pass_by())
        finally:
            loop.close()
    finish("week", found)


class Hastened(asyncio.SelectorEventLoop):
    """A loop whose clock can be set forward; what is due by then happens."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class Week:
    """A home, a folder of notes, and what of the daemon deals with files."""

    def __init__(self, scratch: Path, loop: Hastened, options: argparse.Namespace) -> None:
        from afterword_daemon import config
        from afterword_daemon.keeping import Keeping
        from afterword_daemon.learning import Learning
        from afterword_daemon.library import Library
        from afterword_trainer.model.memory import Memory
        from afterword_trainer.model.mixing import Mixer
        from afterword_trainer.remembering import Remembered

        self.loop, self.options = loop, options
        # The child looks for the same home by its environment.
        os.environ["AFTERWORD_HOME"] = str(scratch / "home")
        os.environ["AFTERWORD_BASE"] = str(scratch / "base")
        self.paths = Paths.from_environment()
        alphabet = make_base(scratch, self.paths.base, options).alphabet
        self.notes = scratch / "notes"
        self.notes.mkdir()
        self.draw = random.Random(0)
        files = sorted(LETTERS.iterdir())
        self.lines = "".join(file.read_text("utf-8") for file in files).splitlines(keepends=True)
        self.began = time.time()
        self.memory = Memory(alphabet)
        self.library = Library(Remembered(memory=self.memory, mixer=Mixer.default()), alphabet)
        self.last: Any = None  # what came of the last training
        self.n_better = 0  # models that took over
        self.texts: dict[str, int] = {}  # characters in each file, as it was saved last
        self.settings = config.Settings(
            watch=(self.notes,), learning=config.Learning(quiet_s=0.1, max_cpu_percent=100.0)
        )
        self.learning = Learning(
            self.paths,
            self.settings,
            machine=machine(loop, self.began),
        )
        self.keeping = Keeping(
            self.paths,
            lambda: self.library,
            has_work=lambda: None,
            saved=self.learning.saved,
        )

    async def pass_by(self) -> dict[str, Any]:
        """Every day of it."""
        self.keeping.look_for_forgotten()
        self.keeping.watch(self.settings, is_paused=False)
        self.at_work = asyncio.ensure_future(self.learning.run())
        days = []
        n_saves = n_trainings = 0
        for day in range(1, DAYS + 1):
            last = self.options.trainings * day // DAYS
            while n_trainings < last:
                n_trainings += 1
                until = self.options.saves * n_trainings // self.options.trainings
                for number in range(n_saves, until):
                    self.save(number)
                    if number % 50 == 0:
                        await self.learned()
                n_saves = until
                await self.learned()
                await self.trained(DAYS * 24 * 3600.0 / self.options.trainings)
            await self.stored()
            trained = {"trainings": n_trainings, "better": self.n_better}
            days.append({"day": day, "saves": n_saves, **trained, **self.figures()})
            say("  ".join(f"{name} {value}" for name, value in days[-1].items()))
        self.at_work.cancel()
        await asyncio.gather(self.at_work, return_exceptions=True)
        await self.keeping.close()
        middle, end = days[DAYS // 2], days[-1]
        bounded = {
            name: round(end[name] / middle[name], 3)
            for name in ("disk_kb", "daemon_mb", "reader_mb")
        }
        say(f"after the last day, times what it was in the middle: {bounded} (target {MOST_TIMES})")
        if max(bounded.values()) > MOST_TIMES:
            say("not bounded")
        return {"days": days, "times_the_middle": bounded, "target": MOST_TIMES}

    def save(self, number: int) -> None:
        """Save a file as an editor does; every twentieth time another one is deleted."""
        if number % 20 == 0 and self.texts:
            gone = self.draw.choice([*self.texts])
            Path(gone).unlink()
            del self.texts[gone]
        path = self.notes / f"{self.draw.randrange(FILES)}.md"
        begin = self.draw.randrange(len(self.lines) - LINES)
        text = f"Saved as number {number}.\n" + "".join(self.lines[begin : begin + LINES])
        path.write_text(text)
        self.texts[str(path)] = len(text)

    async def learned(self) -> None:
        """Wait until the memory holds just what was saved."""
        from afterword_daemon.recollection import is_unsaved

        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            is_at_work = self.library.work()
            self.keeping.rested()
            held = {key for key in self.memory.documents() if not is_unsaved(key)}
            is_whole = held == {*self.texts} and len(self.memory) == sum(self.texts.values())
            if is_whole and not self.library.is_busy:
                return
            await asyncio.sleep(0 if is_at_work else 0.02)
        raise SystemExit("the memory does not hold what was saved")

    async def trained(self, seconds: float) -> None:
        """Let so much of the week go by, or more, until one training has come to its end."""
        give_up = time.monotonic() + 600
        is_due = False
        while not is_due or self.learning.facts().last == self.last or self.is_training():
            if time.monotonic() > give_up or self.at_work.done():
                raise SystemExit(f"nothing was trained: {self.learning.facts()} {self.at_work}")
            if not (is_due or self.is_training()):  # one may have begun while files were saved
                is_due = True
                self.loop.ahead_s += seconds
            elif not self.is_training():  # it rests after some that gained nothing
                self.loop.ahead_s += 600.0
            await asyncio.sleep(0.02)
        self.last = self.learning.facts().last
        assert self.last
        if self.last.how == "died":
            raise SystemExit(f"a training died: {self.last.sentence}")
        self.n_better += self.last.how == "better"

    def is_training(self) -> bool:
        return self.learning.facts().state in ("training", "halted")

    async def stored(self) -> None:
        """Wait until the memory on disk is the one in use."""
        give_up = time.monotonic() + 120
        while not self.library.is_stored and time.monotonic() < give_up:
            self.loop.ahead_s += 60
            await asyncio.sleep(0.05)

    def figures(self) -> dict[str, Any]:
        import psutil
        from afterword_trainer import ledger

        sizes = {path: path.stat().st_size for path in files_below(self.paths.data.parent)}
        ledger_kb = sizes.pop(self.paths.data / ledger.NAME, 0) / 1000
        me = psutil.Process()
        readers = [
            child for child in me.children() if "afterword_daemon.watching" in child.cmdline()
        ]
        return {
            "disk_kb": round(sum(sizes.values()) / 1000),
            "ledger_kb": round(ledger_kb),
            "files": len(sizes),
            "models": len([*self.paths.models.glob("you-*")]),
            "daemon_mb": round(me.memory_info().rss / 1e6, 1),
            "reader_mb": round(sum(one.memory_info().rss for one in readers) / 1e6, 1),
        }


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def machine(loop: Hastened, began: float) -> Any:
    """One that has nothing better to do, and goes by the clock of the loop."""
    from afterword_daemon.conditions import Gauges
    from afterword_daemon.machine import ThisMachine

    class Idle(ThisMachine):
        def monotonic(self) -> float:
            return loop.time()

        def wall(self) -> float:
            return began + loop.time()

        async def read(self, folder: Path, own_load: float) -> Gauges:
            return Gauges(
                on_battery=None,
                is_saving=False,
                pressure=0.0,
                load=0.0,
                memory_free=8 << 30,
                disk_free=100 << 30,
            )

    return Idle()


if __name__ == "__main__":
    main()
