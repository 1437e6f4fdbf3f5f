"""`afterword-lsp`: the language server on standard input and output, until nobody is there."""

import argparse
import asyncio
import gc
import linecache
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from logging import LogRecord
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afterword_trainer.paths import Paths

if TYPE_CHECKING:
    import psutil

LOOK_S: Final = 3.0  # between two looks at whether the editor still lives
LINGER_S: Final = 60.0  # after `shutdown`, for an `exit` that does not come
MOST_BYTES_OF_LOG: Final = 1 << 20  # one older file of as many is kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one editor; the exit code."""
    parser = argparse.ArgumentParser(
        prog="afterword-lsp",
        description="The language server of Afterword. Editors start it, without arguments.",
    )
    parser.add_argument("--stdio", action="store_true", help="talk over stdin and stdout (always)")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="write what happens to FILE")
    options = parser.parse_args(arguments)
    try:
        _log_to(options.log_file)
    except OSError as error:
        parser.error(f"{options.log_file}: cannot be written ({error.strerror})")
    # Whatever prints must not do so into the protocol.
    in_fd, out_fd = sys.stdin.fileno(), sys.stdout.fileno()
    sys.stdout = sys.stderr
    from afterword_lsp import server  # late: --help and a wrong option answer at once

    # The source of what LSP's types were generated from, kept for tracebacks that nobody sees.
    linecache.clearcache()
    # The 200,000 objects that LSP's types are made of stay; to look through them for garbage
    # would take 25 milliseconds now and then, in the middle of a word.
    gc.freeze()
    try:
        return asyncio.run(server.serve(Paths.from_environment(), in_fd, out_fd, Watch()))
    except KeyboardInterrupt:
        return 130


class Watch:
    """Ends the process when the editor is gone, from a thread that no stuck loop can stop.

    A closed pipe says so at once, but a process that the editor started may hold the pipe open.
    """

    def __init__(self) -> None:
        self._end: float | None = None  # when to go in any case; time.monotonic
        self._is_started = False

    def start(self, process: int | None) -> None:
        """Look after the editor, if it gave its process id. The first one counts."""
        if not self._is_started:
            self._is_started = True
            threading.Thread(target=self._look, args=(process,), daemon=True).start()

    def end_soon(self) -> None:
        """The editor has said good-bye."""
        self._end = time.monotonic() + LINGER_S

    def _look(self, process: int | None) -> None:
        editor = _process(process)
        while not (self._is_over() or (editor and not _lives(editor))):
            time.sleep(LOOK_S)
        os._exit(0)

    def _is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


def _process(number: int | None) -> "psutil.Process | None":
    """The process of this number; None where there is none, so that none can be watched.

    An editor in a container of its own gives a number that means nothing here, or no number at all.
    """
    import psutil  # late: it is not wanted before the first answer

    try:
        return psutil.Process(number) if number else None
    except (psutil.Error, ValueError, OverflowError, TypeError):
        return None


def _lives(process: "psutil.Process") -> bool:
    """Whether it does, as far as can be seen."""
    import psutil

    try:
        # `is_running` compares the start time too: the number may be another's by now.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it is not for us to look at
        return True


def _log_to(path: Path | None) -> None:
    handler: logging.Handler = logging.StreamHandler()
    level = logging.WARNING  # editors show every line of this as something to worry about
    if path:
        from logging.handlers import RotatingFileHandler

        handler = RotatingFileHandler(
            path, maxBytes=MOST_BYTES_OF_LOG, backupCount=1, encoding="utf-8"
        )
        level = logging.INFO
    handler.addFilter(_without_text)
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
    )
    # pygls tells of every message at INFO, with all that is in it.
    logging.getLogger("pygls").setLevel(logging.ERROR)


def _without_text(record: LogRecord) -> bool:
    """Of what libraries log, keep where and of which kind: the rest may quote the user."""
    if record.name.startswith("afterword_"):
        return True
    error = record.exc_info[0] if record.exc_info else None
    record.msg = f"{record.module}.{record.funcName}"
    record.args = (error.__name__,) if error else ()
    record.msg += ": %s" if error else ""
    record.exc_info = record.exc_text = record.stack_info = None
    return True


if __name__ == "__main__":
    sys.exit(main())
