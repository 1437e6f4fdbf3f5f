"""Hints that something changed in a folder: a shim over watchdog, of which nothing is believed.

Knows which folders are watched, and by what name events of each are told. Reads no folder: which
ones are worth a watch, and what a hint means, is for others to say.

On Linux this uses watchdog's inotify calls and not its observer, which (version 6) says nothing
when the kernel's queue overflowed, watches what is ignored too, is blind below a folder that was
moved in, keeps the old name of one that was moved out, and swallows a watch that was refused.
Elsewhere the observer watches whole trees. `tests/watching/test_watcher.py` holds watchdog to
what is used here.
"""

import errno
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Final, Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

Hint = Callable[[str, str], None]  # a folder, and a name in it, or "" for the folder itself
Names = frozenset[str] | None  # those in a folder that matter; None: all
Lost = Callable[[], None]  # events were lost, nobody knows which

# Where nobody says so when they are: whole folders have to be scanned more often.
LOSES_EVENTS: Final = sys.platform != "linux"
# What tells how many folders one user may watch, all programs together.
LIMIT_FILE: Final = "/proc/sys/fs/inotify/max_user_watches"


class Refused(Exception):
    """The system watches no more folders."""


class Watcher(Protocol):
    """The seam that a test replaces. Hints come in a thread of the watcher's."""

    def add(self, folder: str, names: Names = None) -> None:
        """Watch a folder, not what is below it, under this name too. Raises Refused.

        With `names` of these alone there are hints and, if it is watched for no others, none while
        a file is written. Nothing is said of a folder that is gone or may not be read: whoever
        lists it will know.
        """

    def remove(self, folder: str, names: Names = None) -> None:
        """Watch it no longer; nothing if it is not watched under this name, for these."""

    def close(self) -> None:
        """Watch nothing."""


def limit() -> int | None:
    """How many folders are watched at most: half of what a user may, for editors watch too."""
    try:
        with open(LIMIT_FILE, encoding="ascii") as file:  # noqa: PTH123
            return int(file.read()) // 2
    except (OSError, ValueError):
        return None


def start(hint: Hint, lost: Lost) -> Watcher:
    """A watcher of this system. Raises Refused."""
    return _Inotify(hint, lost) if sys.platform == "linux" else _Observed(hint)


if sys.platform == "linux":
    from watchdog.observers.inotify_c import (
        Inotify,
        InotifyConstants,
        inotify_add_watch,
        inotify_init,
        inotify_rm_watch,
    )

    # Nothing that our own reading would cause: no IN_OPEN, IN_ACCESS or IN_CLOSE_NOWRITE.
    _MASK = (
        InotifyConstants.IN_CREATE
        | InotifyConstants.IN_MODIFY
        | InotifyConstants.IN_CLOSE_WRITE
        | InotifyConstants.IN_MOVED_FROM
        | InotifyConstants.IN_MOVED_TO
        | InotifyConstants.IN_DELETE
        | InotifyConstants.IN_ATTRIB  # who may read it
        | InotifyConstants.IN_DELETE_SELF
        | InotifyConstants.IN_MOVE_SELF
        | InotifyConstants.IN_ONLYDIR
        | 0x04000000  # IN_EXCL_UNLINK: no more of what is deleted and still open
    )
    # Added to what the folder is watched for already, which may be all names.
    _MASK_OF_SOME = _MASK & ~InotifyConstants.IN_MODIFY | 0x20000000  # IN_MASK_ADD
    _OVERFLOW = InotifyConstants.IN_Q_OVERFLOW
    _ITSELF = (
        InotifyConstants.IN_DELETE_SELF
        | InotifyConstants.IN_MOVE_SELF
        | InotifyConstants.IN_UNMOUNT
    )
    _BUFFER = 1 << 16  # bytes: 2,000 events and more


class _Inotify:
    """A watch for each folder, and a thread that waits for events."""

    def __init__(self, hint: Hint, lost: Lost) -> None:
        self._hint, self._lost = hint, lost
        self._descriptor = _called(inotify_init())
        os.set_inheritable(self._descriptor, False)
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        # By watch descriptor, which belongs to the folder, whatever it is called by now.
        self._wanted: dict[int, set[tuple[str, Names]]] = {}
        self._watches: dict[tuple[str, Names], int] = {}
        self._thread = threading.Thread(target=self._run, name="inotify", daemon=True)
        self._thread.start()

    def add(self, folder: str, names: Names = None) -> None:
        mask, key = _MASK if names is None else _MASK_OF_SOME, (folder, names)
        with self._lock:
            watch = inotify_add_watch(self._descriptor, os.fsencode(folder), mask)
            if watch == -1:
                _explain()
                return
            if self._watches.get(key) != watch:
                self._leave(key)  # another folder has taken its place
            self._watches[key] = watch
            self._wanted.setdefault(watch, set()).add(key)

    def remove(self, folder: str, names: Names = None) -> None:
        with self._lock:
            self._leave((folder, names))

    def _leave(self, key: tuple[str, Names]) -> None:
        watch = self._watches.pop(key, None)
        if watch is None:
            return
        self._wanted[watch].discard(key)
        if not self._wanted[watch]:
            del self._wanted[watch]
            inotify_rm_watch(self._descriptor, watch)  # fails for a folder that is gone: fine

    def close(self) -> None:
        os.eventfd_write(self._end, 1)
        self._thread.join()
        os.close(self._end)
        os.close(self._descriptor)

    def _run(self) -> None:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        waiting.register(self._end, select.POLLIN)
        while all(descriptor != self._end for descriptor, _ in waiting.poll()):
            self.take(os.read(self._descriptor, _BUFFER))

    def take(self, events: bytes) -> None:
        """Events as the kernel gives them."""
        for watch, mask, _, name in Inotify._parse_event_buffer(events):
            if mask & _OVERFLOW:
                self._lost()
                continue
            with self._lock:
                wanted = [*self._wanted.get(watch, ())]
                if mask & InotifyConstants.IN_IGNORED:  # the end, which was announced before
                    self._wanted.pop(watch, None)
                    for key in wanted:
                        self._watches.pop(key, None)
                    continue
            called = os.fsdecode(name)
            for folder, names in wanted:
                if called and (names is None or called in names):
                    self._hint(folder, called)
                elif not called and mask & _ITSELF:
                    self._hint(folder, "")


def _called(result: int) -> int:
    if result == -1:
        _explain()
        raise Refused
    return result


def _explain() -> None:
    """Raise Refused, unless a single folder is the reason."""
    import ctypes

    if ctypes.get_errno() in (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise Refused


class _Observed(FileSystemEventHandler):
    """Whole trees, by watchdog's observer: the first folder of a tree brings in all below it."""

    def __init__(self, hint: Hint) -> None:
        self._hint = hint
        self._observer = Observer()
        self._observer.start()
        self._trees: dict[str, tuple[str, object]] = {}  # where each really lies; its watch

    def add(self, folder: str, names: Names = None) -> None:
        if names is not None:  # a whole tree for a few names: whoever wants them looks now and then
            return
        if any(f"{folder}/".startswith(f"{tree}/") for tree in self._trees):
            return
        real = os.path.realpath(folder)  # by which events are told
        try:
            self._trees[folder] = real, self._observer.schedule(self, real, recursive=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise Refused from error

    def remove(self, folder: str, names: Names = None) -> None:
        tree = self._trees.pop(folder, None) if names is None else None
        if tree is not None:
            self._observer.unschedule(tree[1])  # type: ignore[arg-type]

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Of what there is, both ends of a move; nothing that reading causes."""
        if event.event_type in ("opened", "closed_no_write"):
            return
        for path in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
            for tree, (real, _) in [*self._trees.items()]:
                if path.startswith(f"{real}/"):
                    self._hint(*os.path.split(tree + path[len(real) :]))
