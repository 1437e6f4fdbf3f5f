"""Watching many files: seconds until all are watched, memory, and a minute of saving.

    .venv/bin/python benchmarks/watching.py [--files 100000] [--saves 10000]

Runs the real reader, `python -m afterword_daemon.watching`, on a tree that is made for the
purpose, and is the daemon to it. Beside it stands what looking at the same tree costs anyhow: one
walk with a `stat` of each file. The first start knows nothing; it reads the newest files, as many
as a memory holds. The second finds all as it was. Then files are saved one after another for a
minute, and each has to be told, with the memory of the process as it was. In the end a few are
saved in a single folder of very many. Targets: 10 seconds and 200 MB; every save told; of one in
the large folder within a second after the quiet period.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import psutil
from afterword_daemon.protocol import MAX_TEXT, Frames
from afterword_daemon.watching.messages import (
    Folder,
    FromReader,
    Gone,
    Look,
    Saved,
    Settled,
    Stored,
    frame,
)
from afterword_trainer.paths import Paths
from stopwatch import figures, finish, say

MOST_SECONDS, MOST_MB = 10.0, 200.0
MOST_LATE_S = 1.0  # after the quiet period
FILES_IN_A_FOLDER = 20
QUIET_S = 2.0  # as the settings have it
WORDS = ("the", "sea", "was", "calm", "and", "nobody", "had", "seen", "the", "boat", "leave")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=100_000, help="twenty to a folder (100000)")
    parser.add_argument("--saves", type=int, default=10_000, help="evenly over the time (10000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of saving (60)")
    parser.add_argument(
        "--characters", type=int, default=4_000_000, help="what the memory holds (4000000)"
    )
    parser.add_argument("--large", type=int, default=50_000, help="files in one folder (50000)")
    parser.add_argument("--folder", type=Path, help="where to make the tree")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="afterword-benchmark-", dir=options.folder) as scratch:
        paths = Paths.from_environment({"AFTERWORD_HOME": f"{scratch}/home"})
        notes = Path(scratch, "notes")
        files = make_tree(notes, options.files)
        found: dict[str, Any] = {
            "files": len(files),
            "folders": len({file.parent for file in files}),
            "targets": {"seconds": MOST_SECONDS, "mb": MOST_MB, "late_s": MOST_LATE_S},
        }
        walk_s = seconds_of(lambda: walk(notes))
        for name in ("first_start", "second_start"):
            began = perf_counter()
            reader = Reader(paths)
            reader.look(notes, options.characters)
            ready_s = reader.wait(lambda it: it.folder is not None) - began
            told_s = reader.wait(lambda it: it.n_settled > 0) - began
            assert reader.folder
            if reader.folder.mode != "events" or reader.folder.files != len(files):
                raise SystemExit(f"not all is watched: {reader.folder}")
            found[name] = {
                "seconds_to_watched": round(ready_s, 2),
                "seconds_to_told": round(told_s, 2),
                "files_told": len(reader.told),
                "mb": round(reader.megabytes(), 1),
            }
            say(
                f"{name.replace('_', ' '):14}{ready_s:6.1f} s to watched, {told_s:.1f} s to told "
                f"{len(reader.told)} files, {reader.megabytes():.0f} MB "
                f"(targets {MOST_SECONDS:g} s, {MOST_MB:g} MB)"
            )
            reader.stored()
            if name == "first_start":
                reader.end()
        walk_s = min(walk_s, seconds_of(lambda: walk(notes)))
        found["walk_s"] = round(walk_s, 2)
        found["times_the_walk"] = round(found["second_start"]["seconds_to_watched"] / walk_s, 1)
        say(f"{'a walk':14}{walk_s:6.1f} s with a stat of each file")

        found["saving"] = save(reader, files, options.saves, options.seconds)
        reader.end()
        found["large_folder"] = save_in_large(Path(scratch), options.large)
    finish("watching", found)


def save(reader: "Reader", files: list[Path], n_saves: int, seconds: float) -> dict[str, Any]:
    """Save files evenly over the time, each with a text of its own, and hear of all of them."""
    draw = random.Random(1)
    before_mb, before_s = reader.megabytes(), reader.processor_s()
    reader.told.clear()
    chosen = draw.sample(files, n_saves)
    began = perf_counter()
    most_mb = before_mb
    for number, file in enumerate(chosen):
        while (early := began + number * seconds / n_saves - perf_counter()) > 0:
            sleep(early)
        file.write_text(f"Saved as number {number}.\n")
        if number % 100 == 0:
            most_mb = max(most_mb, reader.megabytes())
            reader.stored()
    saved_s = perf_counter() - began
    reader.wait(lambda it: len(it.told) == n_saves)
    late_s = perf_counter() - began - saved_s
    expected = {str(file): f"Saved as number {number}.\n" for number, file in enumerate(chosen)}
    if reader.told != expected:
        raise SystemExit("what was told is not what was saved")
    most_mb = max(most_mb, reader.megabytes())
    say(
        f"{n_saves} files saved in {saved_s:.0f} s, all told {late_s:.1f} s later; "
        f"{before_mb:.0f} MB before, at most {most_mb:.0f} MB; "
        f"{reader.processor_s() - before_s:.1f} s of processor"
    )
    return {
        "files": n_saves,
        "seconds": round(saved_s, 1),
        "all_told_after_s": round(late_s, 2),
        "mb_before": round(before_mb, 1),
        "mb_at_most": round(most_mb, 1),
        "processor_s": round(reader.processor_s() - before_s, 1),
    }


def save_in_large(scratch: Path, n_files: int) -> dict[str, Any]:
    """Save twenty files of one large folder, each by itself."""
    paths = Paths.from_environment({"AFTERWORD_HOME": f"{scratch}/other"})
    folder = scratch / "large"
    folder.mkdir()
    files = [folder / f"{number}.md" for number in range(n_files)]
    for number, file in enumerate(files):
        file.write_text(f"Note {number}.\n")
        os.utime(file, (1_600_000_000 + number,) * 2)
    reader = Reader(paths)
    reader.look(folder, MAX_TEXT)
    reader.wait(lambda it: it.n_settled > 0)
    reader.stored()
    late: list[float] = []
    cost: list[float] = []
    for number, file in enumerate(random.Random(2).sample(files, 20)):
        text = f"Saved as number {number}.\n"
        before_s, began = reader.processor_s(), perf_counter()
        file.write_text(text)
        told_s = reader.wait(lambda it, at=str(file), told=text: it.told.get(at) == told)
        late.append(told_s - began - QUIET_S)
        sleep(0.1)  # for what it does when all is told
        cost.append(reader.processor_s() - before_s)
    reader.end()
    found = {"files": n_files, "late_s": figures(late), "processor_s": figures(cost)}
    say(
        f"one folder of {n_files}: a save told {found['late_s']['median']:.2f} s after the quiet "
        f"period (target {MOST_LATE_S:g} s), {found['processor_s']['median']:.2f} s of processor"
    )
    return found


class Reader:
    """The real reader, and a daemon that takes in what it says in a thread."""

    def __init__(self, paths: Paths) -> None:
        places = [str(getattr(paths, field.name)) for field in fields(Paths)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "afterword_daemon.watching", *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.told: dict[str, str] = {}
        self.folder: Folder | None = None
        self.n_settled = 0
        self._number = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout
        frames = Frames[FromReader](FromReader)
        while data := os.read(self._process.stdout.fileno(), 1 << 20):
            with self._changed:
                for message in frames.feed(data):
                    match message:
                        case Saved(number=number, path=path, text=text):
                            self._number = number
                            self.told[path] = text
                        case Gone(number=number):
                            self._number = number
                        case Folder():
                            self.folder = message
                        case Settled():
                            self.n_settled += 1
                self._changed.notify_all()

    def look(self, folder: Path, most_characters: int) -> None:
        self._say(
            Look(
                folders=(str(folder),),
                quiet_s=QUIET_S,
                most_characters=most_characters,
                memory="a benchmark",
            )
        )

    def stored(self) -> None:
        self._say(Stored(number=self._number))

    def _say(self, message: Look | Stored) -> None:
        assert self._process.stdin
        self._process.stdin.write(frame(message))
        self._process.stdin.flush()

    def wait(self, condition: Callable[["Reader"], bool]) -> float:
        """When it was so."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout=300):
                raise SystemExit("the reader did not come to an end")
            return perf_counter()

    def megabytes(self) -> float:
        return float(psutil.Process(self._process.pid).memory_info().rss) / 1e6

    def processor_s(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def make_tree(root: Path, n_files: int) -> list[Path]:
    """Short notes, saved in the past, in folders two deep."""
    draw = random.Random(0)
    files = []
    for number in range(n_files):
        folder = number // FILES_IN_A_FOLDER
        file = root / f"{folder % 50}" / f"{folder}" / f"{number}.md"
        if number % FILES_IN_A_FOLDER == 0:
            file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" ".join(draw.choices(WORDS, k=60)) + "\n")
        os.utime(file, (1_600_000_000 + number,) * 2)
        files.append(file)
    return files


def walk(root: Path) -> int:
    """What it takes at least: every name and every status."""
    n_files = 0
    for folder, _, names in os.walk(root):
        for name in names:
            os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - the fastest there is
            n_files += 1
    return n_files


def seconds_of(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


if __name__ == "__main__":
    main()
