"""What a terminal, a pipe and a program see of training."""

import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest
from afterword_trainer import view
from afterword_trainer.records import (
    BaseBits,
    Evaluated,
    Finished,
    Noticed,
    Planned,
    Record,
    Stepped,
    from_json,
)
from hypothesis import given
from hypothesis import strategies as st

PLANNED = Planned(
    model="you-3",
    origin="scratch",
    cell="lstm",
    layers=2,
    units=512,
    n_parameters=3_600_000,
    n_symbols=300,
    documents=371,
    characters=1_920_000,
    heldout_characters=101_000,
    files_skipped=41,
    secrets_removed=14,
    seconds=240.0,
    epochs=None,
)
STEPPED = Stepped(
    seconds=60.0,
    share=0.25,
    seconds_left=180.0,
    symbols=500_000,
    symbols_per_s=8400.0,
    epoch=0.3,
    train_bits=3.25,
    memory_mb=1310.0,
)
EVALUATED = Evaluated(
    seconds=60.0,
    share=0.25,
    epoch=0.3,
    train_bits=3.25,
    heldout_bits=3.5,
    best=True,
    prompt="The thing about the garden is",
    sample=" that nobody weeds it",
)
NOTICED = Noticed(seconds=70.0, message="one step was not finite and was skipped")
FINISHED = Finished(
    seconds=240.0,
    reason="planned",
    epochs=1.1,
    symbols=2_000_000,
    heldout_bits=2.01,
    symbols_per_s=8400.0,
)
TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
RUN: list[Record] = [PLANNED, STEPPED, EVALUATED, NOTICED, FINISHED]


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # StringIO has it as a plain attribute
        return self._encoding

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    """A text stream that is no terminal."""

    encoding = "utf-8"


def shown(
    records: Iterable[Record],
    *,
    err: io.StringIO,
    as_json: bool = False,
    environ: dict[str, str] | None = None,
) -> tuple[str, str]:
    """Stdout and stderr after `records`."""
    out = Pipe()
    with view.watch(as_json=as_json, out=out, err=err, environ=environ or {}) as show:
        for record in records:
            show(record)
    return out.getvalue(), err.getvalue()


def drawn(
    *records: Record, width: int = 100, height: int = 30, encoding: str = "utf-8"
) -> list[str]:
    """Lines of the live picture after `records`."""
    picture = view.Picture()
    for record in records:
        picture = view.advance(picture, record)
    return view.frame(picture, width=width, height=height, encoding=encoding).plain.split("\n")


def test_a_pipe_gets_one_line_per_event() -> None:
    """Steps are too many for a log; everything else is one line, and data never mixes with it."""
    out, err = shown(RUN, err=Pipe())

    assert out == ""
    assert err.splitlines() == [
        "learning you-3 from scratch · LSTM 2 × 512 · 3.60 M parameters · 371 files, 1.92 M "
        "characters · 101 k held out · 41 files, 14 secrets left out · about 4:00",
        "   1:00  25%  bits per symbol: 3.25 while learning, 3.50 held-out (best so far)",
        "   1:10 note: one step was not finite and was skipped",
        "learned for 4:00: 2.01 bits per symbol held-out",
    ]


def test_plain_lines_hold_no_text_of_the_user() -> None:
    """Such lines may be kept in a log, and the user's text is in no log."""
    _, err = shown(RUN, err=Pipe())

    assert "garden" not in err
    assert "weeds" not in err


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"AFTERWORD_NO_PROGRESS": "1"}])
def test_a_terminal_that_should_not_be_drawn_on_gets_lines(environ: dict[str, str]) -> None:
    """TERM=dumb and AFTERWORD_NO_PROGRESS turn the picture off."""
    _, err = shown(RUN, err=Terminal(), environ=environ)

    assert len(err.splitlines()) == 4
    assert "\x1b" not in err


def test_json_lines_are_the_records() -> None:
    """A program reads back exactly what training said, and stderr stays empty."""
    out, err = shown(RUN, err=Terminal(), as_json=True)

    assert err == ""
    assert [from_json(json.loads(line)) for line in out.splitlines()] == RUN


@given(st.text())
def test_json_keeps_any_sample_on_its_line(sample: str) -> None:
    """Line ends, controls and lone surrogates are escaped, and survive."""
    record = replace(EVALUATED, sample=sample)
    out, _ = shown([record], err=Pipe(), as_json=True)

    assert out.count("\n") == 1
    assert record == from_json(json.loads(out))


def test_json_has_null_for_what_is_no_number() -> None:
    """NaN is not JSON."""
    out, _ = shown([replace(STEPPED, train_bits=math.nan)], err=Pipe(), as_json=True)

    assert json.loads(out)["train_bits"] is None
    assert "NaN" not in out


def test_the_last_frame_stays_in_the_terminal() -> None:
    """The ordinary screen is used, the cursor comes back, and the outcome is the last line."""
    _, err = shown(RUN, err=Terminal(), environ=TERMINAL)

    assert "\x1b[?1049" not in err  # the alternate screen
    assert err.rindex("\x1b[?25h") > err.rindex("\x1b[?25l")
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err).rstrip().splitlines()[-1]
    assert last.strip() == "✓ learned for 4:00: 2.01 bits per symbol held-out"


def test_no_color_is_honoured() -> None:
    """Readable without colour; NO_COLOR leaves none."""
    _, plain = shown(RUN, err=Terminal(), environ={**TERMINAL, "NO_COLOR": "1"})
    _, coloured = shown(RUN, err=Terminal(), environ=TERMINAL)

    assert "\x1b[32m" in coloured
    assert "\x1b[32m" not in plain


def test_an_error_in_training_ends_the_picture() -> None:
    """The exception passes through, and the terminal is left in order."""

    def interrupted() -> Iterator[Record]:
        yield STEPPED
        raise KeyboardInterrupt

    err = Terminal()
    with pytest.raises(KeyboardInterrupt):
        shown(interrupted(), err=err, environ=TERMINAL)

    assert err.getvalue().endswith("\x1b[?25h")


def test_a_wide_picture() -> None:
    """Bar, both curves padded to the whole plan, the opening, what Ctrl-C does."""
    assert drawn(PLANNED, STEPPED, EVALUATED) == [
        "Learning you-3  from scratch · LSTM 2 × 512 · 3.60 M parameters",
        "371 files, 1.92 M characters · 101 k held out · 41 files, 14 secrets left out",
        "━━━━━━━━━━━━╸─────────────────────────────────────   25%  3:00 left · 8.40 k symbols/s"
        " · 1.3 GB",
        "bits per symbol (mostly a character); lower is better",
        "  while learning  3.25             ▁····································  3.25",
        "  held-out text   3.50             █····································  3.50"
        "  best so far",
        'the same opening, as it learns: "The thing about the garden is"',
        "  1:00  that nobody weeds it",
        "Ctrl-C stops and keeps the best so far",
    ]


def test_a_narrow_picture_is_ascii() -> None:
    """Below 60 columns, numbers say it."""
    assert drawn(*RUN, width=49) == [
        "Learning you-3, from scratch",
        "[##########------------------------------]  25%",
        "4:00 | 8.40 k symbols/s | 1.3 GB",
        "while learning 3.25 -> 3.25 bits",
        "held-out text 3.50 -> 3.50 bits  best so far",
        'the same opening, as it learns: "The thing about ',
        "  1:00  that nobody weeds it",
        "! one step was not finite and was skipped",
        "* learned for 4:00: 2.01 bits per symbol held-out",
    ]


@given(st.text(max_size=300), st.integers(1, 200), st.integers(1, 60))
def test_any_text_fits_any_terminal(text: str, width: int, height: int) -> None:
    """No line is too wide, none is broken, nothing acts on the terminal, ASCII stays ASCII."""
    from rich.cells import cell_len

    hostile: list[Record] = [
        replace(PLANNED, model=text, origin=text),
        STEPPED,
        replace(EVALUATED, sample=text, prompt=text),
        Noticed(seconds=1.0, message=text),
    ]
    for encoding in ("utf-8", "ascii"):
        lines = drawn(*hostile, width=width, height=height, encoding=encoding)
        assert max(map(cell_len, lines)) <= width
        assert len(lines) <= 11
        assert all(line == line.encode(encoding).decode(encoding) for line in lines)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "".join(lines))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[2J", "␛[2J"),
        ("\x9b2J", "\ufffd2J"),
        ("one\ntwo\r\n", "one↵two␍↵"),
        ("a\tb\x00\x7f", "a b␀␡"),
        ("\u202eevil\u2069\u200b", "\ufffdevil\ufffd\ufffd"),
        ("\ud800", "\ufffd"),
        ("👩‍🌾 میخواهم‌ é", "👩‍🌾 میخواهم‌ é"),
    ],
)
def test_what_acts_is_made_visible(text: str, expected: str) -> None:
    """A sample is a model's output: none of its sequences reaches the terminal."""
    assert expected == view.visible(text)


def test_line_ends_can_be_kept() -> None:
    """Text that is streamed keeps its lines."""
    assert view.visible("a\n\tb\x1b", keep="\n\t") == "a\n\tb␛"


def test_the_openings_are_first_some_and_latest() -> None:
    """However often it was measured, the block keeps to six rows."""
    many = [replace(EVALUATED, seconds=60.0 * n, sample=f"sample {n}") for n in range(50)]
    rows = [line for line in drawn(STEPPED, *many) if "sample" in line]

    assert [rows[0].split("  ")[-1], rows[-1].split("  ")[-1]] == ["sample 0", "sample 49"]
    assert len(rows) == 6


def test_ctrl_c_is_answered_in_the_picture() -> None:
    """At once, where it said what Ctrl-C does."""
    asked = view.Picture(planned=PLANNED, stopping=True)
    for width in (40, 100):
        shown = view.frame(asked, width=width, height=30, encoding="utf-8").plain
        assert view.STOPPING[:8] in shown
        assert "Ctrl-C stops" not in shown


def test_a_loss_of_the_bases_knowledge_is_told_where_it_matters() -> None:
    """A tenth of a bit is what learning costs; a whole one is worth a word."""
    assert view.lost(BaseBits(seconds=1.0, before=1.84, after=1.98)) == ""
    assert "1.84" in view.lost(BaseBits(seconds=1.0, before=1.84, after=2.9))


def test_the_best_is_named_when_it_is_not_the_latest() -> None:
    """What will be kept is on the screen."""
    worse = replace(EVALUATED, seconds=120.0, heldout_bits=4.0, best=False)

    assert any("best 3.50 at 1:00" in line for line in drawn(STEPPED, EVALUATED, worse))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_a_dash(value: float) -> None:
    """A network that blew up does not take the view with it."""
    step = replace(STEPPED, train_bits=value, symbols_per_s=value, seconds_left=value)
    lines = drawn(PLANNED, step, replace(EVALUATED, heldout_bits=value))

    assert any("– left · – symbols/s" in line for line in lines)


@pytest.mark.parametrize(
    ("format_", "value", "expected"),
    [
        (view.amount, 0, "0"),
        (view.amount, 999, "999"),
        (view.amount, 8400, "8.40 k"),
        (view.amount, 15_140, "15.1 k"),
        (view.amount, 999_600, "1.00 M"),
        (view.amount, 3_600_000_000_000, "3600 G"),
        (view.duration, 127.4, "2:07"),
        (view.duration, 59.6, "1:00"),
        (view.duration, 3727, "1:02:07"),
    ],
)
def test_figures(format_: Callable[[float], str], value: float, expected: str) -> None:
    """Units that people read."""
    assert expected == format_(value)


ROWS = [
    {"name": "PPMd order 16", "bits": 1.798},
    {"name": "you-3", "bits": 1.7123, "saved": 37.82, "accepted": 51, "marked": True},
]


def test_a_table() -> None:
    """Numbers to the right, a dash for what is unknown, a mark, then hints."""
    out = Pipe()
    view.table(
        view.EVALUATION[:4],
        ROWS,
        stream=out,
        title="Held-out text",
        hints=["trainer report"],
        environ={},
    )

    assert out.getvalue().splitlines() == [
        "Held-out text",
        "  model          bits/char  saved %  accepted %",
        "  PPMd order 16      1.798        –           –",
        "● you-3              1.712     37.8          51",
        "",
        "hint: trainer report",
    ]


@given(st.text(), st.integers(20, 120))
def test_a_table_fits_the_terminal(text: str, width: int) -> None:
    """Columns are left out and counted, words are cut, and no name acts on the terminal."""
    out = Terminal("ascii")
    view.table(
        view.EVALUATION,
        [*ROWS, {"name": text}],
        stream=out,
        environ={"COLUMNS": str(width), "LINES": "30", "TERM": "dumb"},
    )

    assert "\x1b" not in out.getvalue()
    assert out.getvalue().isascii()
    assert max(map(len, out.getvalue().splitlines())) <= max(width, 40)


def test_rich_is_not_imported_before_something_is_drawn() -> None:
    """`trainer --help` must not wait for it."""
    code = "import sys, afterword_trainer.view; sys.exit('rich' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
