"""How training and results look in a terminal, to people and to programs.

Knows records, terminals, marks and units; knows neither Keras nor files. What a model writes is
shown through `visible`, so that no sequence of it ever acts on the terminal. `rich` is imported
where something is drawn and not before: `--help` must not wait for it.

While training, bits are per symbol: a character or one byte of a rare one, headers of documents
included. Tables of scores have them per character, which on ASCII text is nearly the same.
"""

import json
import math
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from afterword_trainer.records import (
    BaseBits,
    Evaluated,
    Finished,
    Noticed,
    Planned,
    Record,
    Stepped,
    to_json,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from afterword_trainer.forget import Recalled

Show = Callable[[Record], None]

REDRAWS_PER_S = 4  # smooth to the eye; more would take time from training
N_BUCKETS = 120  # points of a curve that are kept: as many as the widest sparkline has cells
LEVELS = "▁▂▃▄▅▆▇█"
N_WORD = 18  # columns that a word in a table keeps, however narrow the terminal is
MUCH_LOST = 0.5  # bits; three passes over verse lose as much, an evening's notes a tenth of it
STOPPING = "stopping; the best so far is kept, and Ctrl-C again ends at once"
WIDE = 60  # columns that the bar and the sparklines need; below, numbers say it better


@contextmanager
def watch(
    *,
    as_json: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Show]:
    """A function that shows one record after another: `with watch() as show: show(record)`.

    `as_json`: one JSON object per line on `out`, and nothing else anywhere. Otherwise `err` gets
    a live picture if it is a terminal, and one line per event if it is not, if TERM is dumb or
    if AFTERWORD_NO_PROGRESS is set. Those lines may end in a log, so they hold no sample.
    The picture is drawn from a snapshot by a thread of its own: `show` never waits for it. Its
    last frame stays on the screen. `stopping` says whether the user asked for the end.
    """
    out = out or sys.stdout
    err = err or sys.stderr
    environ = os.environ if environ is None else environ
    if as_json:
        yield lambda record: print(json.dumps(_finite(to_json(record))), file=out, flush=True)
        return
    if not is_live(err, environ):
        yield lambda record: _print_line(record, err)
        return

    from rich.live import Live

    console = _console(err, environ)
    picture = Picture()

    def show(record: Record) -> None:
        nonlocal picture
        picture = advance(picture, record)  # one assignment: the drawing thread sees old or new

    def draw() -> "Text":
        now = replace(picture, stopping=stopping())
        return frame(now, width=console.width, height=console.height, encoding=err.encoding)

    with Live(
        get_renderable=draw,
        console=console,
        refresh_per_second=REDRAWS_PER_S,
        redirect_stdout=False,  # stdout carries data and may go elsewhere
        vertical_overflow="crop",
    ):
        try:
            yield show
        finally:
            picture = replace(picture, running=False)


# Words and figures


def visible(text: str, *, keep: str = "") -> str:
    """`text` with everything that acts instead of being seen turned into a mark.

    Control characters become their pictures (ESC is ␛, a line end ↵); what reorders text, hides in
    it or is no character at all becomes U+FFFD. The joiners of emoji and of Persian stay.
    `keep` names characters to leave alone, such as "\\n\\t".
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep else _mark(c) for c in text)


def amount(n: float) -> str:
    """A count in three digits or so: 512, 8.40 k, 1.92 M; "–" if it is not finite."""
    if not math.isfinite(n):
        return "–"
    if abs(n) < 999.5:
        return f"{n:.0f}"
    for unit in "kMG":
        n /= 1000
        if abs(n) < 999.5 or unit == "G":
            break
    return f"{n:.{0 if abs(n) >= 99.95 else 1 if abs(n) >= 9.995 else 2}f} {unit}"


def counted(n: int, thing: str) -> str:
    """How many there are of a thing: 1 file, 2,000 files."""
    return f"{n:,} {thing if n == 1 else f'{thing}s'}"


def duration(seconds: float) -> str:
    """Seconds as a clock shows them: 2:07 or 1:02:07; "–" if they are not finite."""
    if not math.isfinite(seconds):
        return "–"
    minutes, whole_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_s:02}" if hours else f"{minutes}:{whole_s:02}"


def kept(record: BaseBits) -> str:
    """What is left of what the base model knew, in a few words."""
    before, after = bits(record.before), bits(record.after)
    return f"on the base model's own text {before} bits per symbol before and {after} after"


def lost(record: BaseBits) -> str:
    """That much of it is lost, and what to do; "" where nobody need know."""
    if not record.after - record.before > MUCH_LOST:
        return ""
    return f"{kept(record)}: it has forgotten much of how others write; learn for a shorter time"


def recalled(before: "Recalled", after: "Recalled") -> str:
    """What models made of phrases that stood only in what was forgotten, in two sentences."""
    passages = counted(before.phrases, "passage")
    told = (
        f"of {passages} that stood only there, the model before went on with {before.completed} "
        f"word for word, and this one with {after.completed}"
    )
    then, now = before.bits_per_character, after.bits_per_character
    if now > then:  # by less than chance it may be the other way round, and says nothing
        told += f"\nthey surprise it more: {now:.2f} bits per character instead of {then:.2f}"
    return told


def bits(value: float | None) -> str:
    """Bits with two digits; "–" if there are none."""
    return f"{value:.2f}" if value is not None and math.isfinite(value) else "–"


# Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: the key of its value in each row, its heading, its form."""

    key: str
    heading: str
    form: Callable[[Any], str] = str
    number: bool = False  # numbers stand to the right


EVALUATION = (
    Column(key="name", heading="model"),
    Column(key="bits", heading="bits/char", form="{:.3f}".format, number=True),
    Column(key="saved", heading="saved %", form="{:.1f}".format, number=True),
    Column(key="accepted", heading="accepted %", form="{:.0f}".format, number=True),
    Column(key="ksr1", heading="KSR@1", form="{:.1f}".format, number=True),
    Column(key="ksr3", heading="KSR@3", form="{:.1f}".format, number=True),
    Column(key="ksr6", heading="KSR@6", form="{:.1f}".format, number=True),
)
MODELS = (
    Column(key="id", heading="model"),
    Column(key="made", heading="learned"),
    Column(key="bits", heading="bits/char", form="{:.3f}".format, number=True),
    Column(key="saved", heading="saved %", form="{:.1f}".format, number=True),
    Column(key="text", heading="measured on"),
)
HISTORY = (
    Column(key="when", heading="when"),
    Column(key="what", heading="what"),
    Column(key="model", heading="model"),
    Column(key="bits_before", heading="bits before", form="{:.3f}".format, number=True),
    Column(key="bits_after", heading="bits after", form="{:.3f}".format, number=True),
    Column(key="saved_before", heading="saved % before", form="{:.1f}".format, number=True),
    Column(key="saved_after", heading="saved % after", form="{:.1f}".format, number=True),
)
CORPUS = (
    Column(key="name", heading="language"),
    Column(key="files", heading="files", form="{:,}".format, number=True),
    Column(key="characters", heading="characters", form=amount, number=True),
)
SKIPPED = (
    Column(key="files", heading="files", form="{:,}".format, number=True),
    Column(key="reason", heading="left out because"),
)


def table(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    *,
    stream: TextIO | None = None,
    title: str = "",
    hints: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> None:
    """Print `rows` below each other, then what to type next.

    A row whose key "marked" is true is the one that the table is about. A value that is missing
    or None shows as a dash. In a terminal, columns that do not fit are left out from the right
    and counted; a pipe gets all of them.
    """
    from rich.cells import cell_len
    from rich.text import Text

    stream = stream or sys.stdout
    console = _console(stream, os.environ if environ is None else environ)
    marks = _marks(stream.encoding)

    def put(text: str, style: str = "") -> None:
        line = Text(_word(text, stream.encoding), style)
        console.print(line, soft_wrap=not stream.isatty())

    lines = [[column.heading for column in columns]] + [
        [_word(_cell(row.get(column.key), column, marks), stream.encoding) for column in columns]
        for row in rows
    ]
    widths = [max(map(cell_len, texts)) for texts in zip(*lines, strict=True)]
    if stream.isatty():
        widths = _fitted(widths, columns, console.width)
    columns = columns[: len(widths)]

    if title:
        put(title, "bold")
    for row, texts in zip([None, *rows], lines, strict=True):
        marked = row is not None and bool(row.get("marked"))
        placed = [
            _placed(text, width, column)
            for text, width, column in zip(texts, widths, columns, strict=False)
        ]
        style = "dim" if row is None else "bold" if marked else ""
        put(f"{marks.chosen if marked else ' '} {'  '.join(placed)}".rstrip(), style)
    if len(widths) < len(lines[0]):
        put(f"  ({len(lines[0]) - len(widths)} more columns in a wider terminal)", "dim")
    for n, hint in enumerate(hints):
        if not n:
            console.print()
        put(f"hint: {hint}", "cyan")


def _fitted(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Widths of the columns that fit into `room`: fewer columns first, then shorter words."""
    fitted = list(widths)
    while len(fitted) > 2 and sum(fitted) + 2 * len(fitted) > room + _spare(fitted, columns):
        fitted.pop()
    excess = sum(fitted) + 2 * len(fitted) - room
    for i, column in enumerate(columns[: len(fitted)]):
        cut = 0 if column.number else min(excess, max(0, fitted[i] - N_WORD))
        fitted[i] -= max(0, cut)
        excess -= max(0, cut)
    return fitted


def _spare(widths: Sequence[int], columns: Sequence[Column]) -> int:
    """What cutting words would win."""
    return sum(
        max(0, width - N_WORD)
        for width, column in zip(widths, columns, strict=False)
        if not column.number
    )


def _placed(text: str, width: int, column: Column) -> str:
    from rich.cells import cell_len, set_cell_size

    if column.number:
        return text.rjust(width)
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "~"
    return set_cell_size(text, width)


# The live picture


@dataclass(frozen=True, slots=True)
class Picture:
    """What the records so far add up to; `advance` makes the next one, `frame` draws it."""

    planned: Planned | None = None
    stepped: Stepped | None = None
    first: Stepped | None = None
    train: tuple[float | None, ...] = (None,) * N_BUCKETS  # bits by share of the plan
    heldout: tuple[float | None, ...] = (None,) * N_BUCKETS
    evaluated: tuple[Evaluated, ...] = ()
    noticed: tuple[Noticed, ...] = ()
    finished: Finished | None = None
    running: bool = True
    stopping: bool = False  # the user asked it to end

    @property
    def share(self) -> float:
        """Of the plan that is done, 0 to 1."""
        shares = [self.stepped.share] if self.stepped else []
        shares += [self.evaluated[-1].share] if self.evaluated else []
        return min(1.0, max(0.0, *shares, 0.0))

    @property
    def best(self) -> Evaluated | None:
        """The evaluation whose network will be kept."""
        return next((e for e in reversed(self.evaluated) if e.best), None)


def advance(picture: Picture, record: Record) -> Picture:
    """The picture after one more record."""
    if isinstance(record, Planned):
        return replace(picture, planned=record)
    if isinstance(record, Stepped):
        train = _put(picture.train, record.share, record.train_bits)
        return replace(picture, stepped=record, first=picture.first or record, train=train)
    if isinstance(record, Evaluated):
        heldout = _put(picture.heldout, record.share, record.heldout_bits)
        return replace(picture, evaluated=(*picture.evaluated, record), heldout=heldout)
    if isinstance(record, Noticed):
        return replace(picture, noticed=(*picture.noticed, record))
    if isinstance(record, BaseBits):
        return picture  # what is drawn is about the user's text
    return replace(picture, finished=record)


def frame(picture: Picture, *, width: int, height: int, encoding: str) -> "Text":
    """The picture as lines of at most `width` columns and, if that is possible, `height` rows."""
    from rich.text import Text

    wide = width >= WIDE and _marks(encoding) is UNICODE
    above = (_wide if wide else _narrow)(picture, width, encoding)
    below = _below(picture, UNICODE if wide else ASCII, encoding)
    n_samples = max(2, min(6, height - len(above) - len(below) - 2))
    lines = above + _openings(picture, n_samples, encoding) + below
    for line in lines:
        line.truncate(width, overflow="ellipsis" if wide else "crop")
    return Text("\n", no_wrap=True).join(lines)


def sparkline(
    buckets: Sequence[float | None], share: float, width: int, *, low: float, high: float
) -> str:
    """A curve over the whole plan, one character per cell: what is still to come is a dot.

    Between two values the earlier one is held; a value above `high` is as tall as `high`.
    """
    n_done = max(1, math.ceil(share * width))
    cells = []
    held: float | None = None
    for cell in range(min(n_done, width)):
        start, end = cell * len(buckets) // width, (cell + 1) * len(buckets) // width
        held = next((b for b in reversed(buckets[start:end]) if b is not None), held)
        if held is None:
            cells.append(" ")
            continue
        height = (min(held, high) - low) / max(high - low, 1e-9)
        cells.append(LEVELS[round(height * (len(LEVELS) - 1))])
    return "".join(cells).ljust(width, "·")


def _wide(picture: Picture, width: int, encoding: str) -> list["Text"]:
    from rich.text import Text

    lines = []
    if picture.planned:
        plan = picture.planned
        about = f"{_origin(plan)} · {_network(plan)}"
        lines.append(
            Text.assemble(
                (f"Learning {_word(plan.model, encoding)}", "bold"),
                (f"  {_word(about, encoding)}", "dim"),
            )
        )
        lines.append(Text(_reads(plan), "dim"))
    figures = f"{picture.share:4.0%}  {_figures(picture)}"
    n_bar = max(6, min(50, width - len(figures) - 2))
    n_done = int(picture.share * n_bar)
    done = ("━" * n_done + "╸")[:n_bar]
    lines.append(Text.assemble((done, "green"), ("─" * (n_bar - len(done)), "dim"), f"  {figures}"))
    known = [b for b in (*picture.train, *picture.heldout) if b is not None]
    if not known:
        return lines
    low = min(known)
    high = min(max(known), 2 * low)  # the first seconds are so bad that they would flatten the rest
    n_cells = max(6, min(N_BUCKETS, width - 51))
    lines.append(Text("bits per symbol (mostly a character); lower is better", "dim"))
    for name, curve, first, last, note in _curves(picture):
        spark = sparkline(curve, picture.share, n_cells, low=low, high=high)
        lines.append(
            Text.assemble(
                f"  {name:<14}{first:>6} ",
                (spark, "green"),
                (f"{last:>6}", "bold"),
                (f"  {note}" if note else "", "dim"),
            )
        )
    return lines


def _narrow(picture: Picture, width: int, encoding: str) -> list["Text"]:
    from rich.text import Text

    lines = []
    if picture.planned:
        plan = picture.planned
        lines.append(Text(_word(f"Learning {plan.model}, {_origin(plan)}", encoding)))
    n_bar = max(4, min(40, width - 8))
    n_done = int(picture.share * n_bar)
    lines.append(Text(f"[{'#' * n_done}{'-' * (n_bar - n_done)}] {picture.share:4.0%}"))
    lines.append(Text(_in_ascii(_figures(picture))))
    for name, _, first, last, note in _curves(picture):
        lines.append(Text(_in_ascii(f"{name} {first} -> {last} bits  {note}".rstrip())))
    return lines


def _openings(picture: Picture, n_rows: int, encoding: str) -> list["Text"]:
    """The same opening continued by the first network, some in between, and the latest."""
    from rich.text import Text

    if not picture.evaluated:
        return []
    seen = picture.evaluated
    if len(seen) > n_rows:
        last = len(seen) - 1
        seen = tuple(seen[round(row * last / (n_rows - 1))] for row in range(n_rows))
    prompt = _word(seen[-1].prompt, encoding)
    opening = f'"{prompt[-60:]}"' if prompt.strip() else "from nothing"
    lines = [Text.assemble(("the same opening, as it learns: ", "dim"), opening)]
    for one in seen:
        clock = (f"{duration(one.seconds):>6}  ", "dim")
        style = "bold" if one is seen[-1] else ""
        lines.append(Text.assemble(clock, (_word(one.sample, encoding).strip(), style)))
    return lines


def _below(picture: Picture, marks: "Marks", encoding: str) -> list["Text"]:
    from rich.text import Text

    lines = [
        Text(_word(f"! {notice.message}", encoding), "yellow") for notice in picture.noticed[-3:]
    ]
    if picture.finished:
        lines.append(Text(f"{marks.done} {_outcome(picture.finished)}", "bold green"))
    elif picture.running:
        hint = Text("Ctrl-C stops and keeps the best so far", "dim")
        lines.append(Text(STOPPING, "yellow") if picture.stopping else hint)
    return lines


def _figures(picture: Picture) -> str:
    """Time left, rate, memory: what stands beside the bar."""
    at = picture.stepped
    if at is None:
        return "warming up"
    left = "measuring the speed" if at.seconds_left is None else f"{duration(at.seconds_left)} left"
    if picture.finished or not picture.running:  # what it took, for there is no more to come
        left = duration(picture.finished.seconds if picture.finished else at.seconds)
    memory = f"{at.memory_mb / 1024:.1f} GB" if at.memory_mb >= 1000 else f"{at.memory_mb:.0f} MB"
    return f"{left} · {amount(at.symbols_per_s)} symbols/s · {memory}"


def _curves(picture: Picture) -> list[tuple[str, Sequence[float | None], str, str, str]]:
    """Name, curve, first value, last value and a remark, for learning and for held-out text."""
    rows: list[tuple[str, Sequence[float | None], str, str, str]] = []
    if picture.first and picture.stepped:
        first, last = bits(picture.first.train_bits), bits(picture.stepped.train_bits)
        rows.append(("while learning", picture.train, first, last, ""))
    if picture.evaluated:
        start, now = picture.evaluated[0], picture.evaluated[-1]
        note = "best so far" if now.best else ""
        if picture.best and not now.best:
            note = f"best {bits(picture.best.heldout_bits)} at {duration(picture.best.seconds)}"
        first, last = bits(start.heldout_bits), bits(now.heldout_bits)
        rows.append(("held-out text", picture.heldout, first, last, note))
    return rows


def _put(buckets: tuple[float | None, ...], share: float, value: float) -> tuple[float | None, ...]:
    if not (math.isfinite(share) and math.isfinite(value)):
        return buckets
    at = min(N_BUCKETS - 1, max(0, int(share * N_BUCKETS)))
    return (*buckets[:at], value, *buckets[at + 1 :])


# Plain lines


def _print_line(record: Record, stream: TextIO) -> None:
    line = _line(record)
    if line:
        print(_word(line, stream.encoding), file=stream, flush=True)


def _line(record: Record) -> str:
    """One line about an event; no text of the user's, for lines like these are kept in logs."""
    if isinstance(record, Planned):
        span = "" if record.seconds is None else f" · about {duration(record.seconds)}"
        return (
            f"learning {record.model} {_origin(record)} · {_network(record)} · "
            f"{_reads(record)}{span}"
        )
    if isinstance(record, Evaluated):
        learning = f"{bits(record.train_bits)} while learning, " if record.share else ""
        return (
            f"{duration(record.seconds):>7} {record.share:4.0%}  bits per symbol: "
            f"{learning}{bits(record.heldout_bits)} held-out"
            f"{' (best so far)' if record.best else ''}"
        )
    if isinstance(record, Noticed):
        return f"{duration(record.seconds):>7} note: {record.message}"
    if isinstance(record, BaseBits):
        return f"{duration(record.seconds):>7} {lost(record)}" if lost(record) else ""
    if isinstance(record, Finished):
        return _outcome(record)
    return ""


def _left_out(plan: Planned) -> str:
    files = counted(plan.files_skipped, "file")
    lines = counted(plan.secrets_removed, "secret")
    return f"{', '.join(part for part in (files, lines) if not part.startswith('0 '))} left out"


def _origin(plan: Planned) -> str:
    return "going on where it stopped" if plan.origin == "resumed" else f"from {plan.origin}"


def _network(plan: Planned) -> str:
    shape = f"{plan.cell.upper()} {plan.layers} × {plan.units}"
    return f"{shape} · {amount(plan.n_parameters)} parameters"


def _reads(plan: Planned) -> str:
    parts = [
        f"{counted(plan.documents, 'file')}, {amount(plan.characters)} characters",
        f"{amount(plan.heldout_characters)} held out",
    ]
    if plan.files_skipped or plan.secrets_removed:
        parts.append(_left_out(plan))
    return " · ".join(parts)


def _outcome(end: Finished) -> str:
    clock = duration(end.seconds)
    why = {
        "early-stop": f"stopped at {clock}, more would not have helped",
        "interrupted": f"stopped at {clock}, the best is kept",
    }.get(end.reason, f"learned for {clock}")
    return f"{why}: {bits(end.heldout_bits)} bits per symbol held-out"


# Terminals


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The few signs that depend on what the terminal can show."""

    done: str
    chosen: str
    nothing: str


UNICODE = Marks(done="✓", chosen="●", nothing="–")
ASCII = Marks(done="*", chosen="*", nothing="-")


def _marks(encoding: str | None) -> Marks:
    return UNICODE if (encoding or "").lower().replace("_", "-").startswith("utf") else ASCII


def is_live(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    dumb = environ.get("TERM", "").lower() in ("dumb", "unknown")
    return stream.isatty() and not dumb and not environ.get("AFTERWORD_NO_PROGRESS")


def _console(stream: TextIO, environ: Mapping[str, str]) -> "Console":
    """A rich console; it honours NO_COLOR, FORCE_COLOR and TERM by itself."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, _environ=environ)


def _word(text: str, encoding: str | None) -> str:
    """`text` on one line, harmless, in characters that the stream can carry."""
    encoding = encoding or "ascii"
    shown = visible(text)
    if _marks(encoding) is ASCII:
        shown = _in_ascii(shown)
    return shown.encode(encoding, "replace").decode(encoding)


def _cell(value: Any, column: Column, marks: Marks) -> str:
    return marks.nothing if value is None else column.form(value)


def _in_ascii(text: str) -> str:
    """The marks of this module as ASCII, character by character."""
    return text.translate(_ASCII_OF)


def _mark(character: str) -> str:
    if character in _MARK_OF:
        return _MARK_OF[character]
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return "\ufffd"
    return character


_ASCII_OF = str.maketrans("·×–↵…", "|x- ~")
_MARK_OF = {chr(code): chr(0x2400 + code) for code in range(0x20)} | {
    "\x7f": "␡",
    "\n": "↵",
    "\t": " ",
    "\u200c": "\u200c",  # zero width non-joiner, which Persian is written with
    "\u200d": "\u200d",  # zero width joiner, which many emoji are made with
}


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN and no infinity; null says that there is no number."""
    return {
        key: None if isinstance(item, float) and not math.isfinite(item) else item
        for key, item in value.items()
    }
