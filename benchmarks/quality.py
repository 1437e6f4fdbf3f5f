"""Learn a text for a stated time, then score what was not learned: its newest part.

    .venv/bin/python benchmarks/quality.py --text FILE --minutes 10 [--valid-share 0.1]

Runs the real `trainer learn` on the older part and the real `trainer evaluate` on the newest, in a
home of their own, and has a row for the mix that serves, for each of its parts and for each
baseline, all on the same text. The text is cut without shuffling. Without `--text`, the example
letters. `--without-base` adds the mix of a network that learned from scratch for the same time;
`--curve` what is saved when 0, 10, 100 and 1,000 KB of the user's text are there to learn, each
learned anew for the same time. Tables in Markdown go to standard error, JSON to standard output.

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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from afterword_trainer.base import ID as BASE
from afterword_trainer.model.spec import CELLS
from afterword_trainer.scores import (
    BUFFER_WORDS,
    FREQUENT_WORDS,
    FROZEN_MIX,
    MEMORY,
    PPMD,
    RIVALS,
    WORD_TRIGRAM,
    network_row,
)
from stopwatch import finish, say

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
FILE_CHARACTERS = 500_000  # a text in one piece is written in files that no rule calls too large
FIRST_TIME = 1_400_000_000.0  # of a text that has no times of its own
SUFFIXES = (".txt", ".md")

ROWS = (FROZEN_MIX, *map(network_row, CELLS), MEMORY, *RIVALS)

# On any text, beside what was measured in the same run.
BITS_OF_PPMD = 0.9  # ten per cent fewer
KSR_OF_TRIGRAM = 1.4
ACCEPTED_BY_DEFAULT, ACCEPTED_WHEN_QUIET = 30, 60  # per cent of the distinct suggestions shown

CURVE = (0, 10_000, 100_000, 1_000_000)  # characters of the user's text, its newest
CURVE_ROWS = (BUFFER_WORDS, FREQUENT_WORDS, WORD_TRIGRAM, PPMD)


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="afterword-benchmark-") as scratch:
        # 1) cut: oldest first, the newest part for the test
        text = divided(list(read(options.text, options.index)), options)
        given = written(Path(scratch, "given"), text.given)
        test = written(Path(scratch, "test"), text.test)

        # 2) learn, for the time that was asked for
        home = options.home or Path(scratch, "home")
        learned = learn(given, home, options)

        # 3) score what was not learned
        more = ["--rows", *options.rows] if options.rows else []
        more += ["--dynamic"] if options.dynamic else []
        table = evaluate(test, given, home, options, *more)
        rows = list(table.rows)
        if options.without_base:
            rows.insert(1, without_base(given, test, Path(scratch, "without-base"), options))
        n_read = characters_read(test, home)

        # 4) score what less text would have given
        points = curve(text.given, test, Path(scratch, "curve"), options) if options.curve else []
        found = Found(
            text=text,
            n_read=n_read,
            learned=learned,
            table=replace(table, rows=tuple(rows)),
            curve=tuple(points),
        )
    tell(found, options)
    finish("quality", as_json(found, options))


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, default=LETTERS, help="a file, or a folder by name")
    parser.add_argument(
        "--index",
        type=Path,
        help="JSON that cuts the file into notes: [[path, Unix time, byte offset, length], ...]",
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="for each time of learning")
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
    parser.add_argument(
        "--rows", nargs="+", metavar="ROW", choices=ROWS, help="beside the mix: " + "; ".join(ROWS)
    )
    parser.add_argument("--dynamic", action="store_true", help="also the network as it learns")
    parser.add_argument(
        "--without-base", action="store_true", help="also the mix, its network from scratch"
    )
    parser.add_argument(
        "--curve", action="store_true", help="also with 0, 10, 100 and 1,000 KB to learn"
    )
    parser.add_argument("--options", default="", help="more for `trainer learn`: '--units 256'")
    parser.add_argument("--home", type=Path, help="keep the model here, for `trainer report`")
    return parser.parse_args()


# -- the text ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A file to be written."""

    path: str
    modified: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """A text in its parts, lines ended by LF."""

    given: tuple[Note, ...]  # to `trainer learn`, which keeps back some of it
    test: tuple[Note, ...]
    newlines: str  # what ended its lines: LF, CRLF or mixed


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


def divided(notes: Sequence[Note], options: argparse.Namespace) -> Divided:
    """The newest part for the test; before it, files of their own for what comes to validate."""
    newlines = newlines_of(notes)
    notes = [replace(note, text=note.text.replace("\r\n", "\n")) for note in notes]
    total = n_characters(notes)
    n_test = round(total * options.test_share)
    n_valid = round(total * options.valid_share)
    older, test = cut(notes, total - n_test)
    train, valid = cut(older, total - n_test - n_valid)
    return Divided(
        given=(*in_files(train), *in_files(valid)), test=tuple(in_files(test)), newlines=newlines
    )


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


def newest(notes: Sequence[Note], n_last: int) -> list[Note]:
    """The last `n_last` characters, exactly."""
    return cut(notes, n_characters(notes) - n_last)[1] if n_last else []


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


def written(folder: Path, notes: Iterable[Note]) -> Path:
    """The folder with the files, each newer than the one before; two of one name become two."""
    folder.mkdir(parents=True)
    modified = 0.0
    for note in notes:
        modified = max(note.modified, modified + 60)
        file = folder / note.path
        while file.exists():
            file = file.with_stem(f"{file.stem}-")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(note.text.encode())
        os.utime(file, (modified, modified))
    return folder


def n_characters(notes: Iterable[Note]) -> int:
    """Of all of them together."""
    return sum(len(note.text) for note in notes)


# -- the trainer -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What `trainer learn` says of one time of learning."""

    network: str  # such as "lstm 2x512"
    parameters: int
    trained_on: int  # characters
    for_early_stopping: int
    passes: float
    characters_per_s: float
    reason: str  # why training ended
    training_seconds: float
    seconds: float  # of the whole command
    verdict: str  # why the model is in use, or why another one is measured in its place


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model's scores; None is what it cannot do."""

    title: str  # as a table shows it
    name: str  # see `scores`
    learning: bool
    seconds: float
    bits_per_character: float | None
    ksr: float | None
    acceptance: float | None
    presage_ksr: dict[str, float] | None  # by the length of the list


@dataclass(frozen=True, slots=True, kw_only=True)
class Degree:
    """What is saved at one degree of eagerness."""

    name: str  # most have none
    min_probability: float
    ksr: float
    acceptance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What `trainer evaluate` finds, as far as it is told here."""

    rows: tuple[Row, ...]  # the mix first
    dial: tuple[Degree, ...]
    learned_characters: int
    bits_characters: int
    keystroke_characters: int
    int8_bits: float | None
    float32_bits: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the learning curve."""

    characters: int  # there to learn, less what repeats itself
    learned: Learned | None  # None on the first day: the base model serves as it is
    rows: tuple[Row, ...]


def learn(given: Path, home: Path, options: argparse.Namespace, *more: str) -> Learned:
    """`trainer learn`."""
    command = ["learn", str(given), "--minutes", f"{options.minutes:g}", "--json", *more]
    began = perf_counter()
    events = {event["event"]: event for event in trainer([*command, *chosen(options)], home)}
    planned, finished, learned = events["planned"], events["finished"], events["learned"]
    verdict = (learned["verdict"] or {}).get("sentence", "")
    return Learned(
        network=f"{planned['cell']} {planned['layers']}x{planned['units']}",
        parameters=planned["n_parameters"],
        trained_on=planned["characters"],
        for_early_stopping=planned["heldout_characters"],
        passes=finished["epochs"],
        characters_per_s=finished["symbols_per_s"],
        reason=finished["reason"],
        training_seconds=finished["seconds"],
        seconds=round(perf_counter() - began, 1),
        verdict=verdict if learned["active"] else f"NOT IN USE: {verdict}",
    )


def chosen(options: argparse.Namespace) -> list[str]:
    """What is passed on to `trainer learn`."""
    return shlex.split(options.options)


def evaluate(test: Path, given: Path, home: Path, options: argparse.Namespace, *more: str) -> Table:
    """`trainer evaluate`."""
    command = ["evaluate", str(test), "--learned", str(given), "--json"]
    command += ["--bits-characters", str(options.bits_characters)]
    command += ["--characters", str(options.keystroke_characters), *more]
    (found,) = trainer(command, home)
    return Table(
        rows=tuple(map(row_of, found["rows"])),
        dial=tuple(
            Degree(
                name=degree["name"],
                min_probability=degree["min_probability"],
                ksr=degree["ksr"],
                acceptance=degree["acceptance"],
            )
            for degree in found["dial"]
        ),
        learned_characters=found["learned_characters"],
        bits_characters=found["bits_characters"],
        keystroke_characters=found["keystroke_characters"],
        int8_bits=found["int8_bits"],
        float32_bits=found["float32_bits"],
    )


def row_of(row: dict[str, Any]) -> Row:
    """A row as `trainer evaluate` says it."""
    return Row(
        title=f"{row['name']}, {row['note']}" if row["note"] else row["name"],
        name=row["name"],
        learning=row["learning"],
        seconds=row["seconds"],
        bits_per_character=row.get("bits_per_character"),
        ksr=row.get("ksr"),
        acceptance=row.get("acceptance"),
        presage_ksr=row.get("presage_ksr"),
    )


def without_base(given: Path, test: Path, home: Path, options: argparse.Namespace) -> Row:
    """The mix whose network began with nothing."""
    learn(given, home, options, "--from", "scratch")
    (row,) = evaluate(test, given, home, options, "--rows").rows
    return replace(row, title=f"{row.title} without base")


def characters_read(test: Path, home: Path) -> int:
    """How much of the test text is left when repetitions and secrets are out."""
    (found,) = trainer(["corpus", str(test), "--json"], home)
    characters: int = found["characters"]
    return characters


def curve(
    given: Sequence[Note], test: Path, folder: Path, options: argparse.Namespace
) -> list[Point]:
    """What more of the user's text gives, each point from the base and an empty home."""
    points = []
    for size in CURVE:
        notes = newest(given, size)
        say(f"learning curve: the newest {n_characters(notes):,} characters")
        here = written(folder / str(size) / "given", notes)
        home = folder / str(size) / "home"
        learned = learn(here, home, options) if notes else None
        which = [] if learned else ["--model", BASE]
        table = evaluate(test, here, home, options, *which, "--rows", *CURVE_ROWS)
        points.append(Point(characters=table.learned_characters, learned=learned, rows=table.rows))
        if n_characters(notes) < size:
            break  # there is no more
    return points


def trainer(arguments: Sequence[str], home: Path) -> Iterator[dict[str, Any]]:
    """What `trainer` with `arguments` says, object by object."""
    say(f"trainer {arguments[0]} ...")
    began = perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "afterword_trainer.cli", *arguments],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "AFTERWORD_HOME": str(home)},
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
    say(f"trainer {arguments[0]} took {perf_counter() - began:.0f} s")


# -- what was found ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that one run measures."""

    text: Divided
    n_read: int  # characters of the test text that are no repetitions and no secrets
    learned: Learned
    table: Table
    curve: tuple[Point, ...]

    @property
    def n_original(self) -> int:
        """Characters that the text scored in bits had in the file: each CR counts."""
        text = "".join(note.text for note in self.text.test)[: self.table.bits_characters]
        return len(text) + text.count("\n") if self.text.newlines == "CRLF" else len(text)

    def bits_per_original_character(self, row: Row) -> float | None:
        """A CR before each LF would cost nothing, so the bits of the text stay what they are."""
        if row.bits_per_character is None:
            return None
        return row.bits_per_character * self.table.bits_characters / max(1, self.n_original)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure and the bound that it is to keep."""

    what: str
    measured: float
    bound: float
    at_least: bool  # or at most

    @property
    def met(self) -> bool:
        """Whether it does."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def targets_of(found: Found) -> Iterator[Target]:
    """What was to be reached beside what was, as far as the other rows were measured."""
    ours, *others = found.table.rows
    by_name = {row.name: row for row in others}
    if (ppmd := by_name.get(PPMD)) and ppmd.bits_per_character and ours.bits_per_character:
        share = ours.bits_per_character / ppmd.bits_per_character
        yield Target(what="bits / PPMd's", measured=share, bound=BITS_OF_PPMD, at_least=False)
    if (trigram := by_name.get(WORD_TRIGRAM)) and trigram.ksr and ours.ksr:
        times = ours.ksr / trigram.ksr
        yield Target(what="KSR / trigram's", measured=times, bound=KSR_OF_TRIGRAM, at_least=True)
    for name, least in (("balanced", ACCEPTED_BY_DEFAULT), ("quiet", ACCEPTED_WHEN_QUIET)):
        degree = next(degree for degree in found.table.dial if degree.name == name)
        what = f"accepted %, {name}"
        yield Target(what=what, measured=degree.acceptance, bound=least, at_least=True)
    if found.curve:
        base, *words = found.curve[0].rows
        best = max(row.ksr or 0.0 for row in words if row.name in (BUFFER_WORDS, FREQUENT_WORDS))
        what = "KSR with nothing learned, buffer words' beside it"
        yield Target(what=what, measured=base.ksr or 0.0, bound=best, at_least=True)


def as_json(found: Found, options: argparse.Namespace) -> dict[str, Any]:
    """Plain values."""
    text, table, learned = found.text, found.table, found.learned

    def rows_of(rows: Iterable[Row]) -> list[dict[str, Any]]:
        return [
            asdict(row) | {"bits_per_original_character": found.bits_per_original_character(row)}
            for row in rows
        ]

    return {
        "text": options.text.name,
        "command": shlex.join(sys.argv),
        "characters": {
            "given": n_characters(text.given),
            "trained_on": learned.trained_on,
            "for_early_stopping": learned.for_early_stopping,
            "learned_by_baselines": table.learned_characters,
            "test": n_characters(text.test),
            "test_read": found.n_read,
            "scored_bits": table.bits_characters,
            "scored_bits_original": found.n_original,
            "scored_keystrokes": table.keystroke_characters,
        },
        "newlines": text.newlines,
        "learn": {"minutes_asked": options.minutes, **asdict(learned)},
        "int8_bits": table.int8_bits,
        "float32_bits": table.float32_bits,
        "rows": rows_of(table.rows),
        "dial": [asdict(degree) for degree in table.dial],
        "targets": [asdict(target) | {"met": target.met} for target in targets_of(found)],
        "curve": [
            {
                "characters": point.characters,
                "learn": asdict(point.learned) if point.learned else None,
                "rows": rows_of(point.rows),
            }
            for point in found.curve
        ],
    }


# -- for people --------------------------------------------------------------------------------


def tell(found: Found, options: argparse.Namespace) -> None:
    """Tables in Markdown, and what to know of them."""
    text, table, learned = found.text, found.table, found.learned
    n_test = n_characters(text.test)
    say(
        f"\n{options.text.name}: {learned.network}, {learned.seconds:.0f} s "
        f"of {60 * options.minutes:.0f} asked; {learned.passes:.2f} passes over "
        f"{learned.trained_on:,} characters, {learned.for_early_stopping:,} kept for early stopping"
    )
    say(f"as `trainer learn` says: {learned.verdict}")
    say(
        f"bits on {table.bits_characters:,} characters, keystrokes on "
        f"{table.keystroke_characters:,} of {n_test:,}; {n_test - found.n_read:,} left out as "
        "repetitions or secrets"
    )
    if text.newlines != "LF":
        say(
            f"line ends were {text.newlines} and are LF here; bits/original counts the "
            f"{found.n_original:,} characters that the text scored had in the file"
        )
    say("+ goes on learning from the test text; saved keystrokes are simulated: an upper bound\n")
    say_table(
        ["", "bits", "bits/original", "KSR %", "accepted %", "KSR@1", "KSR@3", "KSR@6", "seconds"],
        [
            [
                f"{row.title} +" if row.learning else row.title,
                figure(row.bits_per_character, 3),
                figure(found.bits_per_original_character(row), 3),
                figure(row.ksr, 1),
                figure(row.acceptance, 1),
                *(figure((row.presage_ksr or {}).get(size), 1) for size in ("1", "3", "6")),
                figure(row.seconds, 0),
            ]
            for row in table.rows
        ],
    )
    say_table(
        ["how sure it must be", "", "KSR %", "accepted %"],
        [
            [f"{d.min_probability:g}", d.name, figure(d.ksr, 1), figure(d.acceptance, 1)]
            for d in table.dial
        ],
    )
    if found.curve:
        say_curve(found.curve)
    say_table(
        ["target", "measured", "bound", ""],
        [
            [
                target.what,
                figure(target.measured, 2),
                f"{'>=' if target.at_least else '<='} {target.bound:.4g}",
                "met" if target.met else "missed",
            ]
            for target in targets_of(found)
        ],
    )


def say_curve(points: Sequence[Point]) -> None:
    """The learning curve: the mix beside what needs no training."""
    names = [row.name for row in points[0].rows if row.ksr is not None]
    rows = []
    for point in points:
        ours, by_name = point.rows[0], {row.name: row for row in point.rows}
        rows.append(
            [
                f"{point.characters:,}",
                figure(point.learned.training_seconds if point.learned else 0.0, 0),
                figure(ours.bits_per_character, 3),
                figure(by_name[PPMD].bits_per_character, 3),
                *(figure(by_name[name].ksr, 1) for name in names),
                figure(ours.acceptance, 1),
            ]
        )
    say_table(
        [
            *("characters to learn", "seconds of training", "bits", "bits, PPMd"),
            *(f"KSR %, {name}" for name in names),
            "accepted %",
        ],
        rows,
    )


def say_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in Markdown whose columns stand below each other in a terminal, too."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    first, *others = widths

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(first)]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], others, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (first + 1)}", *(f"{'-' * (width + 1)}:" for width in others)]
    say("\n".join([line(heading), f"|{'|'.join(rule)}|", *map(line, rows), ""]))


def figure(value: float | None, places: int) -> str:
    """A figure in a table; a dash for what a model cannot do."""
    return "–" if value is None else f"{value:.{places}f}"


if __name__ == "__main__":
    main()
