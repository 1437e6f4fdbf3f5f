"""A page to type on, with grey text at its end: what an editor will show, before there is one.

Knows keys, the cells of a terminal and how many keys were saved; knows nothing of the model: it is
handed a function to ask. It draws on the terminal's second screen, so that whatever was there
before is there again afterwards, and it writes no file.
"""

import codecs
import os
import re
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TextIO

from afterword_trainer.view import visible

Ask = Callable[[str], str]  # the text so far -> what could come next, "" for nothing


class DemoError(Exception):
    """There is no terminal to type in; one sentence with its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was written so far; the cursor is always at its end."""

    text: str = ""
    ghost: str = ""  # grey, behind the cursor
    is_stale: bool = True  # whether another suggestion is to be asked for
    n_keys: int = 0  # pressed to write or to take, not to erase
    n_saved: int = 0  # characters that were taken, less the keys that took them


def press(page: Page, key: str) -> Page:
    """The page after a key: a character, or the name of one of `KEYS`."""
    match key:
        case "take" if page.ghost:
            return _taken(page, len(page.ghost))
        case "take word" if page.ghost:
            return _taken(page, next(_WORD.finditer(page.ghost)).end())
        case "dismiss":
            return replace(page, ghost="", is_stale=False)
        case "erase":
            return replace(page, text=page.text[:-1], ghost="", is_stale=True)
        case "erase word":
            return replace(page, text=re.sub(r"\S*\s*\Z", "", page.text), ghost="", is_stale=True)
        case "erase all":
            return replace(page, text="", ghost="", is_stale=True)
        case _ if len(key) > 1 or not (key.isprintable() or key == "\n"):
            return page
    # A suggestion that was right shrinks where it stands, so that nothing flickers.
    ghost = page.ghost[1:] if page.ghost.startswith(key) else ""
    return replace(page, text=page.text + key, ghost=ghost, is_stale=True, n_keys=page.n_keys + 1)


def require_terminal() -> None:
    """Raise DemoError where there is nothing to type in."""
    can_draw = os.environ.get("TERM") not in (None, "", "dumb")
    if not (can_draw and sys.stdin.isatty() and sys.stdout.isatty()):
        raise DemoError(
            "the demo needs a terminal to type in; afterword complete --prompt 'The thing is'"
        )


def run(ask: Ask, title: str) -> Page:
    """Let the user type until they leave; the page at the end.

    `title` stands above the page. Whatever happens, the terminal is then as it was.
    """
    page = Page()
    answer_s: float | None = None
    with _screen(sys.stdin.fileno(), sys.stdout) as keys:
        while True:
            if page.is_stale:
                _draw(page, title, answer_s)
                started = time.monotonic()
                page = replace(page, ghost=ask(page.text), is_stale=False)
                answer_s = time.monotonic() - started
            _draw(page, title, answer_s)
            for key in keys():
                if key == "leave":
                    return page
                page = press(page, key)


_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+|\Z)")


def _taken(page: Page, length: int) -> Page:
    rest = page.ghost[length:]
    return replace(
        page,
        text=page.text + page.ghost[:length],
        ghost=rest,
        is_stale=not rest,  # what is left of it stays, to be taken word by word
        n_keys=page.n_keys + 1,
        n_saved=page.n_saved + length - 1,
    )


# -- drawing -----------------------------------------------------------------------------------

WELCOME = "Write something, in any language; what appears in grey is a suggestion."
HELP = "Ctrl-C leaves · Tab takes it · Ctrl-Right a word · Esc hides it"  # what matters first
FAINT, PLAIN, REVERSED = "\x1b[2m", "\x1b[0m", "\x1b[7m"
GREY = "\x1b[38;5;244m"  # readable on black and on white; "bright black" is neither everywhere
MARGIN = 2  # columns at either side


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A screen: lines of (text, is ghost) pieces, and where the cursor stands."""

    lines: Sequence[Sequence[tuple[str, bool]]]
    row: int
    column: int  # in cells


def layout(page: Page, *, width: int, height: int) -> Frame:
    """The end of the page in at most `height` lines of at most `width` cells.

    What was written is broken between words; a suggestion goes on from there, cell by cell, and
    moves nothing that stands before it.
    """
    from rich.cells import cell_len

    width, height = max(width, 2), max(height, 1)  # two: as wide as one character can be
    written = [line for text in page.text.split("\n") for line in _broken(text, width)]
    if cell_len(written[-1]) >= width:  # the cursor stands where the next character will
        written.append("")
    row, column = len(written) - 1, cell_len(written[-1])
    first, *further = _broken(page.ghost, width, column)
    lines = [[(line, False)] for line in written]
    lines[row].append((first, True))
    lines += [[(line, True)] for line in further]
    # The line of the cursor is seen, whatever else is.
    top = max(0, min(len(lines) - height, row))
    return Frame(lines=lines[top : top + height], row=row - top, column=column)


def footer(page: Page, answer_s: float | None) -> str:
    """What was saved so far, and how long the last answer took."""
    total = page.n_keys + page.n_saved
    text = f"{page.n_saved} of {total} keys saved"
    if total >= 10:  # below, a share would jump about
        text += f" ({100 * page.n_saved / total:.0f} %)"
    return text if answer_s is None else f"{text} · answer in {answer_s * 1000:.0f} ms"


def fitted(line: str, width: int) -> str:
    """As many of a line's parts, from the first, as are seen whole in `width` cells."""
    from rich.cells import cell_len

    first, *further = line.split(" · ")
    for part in further:
        if cell_len(first) + 3 + cell_len(part) > width:
            break
        first += f" · {part}"
    return first[:width]


def _broken(text: str, width: int, used: int = 0) -> list[str]:
    """A paragraph as lines of whole words, the first of which has `used` cells taken already."""
    from rich.cells import cell_len

    lines, line = [], ""
    for character in visible(text):
        cells = cell_len(character)
        if used + cells > width:
            head, blank, word = line.rpartition(" ")
            # A word longer than a line is broken anywhere.
            if character == " " or not blank or cell_len(word) + cells > width:
                head, blank, word = line, "", ""
            lines.append(head + blank)
            line, used = word, cell_len(word)
            if character == " ":
                continue  # the end of the line is blank enough
        line += character
        used += cells
    return [*lines, line]


def _draw(page: Page, title: str, answer_s: float | None) -> None:
    width, height = shutil.get_terminal_size()
    room = max(width - 2 * MARGIN, 2)
    frame = layout(page, width=room, height=height - 5)
    grey = _ghost_style(os.environ)
    rows = [f"{FAINT}{fitted(title, room)}{PLAIN}", f"{FAINT}{fitted(HELP, room)}{PLAIN}", ""]
    for line in frame.lines:
        rows.append("".join(f"{grey}{text}{PLAIN}" if ghost else text for text, ghost in line))
    if not page.text and not page.ghost:
        rows[-1] = f"{grey}{WELCOME[:room]}{PLAIN}"
    rows += [""] * (height - 1 - len(rows))
    rows.append(f"{REVERSED}{fitted(footer(page, answer_s), room).ljust(room)}{PLAIN}")
    body = "\r\n".join(f"{' ' * MARGIN}{row}\x1b[K" for row in rows[:height])
    if "utf" not in (sys.stdout.encoding or "").lower():
        body = body.replace("·", "|")
    # One write: the screen never shows half of it.
    cursor = f"\x1b[{frame.row + 4};{frame.column + MARGIN + 1}H"
    sys.stdout.write(f"\x1b[?25l\x1b[H{body}{cursor}\x1b[?25h")
    sys.stdout.flush()


def _ghost_style(environ: Mapping[str, str]) -> str:
    has_greys = "256" in environ.get("TERM", "") or bool(environ.get("COLORTERM"))
    return GREY if has_greys and not environ.get("NO_COLOR") else FAINT


# -- keys --------------------------------------------------------------------------------------

KEYS: Mapping[str, str] = {
    "\t": "take",
    "\r": "\n",
    "\n": "\n",
    "\x1b": "dismiss",
    "\x7f": "erase",
    "\x08": "erase",
    "\x17": "erase word",  # Ctrl-W
    "\x1b\x7f": "erase word",  # Alt-Backspace
    "\x15": "erase all",  # Ctrl-U
    "\x03": "leave",  # Ctrl-C
    "\x04": "leave",  # Ctrl-D
    "\x1b[C": "take",  # Right, as in fish
    "\x1bOC": "take",
    **dict.fromkeys(
        # Ctrl-Right and Alt-Right, as terminals spell them.
        ("\x1b[1;5C", "\x1b[1;3C", "\x1b[1;9C", "\x1b[5C", "\x1bOc", "\x1bf", "\x1b\x1b[C"),
        "take word",
    ),
}
_KEY = re.compile(r"\x1b\x1b?(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O\x1b])?|.", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b\x1b?(?:\[[0-?]*[ -/]*|O)?\Z")
ESCAPE_S = 0.05  # the rest of a sequence follows within; after the Esc key nothing does


def parse(typed: str) -> list[str]:
    """The keys behind what a terminal sends: characters, and names of `KEYS`."""
    # Sequences that mean nothing here become their own names, which `press` leaves alone.
    return [KEYS.get(sent, sent) for sent in _KEY.findall(typed)]


@contextmanager
def _screen(descriptor: int, out: TextIO) -> Iterator[Callable[[], list[str]]]:
    """A second screen, and every key as it is pressed; a function that waits for the next ones."""
    before = termios.tcgetattr(descriptor)
    stop_before = {n: signal.signal(n, _end) for n in (signal.SIGTERM, signal.SIGHUP)}
    size = shutil.get_terminal_size()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def arrives(seconds: float) -> bool:
        return bool(select.select([descriptor], [], [], seconds)[0])

    def keys() -> list[str]:
        nonlocal size
        while not arrives(0.25):
            if shutil.get_terminal_size() != size:  # another window: draw again
                size = shutil.get_terminal_size()
                return []
        typed = ""
        # All that is there already: a paste is asked about once, at its end.
        while arrives(ESCAPE_S if _UNFINISHED.search(typed) else 0):
            data = os.read(descriptor, 4096)
            if not data:
                return ["leave"]  # the terminal is gone
            typed += decoder.decode(data)
        return parse(typed)

    try:
        tty.setraw(descriptor)
        out.write("\x1b[?1049h")
        yield keys
    finally:
        out.write("\x1b[?1049l\x1b[?25h")
        out.flush()
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        for number, handler in stop_before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
