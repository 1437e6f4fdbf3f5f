"""The demo: keys and what they do, what the screen shows, and a terminal that is as it was."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from afterword_daemon import client, demo
from afterword_daemon.demo import Page
from afterword_trainer.paths import Paths
from daemons import TIMEOUT_S
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len


def pressed(page: Page, sent: str) -> Page:
    for key in demo.parse(sent):
        page = demo.press(page, key)
    return page


@pytest.mark.parametrize(
    ("sent", "text", "ghost"),
    [
        ("", "The ", "garden grows."),
        ("gar", "The gar", "den grows."),  # typed along: it shrinks where it stands
        ("gx", "The gx", ""),
        ("\t", "The garden grows.", ""),
        ("\x1b[C", "The garden grows.", ""),
        ("\x1b[1;5C", "The garden", " grows."),
        ("\x1b[1;3C\x1bf", "The garden grows", "."),
        ("\x1bf\x1bf\x1bf\x1bf", "The garden grows.", ""),
        ("\x1b", "The ", ""),
        ("\x7f", "The", ""),
        ("\x17", "", ""),
        ("now \x1b\x7f", "The ", ""),
        ("\x15", "", ""),
        ("\r", "The \n", ""),
        ("\x1b[A\x1b[3~\x1bOP\x01\x1b[200~", "The ", "garden grows."),  # mean nothing here
        ("é日", "The é日", ""),
    ],
)
def test_keys_do_what_they_do_in_editors(sent: str, text: str, ghost: str) -> None:
    """However the terminal spells them."""
    page = pressed(Page(text="The ", ghost="garden grows."), sent)
    assert (page.text, page.ghost) == (text, ghost)


def test_saved_keys_are_counted_with_the_keys_that_took() -> None:
    """Ten characters for one key are nine saved; erasing costs nothing and wins nothing."""
    page = pressed(Page(text="", ghost="0123456789"), "\t")
    assert (page.n_keys, page.n_saved) == (1, 9)
    page = pressed(page, "ab\x7f\x7f\x1b")
    assert (page.n_keys, page.n_saved) == (3, 9)
    assert "9 of 12 keys saved (75 %)" in demo.footer(page, None)


def test_what_is_left_of_a_suggestion_is_not_asked_for_anew() -> None:
    """Word by word, to its end; whatever is typed asks again."""
    page = Page(ghost="one two", is_stale=False)
    assert not pressed(page, "\x1bf").is_stale
    assert pressed(page, "\x1bf\x1bf").is_stale
    assert pressed(page, "o").is_stale
    assert not pressed(page, "\x1b").is_stale


@given(
    text=st.text(alphabet="ab \n日é\x1b", max_size=60),
    ghost=st.text(alphabet="ab \n日é\x1b", max_size=30),
    width=st.integers(1, 12),
    height=st.integers(0, 8),
)
@example(text="aaaaaaa", ghost="a  a日", width=1, height=3)
def test_everything_stays_inside_the_screen(text: str, ghost: str, width: int, height: int) -> None:
    """No line is too long, the cursor is on it, and nothing there acts on the terminal."""
    frame = demo.layout(Page(text=text, ghost=ghost), width=width, height=height)
    lines = ["".join(piece for piece, _ in line) for line in frame.lines]
    assert 1 <= len(lines) <= max(height, 1)
    assert all(cell_len(line) <= max(width, 2) for line in lines)
    assert 0 <= frame.row < len(lines)
    assert 0 <= frame.column < max(width, 2)
    written = "".join(piece for piece, grey in frame.lines[frame.row] if not grey)
    assert cell_len(written) == frame.column
    assert not any(character in "\x1b\n" for line in lines for character in line)


def test_lines_break_between_words() -> None:
    """And a suggestion moves nothing that was written before it."""
    page = Page(text="one two three fo", ghost="ur five")
    with_ghost = demo.layout(page, width=10, height=9)
    without = demo.layout(Page(text=page.text), width=10, height=9)
    lines = ["".join(piece for piece, _ in line) for line in with_ghost.lines]
    assert lines == ["one two ", "three four", "five"]
    assert (with_ghost.row, with_ghost.column) == (without.row, without.column) == (1, 8)


# -- in a real terminal ------------------------------------------------------------------------

SENTENCE = "The garden grows by itself."
SCRIPT = f"""
from afterword_daemon import demo
def ask(text):
    if text.endswith("!"):
        raise RuntimeError("as a broken connection would")
    return {SENTENCE!r}[len(text):] if text and {SENTENCE!r}.startswith(text) else ""
page = demo.run(ask, "a title")
print("left with", repr(page.text))
"""


class Terminal:
    """A pseudo-terminal with a program in it."""

    def __init__(self, *command: str, **environ: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 80, 0, 0))
        self.before = termios.tcgetattr(self.ours)
        self.seen = ""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environ,
        )
        os.close(theirs)

    def until(self, text: str) -> str:
        """What was written up to `text`, from where the last call stopped."""
        end = time.monotonic() + TIMEOUT_S
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 65536).decode(errors="replace")
        part, _, self.seen = self.seen.partition(text)
        return part

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.ours) == self.before


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    one = Terminal(sys.executable, "-c", SCRIPT)
    yield one
    one.close()


def test_it_shows_grey_text_and_takes_it(terminal: Terminal) -> None:
    """From the first key to the last, and the page that came of it."""
    terminal.until(demo.WELCOME)
    terminal.type("The g")
    terminal.until(f"The g{demo.GREY}arden grows by itself.")
    terminal.type("\x1b[1;5C")
    terminal.until(f"The garden{demo.GREY} grows by itself.")
    terminal.type("\t")
    terminal.until("keys saved (74 %)")
    terminal.type("\x03")
    terminal.until("\x1b[?1049l")
    terminal.until(f"left with {SENTENCE!r}")
    assert terminal.process.wait(TIMEOUT_S) == 0
    assert terminal.is_as_before()


@pytest.mark.parametrize("end", ["failure", "SIGTERM", "SIGHUP", "SIGINT"])
def test_the_terminal_is_as_it_was_whatever_happens(terminal: Terminal, end: str) -> None:
    """A defect, a signal: the shell that comes next has echo, its screen and its cursor."""
    terminal.until(demo.WELCOME)
    assert not terminal.is_as_before()
    if end == "failure":
        terminal.type("!")
    else:
        terminal.process.send_signal(signal.Signals[end])
    terminal.until("\x1b[?1049l\x1b[?25h")
    assert terminal.process.wait(TIMEOUT_S) != 0
    assert terminal.is_as_before()


def test_another_size_is_drawn_anew(terminal: Terminal) -> None:
    """Nobody has to press a key for it."""
    terminal.until(demo.WELCOME)
    fcntl.ioctl(terminal.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 20, 0, 0))
    terminal.until(demo.WELCOME[:16] + demo.PLAIN)


def test_a_daemon_that_ends_does_not_end_the_page(paths: Paths) -> None:
    """Another one is started, and what was written is still there; nothing of it is kept."""
    home = {"AFTERWORD_HOME": str(paths.config.parent), "AFTERWORD_BASE": str(paths.base)}
    terminal = Terminal(sys.executable, "-m", "afterword_daemon.cli", "demo", **home)
    try:
        terminal.until(demo.WELCOME)
        terminal.type("kept")
        terminal.until("kept")
        assert client.stop(paths, client="afterword")
        terminal.type(" here")
        terminal.until("kept here")
        terminal.until("of 9 keys saved")
        terminal.type("\x03")
        terminal.until("hint: trainer learn")
        assert terminal.process.wait(TIMEOUT_S) == 0
        assert terminal.is_as_before()
    finally:
        terminal.close()
    written = b"".join(path.read_bytes() for path in paths.logs.iterdir())
    assert b"kept" not in written


def test_without_a_terminal_there_is_one_sentence(tmp_path: Path) -> None:
    """And what to type instead."""
    result = subprocess.run(
        [sys.executable, "-m", "afterword_daemon.cli", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | {"AFTERWORD_HOME": str(tmp_path)},
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: the demo needs a terminal")
    assert "hint: afterword complete" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, demo.HELP),
        (len(demo.HELP), demo.HELP),
        (36, "Ctrl-C leaves · Tab takes it"),
        (20, "Ctrl-C leaves"),
        (8, "Ctrl-C l"),
    ],
)
def test_a_narrow_terminal_shows_what_matters_first(width: int, shown: str) -> None:
    """How to leave, then how to take; no word is cut where there is room for one."""
    assert demo.fitted(demo.HELP, width) == shown
