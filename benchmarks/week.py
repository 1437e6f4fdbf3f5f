"""A week of saving and training in some minutes: what disk and memory are at the end of each day.

    .venv/bin/python benchmarks/week.py [--saves 10000] [--trainings 50]

What the daemon does with files runs as it is: the reader's process, the memory kept in step with
it, the library, the backlog, when to train and the care of the child. Only the clock of the event
loop is set forward. The child that trains is a stand-in: it makes no better model, but one of
random weights, and leaves on disk what `trainer update` does, through shelf, registry and ledger;
every fifth time it says that nothing is better. Some 300 files are saved over and over; now and
then one is deleted, and another is new. Targets: what lies on disk and in memory after the last day
is no more than a quarter above what it was in the middle of the week; the ledger, which only
grows, stands apart.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afterword_trainer.paths import Paths
from stopwatch import finish, say

DAYS = 7
FILES = 300
LINES = 12  # of a file
MOST_TIMES = 1.25  # at the end, of what there was in the middle of the week
WORDS = ("the", "sea", "was", "calm", "and", "nobody", "had", "seen", "the", "boat", "leave")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--saves", type=int, default=10_000, help="in the week (10000)")
    parser.add_argument("--trainings", type=int, default=50, help="in the week (50)")
    if sys.argv[1:2] == ["--train"]:  # with what the daemon says behind it
        train(Path(sys.argv[-1]))
        return
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
        from afterword_trainer.model.alphabet import Alphabet
        from afterword_trainer.model.memory import Memory
        from afterword_trainer.model.mixing import Mixer
        from afterword_trainer.remembering import Remembered

        self.loop, self.options = loop, options
        # The child looks for the same home by its environment.
        os.environ["AFTERWORD_HOME"] = str(scratch / "home")
        self.paths = Paths.from_environment()
        self.notes = scratch / "notes"
        self.notes.mkdir()
        self.draw = random.Random(0)
        self.began = time.time()
        alphabet = Alphabet("é")
        self.memory = Memory(alphabet)
        self.library = Library(Remembered(memory=self.memory, mixer=Mixer.default()), alphabet)
        self.texts: dict[str, int] = {}  # characters in each file, as it was saved last
        self.settings = config.Settings(
            watch=(self.notes,), learning=config.Learning(quiet_s=0.1, max_cpu_percent=100.0)
        )
        self.learning = Learning(
            self.paths,
            self.settings,
            command=(sys.executable, __file__, "--train"),
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
        learning = asyncio.ensure_future(self.learning.run())
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
            days.append({"day": day, "saves": n_saves, "trainings": n_trainings, **self.figures()})
            say("  ".join(f"{name} {value}" for name, value in days[-1].items()))
        learning.cancel()
        await asyncio.gather(learning, return_exceptions=True)
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
        lines = (" ".join(self.draw.choices(WORDS, k=8)) for _ in range(LINES))
        text = f"Saved as number {number}.\n" + "".join(f"{line.capitalize()}.\n" for line in lines)
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
        """Let so much of the week go by, in which one training is due and comes to its end."""
        before = self.learning.facts().last
        self.loop.ahead_s += seconds
        give_up = time.monotonic() + 120
        while self.learning.facts().last == before or self.learning.facts().state == "training":
            if time.monotonic() > give_up:
                raise SystemExit(f"nothing was trained: {self.learning.facts()}")
            await asyncio.sleep(0.02)

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


# -- the child ---------------------------------------------------------------------------------


def train(folder: Path) -> None:
    """What a training leaves behind: a model in use, or a line that says why not."""
    from afterword_trainer import ledger
    from afterword_trainer.model.bundle import document
    from afterword_trainer.registry import Registry, salted
    from afterword_trainer.shelf import Shelf

    paths = Paths.from_environment()
    shelf, registry = Shelf(paths.models, paths.base), Registry.load(paths)
    registry.root(str(folder))
    rows = {str(path): registry.file(str(path)) for path in sorted(folder.iterdir())}
    digests = {path: os.urandom(16).hex() for path in rows}
    number = len(ledger.read(paths).entries) + 1
    is_better = number % 5 != 0
    sentence = "better" if is_better else "no better"
    id = None
    if is_better:
        documents = [document(digests[path], id=row.id) for path, row in rows.items()]
        id = shelf.publish(random_bundle(shelf.next_id(), documents))
        shelf.use(id)
        shelf.prune()
    registry.save()
    ledger.add(
        paths,
        ledger.Entry(
            what="updated" if is_better else "rejected",
            when=ledger.now(),
            model=id,
            settings={"roots": [registry.root(str(folder)).id]},
            documents=[(row.id, salted(row, digests[path])) for path, row in rows.items()],
            verdict=sentence,
        ),
    )
    verdict: Mapping[str, Any] = {"accepted": is_better, "sentence": sentence}
    print(json.dumps({"event": "updated", "id": id, "verdict": verdict, "n_left": 0}))


def random_bundle(id: str, documents: Sequence[dict[str, Any]]) -> Any:
    import numpy as np
    from afterword_trainer.model.alphabet import Alphabet
    from afterword_trainer.model.bundle import Bundle
    from afterword_trainer.model.spec import NetworkSpec

    alphabet = Alphabet("é")
    spec = NetworkSpec(n_symbols=alphabet.size, layers=1, units=24, embedding=16)
    draw = np.random.default_rng()
    return Bundle(
        id=id,
        created="2031-01-31T12:00:00Z",
        spec=spec,
        alphabet=alphabet,
        weights={
            name: draw.normal(0, 0.3, shape).astype(np.float32)
            for name, shape in spec.weight_shapes().items()
        },
        documents=documents,
    )


if __name__ == "__main__":
    main()
