"""Disks as a power cut or a failing system call may leave them, for tests of what writes state.

`RecordingDisk` stands in for `durable.Disk`, does the real thing and keeps a log;
`crash_disks` makes of the log every disk that POSIX allows after a cut at any moment: what was
synced is there, and of the rest any part. `FailingDisk` lets the n-th system call fail. After
Pillai et al. (OSDI 2014), whose ALICE does this for any program by watching its system calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from afterword_trainer import durable

Tree = dict[str, "bytes | Tree"]  # a folder: its files' bytes and its folders, by name
SECTOR = 512  # bytes, what a disk writes at once


class QuickDisk(durable.Disk):
    """The real disk without the waiting: for a cut that is imagined, so may the sync be."""

    def sync(self, descriptor: int) -> None:
        """Imagine it."""

    def sync_folder(self, path: Path) -> None:
        """Imagine it."""


class RecordingDisk(QuickDisk):
    """Does what it is asked, and keeps a log; `forgets` names operations that it leaves out.

    The log holds (operation, path) and for a write its bytes, for a cut the size; paths are below
    `root`.
    """

    def __init__(
        self, root: Path, forgets: Callable[[str, Path], bool] = lambda operation, path: False
    ) -> None:
        self.log: list[tuple[str, Path, Path | bytes | None]] = []
        self._root = root
        self._forgets = forgets
        self._paths: dict[int, Path] = {}

    def _note(self, operation: str, path: Path, more: Path | bytes | None = None) -> None:
        if not self._forgets(operation, path):
            self.log.append((operation, path.relative_to(self._root), more))

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._note("make_folder", path)

    def create(self, path: Path, mode: int) -> int:
        descriptor = super().create(path, mode)
        self._paths[descriptor] = path
        self._note("create", path)
        return descriptor

    def open_to_append(self, path: Path, mode: int) -> int:
        is_new = not path.exists()
        descriptor = super().open_to_append(path, mode)
        self._paths[descriptor] = path
        if is_new:
            self._note("create", path)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        n_written = super().write(descriptor, data)
        self._note("write", self._paths[descriptor], bytes(data[:n_written]))
        return n_written

    def truncate(self, descriptor: int, size: int) -> None:
        super().truncate(descriptor, size)
        self._note("truncate", self._paths[descriptor], b"%d" % size)

    def sync(self, descriptor: int) -> None:
        self._note("sync", self._paths[descriptor])

    def sync_folder(self, path: Path) -> None:
        self._note("sync_folder", path)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        assert source.parent == target.parent, "a rename across folders is two changes, not one"
        self._note("rename", source, target.relative_to(self._root))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._note("remove", path)

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self._note("remove", path)


class FailingDisk(QuickDisk):
    """The system call number `nth`, from 1, fails with `code`; those after it too if `for_ever`."""

    def __init__(self, nth: int, code: int, *, for_ever: bool) -> None:
        self.calls: list[str] = []
        self._nth, self._code, self._for_ever = nth, code, for_ever

    @property
    def has_failed(self) -> bool:
        """Whether there were as many calls as that."""
        return len(self.calls) >= self._nth

    def _call(self, name: str) -> None:
        self.calls.append(name)
        n = len(self.calls)
        if n == self._nth or (n > self._nth and self._for_ever):
            raise OSError(self._code, os.strerror(self._code))

    def make_folder(self, path: Path) -> None:
        self._call("make_folder")
        super().make_folder(path)

    def create(self, path: Path, mode: int) -> int:
        self._call("create")
        return super().create(path, mode)

    def open_to_append(self, path: Path, mode: int) -> int:
        self._call("open_to_append")
        return super().open_to_append(path, mode)

    def write(self, descriptor: int, data: memoryview) -> int:
        # A full disk takes a part of the bytes and refuses the next call.
        super().write(descriptor, data[: len(data) // 2])
        self._call("write")
        return len(data) // 2 + super().write(descriptor, data[len(data) // 2 :])

    def truncate(self, descriptor: int, size: int) -> None:
        self._call("truncate")
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._call("sync")

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # the descriptor is gone even if close says that it failed
        self._call("close")

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder")

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        super().unlink(path)

    def remove_folder(self, path: Path) -> None:
        self._call("remove_folder")
        super().remove_folder(path)


def tree_of(folder: Path) -> Tree:
    """What is in a folder now."""
    return {
        path.name: tree_of(path) if path.is_dir() else path.read_bytes()
        for path in folder.iterdir()
    }


def write_tree(tree: Tree, folder: Path) -> None:
    """Make `folder`, which must not exist, hold `tree`."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            write_tree(content, folder / name)


def crash_disks(
    before: Tree, log: list[tuple[str, Path, Path | bytes | None]]
) -> Iterator[tuple[Tree, bool]]:
    """Every disk that can be found after a power cut, and whether all of `log` was done by then.

    For each prefix of the log, the longest first: each subset of the names that were changed and
    not synced, times each state of each file that was written and not synced. No disk comes twice.
    """
    seen: set[tuple[object, bool]] = set()
    for n_done in reversed(range(len(log) + 1)):
        root = _folder(before)
        for operation, path, more in log[:n_done]:
            _apply(root, operation, path, more)
        is_done = n_done == len(log)
        for tree in _states(root):
            key = (_frozen(tree), is_done)
            if key not in seen:
                seen.add(key)
                yield tree, is_done


# -- a file system in memory, in two versions: as it is now, and as it surely is on disk ----------


@dataclass
class _File:
    now: bytes = b""
    synced: bytes = b""


@dataclass
class _Folder:
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    # Changes of names since the last sync, each of which takes place as a whole or not at all.
    pending: list[dict[str, _File | _Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, _File | _Folder | None]) -> None:
        _rename(self.now, names)
        self.pending.append(names)


def _rename(entries: dict[str, _File | _Folder], names: dict[str, _File | _Folder | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _folder(tree: Tree) -> _Folder:
    entries: dict[str, _File | _Folder] = {
        name: _File(content, content) if isinstance(content, bytes) else _folder(content)
        for name, content in tree.items()
    }
    return _Folder(dict(entries), dict(entries))


def _apply(root: _Folder, operation: str, path: Path, more: Path | bytes | None) -> None:
    parent = root
    for name in path.parts[:-1]:
        parent = parent.now[name]
    node = parent.now.get(path.name) if path.parts else root
    if operation == "make_folder":
        parent.change({path.name: _Folder()})
    elif operation == "create":
        parent.change({path.name: _File()})
    elif operation == "write":
        node.now += more
    elif operation == "truncate":
        node.now = node.now[: int(more)]
    elif operation == "sync":
        node.synced = node.now
    elif operation == "sync_folder":
        node.synced, node.pending = dict(node.now), []
    elif operation == "rename":
        parent.change({path.name: None, more.name: node})
    elif operation == "remove":
        parent.change({path.name: None})
    else:
        raise AssertionError(operation)


def _states(folder: _Folder) -> Iterator[Tree]:
    for kept in product((False, True), repeat=len(folder.pending)):
        entries = dict(folder.synced)
        for names, is_kept in zip(folder.pending, kept, strict=True):
            if is_kept:
                _rename(entries, names)
        choices = [
            _contents(node) if isinstance(node, _File) else list(_states(node))
            for node in entries.values()
        ]
        for contents in product(*choices):
            yield dict(zip(entries, contents, strict=True))


def _contents(file: _File) -> list[bytes]:
    """What can be found of a file that was appended to: none of the new bytes, or any of it.

    Where it was cut before, the cut may be lost too.
    """
    pairs = enumerate(zip(file.synced, file.now, strict=False))
    n_old = next((n for n, (was, now) in pairs if was != now), min(len(file.synced), len(file.now)))
    old, new = file.now[:n_old], file.now[n_old:]
    half = len(new) // 2
    return list(
        dict.fromkeys(
            (
                file.synced,
                old,
                old + new[:half],
                old + bytes(len(new)),  # the length was written, the bytes were not
                old + bytes(len(new[:SECTOR])) + new[SECTOR:],  # sectors in any order
                old + new,
            )
        )
    )


def _frozen(tree: Tree) -> object:
    return frozenset(
        (name, content if isinstance(content, bytes) else _frozen(content))
        for name, content in tree.items()
    )
