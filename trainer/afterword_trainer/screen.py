"""What a command shows: progress while it works, a status line, the table of scores in the end.

Knows the terminal and who interrupts; knows nothing of what is done. What libraries print goes to a
log.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from afterword_trainer import durable, records, view
from afterword_trainer.run import Listener
from afterword_trainer.scores import Table
from afterword_trainer.terminal import as_typed


@contextmanager
def listening(*, as_json: bool) -> Iterator[Listener]:
    """Show on the terminal what training says; Ctrl-C asks it to stop."""
    show_live: view.Show | None = None
    ended = False

    def answer() -> None:
        # The picture says it by itself.
        if not as_json and (show_live is None or ended or not view.is_live(sys.stderr)):
            # RuntimeError: it came in the middle of another line.
            with suppress(OSError, ValueError, RuntimeError):
                sys.stderr.write(f"\n{view.STOPPING}\n")
                sys.stderr.flush()

    with (
        _interruptible(answer) as interrupted,
        status(quiet=as_json) as say,
        ExitStack() as picture,
    ):

        def show(record: records.Record) -> None:
            # The picture stands between the lines that say what is read and what is scored.
            nonlocal show_live, ended
            if show_live is None:
                say("")
                watching = view.watch(as_json=as_json, stopping=interrupted)
                show_live = picture.enter_context(watching)
            show_live(record)
            if isinstance(record, records.Finished):
                picture.close()
                ended = True
                say("making it ready to serve")  # seconds, and scoring comes after it

        yield Listener(
            show=show,
            interrupted=interrupted,
            on_read=reading(say),
            on_wait=say,
            on_score=lambda name, share: say(f"scoring: {name} {share:.0%}"),
        )


@contextmanager
def status(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on the terminal that says what goes on, and leaves nothing behind."""
    live = not quiet and sys.stderr.isatty() and "AFTERWORD_NO_PROGRESS" not in os.environ
    last, shown = 0.0, ""

    def say(text: str) -> None:
        nonlocal last, shown
        now = time.monotonic()
        # Of one thing it is told now and then how far it is; another is told at once.
        is_same = text.partition(":")[0] == shown.partition(":")[0]
        if not live or (text and is_same and now - last < 0.2) or (not text and not shown):
            return
        sys.stderr.write(f"\r\x1b[2K{text[:100]}")
        sys.stderr.flush()
        last, shown = now, text

    try:
        yield say
    finally:
        say("")


def reading(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """What says how far reading has come, in files and characters."""
    return lambda files, characters: say(
        f"reading: {view.counted(files, 'file')}, {view.amount(characters)} characters"
    )


def agreed(question: str) -> bool:
    """Whether the user, who sits there, says yes; nobody there says no.

    Not by `input`, which asks on descriptor 2: that leads to a log, see `libraries_write_to`.
    """
    if not sys.stdin.isatty():
        return False
    out = sys.stderr if sys.stderr.isatty() else sys.stdout
    out.write(f"\n{question} [y/N] ")
    out.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def libraries_write_to(log: Path) -> Iterator[None]:
    """Send what TensorFlow and LiteRT print on descriptor 2 to a log; our own lines still arrive.

    The import of TensorFlow greets with a screenful that no setting turns off.
    """
    terminal, ours = sys.stderr, os.dup(2)
    try:
        descriptor = durable.open_log(log)
    except durable.StateError:  # a disk that cannot be written is no reason not to sample
        descriptor = durable.open_nothing()
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stderr = os.fdopen(ours, "w", buffering=1, encoding=terminal.encoding, errors="replace")
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(ours, 2)
        sys.stderr.close()
        sys.stderr = terminal


@contextmanager
def _interruptible(answer: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks training to stop and keep what it has, and is answered; a second ends all."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        answer()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_hints(*hints: str) -> None:
    """Print what to type next, each with its reason in brackets; nothing for none."""
    for number, hint in enumerate(hints):
        print(f"{'' if number else chr(10)}hint: {as_typed(hint)}")


def print_table(table: Table, *, model: str) -> None:
    """Print `model` and what is beside it with their scores, and what they were measured on."""
    known = view.amount(table.learned_characters)
    title = (
        f"{model} on {table.bits_characters:,} characters kept back, "
        f"{table.keystroke_characters:,} of them typed; the memory holds the other {known}"
    )
    rows: list[Mapping[str, Any]] = []
    for row in table.rows:
        lists = row.presage.ksr if row.presage else {}
        typed = row.keystrokes
        rows.append(
            {
                "name": row.title,
                "bits": row.bits.per_character if row.bits else None,
                "saved": typed.ksr if typed else None,
                "accepted": typed.acceptance if typed else None,
                **{f"ksr{size}": lists.get(size) for size in (1, 3, 6)},
                "marked": row is table.rows[0],
            }
        )
    print()
    view.table(view.EVALUATION, rows, title=title)
