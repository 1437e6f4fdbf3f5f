"""What the reader knows of each file, so that it reads only what changed: one SQLite database.

A cache of the truth, which is the folders and the daemon's memory: one that is damaged or missing
is set aside, made anew, and everything is looked at again. Knows rows; opens no file of the user.

A row stands for a file as it was last seen. `key` tells a changed file from one that did not: its
device, inode, size and times. `told` is the digest of the text that the daemon was last told, or
nothing if it is to hold none; `sure`, that its memory holds just that on disk. A row that is not
sure is owed: it is told again when the reader starts again. `due` rows wait to be read. `counted`
is the digest of the text that was last counted as new, whatever memory there is by now.
"""

import errno
import os
import sqlite3
import struct
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from afterword_trainer import durable
from afterword_trainer.durable import StateError

VERSION: Final = 3  # raise it with any change of the tables; another one is made anew
WAIT_S: Final = 5.0  # for a reader before this one, which has a second to end
MOST_TRIES: Final = 2  # deaths of a reader at a file until it is left alone

_TABLES: Final = """
create table about(
    version integer,
    memory text             -- id of the one that was told all that is here; '' none yet
);
create table folders(
    id integer primary key,
    path blob unique,
    above integer,          -- id of the folder that it lies in; null: one that the user names
    root integer,           -- id of the one that the user names
    device integer,         -- see `identity_of`
    inode integer
    -- All four are -1 once it is no longer there, and the daemon has files in it to forget.
);
create index inner_folders on folders(above);
create table files(
    folder integer,
    name blob,
    key blob,               -- see `key_of`
    mtime integer,          -- nanoseconds since 1970
    size integer,           -- bytes
    inode blob,             -- device and inode of a file with several names, or null
    racy integer,           -- it may have changed since without its key telling
    due integer,            -- to be read: 1; in the next pass: 2
    skipped integer,        -- read, and not to be learned from
    gone integer,           -- no longer there; the row goes when the daemon has forgotten it
    told blob,
    sure integer,
    number integer,         -- of the message that told it, in this process; 0: none did
    tries integer,          -- begun to be read, and never done
    counted blob,           -- null: nothing of it was
    n_counted integer,      -- characters of that text
    primary key(folder, name)
) without rowid;
create index due_files on files(mtime) where due;
create index owed_files on files(number) where not sure;
create index linked_files on files(inode) where inode is not null;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A folder as it was when it was listed last."""

    id: int
    identity: tuple[int, int]  # see `identity_of`


@dataclass(frozen=True, slots=True)
class Row:
    """What a file is compared with."""

    key: bytes
    racy: bool
    due: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class Due:
    """A file that waits to be read."""

    folder: int
    name: bytes
    path: str  # of the folder
    key: bytes
    told: bytes | None
    is_told: bool  # the daemon holds `told` on disk, or was told it by this process
    counted: bytes | None = None  # digest of the text that was counted as new
    n_counted: int = 0  # its characters


@dataclass(frozen=True, slots=True)
class Done:
    """What reading a file led to. `told` is what the daemon is told now, if `number` is not 0."""

    folder: int
    name: bytes
    racy: bool
    skipped: bool
    told: bytes | None
    number: int
    counted: bytes | None = None  # digest of the text that is counted by it
    n_counted: int = 0  # its characters


def key_of(status: os.stat_result) -> bytes:
    """What changes when a file does."""
    return _KEY.pack(
        status.st_dev & _U64,
        status.st_ino & _U64,
        status.st_size,
        status.st_mtime_ns & _U64,  # some disks have times after 2262, or before 1678
        status.st_ctime_ns & _U64,
    )


def identity_of(identity: tuple[int, int]) -> tuple[int, int]:
    """A (device, inode) as the index has it: SQLite's integers are signed."""
    return identity[0] & _I63, identity[1] & _I63


def explained(path: Path, error: sqlite3.Error) -> StateError:
    """What became of the index at `path`, as a sentence with its remedy."""
    code = next((code for words, code in _CODES.items() if words in str(error)), None)
    if code is None:
        return StateError(f"{path}: {type(error).__name__}; if it stays so, move it away")
    try:
        with durable.explained(path):
            raise OSError(code, str(error))
    except StateError as told:
        return told


class Index:
    """The rows. Raises StateError or sqlite3.Error from everywhere: the disk may be full."""

    def __init__(self, path: Path, memory: str) -> None:
        """The index at `path`, of the daemon's memory of that id."""
        durable.make_folder(path.parent)
        self._path = path
        self._memory = memory
        self.is_new = False  # nothing is known of what the memory holds, until `adopt`
        if os.path.lexists(path) and not path.is_file():
            _set_aside(path)
        try:
            self._open()
        except sqlite3.OperationalError:
            raise  # no room, no right, or another reader; not damaged
        except sqlite3.DatabaseError:
            self._db.close()
            _set_aside(path)
            self._open()
        if self._about()[1] != memory:
            self.is_new = True
            self._db.execute("update about set memory = ''")
            self._db.execute("delete from files where gone")
            self._db.execute("delete from folders where above = -1")
            self._db.execute(
                "update files set told = null, sure = 1, number = 0, due = not skipped"
            )
        # Whatever the process before was not sure of is told again.
        self._db.execute("update files set number = 0 where not sure")
        self._db.execute("update files set due = 1 where not sure and told is not null")
        self.commit()

    def _open(self) -> None:
        if not self._path.exists():
            durable.write_new(self._path, b"")  # as private as all that we write
        # Batches are written by `begin` and `commit` of our own; one thread at a time uses it.
        self._db = sqlite3.connect(self._path, timeout=WAIT_S, isolation_level=None)
        self._db.execute("pragma locking_mode = exclusive")
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")  # else a file could be told and not known
        self._db.execute("pragma secure_delete = on")  # names of what was forgotten do not linger
        self._db.execute("pragma cache_size = -8000")  # 8 MB
        self._db.execute("begin immediate")
        tables = {name for (name,) in self._db.execute(_NAMES)}
        if not tables:
            for statement in _TABLES.split(";\n"):
                self._db.execute(statement)
            self._db.execute("insert into about values(?, '')", (VERSION,))
        elif tables != {"about", "folders", "files"}:
            raise sqlite3.DatabaseError("its tables are others")
        if self._db.execute("pragma quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("a page is damaged")
        about = self._about()
        if about[0] != VERSION:
            raise sqlite3.DatabaseError("made by another version")

    def _about(self) -> tuple[int, str]:
        row = self._db.execute("select version, memory from about").fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it does not say what it is about")
        return int(row[0]), str(row[1])

    def commit(self) -> None:
        """Have everything since the last time on disk, all of it or nothing."""
        self._db.execute("commit")
        self._db.execute("begin immediate")

    def adopt(self) -> None:
        """The memory holds what it was told, and nothing else: a reader to come may believe it.

        Not sooner. Who dies in between leaves a memory with files in it that nobody would name.
        """
        self._db.execute("update about set memory = ?", (self._memory,))
        self.is_new = False
        self.commit()

    def rest(self) -> None:
        """Commit, and leave nothing in the journal: for a while nothing will happen."""
        self._db.execute("commit")
        self._db.execute("pragma wal_checkpoint(truncate)")
        self._db.execute("begin immediate")

    def close(self) -> None:
        """Commit and let go of it."""
        if self._db.in_transaction:  # a disk that refuses has ended it
            self._db.execute("commit")
        self._db.close()

    # -- folders -------------------------------------------------------------------------------

    def folder(self, path: str) -> Known | None:
        """A folder that is known; of -1 in all if it is no longer there."""
        found = self._db.execute(
            "select id, device, inode from folders where path = ?", (os.fsencode(path),)
        ).fetchone()
        return Known(found[0], (found[1], found[2])) if found else None

    def put_folder(self, path: str, above: str | None, identity: tuple[int, int]) -> int:
        """Know a folder, in the one `above` which is known; its id."""
        name, outer = os.fsencode(path), None if above is None else os.fsencode(above)
        known = self._db.execute(
            "select id, above is null from folders where path = ? and device = ? and inode = ?",
            (name, *identity_of(identity)),
        ).fetchone()
        if known and bool(known[1]) == (outer is None):
            return int(known[0])
        self._db.execute(
            "insert into folders(path, above, root, device, inode) values(?1,"
            " (select id from folders where path = ?2),"
            " (select root from folders where path = ?2), ?3, ?4)"
            " on conflict(path) do update set above = excluded.above, root = excluded.root,"
            " device = excluded.device, inode = excluded.inode",
            (name, outer, *identity_of(identity)),
        )
        (number,) = self._db.execute("select id from folders where path = ?", (name,)).fetchone()
        if outer is None:
            self._db.execute("update folders set root = id where id = ?", (number,))
        return int(number)

    def inner_folders(self, folder: int) -> list[str]:
        """Paths of the folders known directly in it."""
        found = self._db.execute("select path from folders where above = ?", (folder,))
        return [os.fsdecode(path) for (path,) in found]

    def roots(self) -> list[str]:
        """Paths of the folders that the user named once."""
        found = self._db.execute("select path from folders where above is null")
        return [os.fsdecode(path) for (path,) in found]

    def drop_folder(self, path: str) -> list[str]:
        """Know no longer that anything is there; the paths of the folders that were.

        Their rows stay as long as the daemon has files to forget.
        """
        found = self._db.execute(_BELOW.format("id, path"), (os.fsencode(path),)).fetchall()
        for folder, _ in found:
            self._gone("folder = ?", (folder,))
            self._db.execute(
                "update folders set above = -1, root = -1, device = -1, inode = -1 where id = ?",
                (folder,),
            )
            self._forget_folder(folder)
        return [os.fsdecode(inner) for _, inner in found]

    def _forget_folder(self, folder: int) -> None:
        self._db.execute(
            "delete from folders where id = ?1 and above = -1"
            " and not exists(select 1 from files where folder = ?1)",
            (folder,),
        )

    # -- files ---------------------------------------------------------------------------------

    def rows(self, folder: int, names: Collection[bytes] | None = None) -> dict[bytes, Row]:
        """What is known in one folder, by name; of these names, if any are given."""
        which = "" if names is None else " and name = ?"
        found = (
            row
            for name in ([()] if names is None else [(name,) for name in names])
            for row in self._db.execute(
                f"select name, key, racy, due, gone from files where folder = ?{which}",
                (folder, *name),
            )
        )
        return {
            name: Row(key, bool(racy), bool(due), bool(gone))
            for name, key, racy, due, gone in found
        }

    def put(self, folder: int, name: bytes, status: os.stat_result) -> None:
        """A file is new or has changed: it is to be read."""
        self._db.execute(
            "insert into files values(?1, ?2, ?3, ?4, ?5, ?6, 0, 1, 0, 0, null, 1, 0, 0, null, 0)"
            " on conflict(folder, name) do update set"
            " tries = case when key = ?3 then tries else 0 end, key = ?3, mtime = ?4,"
            " size = ?5, inode = ?6, due = 1, gone = 0",
            (
                folder,
                name,
                key_of(status),
                max(-_I63, min(status.st_mtime_ns, _I63)),
                status.st_size,
                _INODE.pack(status.st_dev & _U64, status.st_ino & _U64)
                if status.st_nlink > 1
                else None,
            ),
        )

    def gone(self, folder: int, names: Iterable[bytes]) -> None:
        """Files are no longer there, or no longer to be learned from."""
        for name in names:
            self._gone("folder = ? and name = ?", (folder, name))

    def _gone(self, which: str, values: tuple[int | bytes, ...]) -> None:
        # What the daemon never had, or has forgotten for sure, leaves no row.
        self._db.execute(f"delete from files where {which} and told is null and sure", values)
        self._db.execute(
            "update files set gone = 1, due = 0,"
            " number = case when told is null then number else 0 end,"
            f" told = null, sure = 0, counted = null, n_counted = 0 where {which}",
            values,
        )

    def linked(self, folder: int, name: bytes) -> list[tuple[str, bytes]]:
        """Other names of the same file: of each the path of the folder, and the name."""
        found = self._db.execute(
            "select folders.path, other.name from files as this"
            " join files as other on other.inode = this.inode"
            " join folders on folders.id = other.folder"
            " where this.folder = ?1 and this.name = ?2 and this.inode is not null"
            " and not (other.folder = ?1 and other.name = ?2) and not other.gone",
            (folder, name),
        )
        return [(os.fsdecode(path), bytes(other)) for path, other in found]

    def counts(self, root: str) -> tuple[int, int]:
        """Files in a folder that the user names, that are learned from and that are not."""
        found = self._db.execute(
            "select count(*), sum(skipped) from files join folders on folders.id = files.folder"
            " where not gone and root = (select id from folders where path = ?)",
            (os.fsencode(root),),
        ).fetchone()
        return int(found[0]) - int(found[1] or 0), int(found[1] or 0)

    # -- what is told --------------------------------------------------------------------------

    def choose(self, most: int, most_of_one: int) -> None:
        """A pass begins: of the files that are due keep the newest, of `most` bytes together.

        Those that a reader died at too often are let alone, and so is what there is no room for.
        """
        self._db.execute("update files set due = 1 where due = 2")
        self._pass_over(
            self._db.execute(
                "select folder, name from files where due and tries >= ?", (MOST_TRIES,)
            ).fetchall(),
            skipped=True,
        )
        over, total = [], 0
        found = self._db.execute(
            "select folder, name, size from files where due order by mtime desc"
        )
        for folder, name, size in found:
            total += min(size, most_of_one)
            if total > most:
                over.append((folder, name))
        self._pass_over(over, skipped=False)

    def _pass_over(self, files: Sequence[tuple[int, bytes]], *, skipped: bool) -> None:
        self._db.executemany(
            "update files set due = 0, skipped = ?,"
            " number = case when told is null then number else 0 end,"
            " sure = sure and told is null, told = null where folder = ? and name = ?",
            ((skipped, folder, name) for folder, name in files),
        )

    def due(self, at_most: int, most_bytes: int) -> list[Due]:
        """Files to be read next, the oldest first: so many, and of so many bytes or only one.

        One at which a reader died comes alone, so that it is found out which one it was.
        """
        rows = self._db.execute(
            "select folder, name, path, key, told, sure or number > 0, tries, size,"
            " counted, n_counted from files join folders on folders.id = folder where due = 1"
            " order by mtime, path, name limit ?",
            (at_most,),
        ).fetchall()
        found: list[Due] = []
        for folder, name, path, key, told, is_told, tries, size, *counted in rows:
            most_bytes -= size
            if found and (tries or most_bytes < 0):
                break
            found.append(Due(folder, name, os.fsdecode(path), key, told, bool(is_told), *counted))
            if tries:
                break
        return found

    def begin(self, files: Iterable[Due]) -> None:
        """These are about to be read: on disk when this returns."""
        self._db.executemany(
            "update files set tries = tries + 1 where folder = ? and name = ?",
            ((one.folder, one.name) for one in files),
        )
        self.commit()

    def put_off(self, files: Iterable[Due]) -> None:
        """These were not read after all; the next pass will."""
        self._db.executemany(
            "update files set tries = max(tries - 1, 0), due = 2 where folder = ? and name = ?",
            ((one.folder, one.name) for one in files),
        )

    def done(self, files: Iterable[Done]) -> None:
        """These were read; on disk when this returns, and before any of them is told."""
        for one in files:
            self._db.execute(
                "update files set due = 0, tries = 0, racy = ?, skipped = ?"
                " where folder = ? and name = ?",
                (one.racy, one.skipped, one.folder, one.name),
            )
            if one.number:
                self._db.execute(
                    "update files set told = ?, sure = 0, number = ? where folder = ? and name = ?",
                    (one.told, one.number, one.folder, one.name),
                )
            if one.number:  # of what is forgotten, no digest stays
                self._db.execute(
                    "update files set counted = ?, n_counted = ? where folder = ? and name = ?",
                    (one.counted, one.n_counted, one.folder, one.name),
                )
        self.commit()

    def to_forget(self, first: int, at_most: int) -> list[str]:
        """Paths that the daemon is to forget: the first gets the number `first`, and so on."""
        found = self._db.execute(
            "select folder, name, path from files join folders on folders.id = folder"
            " where not sure and number = 0 and told is null limit ?",
            (at_most,),
        ).fetchall()
        self._db.executemany(
            "update files set number = ? where folder = ? and name = ?",
            ((first + at, folder, name) for at, (folder, name, _) in enumerate(found)),
        )
        self.commit()
        return [_joined(os.fsdecode(path), name) for _, name, path in found]

    def stored(self, number: int) -> None:
        """The daemon has on disk what it was told up to `number`."""
        which = "not sure and number between 1 and ?"
        folders = self._db.execute(
            f"select distinct folder from files where {which} and gone", (number,)
        ).fetchall()
        self._db.execute(f"delete from files where {which} and gone", (number,))
        self._db.execute(f"update files set sure = 1, number = 0 where {which}", (number,))
        for (folder,) in folders:
            self._forget_folder(folder)
        self.commit()


def _joined(folder: str, name: bytes) -> str:
    return folder.rstrip("/") + "/" + os.fsdecode(name)


def _set_aside(path: Path) -> None:
    """Out of the way and yet not lost, journal and all."""
    for suffix in ("-wal", "-shm"):
        with suppress(StateError):
            durable.retire(path.with_name(path.name + suffix))
    durable.set_aside(path)


# How SQLite says what the system refused; it gives no number before Python 3.11.
_CODES = {
    "disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "readonly database": errno.EACCES,
    "unable to open": errno.EACCES,
}
_NAMES = "select name from sqlite_master where type = 'table'"
_KEY = struct.Struct(">QQQQQ")
_INODE = struct.Struct(">QQ")
_U64 = (1 << 64) - 1
_I63 = (1 << 63) - 1
# A folder and all that is known in it, however the names sort.
_BELOW = (
    "with recursive below(id, path) as (select id, path from folders where path = ? union"
    " select folders.id, folders.path from folders join below on folders.above = below.id)"
    " select {} from below"
)
