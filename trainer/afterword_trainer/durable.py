"""The one module that writes state, so that a crash at any moment leaves the old or the new.

Nothing else in Afterword opens a file for writing, renames, unlinks or syncs; a test sees to it.
Knows bytes and names; knows nothing of what they mean. Every file is made 0600 and every folder
0700, whatever the umask. The order of writing follows what Pillai et al. (OSDI 2014) found to
break elsewhere: a file is synced before its name appears, a folder before anything relies on the
name. A failed sync is never tried again, because the kernel may have dropped the data and call
the second attempt a success (Rebello et al., USENIX ATC 2020): that file is abandoned.

    StateError          a sentence for the user: which path, what happened, what to do
    + LockedError       another process is at work there
    + DamagedError      what was read is not what was written
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import filelock

Data = bytes | bytearray | memoryview  # of any item type; `array.data` of a numpy array is one


class StateError(Exception):
    """State cannot be read or written."""


class LockedError(StateError):
    """Another process holds the lock."""


class DamagedError(StateError):
    """A file does not hold what was written to it."""


class Written(NamedTuple):
    """What a file holds: keep it beside the name, and `read_verified` will insist on it."""

    size: int  # bytes
    sha256: str  # hexadecimal


# -- whole files -------------------------------------------------------------------------------


def replace(path: Path, data: Data | Iterable[Data]) -> Written:
    """Write `path` so that a reader, now or after a crash, sees the old file or the new one."""
    with writer(path) as file:
        file.write_all(data)
    return file.written


@contextmanager
def writer(path: Path) -> "Iterator[Writer]":
    """As `replace`, for a file that is written piece by piece: it appears when the block ends.

    An exception inside the block leaves `path` as it was.
    """
    make_folder(path.parent)
    _make_way(path, stat.S_ISDIR)
    temporary = _beside(path, TEMPORARY)
    with _created(temporary, 0o600, told_as=path) as file:
        yield file
    try:
        with explained(path):
            disk.rename(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    hit(Failpoint.REPLACE_AFTER_RENAME)
    _sync_folder(path.parent)
    hit(Failpoint.REPLACE_DONE)


def write_new(path: Path, data: Data | Iterable[Data]) -> Written:
    """Write a file that does not exist yet, under its own name.

    A crash can leave a part of it, so nothing may read `path` unless something written later
    (a manifest, a pointer) names it together with its size and hash.
    """
    make_folder(path.parent)
    with _created(path, 0o600) as file:
        file.write_all(data)
    _sync_folder(path.parent)
    return file.written


def read(path: Path, *, at_most: int) -> bytes:
    """The bytes of a regular file. Raises DamagedError if there are more than `at_most`."""
    with explained(path):
        # Opening a pipe that stands in its place would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedError(f"{path}: it is not a regular file; name another one")
            if status.st_size > at_most:
                raise DamagedError(
                    f"{path}: {status.st_size} bytes, where {at_most} are the most that belong "
                    "there; something else wrote it"
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(at_most)
        finally:
            os.close(descriptor)


def read_verified(path: Path, *, sha256: str, size: int) -> bytes:
    """The bytes of a file that `Written` describes. Raises DamagedError if they are others."""
    data = read(path, at_most=size)
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedError(f"{path}: its checksum is wrong, so it was damaged or edited; delete it")
    return data


# -- folders -----------------------------------------------------------------------------------


def publish_folder(
    parent: Path, name: str, files: Mapping[str, Data | Iterable[Data]]
) -> dict[str, Written]:
    """Make `parent/name` hold `files`, all at once and for good: nothing changes it afterwards.

    Files are written in the order given, so put the one that describes the others last.
    Raises StateError if `name` is there already.
    """
    make_folder(parent)
    folder = parent / name
    if os.path.lexists(folder):
        raise StateError(f"{folder}: there is one already; choose another name")
    temporary = _beside(folder, TEMPORARY)
    written: dict[str, Written] = {}
    try:
        with explained(folder):
            disk.make_folder(temporary)
        hit(Failpoint.PUBLISH_AFTER_FOLDER)
        for file_name, data in files.items():
            with _created(temporary / file_name, 0o400, told_as=folder / file_name) as file:
                file.write_all(data)
            written[file_name] = file.written
        hit(Failpoint.PUBLISH_AFTER_FILES)
        with explained(folder):
            disk.sync_folder(temporary)
        hit(Failpoint.PUBLISH_AFTER_SYNC)
        with explained(folder):
            disk.rename(temporary, folder)
    except BaseException:
        _discard(temporary)
        raise
    hit(Failpoint.PUBLISH_AFTER_RENAME)
    _sync_folder(parent)
    hit(Failpoint.PUBLISH_DONE)
    return written


def make_folder(path: Path) -> None:
    """Make `path` and what is missing above it, each 0700 and each entry synced."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with explained(path):
        try:
            disk.make_folder(path)
        except FileExistsError:
            if not path.is_dir():
                raise
    _sync_folder(path.parent)


def make_private_folder(path: Path) -> None:
    """As `make_folder`, for one that only this user may look into, whoever made it.

    Raises StateError for a link, and for a folder of another user.
    """
    make_folder(path)
    with explained(path):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise StateError(f"{path}: it is a link, where a folder of your own belongs; remove it")
        if status.st_uid != os.geteuid():
            raise StateError(f"{path}: it belongs to another user; remove it, or {_ELSEWHERE}")
        if status.st_mode & 0o077:
            path.chmod(0o700)


def retire(path: Path) -> None:
    """Delete a file or folder: its name is gone at once, the rest follows. Missing is fine."""
    tomb = _beside(path, TOMB)
    with explained(path):
        try:
            disk.rename(path, tomb)
        except FileNotFoundError:
            return
    hit(Failpoint.RETIRE_AFTER_RENAME)
    # Synced before the first byte goes: else a crash could bring back a folder half empty.
    _sync_folder(path.parent)
    hit(Failpoint.RETIRE_AFTER_SYNC)
    _delete(tomb)
    hit(Failpoint.RETIRE_DONE)


def set_aside(path: Path) -> Path:
    """Rename what cannot be understood, so that it is out of the way and yet not lost."""
    aside = _beside(path, BROKEN)
    with explained(path):
        disk.rename(path, aside)
    hit(Failpoint.SET_ASIDE_AFTER_RENAME)
    _sync_folder(path.parent)
    return aside


def aside(parent: Path) -> list[Path]:
    """What was set aside in `parent`, by name."""
    if not parent.is_dir():
        return []
    with explained(parent):
        return sorted(path for path in parent.iterdir() if path.suffix == BROKEN)


def sweep(parent: Path) -> None:
    """Remove what interrupted writing and deleting left in `parent`.

    The caller holds the lock under which everybody writes there; else it is somebody's work.
    """
    if not parent.is_dir():
        return
    with explained(parent):
        left = [path for path in parent.iterdir() if path.suffix in (TEMPORARY, TOMB)]
    for path in sorted(left):
        _delete(path)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder to work in, gone when the block ends; `sweep` gets what a killed process left."""
    folder = _beside(parent / "work", TEMPORARY)
    make_folder(folder)
    try:
        yield folder
    finally:
        _discard(folder)


# -- records -----------------------------------------------------------------------------------


def append(path: Path, record: bytes) -> None:
    """Add one record, a line of its own with a checksum; it is on disk when this returns.

    Half a line that a crash left at the end makes room for it: nobody was told that it was there.
    What a full disk took of a record goes again at once.
    """
    if b"\n" in record:
        raise ValueError("a record is one line")
    make_folder(path.parent)
    _make_way(path, stat.S_ISDIR, stat.S_ISLNK, stat.S_ISFIFO)
    with explained(path):
        descriptor = disk.open_to_append(path, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # half of another's line would be taken for torn
            size = os.fstat(descriptor).st_size
            tail = _tail(descriptor, size)
            is_sound = not tail or _record_in(tail) is not None  # but for the end of its line
            whole = size if is_sound else size - len(tail)
            if not is_sound:
                disk.truncate(descriptor, whole)
            line = b"%s%08x %s\n" % (
                b"\n" if tail and is_sound else b"",
                zlib.crc32(record),
                record,
            )
            try:
                _write_whole(descriptor, memoryview(line))
                hit(Failpoint.APPEND_AFTER_WRITE)
                disk.sync(descriptor)
            except OSError:
                with suppress(OSError):
                    disk.truncate(descriptor, whole)
                raise
        finally:
            disk.close(descriptor)
    if size == 0:
        _sync_folder(path.parent)
    hit(Failpoint.APPEND_DONE)


def read_records(path: Path) -> tuple[list[bytes], int]:
    """The sound records in order, and how many lines are none; no file is no records."""
    try:
        data = read(path, at_most=MOST_RECORDS)
    except StateError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        data = b""
    records, n_damaged = [], 0
    for line in data.split(b"\n"):
        record = _record_in(line)
        if record is not None:
            records.append(record)
        elif line:
            n_damaged += 1
    return records, n_damaged


def _record_in(line: bytes) -> bytes | None:
    """What was added as this line; None if it is not as it was written."""
    checksum, _, record = line.partition(b" ")
    return record if checksum == b"%08x" % zlib.crc32(record) else None


def _tail(descriptor: int, size: int) -> bytes:
    """What follows the last whole line."""
    tail, at = b"", size
    while at and b"\n" not in tail:
        at, end = max(0, at - _BLOCK), at
        tail = os.pread(descriptor, end - at, at) + tail
    return tail.rpartition(b"\n")[2]


_BLOCK = 1 << 16  # bytes
MOST_RECORDS = 1 << 30  # bytes: a thousand years of learning each day


def open_log(path: Path) -> int:
    """A descriptor for a log that starts empty; what is lost of it in a crash is no loss."""
    make_folder(path.parent)
    with explained(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, 0o600)


def continue_log(path: Path, *, at_most: int) -> int:
    """A descriptor to go on with in a log; one of `at_most` bytes and more becomes `.1` first."""
    make_folder(path.parent)
    _make_way(path, stat.S_ISDIR, stat.S_ISLNK, stat.S_ISFIFO)
    with explained(path):
        with suppress(FileNotFoundError):
            if path.lstat().st_size >= at_most:
                disk.rename(path, path.with_name(f"{path.name}.1"))
        return disk.open_to_append(path, 0o600)


def open_nothing() -> int:
    """A descriptor, the lowest that is free, of what swallows everything and has nothing."""
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def tell_kernel(path: Path, value: int) -> None:
    """Write a number to a file of the kernel's, below /proc: a setting, and no state of ours."""
    with explained(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % value)
        finally:
            os.close(descriptor)


# -- room and locks ----------------------------------------------------------------------------


def require_space(folder: Path, n_bytes: int) -> None:
    """Raise StateError now if `n_bytes` will not fit, rather than at the end of an hour's work."""
    while not folder.exists():
        folder = folder.parent
    with explained(folder):
        free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise StateError(
            f"{folder}: {free >> 20} MB are free where {n_bytes >> 20} MB are needed; "
            "free some space, or set AFTERWORD_HOME to a folder on another disk"
        )


@contextmanager
def locked(
    path: Path, *, wait_s: float = 0.0, remedy: str = "wait until it has finished, or stop it"
) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the kernel lets go if the process dies.

    Raises LockedError, which names the holder, if it is not free within `wait_s` seconds. Not
    re-entrant: a second `locked` inside the block finds it held.
    """
    make_folder(path.parent)
    _make_way(path, stat.S_ISDIR, stat.S_ISLNK)  # neither can be held; a pipe can
    note = path.with_name(f"{path.name}.pid")
    lock = filelock.FileLock(path, timeout=wait_s, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise LockedError(f"{path}: {_holder(note)} is at work here; {remedy}") from None
    except OSError as error:
        raise _explanation(path, error) from error
    try:
        # A courtesy to whoever waits, not state: unsynced, and no failure of ours.
        with suppress(OSError):
            descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(str(os.getpid()))
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        lock.release()


def _holder(note: Path) -> str:
    try:
        return f"process {int(note.read_text())}"
    except (OSError, ValueError):
        return "another process"


# -- errors ------------------------------------------------------------------------------------


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the system refuses inside the block becomes a StateError: a sentence to act on."""
    try:
        yield
    except OSError as error:
        raise _explanation(path, error) from error


def without_path(error: BaseException) -> str:
    """Cause and remedy of what the system refused, as they may stand in a log; else its kind."""
    while error.__cause__ is not None and not isinstance(error, OSError):
        error = error.__cause__
    if isinstance(error, OSError):
        return _why(error)
    return "it is damaged" if isinstance(error, DamagedError) else type(error).__name__


def _explanation(path: Path, error: OSError) -> StateError:
    return StateError(f"{path}: {_why(error)}")


def _why(error: OSError) -> str:
    code = error.errno or errno.EIO
    other = (os.strerror(code).lower(), "check the path and the disk")
    return "; ".join(_EXPLANATIONS.get(code, other))


_ELSEWHERE = "set AFTERWORD_HOME to a folder that can be written"
_EXPLANATIONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "free some space and try again"),
    errno.EDQUOT: ("your quota on this disk is used up", "free some space and try again"),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("permission denied", f"change its owner or mode, or {_ELSEWHERE}"),
    errno.EPERM: ("permission denied", f"change its owner or mode, or {_ELSEWHERE}"),
    errno.EIO: ("the disk reports a fault", "check the disk, then try again"),
    errno.EMFILE: ("too many files are open", "close some programs and try again"),
    errno.ENFILE: ("too many files are open", "close some programs and try again"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.EISDIR: ("this is a folder", "name a file"),
    errno.ENOTDIR: ("a file is in the way of a folder", "move it, or choose another place"),
    errno.EEXIST: ("a file is in the way", "move it, or choose another place"),
}


# -- failpoints --------------------------------------------------------------------------------


class Failpoint(Enum):
    """The moments at which tests kill the process, to see what is left."""

    FILE_CREATED = "file.created"
    FILE_WRITTEN = "file.written"
    FILE_SYNCED = "file.synced"
    REPLACE_AFTER_RENAME = "replace.after_rename"
    REPLACE_DONE = "replace.done"
    PUBLISH_AFTER_FOLDER = "publish.after_folder"
    PUBLISH_AFTER_FILES = "publish.after_files"
    PUBLISH_AFTER_SYNC = "publish.after_sync"
    PUBLISH_AFTER_RENAME = "publish.after_rename"
    PUBLISH_DONE = "publish.done"
    APPEND_AFTER_WRITE = "append.after_write"
    APPEND_DONE = "append.done"
    RETIRE_AFTER_RENAME = "retire.after_rename"
    RETIRE_AFTER_SYNC = "retire.after_sync"
    RETIRE_DONE = "retire.done"
    SET_ASIDE_AFTER_RENAME = "set_aside.after_rename"


def hit(point: Failpoint) -> None:
    """Do what the plan says for this moment; nothing, except in tests."""
    if action := PLAN.get(point):
        action()


def _plan(text: str) -> dict[Failpoint, Callable[[], None]]:
    """The plan in words: "publish.after_rename:kill". Raises ValueError for any other."""
    if not text:
        return {}
    name, _, action = text.partition(":")
    if action != "kill":
        raise ValueError(f"AFTERWORD_FAILPOINT={text}: the one action is kill")
    return {Failpoint(name): lambda: os.kill(os.getpid(), signal.SIGKILL)}


PLAN = _plan(os.environ.get("AFTERWORD_FAILPOINT", ""))


# -- the disk ----------------------------------------------------------------------------------


class Disk:
    """The system calls that change state, one method each: the seam where tests record and fail."""

    def make_folder(self, path: Path) -> None:
        """Make one folder, 0700 whatever the umask."""
        path.mkdir(0o700)
        with suppress(PermissionError):  # FAT has no modes
            path.chmod(0o700)

    def create(self, path: Path, mode: int) -> int:
        """Descriptor of a new file, with `mode` whatever the umask."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with suppress(PermissionError):  # FAT has no modes
            os.fchmod(descriptor, mode)
        return descriptor

    def open_to_append(self, path: Path, mode: int) -> int:
        """Descriptor of a file that is read and grown, made with `mode` if it is missing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, mode)
        with suppress(PermissionError):  # FAT has no modes
            os.fchmod(descriptor, mode)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data`, and say how many bytes."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut what was added after `size` bytes."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Return when the file's bytes would survive a power cut."""
        if sys.platform == "darwin":
            # There fsync is content with the drive's own cache.
            try:
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
                return
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Return when the names in the folder would survive a power cut."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network and FUSE file systems know no such thing, and have no better.
            if error.errno not in _NOT_SUPPORTED:
                raise
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename within a folder, over what is there."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()


disk = Disk()
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY)


class Writer:
    """A file on its way to disk."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = 0
        self._hash = hashlib.sha256()

    def write(self, data: Data) -> int:
        """Add to the file; the number of bytes. A system call each, so gather small pieces."""
        view = memoryview(data)
        if not view.nbytes:  # an empty view cannot be cast
            return 0
        view = view.cast("B")
        with explained(self._path):
            _write_whole(self._descriptor, view)
        self._hash.update(view)
        self._size += view.nbytes
        return view.nbytes

    def write_all(self, data: Data | Iterable[Data]) -> None:
        """Add one piece or many."""
        for piece in [data] if isinstance(data, bytes | bytearray | memoryview) else data:
            self.write(piece)

    @property
    def written(self) -> Written:
        """Size and hash of what was added so far."""
        return Written(self._size, self._hash.hexdigest())


TEMPORARY = ".tmp"  # being written
TOMB = ".tomb"  # being deleted
BROKEN = ".broken"  # set aside


@contextmanager
def _created(path: Path, mode: int, *, told_as: Path | None = None) -> Iterator[Writer]:
    """A new file at `path`, synced when the block ends, removed when anything goes wrong.

    Errors name `told_as`, what it is to become: nobody knows the name that it has meanwhile.
    """
    told_as = told_as or path
    with explained(told_as):
        descriptor = disk.create(path, mode)
    try:
        try:
            hit(Failpoint.FILE_CREATED)
            yield Writer(told_as, descriptor)
            hit(Failpoint.FILE_WRITTEN)
            with explained(told_as):
                disk.sync(descriptor)
            hit(Failpoint.FILE_SYNCED)
        finally:
            with explained(told_as):
                disk.close(descriptor)
    except BaseException:
        _discard(path)
        raise


def _write_whole(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[disk.write(descriptor, view) :]


def _make_way(path: Path, *kinds: Callable[[int], bool]) -> None:
    """Set aside what has the name of a file of ours and is of another kind.

    A file can take the place of anything but a folder; where one is gone on with, it must not be
    a link or a pipe, which lead to what is not ours.
    """
    with explained(path), suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if any(is_so(mode) for is_so in kinds):
            set_aside(path)


def _sync_folder(path: Path) -> None:
    with explained(path):
        disk.sync_folder(path)


def _beside(path: Path, suffix: str) -> Path:
    """A name that nobody else has thought of, in the same folder: renames do not cross disks."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{suffix}")


def _discard(path: Path) -> None:
    """Delete after a failure that is already being told; `sweep` will get what resists."""
    with suppress(StateError):
        _delete(path)


def _delete(path: Path) -> None:
    with explained(path):
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                _delete(child)
            disk.remove_folder(path)
        else:
            disk.unlink(path)
