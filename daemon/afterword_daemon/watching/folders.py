"""The watched folders: listed, compared with the index, and what of them is there at all.

A scan lists everything; a look only the folders that a hint is about, and what is new below them.
Both do the same with each: watch it, list it, mark in the index what changed or is gone; of a very
large folder a look judges only the names that were hinted, and leaves the others to the scan.
Nothing is gone unless the folder that it lay in was listed. Knows names, times and mounts; opens
no file, and tells nobody.
"""

import errno
import math
import os
import random
import shlex
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from afterword_trainer import finding
from afterword_trainer.finding import Found, Listing, Rules
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from afterword_trainer.skips import REASONS, Skipped

from afterword_daemon.watching import places, watcher
from afterword_daemon.watching.hints import Hints
from afterword_daemon.watching.index import Index, Known, Row, identity_of, key_of
from afterword_daemon.watching.messages import Mode
from afterword_daemon.watching.watcher import Names, Refused, Watcher

SCAN_S: Final = 720.0  # with its jitter at most a quarter of an hour
# Where events are told too: for what no event was told of.
SCAN_WATCHED_S: Final = 3600.0
AWAY_S: Final = 30.0  # one look at whether a folder is back
_SPREAD: Final = (0.75, 1.25)  # so that nothing happens at the same time everywhere
# Names in a folder, from which on a look judges only those that were hinted: with 50,000 that takes
# a fiftieth of the second that all of them do. With fewer than these nobody would notice.
LARGE: Final = 1000


@dataclass(slots=True)
class Root:
    """A folder that the user named, and how it is watched."""

    path: str
    mode: Mode = "events"
    detail: str = ""
    unwatched: str = ""  # why there are no events, a sentence
    shares: bool = False  # something is mounted in it that others change
    identity: tuple[int, int] | None = None
    next_scan: float = 0.0  # by the clock of `Folders`

    @property
    def every_s(self) -> float | None:
        """Seconds between two scans, about; None where events are told."""
        return {"events": None, "scanning": SCAN_S}.get(self.mode, AWAY_S)


class Folders:
    """Whatever is known of the folders, beside the index. For one thread."""

    def __init__(
        self,
        paths: Paths,
        hints: Hints,
        clock: Callable[[], float],
        check: Callable[[], None],
        start_watcher: Callable[[], Watcher],
        watch_limit: int | None,
    ) -> None:
        """`check` is called for each folder, and may raise to end a scan."""
        self._ours = (paths.config, paths.data, paths.cache, paths.runtime, paths.logs, paths.base)
        self._hints = hints
        self._clock = clock
        self._check = check
        self._start_watcher = start_watcher
        self._limit = math.inf if watch_limit is None else watch_limit
        self._watcher: Watcher | None = None
        self._watched: set[str] = set()
        # By root: the folders above it, and the names in each that matter.
        self._ways: dict[str, Mapping[str, frozenset[str]]] = {}
        self._our_identities: frozenset[tuple[int, int]] = frozenset()
        self._known: dict[str, finding.Folder] = {}  # as the listing of the folder above had them
        self._skipped: dict[str, int] = {}  # in each of those
        self._large: dict[str, finding.Folder] = {}  # as their own last full listing had them
        self._named: tuple[str, ...] = ()
        self._names: dict[str, list[str]] = {}  # by root: all that lead there by now, itself first
        self.roots: list[Root] = []
        self.rules = Rules()

    # -- what to watch -------------------------------------------------------------------------

    def name(self, folders: Iterable[str], rules: Rules, index: Index) -> None:
        """From now on it is these; of others nothing is known any more."""
        self._named = tuple(dict.fromkeys(map(os.path.abspath, folders)))
        self.rules = rules
        before = {root.path for root in self.roots}
        self._names = _apart(self._named)
        self.roots = [Root(path) for path in self._names]
        for path in {*before, *index.roots()} - {root.path for root in self.roots}:
            self._drop(path, index)
            self._leave_way(path)

    def name_again(self, index: Index) -> bool:
        """The same, if two names lead to one folder that did not before, or no longer do.

        Whether it is so; then all have to be scanned.
        """
        is_other = _apart(self._named) != self._names
        if is_other:
            self.name(self._named, self.rules, index)
        return is_other

    def close(self) -> None:
        """Watch nothing."""
        if self._watcher:
            self._watcher.close()

    def known(self, path: str) -> finding.Folder | None:
        """A folder that was listed and may be read from."""
        root = self._root_of(path)
        return self._known.get(path) if root and root.mode in ("events", "scanning") else None

    def skipped(self, root: Root) -> int:
        """How many files and folders were passed over by their names."""
        return sum(count for path, count in self._skipped.items() if self._root_of(path) is root)

    def hold(self, detail: str) -> None:
        """Look at nothing for a while."""
        for root in self.roots:
            _be(root, "away", detail)
            root.next_scan = self._clock() + AWAY_S

    # -- scans ---------------------------------------------------------------------------------

    def due_in(self) -> float:
        """Seconds until the next scan."""
        soonest = min((root.next_scan for root in self.roots), default=self._clock() + SCAN_S)
        return max(0.0, soonest - self._clock())

    def due(self) -> list[Root]:
        """The folders that are to be scanned by now."""
        return [root for root in self.roots if root.next_scan <= self._clock()]

    def scan(self, root: Root, index: Index, forgotten: Forgotten) -> None:
        """List everything in one of the folders."""
        self._our_identities = frozenset(_identities(self._ours))
        kind = places.shared(root.path)
        if kind and not root.unwatched:
            root.unwatched = f"it is on a file system ({kind}) that others change"
        self._watch_way(root)
        if owner := self._owner(root.path):
            _be(root, "missing", f"it lies in {owner}, which is Afterword's own")
        elif forgotten.holds(root.path):
            self._drop(root.path, index)
            _be(root, "missing", _FORGOTTEN)
        else:
            top = finding.top(root.path, self.rules)
            self._visit(top, _Sight(index, forgotten), deep=True)
        every_s = SCAN_WATCHED_S if root.mode == "events" else root.every_s or AWAY_S
        if root.mode == "events" and watcher.LOSES_EVENTS:
            every_s = SCAN_S
        root.next_scan = self._clock() + every_s * random.uniform(*_SPREAD)

    def look(
        self, hinted: Mapping[str, Collection[str]], index: Index, forgotten: Forgotten
    ) -> None:
        """List folders again about which there were hints, and what is new below them."""
        sight = _Sight(index, forgotten, hinted)
        changed = [one for one in self.roots if self._has_changed_above(one, hinted)]
        for one in changed:
            self.scan(one, index, forgotten)
        for path, names in hinted.items():
            root = self._root_of(path)
            if root is None or root in changed:
                continue
            if path == root.path and ("" in names or root.mode not in ("events", "scanning")):
                self.scan(root, index, forgotten)
            elif folder := self._known.get(path):
                self._visit(folder, sight, deep=False)

    def _has_changed_above(self, root: Root, hinted: Mapping[str, Collection[str]]) -> bool:
        """Whether a hint is about what decides which folder it is, or what is read of it."""
        for folder, names in self._ways.get(root.path, {}).items():
            told = hinted.get(folder, ())
            if "" in told or not names.isdisjoint(told):
                return True
        return False

    def _visit(self, folder: finding.Folder, sight: "_Sight", *, deep: bool) -> None:
        """List a folder, and those in it: all of them, or those that are new or judged anew."""
        stack, whole = [folder], deep
        while stack:
            self._check()
            for inner in self._list(stack.pop(), sight, whole=whole):
                if deep or self._known.get(inner.path) != inner:
                    stack.append(inner)
            whole = True
        for root in self.roots:
            if root.mode == "events" and (root.unwatched or root.shares):
                _be(root, "scanning", f"{root.unwatched or _SHARES}; {_SCANNED}")

    def _list(
        self, folder: finding.Folder, sight: "_Sight", *, whole: bool
    ) -> Collection[finding.Folder]:
        """Mark what changed in one folder; the folders in it that may be listed."""
        root = self._root_of(folder.path)
        assert root is not None
        self._watch(folder.path, root)  # first: what changes from now on is seen, here or there
        try:
            with finding.listed(folder, self.rules) as listing:
                return self._compare(folder, root, listing, sight, whole=whole)
        except OSError as error:
            self._unlisted(folder, root, error)
            return []

    def _compare(
        self,
        folder: finding.Folder,
        root: Root,
        listing: Listing,
        sight: "_Sight",
        *,
        whole: bool,
    ) -> Collection[finding.Folder]:
        """Mark what changed between the index and a listing; the folders in it."""
        index = sight.index
        known = index.folder(folder.path)
        part = None if whole or known is None else self._part(listing, known, sight)
        rows, inner_before = _before(index, known, part)
        live = {name for name, row in rows.items() if not row.gone}
        before = {*map(os.fsdecode, live), *map(_name, inner_before)}
        if known and _is_away(listing, known.identity, before):
            if folder.named:
                _be(root, "away", _AWAY)
            self._skipped[folder.path] = 1
            return []
        if folder.named:
            root.identity = listing.identity
            _be(root, "events", _why_nothing(folder.path, listing.refused))
        self._known[folder.path] = folder
        above = None if folder.named else os.path.dirname(folder.path)  # noqa: PTH120
        number = index.put_folder(folder.path, above, listing.identity)

        n_skipped = int(listing.refused is not None)
        inner: dict[str, finding.Folder] = {}
        held: set[str] = set()
        for item in listing.items if part is None else listing.among(part):
            match item:
                case finding.Folder() if self._may_enter(item, sight.forgotten):
                    inner[item.path] = item
                    if item.identity and item.identity[0] != listing.identity[0]:
                        root.shares |= places.shared(item.path) is not None
                case Found() if _is_own(item) and not sight.forgotten.holds(item.file):
                    name = os.fsencode(_name(item.file))
                    live.discard(name)
                    self._see(item, number, folder.path, rows.get(name), sight)
                case Skipped(reason="unreadable"):  # the disk is ill: nobody knows
                    held.add(_name(item.path))
                    n_skipped += 1
                case _:
                    n_skipped += 1
        if part is None:
            self._skipped[folder.path] = n_skipped
            self._large.pop(folder.path, None)
            if len(listing.names) >= LARGE and not listing.refused:
                self._large[folder.path] = listing.folder
        self._gone(
            folder.path,
            number,
            [name for name in live if _shown(name) not in held],
            [
                path
                for path in inner_before
                if path not in inner and _shown(os.fsencode(_name(path))) not in held
            ],
            index,
        )
        return inner.values()

    def _part(self, listing: Listing, known: Known, sight: "_Sight") -> Collection[str] | None:
        """Of a large folder the names that a hint is about; None: all are to be judged."""
        folder = listing.folder
        names = sight.due.get(folder.path, ())
        # An ignore file in it may have changed, or another folder have taken its place.
        if "" in names or listing.refused or self._large.get(folder.path) != folder:
            return None
        if known.identity != identity_of(listing.identity):
            return None
        # A hint may spell a name otherwise than the folder does.
        folded = {*map(_folded, names)}
        return {*names, *(name for name in listing.names if _folded(name) in folded)}

    def _see(
        self, found: Found, number: int, folder: str, row: Row | None, sight: "_Sight"
    ) -> None:
        """Mark a file that is there, if it is new or has changed since `row` was."""
        name, status = _name(found.file), _status(found)
        same = row and not row.gone and row.key == key_of(status)
        if same and not (row and row.racy):
            return
        if self._waits(folder, found, name_due=name in sight.due.get(folder, ())):
            return
        sight.index.put(number, os.fsencode(name), status)
        if status.st_nlink > 1 and not same:
            for other, its_name in sight.index.linked(number, os.fsencode(name)):
                self._hints.hint(other, os.fsdecode(its_name))

    def _gone(
        self,
        folder: str,
        number: int,
        names: Collection[bytes],
        inner: Collection[str],
        index: Index,
    ) -> None:
        """Mark files and folders that were in a folder and are not there any more.

        Unless a hint waits: an editor may have moved one away for a moment.
        """
        index.gone(
            number, [name for name in names if not self._hints.waits(folder, os.fsdecode(name))]
        )
        for path in inner:
            if not self._hints.waits(folder, _name(path)):
                self._drop(path, index)

    def _waits(self, folder: str, found: Found, *, name_due: bool) -> bool:
        """Whether a changed file is to be read later, as it may still be written to."""
        name = _name(found.file)
        if self._hints.waits(folder, name):
            return True
        if not name_due and 0 <= time.time() - found.modified_ns / 1e9 < self._hints.quiet_s:
            self._hints.hint(folder, name)
            return True
        return False

    def _may_enter(self, folder: finding.Folder, forgotten: Forgotten) -> bool:
        if folder.identity in self._our_identities:
            return False
        if any(folder.path == root.path for root in self.roots):
            return False  # the user named it: it is looked at as such
        if self._is_loop(folder):
            return False
        return not forgotten.holds(folder.path)

    def _is_loop(self, folder: finding.Folder) -> bool:
        """Whether the folder is mounted within itself."""
        root = self._root_of(folder.path)
        path = folder.path
        while root and path != root.path:
            path = os.path.dirname(path)  # noqa: PTH120
            above = self._known.get(path)
            identity = root.identity if path == root.path else above and above.identity
            if identity == folder.identity:
                return True
        return False

    # -- what is not there ---------------------------------------------------------------------

    def _unlisted(self, folder: finding.Folder, root: Root, error: OSError) -> None:
        """It could not be listed: unless it is gone, nothing is known, and all is kept."""
        is_gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        if folder.named:
            mode: Mode = "missing" if is_gone else "away"
            _be(root, mode, _MISSING if is_gone else _AWAY)
            return
        self._known.pop(folder.path, None)
        self._unwatch(folder.path)  # it may have become a link, and lead anywhere
        self._skipped[folder.path] = 1
        if is_gone:  # the folder above has to say what there is now
            self._hints.hint(*os.path.split(folder.path))

    def _owner(self, path: str) -> str | None:
        """Which of our own folders `path` lies in."""
        real = os.path.realpath(path)
        for ours in self._ours:
            if f"{real}/".startswith(f"{os.path.realpath(ours)}/"):
                return str(ours)
        return None

    def _drop(self, path: str, index: Index) -> None:
        """A folder is no longer there, or not to be learned from, and all that is in it."""
        for gone in {*index.drop_folder(path), path}:
            self._unwatch(gone)
            for known in (self._known, self._skipped, self._large):
                known.pop(gone, None)

    # -- watches -------------------------------------------------------------------------------

    def _watch_way(self, root: Root) -> None:
        """Hear of it when something above makes `root` another folder, or one that is ignored."""
        if root.unwatched:
            self._leave_way(root.path)
        before: Mapping[str, frozenset[str]] = {}
        # It may change until it is watched: so it is asked again until it is the same.
        while not root.unwatched and (way := _way(*self._names[root.path])) != before:
            self._check()
            left, self._ways[root.path] = self._ways.get(root.path, {}), way
            for folder, names in way.items():  # outer ones first: they tell of inner ones to come
                self._watch(folder, root, names)
            self._leave(left)  # last: a folder whose names have changed is watched all the time
            before = way

    def twins(self) -> dict[str, Root]:
        """Names that lead to a folder that is watched by another one."""
        return {name: root for root in self.roots for name in self._names[root.path][1:]}

    def _leave_way(self, path: str) -> None:
        self._leave(self._ways.pop(path, {}))

    def _leave(self, way: Mapping[str, frozenset[str]]) -> None:
        """Hear no more of these, save what is needed still."""
        needed = {step for other in self._ways.values() for step in other.items()}
        for folder, names in way.items() - needed:
            if self._watcher:
                self._watcher.remove(folder, names)

    def _watch(self, folder: str, root: Root, names: Names = None) -> None:
        if root.unwatched:
            return
        try:
            is_new = names is None and folder not in self._watched
            if is_new and len(self._watched) >= self._limit:
                raise Refused
            if self._watcher is None:
                self._watcher = self._start_watcher()
            self._watcher.add(folder, names)
            if is_new:
                self._watched.add(folder)
        except Refused:
            root.unwatched = _TOO_MANY
            self._leave_way(root.path)
            for watched in [path for path in self._watched if self._root_of(path) is root]:
                self._unwatch(watched)

    def _unwatch(self, folder: str) -> None:
        if folder in self._watched and self._watcher:
            self._watcher.remove(folder)
        self._watched.discard(folder)

    def _root_of(self, path: str) -> Root | None:
        """The innermost of the folders that the user named that `path` is, or lies in."""
        found = [root for root in self.roots if _is_within(path, root.path)]
        return max(found, key=lambda root: len(root.path), default=None)


_SHARES = "a folder in it is on a file system that others change"
_SCANNED = f"so it is looked through every {SCAN_S / 60:.0f} minutes"
_MISSING = "there is no such folder; what was learned from it is kept until it is back, or removed"
_FORGOTTEN = "it was forgotten; to have it read again: trainer forget --undo PATH"
_AWAY = (
    "it is empty or cannot be read, where files were: what was learned from it is kept until they "
    "are back; if they are gone for good, remove the folder"
)
_TOO_MANY = (
    "the system watches no more folders (to raise that: sudo sysctl "
    "fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512)"
)


@dataclass(frozen=True, slots=True)
class _Sight:
    """What all the folders of one look are compared with."""

    index: Index
    forgotten: Forgotten
    # Folders about which there were hints, and of each the names that have waited long enough.
    due: Mapping[str, Collection[str]] = field(default_factory=dict)


def _way(*paths: str) -> dict[str, frozenset[str]]:
    """The folders above a root, from the outermost on, and the names in each that matter."""
    found: dict[str, frozenset[str]] = {}
    for path in paths:
        for folder, names in (*places.way(path).items(), *finding.above(path).items()):
            found[folder] = found.get(folder, frozenset()) | names
    return found


def _before(
    index: Index, known: Known | None, part: Collection[str] | None
) -> tuple[dict[bytes, Row], list[str]]:
    """What was in a folder, or which of these names: its files, and the paths of its folders."""
    if known is None:
        return {}, []
    if part is None:
        return index.rows(known.id), index.inner_folders(known.id)
    inner = [path for path in index.inner_folders(known.id) if _name(path) in part]
    return index.rows(known.id, [*map(os.fsencode, part)]), inner


def _apart(folders: Iterable[str]) -> dict[str, list[str]]:
    """The names that lead to each folder, by the first of them.

    Of two that lie in each other the inner one comes first, so that its files are its own.
    """
    names: dict[object, list[str]] = {}
    for folder in folders:
        names.setdefault(_place(folder), []).append(folder)
    return {same[0]: same for same in sorted(names.values(), key=lambda same: -len(same[0]))}


def _why_nothing(path: str, refused: Skipped | None) -> str:
    """Why nothing is learned of a folder that the user named, a sentence; "" if something is."""
    if refused is None:
        return ""
    why = refused.detail or REASONS[refused.reason]
    return f"nothing in it is learned: {why}; trainer corpus {shlex.quote(path)} --skipped"


def _is_away(listing: Listing, identity: tuple[int, int], before: Collection[str]) -> bool:
    """Whether something else has taken the place of a folder that had these names.

    An empty one that the user named, and that is not the one from before, tells of a disk that is
    not there; so does another device without any name from before. The number of a device alone
    may change whenever the machine starts.
    """
    now = identity_of(listing.identity)
    if not before or now == identity:
        return False
    if not listing.names and listing.folder.named:
        return True
    return now[0] != identity[0] and listing.names.isdisjoint(before)


def _be(root: Root, mode: Mode, detail: str) -> None:
    root.mode, root.detail = mode, detail


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _place(path: str) -> object:
    """The same for a folder by whatever name: a link, a second mount, other capitals."""
    try:
        status = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _shown(name: bytes) -> str:
    """A name as `finding` shows it."""
    return name.decode("utf-8", "replace")


def _folded(name: str) -> str:
    """What all spellings of a name have in common, where a system takes them for one."""
    return (
        name if name.isascii() and name.islower() else unicodedata.normalize("NFC", name.casefold())
    )


def _status(found: Found) -> os.stat_result:
    assert found.status is not None
    return found.status


def _is_own(found: Found) -> bool:
    """Whether the user wrote it, as far as its owner tells."""
    return _status(found).st_uid == os.geteuid()


def _identities(folders: Iterable[os.PathLike[str]]) -> Iterable[tuple[int, int]]:
    for folder in folders:
        try:
            status = Path(folder).stat()
        except OSError:
            continue
        yield status.st_dev, status.st_ino
