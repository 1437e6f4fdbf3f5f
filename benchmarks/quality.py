"""Learn a text for a stated time, then score what was not learned: its newest part.

    .venv/bin/python benchmarks/quality.py --text FILE --minutes 10 [--valid-share 0.1]

Runs the real `trainer learn` on the older part and the real `trainer evaluate` on the newest, in a
home of their own, and prints a row for the model and for each baseline, all on the same text. The
text is cut without shuffling. Without `--text`, the example letters.

`trainer learn` keeps back the newest tenth of what it is given, for early stopping; the baselines
learn all of it. So with 80/10/10 it is given 90 and trains on 81. All scores are static for the
network and the n-grams; words and PPMd go on learning from the test text.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from stopwatch import finish, say

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
FILE_CHARACTERS = 500_000  # a text in one piece is written in files that no rule calls too large
FIRST_TIME = 1_400_000_000.0  # of a text that has no times of its own
SUFFIXES = (".txt", ".md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A file to be written."""

    path: str
    modified: float
    text: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, default=LETTERS, help="a file, or a folder by name")
    parser.add_argument(
        "--index",
        type=Path,
        help="JSON that cuts the file into notes: [[path, Unix time, byte offset, length], ...]",
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--test-share", type=float, default=0.1)
    parser.add_argument(
        "--valid-share", type=float, default=0.0, help="before the test part; a file of its own"
    )
    parser.add_argument(
        "--characters",
        type=int,
        default=20_000,
        help="to type for keystrokes; bits are of as many, and of 100,000 at least",
    )
    parser.add_argument("--options", default="", help="more for `trainer learn`: '--units 256'")
    parser.add_argument("--home", type=Path, help="keep the model here, for `trainer report`")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="afterword-benchmark-") as scratch:
        # 1) cut: oldest first, the newest part for the test
        notes = list(read(options.text, options.index))
        newlines = newlines_of(notes)
        notes = [replace(note, text=note.text.replace("\r\n", "\n")) for note in notes]
        total = sum(len(note.text) for note in notes)
        n_test = round(total * options.test_share)
        n_valid = round(total * options.valid_share)
        older, test = cut(notes, total - n_test)
        train, valid = cut(older, total - n_test - n_valid)
        learned, tested = Path(scratch, "learned"), Path(scratch, "tested")
        write(learned, [*in_files(train), *in_files(valid)])
        write(tested, in_files(test))

        # 2) learn, for the time that was asked for
        home = str(options.home or Path(scratch, "home"))
        command = ["learn", str(learned), "--minutes", f"{options.minutes:g}"]
        began = perf_counter()
        events = [*trainer([*command, *shlex.split(options.options), "--json"], home)]
        seconds = perf_counter() - began
        by_name = {event["event"]: event for event in events}

        # 3) score what was not learned
        sizes = ["--characters", str(options.characters)]
        asked = ["evaluate", str(tested), "--learned", str(learned), *sizes, "--json"]
        (table,) = trainer(asked, home)
        (read_of_test,) = trainer(["corpus", str(tested), "--json"], home)

    # 4) with CRLF, each line end that the model sees as one character was two in the file
    seen = "".join(note.text for note in test)[: table["bits_characters"]]
    original = len(seen) + seen.count("\n") if newlines == "CRLF" else len(seen)
    rows = [row_of(row, len(seen) / original) for row in table["rows"]]
    planned, finished = by_name["planned"], by_name["finished"]
    found = {
        "text": options.text.name,
        "command": shlex.join(sys.argv),
        "characters": {
            "all": total,
            "given": total - n_test,
            "trained_on": planned["characters"],
            "for_early_stopping": planned["heldout_characters"],
            "learned_by_baselines": table["learned_characters"],
            "test": sum(len(note.text) for note in test),
            "test_read": read_of_test["characters"],  # less repetitions and secrets
            "scored_bits": table["bits_characters"],
            "scored_bits_original": original,
            "scored_keystrokes": table["keystroke_characters"],
        },
        "newlines": newlines,
        "learn": {
            "minutes_asked": options.minutes,
            "seconds": round(seconds, 1),
            "training_seconds": finished["seconds"],
            "passes": finished["epochs"],
            "characters_per_s": finished["symbols_per_s"],
            "reason": finished["reason"],
            "parameters": planned["n_parameters"],
            "network": f"{planned['cell']} {planned['layers']}x{planned['units']}",
        },
        "int8_bits": table["int8_bits"],
        "float32_bits": table["float32_bits"],
        "rows": rows,
    }
    tell(found)
    finish("quality", found)


# -- the text ----------------------------------------------------------------------------------


def read(text: Path, index: Path | None) -> Iterator[Note]:
    """The text as notes, oldest first, with the line ends that it has."""
    if text.is_dir():
        files = sorted(file for file in text.rglob("*") if file.suffix in SUFFIXES)
        for file in files:
            name = file.relative_to(text).as_posix()
            yield Note(path=name, modified=FIRST_TIME, text=file.read_bytes().decode())
        return
    data = text.read_bytes()
    if index is None:
        name = text.name if text.suffix in SUFFIXES else f"{text.name}.txt"
        yield Note(path=name, modified=FIRST_TIME, text=data.decode())
        return
    for path, modified, offset, length in json.loads(index.read_text(encoding="utf-8")):
        yield Note(path=path, modified=modified, text=data[offset : offset + length].decode())


def newlines_of(notes: Iterable[Note]) -> str:
    """What ends the lines; all of it will be LF when it is learned."""
    n_lf = n_crlf = 0
    for note in notes:
        n_lf, n_crlf = n_lf + note.text.count("\n"), n_crlf + note.text.count("\r\n")
    return "LF" if not n_crlf else "CRLF" if n_crlf == n_lf else "mixed"


def cut(notes: Iterable[Note], n_first: int) -> tuple[list[Note], list[Note]]:
    """The first `n_first` characters and the rest, exactly; one note may be in both."""
    first: list[Note] = []
    rest: list[Note] = []
    for note in notes:
        here = max(0, n_first)
        n_first -= len(note.text)
        if head := note.text[:here]:
            first.append(replace(note, text=head))
        if tail := note.text[here:]:
            rest.append(replace(note, text=tail))
    return first, rest


def in_files(notes: Iterable[Note]) -> Iterator[Note]:
    """Long notes in several files, cut where a paragraph ends."""
    for note in notes:
        left, part = note.text, 0
        while left:
            end = len(left)
            if end > FILE_CHARACTERS:
                end = left.rfind("\n\n", 0, FILE_CHARACTERS) + 2
                end = end if end > 2 else FILE_CHARACTERS
            stem, dot, suffix = note.path.rpartition(".")
            path = f"{stem}-{part}{dot}{suffix}" if end < len(note.text) else note.path
            yield replace(note, path=path, text=left[:end])
            left, part = left[end:], part + 1


def write(folder: Path, notes: Iterable[Note]) -> None:
    """The files, each newer than the one before. Two of one name, cut apart, get two."""
    modified = 0.0
    for note in notes:
        modified = max(note.modified, modified + 60)
        file = folder / note.path
        while file.exists():
            file = file.with_stem(f"{file.stem}-")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(note.text.encode())
        os.utime(file, (modified, modified))


# -- the trainer -------------------------------------------------------------------------------


def trainer(arguments: Sequence[str], home: str) -> Iterator[dict[str, Any]]:
    """What `trainer` with `arguments` says, object by object."""
    say(f"trainer {arguments[0]}")
    child = subprocess.Popen(
        [sys.executable, "-m", "afterword_trainer.cli", *arguments],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "AFTERWORD_HOME": home},
    )
    assert child.stdout is not None
    for line in child.stdout:
        found = json.loads(line)
        if found.get("event") == "evaluated":
            bits, passes = found["heldout_bits"], found["epoch"]
            say(f"  {found['share']:4.0%}  {passes:5.2f} passes  {bits:.3f} bits per symbol")
        yield found
    if child.wait():
        raise SystemExit(f"trainer {arguments[0]} ended with {child.returncode}")


def row_of(row: dict[str, Any], normalised_per_original: float) -> dict[str, Any]:
    """One model's scores. A CR before each LF would cost nothing, so bits stay what they are."""
    found: dict[str, Any] = {
        name: row[name]
        for name in ("name", "bits_per_character", "ksr", "acceptance", "presage_ksr", "seconds")
        if name in row
    }
    if "bits_per_character" in found:
        found["bits_per_original_character"] = found["bits_per_character"] * normalised_per_original
    return found


def tell(found: dict[str, Any]) -> None:
    n, learned = found["characters"], found["learn"]
    say(
        f"\n{found['text']}: {learned['network']}, {learned['seconds']:.0f} s asked "
        f"{60 * learned['minutes_asked']:.0f}; {learned['passes']:.2f} passes over "
        f"{n['trained_on']:,} characters ({n['for_early_stopping']:,} kept for early stopping)"
    )
    say(
        f"bits on {n['scored_bits']:,} characters, keystrokes on {n['scored_keystrokes']:,} of "
        f"{n['test']:,}; {n['test'] - n['test_read']:,} left out as repetitions or secrets"
    )
    if found["newlines"] != "LF":
        say(f"line ends were {found['newlines']} and are normalised to LF")
    if found["newlines"] == "CRLF":
        say(
            f"the {n['scored_bits']:,} characters scored were {n['scored_bits_original']:,} in the "
            "file; bits/original counts those"
        )
    say(
        f"{'':30}{'bits':>7}{'bits/original':>15}{'KSR %':>7}{'accepted %':>12}"
        f"{'KSR@1':>7}{'KSR@3':>7}{'KSR@6':>7}"
    )
    for row in found["rows"]:
        lists = row.get("presage_ksr", {})
        cells = [
            _cell(row.get("bits_per_character"), 7, 3),
            _cell(row.get("bits_per_original_character"), 15, 3),
            _cell(row.get("ksr"), 7, 1),
            _cell(row.get("acceptance"), 12, 1),
            *(_cell(lists.get(size), 7, 1) for size in ("1", "3", "6")),
        ]
        say(f"{row['name']:30}" + "".join(cells))
    say("saved keystrokes are simulated, so an upper bound")


def _cell(value: float | None, width: int, places: int) -> str:
    """A figure in a column, which is empty for what a model cannot do."""
    return f"{'' if value is None else format(value, f'.{places}f'):>{width}}"


if __name__ == "__main__":
    main()
