"""The models on disk: which there are, which one is in use, what goes in and out.

Knows where bundles lie, and that "in use" is a small file replaced in one rename; knows nothing
of what is inside a bundle (`model.bundle` does) or how bytes reach the disk (`durable` does).
Any number of processes may look at one shelf and change it: changes are made under its lock, and
looking needs none, since what was published never changes. The base model stands on it too,
although it lies elsewhere: it is in use before anything was learned, and cannot be removed.

    ShelfError    a sentence for the user: what cannot be done with the models as they are
"""

import gzip
import io
import logging
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal

from afterword_trainer import base as base_model
from afterword_trainer import durable
from afterword_trainer.base import ID as BASE
from afterword_trainer.durable import StateError
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.bundle import (
    Bundle,
    BundleCorruptError,
    BundleError,
    BundleMissingError,
)

logger = logging.getLogger(__name__)


class ShelfError(Exception):
    """What was asked cannot be done with the models that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the shelf, as a list shows it."""

    id: str
    size: int  # bytes
    is_current: bool
    created: str = ""  # ISO 8601 in UTC
    scores: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None  # why it cannot be used; None for a sound one
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as the bundle has it


class Shelf:
    """The models in one folder, which need not exist yet, and the base model, if there is one.

    Each method raises StateError if the disk refuses, BundleError if the model is not sound,
    ShelfError if there is no such thing to do.
    """

    def __init__(self, root: Path, base: Path | None = None) -> None:
        """`base` is the folder of the base model, see `base`; there need be none in it."""
        self.root = root
        self._base = base if base and base_model.exists(base) else None

    # -- looking -------------------------------------------------------------------------------

    def current(self) -> tuple[Bundle | None, str | None]:
        """The model in use, and a sentence for the user if it is not the one that should be.

        A damaged one is set aside, never deleted, and the one in use before it serves instead;
        failing that, the newest that is sound, and the base model in the end. If none was ever put
        to use it is the base model, or (None, None) where there is none.
        """
        stored = self._stored()
        pointer = _parse(stored)
        if pointer and not pointer.history:
            return (self.load(BASE) if self._base else None), None
        history = pointer.history if pointer else ()

        problems: dict[str, BundleError] = {}
        bundle = None
        last = [BASE] if self._base and BASE not in history else []
        for id in chain(history, self._newest_first(but=history), last):
            try:
                bundle = self.load(id)
                break
            except BundleError as error:
                logger.warning("%s", error)
                problems[id] = error
        if pointer and not problems:
            return bundle, None

        self._mend(stored, problems, bundle)
        reasons = [f"{id} cannot be used ({error.problem})" for id, error in problems.items()]
        reason = reasons[0] if pointer else f"{POINTER} is damaged"
        instead = f"{bundle.id} is in use instead" if bundle else "train again, or import a model"
        return bundle, f"{reason}; {instead}"

    def instead_of(self) -> str | None:
        """The model for which the one in use stands in, as `current` told once; None: for none."""
        pointer = _parse(self._stored())
        return pointer.instead_of or None if pointer else None

    def load(self, id: str) -> Bundle:
        """The model `id`, wholly checked."""
        if id == BASE and self._base:
            return base_model.load(self._base)
        folder = self._folder(id)
        bundle = bundles.load(folder)
        if bundle.id != id:
            problem = f"the folder holds model {bundle.id}"
            raise BundleCorruptError(str(folder), problem, "rename it back")
        return bundle

    def entries(self) -> list[Entry]:
        """All models, the base first, then oldest first; one that cannot be used tells why."""
        pointer = _parse(self._stored())
        in_use = self._with_base(pointer.history)[:1] if pointer else ()
        places = [(name, self.root / name) for name in self._names()]
        if self._base:
            places.insert(0, (BASE, self._folder(BASE)))
        entries = []
        for name, folder in places:
            entry = Entry(id=name, size=_size(folder), is_current=in_use == (name,))
            try:
                bundle = bundles.load(folder)
                entry = replace(
                    entry,
                    created=bundle.created,
                    scores=bundle.scores,
                    provenance=bundle.provenance,
                )
            except BundleError as error:
                entry = replace(entry, problem=error.problem)
            entries.append(entry)
        return entries

    def next_id(self) -> str:
        """A name that no model of this shelf ever had: "you-1", "you-2" and so on."""
        return f"you-{self._last_number() + 1}"

    # -- changing ------------------------------------------------------------------------------

    def publish(
        self, bundle: Bundle, *, weights_dtype: Literal["float32", "float16"] = "float32"
    ) -> str:
        """Put a model on the shelf; its id. Does not put it to use.

        The id differs from `bundle.id` if that was given to another model meanwhile, or is the
        base model's.
        """
        with self._exclusive():
            if bundle.id == BASE or _number(bundle.id) in range(1, self._last_number() + 1):
                bundle = replace(bundle, id=self.next_id())
            durable.publish_folder(self.root, bundle.id, bundles.pack(bundle, weights_dtype))
        return bundle.id

    def use(self, id: str) -> None:
        """Put the model `id` to use."""
        with self._exclusive():
            self.load(id)
            self._point(id, *self._history())

    def rollback(self) -> str:
        """Put the model to use that was in use before; its id. Again, and the one before that.

        Before the first of the user's own it was the base model.
        """
        with self._exclusive():
            _, *earlier = self._with_base(self._history()) or ("",)
            while earlier:
                with suppress(BundleError):
                    self.load(earlier[0])
                    self._point(*earlier)
                    return earlier[0]
                earlier.pop(0)
        raise ShelfError(
            "there is no earlier model to go back to; `trainer models` lists those that there are"
        )

    def remove(self, id: str) -> None:
        """Delete a model for good, sound or not, except the one in use and the base."""
        with self._exclusive():
            self._remove(id)

    def discard(self, *ids: str) -> None:
        """Delete models for good, sound or not, the one in use too: what was before it is then.

        For what must not serve a moment longer; the base stays, as ever.
        """
        with self._exclusive():
            if pointer := _parse(self._stored()):
                self._point(*(id for id in pointer.history if id not in ids))
            for id in ids:
                if id in self._names():
                    durable.retire(self.root / id)

    # 10: a week of learning each day, and some to compare. Two layers of 512 units are 22 MB, so
    # the shelf takes 220 MB, and 400 with a history of older ones.
    def prune(self, keep: int = 10) -> list[str]:
        """Delete all models but the newest `keep`; the ids that went.

        The one in use and those that `rollback` can go back to stay whatever their age; models
        with names of their own and broken ones are the user's to delete.
        """
        with self._exclusive():
            numbered = [id for id in self._newest_first() if _number(id)]
            gone = [id for id in numbered[max(keep, 1) :] if id not in self._history()]
            for id in gone:
                self._remove(id)
        return gone

    def export(self, id: str, file: Path, *, with_excerpts: bool = False) -> None:
        """Write a model to one archive, compressed if `file` ends in gz; over what is there.

        Made to be given away: it quotes nothing of the user (see `bundle.without_excerpts`), and
        its weights are float16, which takes a third off the archive. The serving graphs are
        the same, so it predicts the same; rounding costs the weights 0.00001 bits per character
        (two layers of 512 units on 40,000 characters of letters), if training goes on from them
        or there is no LiteRT. `with_excerpts` writes the model as it is on the shelf, byte for
        byte: to move it to another machine of one's own.
        """
        files = bundles.read(self._folder(id))
        bundle = bundles.unpack(files, id)
        if not with_excerpts:
            files = bundles.pack(bundles.without_excerpts(bundle), "float16")
        archive = _to_tar(id, files)
        is_compressed = file.suffix in (".gz", ".tgz")
        durable.replace(file, gzip.compress(archive, mtime=0) if is_compressed else archive)

    def import_(self, file: Path) -> str:
        """Put the model of an archive on the shelf under a new id, which is returned."""
        files = _from_tar(_unzipped(durable.read(file, at_most=MAX_ARCHIVE), file), file)
        bundles.unpack(files, str(file), "ask for the file again")
        with self._exclusive():
            id = self.next_id()
            durable.publish_folder(self.root, id, bundles.with_id(files, id))
        return id

    # -- the pointer ---------------------------------------------------------------------------

    def _stored(self) -> bytes | None:
        try:
            return durable.read(self.root / POINTER, at_most=4096)
        except durable.DamagedError:
            return b""
        except StateError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def _history(self) -> tuple[str, ...]:
        pointer = _parse(self._stored())
        return pointer.history if pointer else ()

    def _with_base(self, history: tuple[str, ...]) -> tuple[str, ...]:
        """What was in use, the base model before everything else."""
        return history if not self._base or BASE in history else (*history, BASE)

    def _point(self, *history: str, instead_of: str = "") -> None:
        """Make the first of `history` the model in use, perhaps instead of one that is damaged."""
        ids = [id for id, _ in groupby(history)][:MAX_HISTORY]
        pointer = {"history": ids, "last": self._last_number()}
        if instead_of:
            pointer["instead_of"] = instead_of
        durable.replace(self.root / POINTER, bundles.seal(pointer))

    def _mend(
        self, stored: bytes | None, problems: Mapping[str, BundleError], bundle: Bundle | None
    ) -> None:
        """Put in order what `current` found, so that it is told once.

        Nothing is lost if this fails, on a read-only disk for example: it is only told again.
        """
        with suppress(StateError), self._exclusive():
            if self._stored() != stored:
                return  # another process was quicker
            for id, error in problems.items():
                if isinstance(error, BundleCorruptError) and id != BASE:
                    durable.set_aside(self.root / id)
            # A model that is only out of reach for now keeps its place.
            gone = (BundleCorruptError, BundleMissingError)
            if bundle and all(isinstance(error, gone) for error in problems.values()):
                history = (id for id in self._history() if id not in problems)
                self._point(bundle.id, *history, instead_of=next(iter(problems), ""))

    # -- folders -------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Alone at work here; what others left half done is gone."""
        with durable.locked(self.root / ".lock", wait_s=LOCK_WAIT_S):
            durable.sweep(self.root)
            yield

    def _folder(self, id: str) -> Path:
        if id == BASE and self._base:
            return self._base / base_model.MODEL
        if not bundles.ID.fullmatch(id):
            raise ShelfError(f"{id!r} is not the name of a model; `trainer models` lists them")
        return self.root / id

    def _names(self) -> list[str]:
        """Names of the folders that hold models, broken ones too, oldest first."""
        names: list[str] = []
        with (
            durable.explained(self.root),
            suppress(FileNotFoundError),
            os.scandir(self.root) as found,
        ):
            names = [e.name for e in found if NAME.fullmatch(e.name) and e.is_dir()]
        return sorted(names, key=lambda name: (_number(name) or 0, name))

    def _newest_first(self, but: tuple[str, ...] = ()) -> Iterator[str]:
        for name in reversed(self._names()):
            if bundles.ID.fullmatch(name) and name not in but:
                yield name

    def _last_number(self) -> int:
        pointer = _parse(self._stored()) or _Pointer()
        return max([pointer.last, *(_number(name) or 0 for name in self._names())])

    def _remove(self, id: str) -> None:
        if id == BASE:
            raise ShelfError(
                "the base model is part of Afterword and stays; `trainer use` another one"
            )
        pointer = _parse(self._stored())
        history = pointer.history if pointer else ()
        if history[:1] == (id,):
            raise ShelfError(f"{id} is the model in use; `trainer use` another one, then delete it")
        if id not in self._names():
            raise ShelfError(f"there is no model {id!r}; `trainer models` lists them")
        # The pointer remembers the number, so that the name is not given again. A damaged one is
        # left for `current` to mend: an empty history would say that no model was ever in use.
        if pointer:
            others = (other for other in history if other != id)
            is_gone = id.partition(".")[0] == pointer.instead_of  # nobody need hear of it again
            self._point(*others, instead_of="" if is_gone else pointer.instead_of)
        durable.retire(self.root / id)


POINTER = "CURRENT"
MAX_HISTORY = 8  # with the longest ids, the pointer still fits a disk sector of 512 bytes
MAX_ARCHIVE = bundles.MAX_BYTES + (1 << 20)  # bytes; the tar format adds a little
LOCK_WAIT_S = 10.0  # changes take a fraction of a second
NAME = re.compile(rf"{bundles.ID.pattern}(\.[0-9a-f]{{8}}\{durable.BROKEN})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pointer:
    history: tuple[str, ...] = ()  # ids; the model in use, the one before it, and so on
    last: int = 0  # the highest number ever given
    instead_of: str = ""  # the model that was damaged when the one in use took its place


def _parse(stored: bytes | None) -> _Pointer | None:
    """The pointer as it was stored; an empty one if it never was, None if it is damaged."""
    if stored is None:
        return _Pointer()
    try:
        value = bundles.unseal(stored, POINTER)
        history = tuple(id for id in value["history"] if bundles.ID.fullmatch(id))
        instead_of = value.get("instead_of", "")
        if not bundles.ID.fullmatch(instead_of):
            instead_of = ""
        return _Pointer(history=history, last=int(value["last"]), instead_of=instead_of)
    except (KeyError, TypeError, ValueError):
        return None


def _number(name: str) -> int | None:
    """3 of "you-3" and of what is left of it; None of other names."""
    found = re.match(r"you-([1-9][0-9]{0,8})(?![\w-])", name)
    return int(found[1]) if found else None


def _size(folder: Path) -> int:
    with suppress(OSError):  # removed meanwhile
        return sum(file.lstat().st_size for file in folder.iterdir())
    return 0


# -- archives ----------------------------------------------------------------------------------


def _to_tar(folder: str, files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.TarFile(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def _unzipped(data: bytes, origin: Path) -> bytes:
    """`data` without the compression, if it has one; no more than an archive may have."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            data = file.read(MAX_ARCHIVE + 1)
    except (EOFError, OSError, zlib.error):
        raise _refusal(origin, "it is cut short or damaged") from None
    if len(data) > MAX_ARCHIVE:
        raise _refusal(origin, f"unpacked it has more than {MAX_ARCHIVE} bytes")
    return data


def _from_tar(data: bytes, origin: Path) -> dict[str, bytes]:
    """The files of an archive that `_to_tar` made, by name, without their folder.

    Reads headers one by one rather than through TarFile: plain members are all that belongs
    here, and nothing of the format's extensions (links, sparse files, long names) is wanted.
    """
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    at = 0
    while data[at : at + tarfile.BLOCKSIZE].strip(b"\0"):
        try:
            header = data[at : at + tarfile.BLOCKSIZE]
            member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.TarError, ValueError):
            raise _refusal(origin, "it is no archive, or cut short") from None
        at += tarfile.BLOCKSIZE
        folder, _, name = member.name.partition("/")
        folders.add(folder)
        if member.isdir() and folder not in ("", ".", "..") and not name and member.size == 0:
            continue
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise _refusal(origin, f"{member.name!r} is a link, a device or the like")
        if "/" in name or {folder, name} & {"", ".", ".."} or len(folders) > 1:
            raise _refusal(origin, f"{member.name!r} would lie outside the model's folder")
        if name in files or len(files) == bundles.MAX_FILES:
            raise _refusal(origin, f"{member.name!r} is twice in it, or one too many")
        if not 0 <= member.size <= len(data) - at:
            raise _refusal(origin, f"{member.name!r} is cut short")
        files[name] = data[at : at + member.size]
        at += -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return files


def _refusal(origin: Path, problem: str) -> ShelfError:
    return ShelfError(f"{origin}: {problem}; `trainer export` writes archives that can be imported")
