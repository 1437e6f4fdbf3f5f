"""Peak memory of reading and of learning, for a small folder and for a large one.

    .venv/bin/python benchmarks/memory.py [--sizes 2,60] [--full]

Runs the real `trainer corpus` and `trainer learn` on folders made for the purpose: sentences of
the example letters, drawn at random into paragraphs that do not repeat. What is measured is the
peak resident memory that the system reports for the process. Target: the large folder takes at
most 1.3 times the memory of the small one.

The network is a small one, so that its own memory does not hide what reading adds.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from stopwatch import finish, say

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
MOST_TIMES_THE_SMALL = 1.3
FULL = (2, 200)  # MB; what the promise was made for
FILE_BYTES = (20_000, 200_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """What one command took."""

    folder_mb: float
    characters: int  # that it read, of which nothing was to be left out
    peak_mb: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--sizes",
        type=lambda value: [float(one) for one in value.split(",")],
        default=[2, 60],
        help="MB of text in each folder, the smallest first (2,60)",
    )
    parser.add_argument("--full", action="store_true", help="2 and 200 MB: some minutes more")
    parser.add_argument("--minutes", default="0.5", help="for `trainer learn` (0.5)")
    parser.add_argument("--layers", default="1")
    parser.add_argument("--units", default="128")
    parser.add_argument(
        "--folder", type=Path, help="where to make the folders; they take five times as much"
    )
    options = parser.parse_args()
    sizes = FULL if options.full else options.sizes
    network = ["--layers", options.layers, "--units", options.units]
    commands = {
        "corpus": ["corpus", "--json"],
        "learn": ["learn", "--json", "--minutes", options.minutes, *network],
    }

    found: dict[str, Any] = {"target": MOST_TIMES_THE_SMALL, "commands": {}}
    with tempfile.TemporaryDirectory(prefix="afterword-benchmark-", dir=options.folder) as scratch:
        floor, _ = peak_of(["--version"], Path(scratch))
        say(f"{'trainer --version':20}{floor:8.0f} MB")
        found["start_mb"] = floor
        folders = {size: Path(scratch, f"{size:g}-mb") for size in sizes}
        for size, folder in folders.items():
            write_folder(folder, round(size * 1e6))
        for name, command in commands.items():
            peaks = []
            for size, folder in folders.items():
                began = perf_counter()
                peak_mb, said = peak_of([*command, str(folder)], Path(scratch))
                seconds = round(perf_counter() - began, 1)
                peaks.append(
                    Peak(
                        folder_mb=size,
                        characters=characters_in(said),
                        peak_mb=peak_mb,
                        seconds=seconds,
                    )
                )
                say(f"{f'trainer {name}':20}{peak_mb:8.0f} MB for {size:g} MB, {seconds:.0f} s")
            small, large = peaks[0], peaks[-1]
            growth = (large.peak_mb - small.peak_mb) / max(large.folder_mb - small.folder_mb, 1e-9)
            times = large.peak_mb / small.peak_mb
            found["commands"][name] = {
                "options": command[1:],
                "peaks": [asdict(peak) for peak in peaks],
                "times_the_small": round(times, 3),
                "mb_per_mb": round(growth, 4),
            }
            say(
                f"{f'trainer {name}':20}{times:8.2f} times the memory for "
                f"{large.folder_mb / small.folder_mb:g} times the text "
                f"(target {MOST_TIMES_THE_SMALL:g})"
            )
    finish("memory", found)


def peak_of(arguments: Sequence[str], scratch: Path) -> tuple[float, str]:
    """Run `trainer` with `arguments` in a home of its own: its peak memory, MB, and its output."""
    with (
        tempfile.TemporaryDirectory(dir=scratch) as home,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        # This process is a small one on purpose: a child begins with its parent's peak.
        child = subprocess.Popen(
            [sys.executable, "-m", "afterword_trainer.cli", *arguments],
            stdout=output,
            stderr=errors,
            env={**os.environ, "AFTERWORD_HOME": home},
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")
            raise SystemExit(f"trainer {arguments[0]} ended with {child.returncode}: {said}")
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(usage.ru_maxrss * unit / 1e6, 1), said


def characters_in(said: str) -> int:
    """Characters read, from the first object of `trainer corpus` or `trainer learn` that says."""
    for line in said.splitlines():
        value = json.loads(line)
        if "characters" in value and value.get("event", "planned") == "planned":
            return int(value["characters"]) + int(value.get("heldout_characters", 0))
    raise SystemExit("trainer did not say how much it read")


def write_folder(folder: Path, n_bytes: int) -> None:
    """Files of 20 to 200 KB, together `n_bytes`; the same each time."""
    draw = random.Random(0)
    letters = sorted(LETTERS.rglob("*.txt"))
    text = "\n".join(letter.read_text(encoding="utf-8") for letter in letters)
    # Short ones are left out: "Yours ever," is a sentence that repeats and could be its own
    # paragraph, which would be dropped as a repetition.
    sentences = [s for s in re.split(r"(?<=[.!?])\s+|\n+", text) if len(s) >= 40]
    folder.mkdir(parents=True)
    left = n_bytes
    while left > 0:
        size = min(left, draw.randint(*FILE_BYTES))
        paragraphs: list[str] = []
        n = 0
        while n < size:
            paragraphs.append(" ".join(draw.choices(sentences, k=draw.randint(3, 7))))
            n += len(paragraphs[-1]) + 2
        name = folder / f"{left:012d}.txt"
        name.write_text("\n\n".join(paragraphs), encoding="utf-8")
        left -= name.stat().st_size


if __name__ == "__main__":
    main()
