"""What is to be left alone: paths that the user had forgotten, so that nothing reads them again.

Paths are kept as keyed digests (BLAKE2b; RFC 7693), so the file tells nobody what was forgotten:
only who has a path can ask, and only with the key that lies beside it. A forgotten folder covers
all that is in it. Knows paths by name and by where links lead; reads none of them.

    data/forgotten.json   digests in the order in which they were given
    data/key              32 random bytes
"""

import hashlib
import os
import secrets
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from afterword_trainer import durable, sealed
from afterword_trainer.paths import Paths

AnyPath = str | os.PathLike[str]

NAME, KEY = "forgotten.json", "key"
N_KEY = 32  # bytes
AT_MOST = 64 << 20  # bytes; a million paths
MOST_FOLDERS = 50_000  # whose place and turn are kept at a time: 13 MB
LOCK_WAIT_S = 10.0  # changes take a fraction of a second


@dataclass(slots=True, eq=False)
class Forgotten:
    """The forgotten paths as they were on disk when this was loaded.

    `holds` says for a path what was decided last: forgetting a folder covers what was allowed in it
    before, and allowing a folder does not bring back a file that was forgotten by its own name.
    """

    paths: Paths
    _stamp: tuple[int, ...] = ()  # of the file that was read
    _key: bytes = b""
    _entries: dict[str, bool] = field(default_factory=dict)  # digest -> forgotten, oldest first
    _turns: dict[str, int] = field(default_factory=dict)  # digest -> place in that order
    _folders: dict[str, tuple[str, int]] = field(default_factory=dict)  # see `_folder`

    @classmethod
    def load(cls, paths: Paths) -> "Forgotten":
        """What is forgotten in the home of `paths`.

        Raises durable.StateError if that cannot be told: whoever reads the user's files must then
        read none.
        """
        stamp = _stamp(paths)
        stored = _stored(paths)
        if stored is None:
            return cls(paths, stamp)
        try:
            key = durable.read(paths.data / KEY, at_most=N_KEY)
        except durable.DamagedError:
            key = b""
        except durable.StateError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            key = b""
        if _name_of(key) != stored.key:
            raise durable.DamagedError(
                f"{paths.data / KEY}: it is not the key that {NAME} was made with, or is gone; "
                f"bring it back from a backup, or delete {paths.data / NAME} and forget again what "
                "was in it"
            )
        turns = {digest: turn for turn, digest in enumerate(stored.entries, 1)}
        return cls(paths, stamp, key, stored.entries, turns)

    def __bool__(self) -> bool:
        """Whether anything is forgotten."""
        return bool(self._entries)

    def holds(self, path: AnyPath) -> bool:
        """Whether `path`, or a folder above it, is forgotten.

        One digest for each file and one look at the disk for each folder, so that 100,000 files
        may be asked for.
        """
        if not self._entries:
            return False
        above, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - keeps links' names
        real, forgotten = self._folder(above)
        for folder in dict.fromkeys((above, real)):
            forgotten = self._after(os.path.join(folder, name), forgotten)  # noqa: PTH118
        return bool(forgotten)

    def is_outdated(self) -> bool:
        """Whether somebody changed what is on disk since; one look at it."""
        return _stamp(self.paths) != self._stamp

    def add(self, *forgotten: AnyPath) -> None:
        """Forget paths, from now on and on disk. Raises durable.StateError; then none is."""
        with self._changing():
            for path in _names(forgotten):
                self._decide(path, forgotten=True)

    def remove(self, *wanted: AnyPath) -> list[str]:
        """Allow paths again; those among them, absolute, that had been forgotten.

        Of a forgotten folder only what is named is allowed. Raises durable.StateError.
        """
        now = Forgotten.load(self.paths)  # this one may be `allowing` them already
        found = [path for path in wanted if now.holds(path)]
        if not found:
            return []
        with self._changing():
            for path in _names(found):
                self._decide(path, forgotten=False)
        return [os.path.abspath(path) for path in found]  # noqa: PTH100 - keeps links' names

    def allowing(self, *wanted: AnyPath) -> "Forgotten":
        """The same with paths allowed again, in memory alone: `remove` says it to the disk."""
        entries = dict(self._entries)
        ours = Forgotten(self.paths, self._stamp, self._key, entries)
        for path in _names(path for path in wanted if self.holds(path)):
            ours._decide(path, forgotten=False)
        ours._turns = {digest: turn for turn, digest in enumerate(entries, 1)}
        return ours

    # -- who decides ---------------------------------------------------------------------------

    def _folder(self, folder: str) -> tuple[str, int]:
        """Where a folder really lies, and the turn at which it was forgotten; 0: it is not."""
        if folder not in self._folders:
            if len(self._folders) >= MOST_FOLDERS:
                self._folders.clear()
            real = os.path.realpath(folder)
            forgotten = 0
            for path in _names([folder]):
                forgotten = max(forgotten, self._along(path))
            self._folders[folder] = real, forgotten
        return self._folders[folder]

    def _along(self, path: str) -> int:
        """The turn at which `path` was forgotten, by itself or by a folder above it; 0: never."""
        forgotten = 0
        for above in (*reversed(Path(path).parents), Path(path)):
            forgotten = self._after(str(above), forgotten)
        return forgotten

    def _after(self, path: str, forgotten: int) -> int:
        """What holds for `path` where `forgotten` holds for the folder above."""
        digest = self._digest(path)
        turn = self._turns.get(digest, 0)
        if not turn:
            return forgotten
        if self._entries[digest]:
            return max(forgotten, turn)
        return 0 if turn > forgotten else forgotten

    def _digest(self, path: str) -> str:
        if sys.platform == "darwin":  # where one file answers to many spellings of its name
            path = unicodedata.normalize("NFC", path).casefold()
        return hashlib.blake2b(os.fsencode(path), key=self._key, digest_size=16).hexdigest()

    # -- changing ------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone at work, on what is on disk now; written when the block ends."""
        with durable.locked(self.paths.data / f"{NAME}.lock", wait_s=LOCK_WAIT_S):
            now = Forgotten.load(self.paths)
            self._key = now._key or _made_key(self.paths.data / KEY)
            self._entries = now._entries
            yield
            _store(self.paths, self._key, self._entries)
            self._stamp = _stamp(self.paths)
            self._turns = {digest: turn for turn, digest in enumerate(self._entries, 1)}
            self._folders = {}

    def _decide(self, path: str, *, forgotten: bool) -> None:
        digest = self._digest(path)
        self._entries.pop(digest, None)
        self._entries[digest] = forgotten  # the last in order


@dataclass(frozen=True, slots=True)
class _Stored:
    key: str  # the name of the key, by which another one is told apart
    entries: dict[str, bool]


def _names(paths: Iterable[AnyPath]) -> list[str]:
    """Each path by its name, and as what links lead to."""
    found: list[str] = []
    for path in paths:
        found += [os.path.abspath(path), os.path.realpath(path)]  # noqa: PTH100 - keeps links
    return list(dict.fromkeys(found))


def _made_key(path: Path) -> bytes:
    """The key, made now if there is none."""
    key = b""
    try:
        key = durable.read(path, at_most=N_KEY)
    except durable.StateError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    if len(key) != N_KEY:  # nothing was made with it yet
        key = secrets.token_bytes(N_KEY)
        durable.replace(path, key)
    return key


def _name_of(key: bytes) -> str:
    return hashlib.blake2b(b"its name", key=key, digest_size=8).hexdigest()


def _stamp(paths: Paths) -> tuple[int, ...]:
    """What tells one version of the file from another; nothing if there is none."""
    try:
        status = (paths.data / NAME).stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _stored(paths: Paths) -> _Stored | None:
    """What is on disk; None if nothing was ever forgotten."""
    path = paths.data / NAME
    remedy = "bring it back from a backup, or delete it and forget again what was in it"
    try:
        value = sealed.read(path, at_most=AT_MOST)
        if value is None:
            return None
        entries = {str(digest): bool(forgotten) for digest, forgotten in value["entries"]}
        return _Stored(str(value["key"]), entries)
    except (durable.DamagedError, KeyError, TypeError, ValueError) as error:
        raise durable.DamagedError(
            f"{path}: it is damaged, so what was forgotten cannot be told and nothing is read; "
            f"{remedy}"
        ) from error


def _store(paths: Paths, key: bytes, entries: dict[str, bool]) -> None:
    value = {"key": _name_of(key), "entries": list(entries.items())}
    sealed.write(paths.data / NAME, value)
