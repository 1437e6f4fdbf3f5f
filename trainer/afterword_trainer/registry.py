"""Which files were ever learned, and by which numbers the ledger and the models know them.

The one place where a path and its number stand side by side: who forgets a path takes its row out,
and what else was written down of that file belongs to nobody from then on. Each row holds a salt
too, with which the ledger's digests of the file's text are made, so that even who has the text
cannot tell afterwards that it was learned. Knows paths and numbers; knows nothing of text.
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from afterword_trainer import durable, sealed
from afterword_trainer.forgotten import AnyPath
from afterword_trainer.paths import Paths

logger = logging.getLogger(__name__)

NAME = "learned.json"
AT_MOST = 256 << 20  # bytes; a million files


class Row(NamedTuple):
    """What stands beside a path."""

    id: str  # 8 random bytes, hexadecimal
    salt: str  # likewise


@dataclass(slots=True, eq=False)
class Registry:
    """The rows as they are in memory; `save` writes them. The caller holds the lock of the runs."""

    paths: Paths
    files: dict[str, Row] = field(default_factory=dict)  # by absolute path
    roots: dict[str, Row] = field(default_factory=dict)  # what the user named, likewise
    ignore: Sequence[str] = ()  # patterns that were left out the last time

    @classmethod
    def load(cls, paths: Paths) -> "Registry":
        """What is on disk. A damaged one is set aside: then nobody knows what a model has learned.

        Raises durable.StateError if it cannot be read.
        """
        path = paths.data / NAME
        try:
            value = sealed.read(path, at_most=AT_MOST)
            if value is None:
                return cls(paths)
            ignore = tuple(map(str, value.get("ignore", ())))
            return cls(paths, _rows(value["files"]), _rows(value["roots"]), ignore)
        except (durable.DamagedError, AttributeError, KeyError, TypeError, ValueError):
            logger.warning("%s is damaged and set aside", durable.set_aside(path).name)
            return cls(paths)

    def save(self) -> None:
        """Write the rows. Raises durable.StateError; those on disk then remain."""
        rows = {"files": self.files, "roots": self.roots, "ignore": self.ignore}
        sealed.write(self.paths.data / NAME, rows)

    def file(self, path: str) -> Row:
        """The row of a file, made now if it has none."""
        return _row(self.files, path)

    def root(self, path: str) -> Row:
        """The row of what the user named, made now if it has none."""
        return _row(self.roots, path)

    def roots_of(self, ids: Iterable[str]) -> list[str]:
        """The paths of roots by their numbers; those that were forgotten are missing."""
        by_id = {row.id: path for path, row in self.roots.items()}
        return [by_id[id] for id in ids if id in by_id]

    def below(self, path: AnyPath) -> Iterator[tuple[str, Row]]:
        """The files that are `path` or lie below it, by name or by where links lead."""
        names = {os.path.abspath(path), os.path.realpath(path)}  # noqa: PTH100 - keeps links
        inside = tuple(name.rstrip(os.sep) + os.sep for name in names)
        real = cache(os.path.realpath)  # one look at the disk for each folder
        for file, row in self.files.items():
            above, name = os.path.split(file)
            other = os.path.join(real(above), name)  # noqa: PTH118
            if names & {file, other} or file.startswith(inside) or other.startswith(inside):
                yield file, row

    def drop(self, files: Iterable[str]) -> None:
        """Take rows out; what they stood for can no longer be told."""
        for file in files:
            self.files.pop(file, None)
            self.roots.pop(file, None)


def salted(row: Row, digest: str) -> str:
    """The digest of a text as the ledger has it: of no use without the row."""
    key = bytes.fromhex(row.salt)
    return hashlib.blake2b(digest.encode(), key=key, digest_size=8).hexdigest()


def _row(rows: dict[str, Row], path: str) -> Row:
    if path not in rows:
        rows[path] = Row(secrets.token_hex(8), secrets.token_hex(8))
    return rows[path]


def _rows(value: Mapping[str, Any]) -> dict[str, Row]:
    found = {path: Row(*map(str, row)) for path, row in value.items()}
    for row in found.values():
        if len(bytes.fromhex(row.id)) != 8 or len(bytes.fromhex(row.salt)) != 8:
            raise ValueError("a number is no number")
    return found
