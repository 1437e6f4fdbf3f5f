"""What both command lines share: exit codes, the form of errors, streams that bear anything.

Imports argparse and no more, so that `--help` answers before the finger leaves Enter.
"""

import argparse
import difflib
import errno
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T", int, float)

DONE, FAILED, USAGE, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130
TERMINATED = 128 + signal.SIGTERM
# Of a word typed and a command, by `difflib`: "lern", "evalute" and "watchs" are, "bogus" is not.
ALIKE = 0.7
PROGRAMS = ("trainer", "afterword")


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; whoever makes no difference tidies up as after Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """argparse with the project's form of errors: what, and what to type instead."""

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help"
        if "argument COMMAND: invalid choice: '" in message:
            typed, *choices = message.replace("'", "").partition("choice: ")[2].split()
            names = [choice.strip(",()") for choice in choices]
            message = f"argument COMMAND: there is no {typed!r}"  # and not all that there are
            if near := difflib.get_close_matches(typed, names, 1, cutoff=ALIKE):
                hint = f"{self.prog} {near[0]}    (did you mean that?)"
        _say(message, hint)
        sys.exit(USAGE)


def number(low: float, high: float, kind: Callable[[str], T]) -> Callable[[str], T]:
    """A type for argparse: a number from `low` to `high`, or a message that names both."""

    def parse(text: str) -> T:
        try:
            value = kind(text)
            if low <= float(text) <= high:
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not a number within {low:g} and {high:g}")

    return parse


def tell(error: Exception | str) -> None:
    """An expected error on standard error: what and why, and a hint where it has a remedy."""
    what, _, remedy = str(error).partition("; ")
    _say(what, remedy)


def _say(what: str, remedy: str) -> None:
    from afterword_trainer.view import visible  # which nobody waits for where all is well

    hint = f"\nhint: {as_typed(remedy)}\n" if remedy else ""
    # What is quoted may act on a terminal.
    sys.stderr.write(visible(f"error: {what}\n{hint}", keep="\n"))


def as_typed(command: str) -> str:
    """`command` so that it works where the one that runs was typed; other text as it is.

    `AFTERWORD_HOME=.try .venv/bin/trainer learn` is no command for its home and its program alone:
    a home, or a program, named from the folder one stands in is meant for this once.
    """
    program, blank, rest = command.partition(" ")
    if program not in PROGRAMS:
        return command
    own, home = Path(sys.argv[0]), os.environ.get("AFTERWORD_HOME", "")
    if own.name in PROGRAMS and not own.is_absolute() and len(own.parts) > 1:
        program = str(own.with_name(program))
    if home and not Path(home).is_absolute():
        program = f"AFTERWORD_HOME={shlex.quote(home)} {program}"
    return f"{program}{blank}{rest}"


def obey_signals() -> None:
    """Tidy up after SIGTERM as after Ctrl-C."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, end)


def end_with_the_pipe() -> int:
    """The exit code where nobody reads on, as in `trainer sample | head`; nothing more is said."""
    _forget_output()
    return 128 + signal.SIGPIPE


def output_problem(error: OSError) -> str:
    """A sentence, if it is standard output that takes no more; "" for any other error."""
    # What is written to files of ours is explained by who writes it, so this is no file of ours.
    if error.filename or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return ""
    _forget_output()
    reason = os.strerror(error.errno).lower()
    return f"standard output: {reason}; free some space, or write elsewhere"


def _forget_output() -> None:
    from afterword_trainer.durable import open_nothing

    os.dup2(open_nothing(), 1)  # what is still to be flushed


def open_streams() -> None:
    """Have all three streams, and none that dies of a character.

    Whoever starts programs without a terminal may close them; a descriptor that is free would go
    to the next file opened, and be written to as if it were the terminal.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            from afterword_trainer.durable import open_nothing

            os.set_inheritable(open_nothing(), True)  # the lowest that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
