"""Learn a text for a stated time, then score what was not learned: its newest part.

    .venv/bin/python benchmarks/quality.py --text FILE --minutes 10 [--valid-share 0.1]

Runs the real `trainer learn` on the older part and the real `trainer evaluate` on the newest, in a
home of their own, and prints a row for the mix that serves, for each of its parts and for each
baseline, all on the same text. The text is cut without shuffling. Without `--text`, the example
letters. `--without-base` adds the mix of a network that learned from scratch for the same time;
`--curve` what the base model and a memory of so much of the user's newest text make of it.

`trainer learn` keeps back the newest tenth of what it is given, for early stopping; the memory and
the baselines learn all of it. So with 80/10/10 it is given 90 and trains on 81. A row that goes on
learning from the test text as it reads it is marked with a +.
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

from afterword_trainer.base import ID as BASE
from stopwatch import finish, say

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
FILE_CHARACTERS = 500_000  # a text in one piece is written in files that no rule calls too large
FIRST_TIME = 1_400_000_000.0  # of a text that has no times of its own
SUFFIXES = (".txt", ".md")

# On any text, beside what was measured in the same run.
BITS_OF_PPMD = 0.9  # ten per cent fewer
KSR_OF_TRIGRAM = 1.4
ACCEPTED_BY_DEFAULT, ACCEPTED_WHEN_QUIET = 30, 60  # per cent of the distinct suggestions shown

CURVE = (0, 10_000, 100_000, 1_000_000)  # characters of the user's text
CURVE_ROWS = ("buffer words", "buffer words, most frequent", "word trigram", "PPMd")


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
    parser.add_argument("--bits-characters", type=int, default=100_000)
    parser.add_argument(
        "--keystroke-characters",
        type=int,
        default=20_000,
        help="to type, from the beginning of those measured in bits; they take longest",
    )
    parser.add_argument("--rows", nargs="+", help="of `trainer evaluate`, beside the mix (all)")
    parser.add_argument("--dynamic", action="store_true", help="also the network as it learns")
    parser.add_argument(
        "--without-base", action="store_true", help="also the mix, its network from scratch"
    )
    parser.add_argument(
        "--curve", action="store_true", help="also the base with a memory of 0 to 1,000 KB"
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
        command = ["learn", str(learned), "--minutes", f"{options.minutes:g}", "--json"]
        command += shlex.split(options.options)
        began = perf_counter()
        events = [*trainer(command, home)]
        seconds = perf_counter() - began
        by_name = {event["event"]: event for event in events}

        # 3) score what was not learned
        more = ["--rows", *options.rows] if options.rows else []
        more += ["--dynamic"] if options.dynamic else []
        table = evaluated(tested, learned, home, options, *more)
        (read_of_test,) = trainer(["corpus", str(tested), "--json"], home)
        if options.without_base:
            other_home = str(Path(scratch, "home-without-base"))
            list(trainer([*command, "--from", "scratch"], other_home))
            other = evaluated(tested, learned, other_home, options, "--rows")["rows"][0]
            table["rows"].insert(1, other | {"name": f"{other['name']} without base"})
        curve = []
        for size in CURVE if options.curve else ():
            some = Path(scratch, f"learned-{size}")
            some.mkdir()
            write(some, in_files(newest(older, size)))
            more = ["--model", BASE, "--rows", *CURVE_ROWS]
            there = evaluated(tested, some, home, options, *more)
            n_there = there["learned_characters"]  # less repetitions, and the text may be shorter
            curve.append({"characters": n_there, "rows": [*map(row_of, there["rows"])]})

    # 4) with CRLF, each line end that the model sees as one character was two in the file
    seen = "".join(note.text for note in test)[: table["bits_characters"]]
    original = len(seen) + seen.count("\n") if newlines == "CRLF" else len(seen)
    rows = [row_of(row, len(seen) / original) for row in table["rows"]]
    targets = targets_of(rows, table["dial"])
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
        "dial": [
            {name: degree[name] for name in ("name", "min_probability", "ksr", "acceptance")}
            for degree in table["dial"]
        ],
        "targets": targets,
        "curve": curve,
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


def newest(notes: Sequence[Note], n_characters: int) -> list[Note]:
    """The last `n_characters`, exactly."""
    total = sum(len(note.text) for note in notes)
    return cut(notes, total - n_characters)[1] if n_characters else []


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


SCORES = ("name", "learning", "bits_per_character", "ksr", "acceptance", "presage_ksr", "seconds")


def evaluated(
    tested: Path, learned: Path, home: str, options: argparse.Namespace, *more: str
) -> dict[str, Any]:
    """What `trainer evaluate` finds."""
    command = ["evaluate", str(tested), "--learned", str(learned), "--json"]
    command += ["--bits-characters", str(options.bits_characters)]
    command += ["--characters", str(options.keystroke_characters), *more]
    (table,) = trainer(command, home)
    return table


def row_of(row: dict[str, Any], normalised_per_original: float = 1.0) -> dict[str, Any]:
    """One model's scores. A CR before each LF would cost nothing, so bits stay what they are."""
    found: dict[str, Any] = {name: row[name] for name in SCORES if name in row}
    if "bits_per_character" in found:
        found["bits_per_original_character"] = found["bits_per_character"] * normalised_per_original
    return found


def targets_of(
    rows: Sequence[dict[str, Any]], dial: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What was to be reached beside what was, as far as the other rows were measured."""
    ours = rows[0]
    ppmd = next((row for row in rows if row["name"].startswith("PPMd")), None)
    trigram = next((row for row in rows if row["name"] == "word trigram"), None)
    quiet = next(degree for degree in dial if degree["name"] == "quiet")
    found = [
        ("accepted %, by default", ours["acceptance"], ACCEPTED_BY_DEFAULT),
        ("accepted %, when quiet", quiet["acceptance"], ACCEPTED_WHEN_QUIET),
    ]
    if trigram and trigram["ksr"]:
        found.insert(0, ("KSR / trigram's", ours["ksr"] / trigram["ksr"], KSR_OF_TRIGRAM))
    targets = [
        {"what": what, "measured": measured, "at_least": least, "met": measured >= least}
        for what, measured, least in found
    ]
    if ppmd:
        share = ours["bits_per_character"] / ppmd["bits_per_character"]
        met = share <= BITS_OF_PPMD
        bits = {"what": "bits / PPMd's", "measured": share, "at_most": BITS_OF_PPMD, "met": met}
        targets.insert(0, bits)
    return targets


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
    tell_rows(found["rows"])
    say("+ goes on learning from the test text; saved keystrokes are simulated, so an upper bound")
    for target in found["targets"]:
        bound = f">= {target['at_least']}" if "at_least" in target else f"<= {target['at_most']}"
        verdict = "met" if target["met"] else "missed"
        say(f"{target['what']:30}{target['measured']:7.2f}  target {bound}: {verdict}")
    say(f"\n{'how sure it must be':30}{'KSR %':>7}{'accepted %':>12}")
    for degree in found["dial"]:
        name = f"{degree['min_probability']:g} {degree['name']}"
        say(f"{name:30}{degree['ksr']:7.1f}{degree['acceptance']:12.1f}")
    for point in found["curve"]:
        say(f"\nbase model and a memory of {point['characters']:,} characters")
        tell_rows(point["rows"])


def tell_rows(rows: Sequence[dict[str, Any]]) -> None:
    say(
        f"{'':30}{'bits':>7}{'bits/original':>15}{'KSR %':>7}{'accepted %':>12}"
        f"{'KSR@1':>7}{'KSR@3':>7}{'KSR@6':>7}"
    )
    for row in rows:
        lists = row.get("presage_ksr", {})
        cells = [
            _cell(row.get("bits_per_character"), 7, 3),
            _cell(row.get("bits_per_original_character"), 15, 3),
            _cell(row.get("ksr"), 7, 1),
            _cell(row.get("acceptance"), 12, 1),
            *(_cell(lists.get(size), 7, 1) for size in ("1", "3", "6")),
        ]
        name = f"{row['name']} +" if row["learning"] else row["name"]
        say(f"{name:30}" + "".join(cells))


def _cell(value: float | None, width: int, places: int) -> str:
    """A figure in a column, which is empty for what a model cannot do."""
    return f"{'' if value is None else format(value, f'.{places}f'):>{width}}"


if __name__ == "__main__":
    main()
