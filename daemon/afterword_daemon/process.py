"""The daemon as a process: what it gives up, the lock it holds, its log, and how it reports.

Knows the order in which a daemon comes to be; knows nothing of requests. `run` is `afterword run`.
`python -m afterword_daemon.process` is what `starting` starts, with a descriptor to report on and
the six paths: it lets go of whoever started it before it does anything else.
"""

import asyncio
import faulthandler
import gc
import io
import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Final

from afterword_trainer import durable
from afterword_trainer.durable import LockedError, StateError
from afterword_trainer.model import NotBuiltError
from afterword_trainer.paths import Paths

from afterword_daemon import confinement, discreet, endpoint, heap
from afterword_daemon.endpoint import OTHER, READY, EndpointError

logger = logging.getLogger(__name__)

MAX_EQUAL: Final = 100  # lines a minute: a client that comes and goes all the time fills no disk
EXIT_OTHER: Final = 75  # there is a daemon already; EX_TEMPFAIL of sysexits.h


def run(
    paths: Paths, *, stay: bool = False, report: Callable[[bytes], None] = lambda _: None
) -> int:
    """Be the daemon until told to end; 0, or 75 if there is one already.

    With `stay` it does not end when nobody is connected, whatever the settings say.
    `report` hears `READY` when clients can connect, or else why they never will. Raises StateError
    or EndpointError if there is no place for it, NotBuiltError if the memory was not compiled.
    """
    confinement.leave_no_traces()
    try:
        log = LogFile(paths.logs / endpoint.LOG, at_most=endpoint.MAX_LOG)
        with _logging_to(log):
            # Before the engine and all that it needs is loaded: it holds for that too.
            enforced_by = confinement.confine()
            with endpoint.claimed(paths):
                _serve(paths, enforced_by, stay, report)
    except LockedError:
        report(OTHER)
        return EXIT_OTHER
    except (StateError, EndpointError, NotBuiltError) as error:
        report(str(error).encode(errors="replace"))
        raise
    return 0


@contextmanager
def _logging_to(log: "LogFile") -> Iterator[None]:
    """Have all that is ours write there, and how it failed, if it does."""
    ours = [logging.getLogger(name) for name in ("afterword_daemon", "afterword_trainer")]
    for one in ours:
        one.addHandler(log)
        one.setLevel(logging.INFO)
    try:
        yield
    except LockedError:
        raise
    except Exception as error:
        what = durable.without_path(error) if isinstance(error, StateError) else ""
        logger.critical("the daemon failed: %s", what or discreet.without_text(error))
        raise
    finally:
        for one in ours:
            one.removeHandler(log)
        log.close()


def _serve(
    paths: Paths,
    enforced_by: confinement.Confinement,
    stay: bool,
    report: Callable[[bytes], None],
) -> None:
    heap.keep_little()
    # The threads of a matrix product cost more memory than they save time on products so small.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from afterword_daemon import loaded, server  # numpy and LiteRT, behind the filter

    found = loaded.load(paths)
    with ExitStack() as muted:

        def ready() -> None:
            muted.close()
            report(READY)

        muted.enter_context(_muted())
        serving = server.serve(paths, found, confinement=enforced_by, stay=stay, ready=ready)
        del found  # what of it is of no use any more can go
        gc.collect()
        gc.freeze()  # what is there now stays: it need not be looked through again and again
        asyncio.run(serving)


@contextmanager
def _muted() -> Iterator[None]:
    """Let nobody hear how libraries greet from C, once each: it is no error, and looks like one."""
    sys.stderr.flush()
    before = os.dup(2)
    nothing = durable.open_nothing()
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


class LogFile(logging.Handler):
    """A log that is moved aside when it has grown long, of which one before is kept."""

    def __init__(self, path: Path, *, at_most: int) -> None:
        """Raises StateError if it cannot be written; a full disk puts lines off, the last ones."""
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._path = path
        self._at_most = at_most
        self._minute = 0.0
        self._counts: Counter[str] = Counter()  # of lines that differ in their figures only
        self._unwritten: deque[bytes] = deque(maxlen=MAX_EQUAL)
        self._file: io.FileIO | None = None
        try:
            self._open()
        except StateError as error:
            if not endpoint.is_full(error):
                raise

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless it has been written very often in this minute."""
        minute = record.created // 60
        if minute != self._minute:
            self._minute, self._counts = minute, Counter()
        self._counts[record.msg] += 1
        if self._counts[record.msg] > MAX_EQUAL:
            return
        self._unwritten.append(f"{self._line(record)}\n".encode(errors="replace"))
        with suppress(OSError, StateError):  # a full disk is no reason to serve nobody
            if self._file is None or self._file.tell() >= self._at_most:
                self._open()
            assert self._file
            while self._unwritten:
                line = self._unwritten.popleft()
                n_bytes = 0
                try:
                    n_bytes = self._file.write(line)
                finally:
                    if n_bytes < len(line):
                        self._unwritten.appendleft(line[n_bytes:])

    def close(self) -> None:
        """No more lines."""
        if self._file:
            self._file.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> str:
        """As it was meant here; of what the trainer says, paths and all, only where and whether."""
        if not str(record.name).startswith("afterword_trainer"):
            return self.format(record)
        where = f"{record.module}.{record.funcName} has something to say; see: afterword doctor"
        return self.format(logging.makeLogRecord(record.__dict__ | {"msg": where, "args": ()}))

    def _open(self) -> None:
        before = self._file
        descriptor = durable.continue_log(self._path, at_most=self._at_most)
        self._file = io.FileIO(descriptor, "a")
        if before:
            before.close()


# -- when a client starts it -------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """A daemon on its own, with a descriptor to report on and the fields of `Paths`."""
    descriptor, *places = arguments
    if os.fork():
        os._exit(0)  # the client has no child to wait for, and the daemon no parent to lose
    faulthandler.enable(os.dup(2))  # which says how it crashed, whoever is muted
    paths = Paths(
        **dict(zip((field.name for field in fields(Paths)), map(Path, places), strict=True))
    )
    reports = os.fdopen(int(descriptor), "wb", buffering=0)

    def report(what: bytes) -> None:
        with suppress(OSError, ValueError):  # who started us did not wait, or was told already
            reports.write(what)
        reports.close()  # it waits for the end of it

    try:
        return run(paths, report=report)
    except (StateError, EndpointError, NotBuiltError):
        return 1  # as it was reported
    except Exception as error:  # its message may quote anything, and would be kept in daemon.err
        report(f"{discreet.without_text(error)}; see: afterword logs".encode())
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
