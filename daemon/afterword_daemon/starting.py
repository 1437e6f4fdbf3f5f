"""The way to a daemon: find the one there is, or start one; and what can go wrong on it.

Knows the processes and locks by which exactly one daemon comes to be, and the greeting; knows
nothing of what is asked afterwards. Written as steps that say how long to wait, so that a command
can wait for them and an event loop go on meanwhile.

    DaemonError
    + NotRunningError    there is no daemon, and none was to be started
    + StartError         one was started and did not come up
    + SkewError          the one there is speaks another protocol, and must not be replaced now
    + LostError          it went away, or did not answer in time
      + DyingError       it did so soon after it was there, more than once
    + RefusedError       it answered that it will not
"""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import astuple
from typing import Final, TypeVar

from afterword_trainer import durable
from afterword_trainer.durable import LockedError, StateError
from afterword_trainer.paths import Paths

from afterword_daemon import endpoint, protocol
from afterword_daemon.endpoint import Socket
from afterword_daemon.protocol import Failed, Hello, Welcome

START_S: Final = 10.0  # from no daemon to one that answers; it takes half a second
GREETING_S: Final = 2.0  # a busy machine may keep a daemon silent for a moment
ANSWER_S: Final = 5.0  # for a command; nobody waits longer without an explanation
PAUSE_S: Final = 0.02  # between two looks at what somebody else is doing
LOOK_S: Final = 0.5  # between two looks for a daemon of somebody else while ours starts

# What a daemon is started with, followed by a descriptor to report on and the six paths.
COMMAND: Final = (sys.executable, "-m", "afterword_daemon.process")

Answer = TypeVar("Answer")
Steps = Generator[float, None, Answer]  # yields seconds to wait before it is asked to go on


class DaemonError(Exception):
    """What was asked of the daemon did not happen; a sentence for the user."""


class NotRunningError(DaemonError):
    """There is no daemon."""

    def __init__(self) -> None:
        super().__init__("the daemon is not running; start it with: afterword start")


class StartError(DaemonError):
    """The daemon did not start."""


class SkewError(DaemonError):
    """Daemon and client are of different versions."""


class LostError(DaemonError):
    """The daemon went away or is silent."""


class DyingError(LostError):
    """The daemon comes up, and goes away as soon as it has something to do."""

    def __init__(self, n_times: int) -> None:
        super().__init__(
            f"the daemon ended {n_times} times in a row as soon as it was used, "
            "so it is started more and more seldom; see: afterword logs"
        )


class RefusedError(DaemonError):
    """The daemon's answer is `Failed`."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message or f"the daemon refused the request: {failed.code}")
        self.code = failed.code


# -- connect or start --------------------------------------------------------------------------


def at_once(steps: Steps[Answer]) -> Answer:
    """The result, waiting where there is something to wait for."""
    while True:
        try:
            time.sleep(next(steps))
        except StopIteration as end:
            answer: Answer = end.value
            return answer


async def in_steps(steps: Steps[Answer]) -> Answer:
    """The same in an event loop. Whoever is cancelled here leaves nothing half done."""
    try:
        while True:
            pause_s = next(steps)
            await asyncio.sleep(pause_s)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    finally:
        steps.close()


def reached(paths: Paths, *, spawn: bool, command: Sequence[str]) -> Steps[Socket]:
    """Steps to a connection. Raises NotRunningError, StartError or LostError."""
    deadline = time.monotonic() + START_S
    while True:
        is_busy = False
        try:
            if connection := endpoint.connect(paths):
                return connection
            if not spawn:
                raise NotRunningError
            try:
                with durable.locked(endpoint.start_lock_of(paths)):
                    # Who held it before may have started one.
                    if connection := endpoint.connect(paths):
                        return connection
                    yield from _started(paths, command, deadline)
                    continue
            except LockedError:
                pass  # somebody is starting one
            except StateError as error:
                sentence = obstacle(paths) or f"the daemon cannot start: {error}"
                _log(paths, durable.without_path(error))
                raise StartError(sentence) from error
        except BlockingIOError:  # it is there, and others are before us
            is_busy = True
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            remedy = "close some programs and try again"
            if error.errno == errno.ENAMETOOLONG:
                remedy = "set AFTERWORD_HOME to a folder with a shorter path"
            raise LostError(f"the daemon cannot be reached ({reason}); {remedy}") from error
        if time.monotonic() > deadline:
            if is_busy:
                raise LostError("the daemon has too many clients waiting; see: afterword doctor")
            raise StartError(
                f"{paths.data}: no daemon has come up within {START_S:g} seconds; "
                "see: afterword doctor"
            )
        yield PAUSE_S


def _started(paths: Paths, command: Sequence[str], deadline: float) -> Steps[None]:
    """Steps to a daemon that is ready, or to finding another one. Raises StartError.

    Another one may come up meanwhile: one that was begun by somebody who died of it. The process
    begun here finds out for itself only when it has waited for the lock.
    """
    errors = durable.continue_log(paths.logs / "daemon.err", at_most=1 << 16)
    try:
        reports, reports_to = os.pipe()
    except OSError:
        os.close(errors)
        raise
    process = None
    try:
        os.set_blocking(reports, False)
        try:
            process = subprocess.Popen(
                [*command, str(reports_to), *map(str, astuple(paths))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[reports_to],
                cwd="/",  # it shall keep no disk busy
                start_new_session=True,  # what ends the editor's terminal shall not end it
            )
        except OSError as error:
            raise StartError(f"{command[0]}: cannot be started ({error.strerror})") from error
        finally:
            os.close(reports_to)
        report = b""
        next_look = time.monotonic() + LOOK_S
        while report not in (endpoint.READY, endpoint.OTHER):
            if time.monotonic() > next_look:
                next_look += LOOK_S
                if _is_there_another(paths, process.pid):
                    with suppress(OSError):  # else it would come up when the other one is stopped
                        os.killpg(process.pid, signal.SIGTERM)
                    return
            if time.monotonic() > deadline:
                reason = f"it was not ready within {START_S:g} seconds; see: afterword logs"
                raise StartError(f"the daemon cannot start: {reason}")
            try:
                part = os.read(reports, 1 << 16)
            except BlockingIOError:
                yield 0.005
                continue
            if not part:
                reason = report.decode(errors="replace")
                reason = reason or f"it ended; see {paths.logs / 'daemon.err'}"
                raise StartError(f"the daemon cannot start: {reason}")
            report += part
    finally:
        os.close(reports)
        os.close(errors)
        if process is not None:
            # It is only the daemon's parent, and gone as soon as there is a daemon.
            process.kill()
            process.wait()


def _is_there_another(paths: Paths, group: int) -> bool:
    """Whether a daemon can be connected to that is not of this process group, which is ours."""
    pid = endpoint.holder(paths)
    try:
        if pid is None or os.getpgid(pid) == group:
            return False
    except OSError:
        return False
    connection = endpoint.connect(paths)
    if connection:
        connection.close()
    return connection is not None


def obstacle(paths: Paths) -> str:
    """Why no daemon can start here, one sentence with its remedy; "" if nothing is in the way.

    A look, which changes nothing; what only trying can tell, trying tells.
    """
    for path in (paths.data, paths.logs):
        folder = path
        while not os.path.lexists(folder):
            folder = folder.parent  # where it would be made
        if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            continue
        what = f"{folder}: the daemon cannot start, as nothing can be written there"
        if not folder.is_dir():
            return f"{what} (it is no folder); move it away"
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"{what} (the disk is read-only); {_WRITABLE}"
        return f"{what} (permission denied); change its owner or mode, or {_ELSEWHERE}"
    return ""


_ELSEWHERE: Final = "set AFTERWORD_HOME to a folder that can be written"
_WRITABLE: Final = f"check the disk and mount it for writing, or {_ELSEWHERE}"


def _log(paths: Paths, cause: str) -> None:
    """Have the daemon's log tell why there is no daemon, unless that is its last line."""
    line = f"CRITICAL the daemon cannot start: {cause}\n".encode()
    path = paths.logs / endpoint.LOG
    with suppress(OSError, StateError):
        descriptor = durable.continue_log(path, at_most=endpoint.MAX_LOG)
        with os.fdopen(descriptor, "ab", buffering=0) as log:
            if not path.read_bytes().endswith(line):
                log.write(time.strftime("%Y-%m-%d %H:%M:%S,000 ").encode() + line)


def hello(client: str) -> Hello:
    """Our first words."""
    return Hello(protocol=protocol.PROTOCOL_VERSION, build=endpoint.build(), client=client)


def skew(welcome: Welcome) -> SkewError:
    """Daemon and client cannot talk, and the daemon stays.

    An older one makes room for ours; a newer one never does, or two installations of different age
    would replace each other's for ever.
    """
    return SkewError(
        f"the daemon speaks protocol {welcome.protocol} and this program "
        f"{protocol.PROTOCOL_VERSION}; bring both to the same version, then: afterword restart"
    )
