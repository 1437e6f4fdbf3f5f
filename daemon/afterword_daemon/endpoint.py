"""Where the daemon is, and that there is one: its lock, its socket, and the note of both.

Knows the files by which a daemon is found and the sockets that lead to it; knows nothing of what
is said over them. Whose daemon it is follows from the data folder alone: sessions differ in
XDG_RUNTIME_DIR and TMPDIR, and still have to meet.

    data/daemon.lock      held while a daemon lives; only its holder touches the rest
    data/start.lock       held by a client while it starts one
    data/endpoint.json    where the socket is, written when it can be connected to
    run/NAME.sock         the socket, 0600 in a folder that is 0700

    EndpointError    the socket cannot be made anywhere: which path, why, what to do
"""

import errno
import hashlib
import logging
import os
import socket
import stat
import struct
import sys
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from afterword_trainer import durable
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

logger = logging.getLogger(__name__)

BACKLOG: Final = 128  # connections that wait to be accepted: twice the clients that there may be
MAX_PATH: Final = 103  # bytes in the address of a socket, on the system that takes fewest (macOS)
READY: Final = b"ready"  # what a daemon reports to its starter: it can be connected to
OTHER: Final = b"other"  # or: another one is alive, or only just ending
LOG: Final = "daemon.log"  # in the folder of logs
MAX_LOG: Final = 2 << 20  # bytes, and as many in the log before: months of a quiet daemon
LOCKS: Final = Path("/proc/locks")  # who holds which, on Linux
MAX_NOTE: Final = 4096  # bytes of endpoint.json; more was not written by a daemon

Socket = socket.socket  # the one module that makes any; a test sees to it


class EndpointError(Exception):
    """No socket can be made."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What endpoint.json says of a daemon. The process may have died since."""

    socket: str  # its path
    pid: int  # to be shown; never to be killed, as it may be another's by now
    protocol: int
    build: str
    started: float  # seconds since 1970


def lock_of(paths: Paths) -> Path:
    """Who holds it is the daemon."""
    return paths.data / "daemon.lock"


def start_lock_of(paths: Paths) -> Path:
    """Who holds it may start a daemon."""
    return paths.data / "start.lock"


def note_of(paths: Paths) -> Path:
    """Where `Endpoint` is written."""
    return paths.data / "endpoint.json"


@cache  # a daemon must be able to tell when it can open no file any more
def build() -> str:
    """Version of the distribution that runs."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and asked for once

    try:
        return version("afterword")
    except PackageNotFoundError:
        return "unknown"


# -- for a client ------------------------------------------------------------------------------


def read(paths: Paths) -> Endpoint | None:
    """What the last daemon wrote down; None if there is nothing to be understood."""
    try:
        return msgspec.json.decode(durable.read(note_of(paths), at_most=MAX_NOTE), type=Endpoint)
    except (StateError, msgspec.DecodeError):
        return None


def connect(paths: Paths) -> socket.socket | None:
    """A blocking connection to the daemon; None if no daemon of this user listens.

    Returns at once. Raises BlockingIOError while the daemon has more to accept than it can, another
    OSError when no socket can be made here.
    """
    endpoint = read(paths)
    # A note can be lost; the usual places need none.
    addresses = [endpoint.socket] if endpoint else []
    addresses += [str(path) for path in candidates(paths) if str(path) not in addresses]
    for address in addresses:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.connect(address)
            if not is_ours(connection):
                raise PermissionError
            connection.setblocking(True)
            return connection
        except BlockingIOError:
            connection.close()
            raise
        except (OSError, ValueError):  # ValueError: no path at all
            connection.close()
    return None


def holder(paths: Paths) -> int | None:
    """The process that holds the lock, which is the daemon; None if nobody does or can tell.

    On Linux the kernel says so. Elsewhere the note beside the lock does, if somebody holds the
    lock and that process is older than the note, so that it has written it.
    """
    lock = lock_of(paths)
    note = lock.with_name(f"{lock.name}.pid")
    noted = _number_in(note)
    try:
        status = lock.stat()
        try:
            locks = LOCKS.read_text(encoding="ascii")
        except FileNotFoundError:
            return noted if noted and _wrote(noted, note) and _is_held(lock) else None
    except OSError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    for line in locks.splitlines():
        *_, pid, place, _, _ = line.split()
        where, _, inode = place.rpartition(":")
        # Some file systems have another number than the disk that they are on; then the note helps.
        if (
            inode == str(status.st_ino)
            and (where == device or pid == str(noted))
            and "->" not in line
        ):
            return int(pid) or None  # 0: it is beyond this container
    return None


def is_ours(connection: socket.socket) -> bool:
    """Whether the process at the other end runs as this user; False also if nobody can tell."""
    try:
        if sys.platform == "darwin":
            # struct xucred: a version, then the user. The socket module names neither constant.
            sol_local, local_peercred = 0, 1
            credentials = connection.getsockopt(sol_local, local_peercred, 8)
            _, uid = struct.unpack("=II", credentials)
        else:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            _, uid, _ = struct.unpack("=iII", credentials)
    except (OSError, struct.error):
        return False
    return bool(uid == os.geteuid())


# -- for the daemon ----------------------------------------------------------------------------


def claimed(paths: Paths, *, wait_s: float = 3.0) -> AbstractContextManager[None]:
    """Be the daemon while the block runs. Raises LockedError if there is another one.

    It waits for one that is on its way out, which takes at most a second.
    """
    return durable.locked(lock_of(paths), wait_s=wait_s)


def n_network_sockets() -> int:
    """How many sockets of this process are not local; asked here, as others may not look."""
    return sum(map(_is_beyond_the_machine, os.listdir("/dev/fd")))  # noqa: PTH208


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that clients can connect to, and the file by which they find it."""

    socket: socket.socket
    path: Path
    file: tuple[int, int]  # device and inode: a file of that name may be another one by now

    def is_in_place(self) -> bool:
        """Whether the file is still there; cleaners of temporary folders remove such."""
        return file_at(self.path) == self.file

    def keep(self) -> None:
        """Look used, so that cleaners of temporary folders leave it; they look at the age."""
        with suppress(OSError):
            os.utime(self.path)


def listen(paths: Paths) -> Listener:
    """A socket to be found at, for the holder of the lock only. Raises EndpointError.

    What an earlier daemon left in its place is removed.
    """
    problems = []
    for folder in (paths.data, paths.config, paths.logs, paths.runtime):
        try:
            str(folder).encode()
        except UnicodeEncodeError:
            shown = str(folder).encode(errors="replace").decode()
            raise EndpointError(
                f"{shown}: this name is not UTF-8; rename the folder, "
                "or set AFTERWORD_HOME to another"
            ) from None
    for path in candidates(paths):
        try:
            return _bound(path)
        except StateError as error:
            problems.append(str(error))
        except OSError as error:
            reason = (error.strerror or "no socket can be made").lower()
            problems.append(f"{path}: {reason}; set AFTERWORD_HOME to a folder on another disk")
    raise EndpointError(problems[0])


def candidates(paths: Paths) -> list[Path]:
    """Where the socket may be: in the runtime folder, or else in a short one under /tmp.

    Both are named for the data folder, because sessions that differ in it may share the rest.
    TMPDIR is of no use: it differs between the sessions of one user, and can be long itself.
    """
    name = f"{hashlib.sha256(os.fsencode(paths.data)).hexdigest()[:12]}.sock"
    places = [paths.runtime / name, Path("/tmp") / f"afterword-{os.geteuid()}" / name]
    return [path for path in places if len(os.fsencode(path)) <= MAX_PATH]


def announce(paths: Paths, listener: Listener, *, protocol: int, started: float) -> None:
    """Write down where clients find the socket. Raises StateError."""
    endpoint = Endpoint(
        socket=str(listener.path),
        pid=os.getpid(),
        protocol=protocol,
        build=build(),
        started=started,
    )
    durable.replace(note_of(paths), msgspec.json.encode(endpoint))


def is_full(error: StateError) -> bool:
    """Whether something cannot be written for want of room."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def withdraw(paths: Paths, listener: Listener) -> None:
    """Leave nothing behind that leads to this daemon, which still holds the lock."""
    is_in_place = listener.is_in_place()
    listener.socket.close()
    with suppress(StateError):  # a disk that failed meanwhile: the next daemon cleans up
        durable.retire(note_of(paths))
        if is_in_place:
            durable.retire(listener.path)


def _bound(path: Path) -> Listener:
    durable.make_private_folder(path.parent)
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            durable.retire(path)  # nobody listens there, or the lock would not be ours
        else:
            durable.set_aside(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o177)
        try:
            # Never by asyncio's `path=`: it would remove the socket of whoever listens there.
            listener.bind(str(path))
        finally:
            os.umask(mask)
        file = file_at(path)
        if file is None or stat.S_IMODE(path.lstat().st_mode) != 0o600:
            raise StateError(
                f"{path}: this disk keeps no modes; set XDG_RUNTIME_DIR to one that does"
            )
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return Listener(socket=listener, path=path, file=file)


def file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of what has this name now; None if nothing has."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _number_in(note: Path) -> int | None:
    try:
        return int(durable.read(note, at_most=20))
    except (StateError, ValueError):
        return None


def _wrote(pid: int, note: Path) -> bool:
    """Whether this process was there when the note was written; its number may be another's."""
    import psutil  # 6 ms, and seldom needed

    try:
        return bool(psutil.Process(pid).create_time() < note.stat().st_mtime + 1.0)
    except (psutil.Error, OSError):
        return False


def _is_held(lock: Path) -> bool:
    try:
        with durable.locked(lock):
            return False
    except StateError:
        return True


def _is_beyond_the_machine(name: str) -> bool:
    try:
        descriptor = int(name)
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        looked_at = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
    except OSError:  # it was the descriptor by which the folder was read
        return False
    try:
        # A local socket has a path, or none; whatever else there is has an address of parts.
        return not isinstance(looked_at.getsockname(), str | bytes)
    except OSError:
        return True  # who cannot tell must not reassure
    finally:
        looked_at.detach()  # it is not ours to close
