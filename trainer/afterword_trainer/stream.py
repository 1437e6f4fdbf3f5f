"""Documents to symbols on disk: one long sequence to learn from, and the newest part kept back.

Text and symbols go through files, so that memory does not grow with the corpus. Knows documents
by what they say of themselves; knows neither folders of the user's nor networks.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from afterword_trainer import durable
from afterword_trainer.model.alphabet import Alphabet

HELDOUT_SHARE = 0.1  # the newest tenth: what is written next looks most like it
HELDOUT_CHARACTERS = 1_000_000  # at most; more would make no score steadier
LEAST_CHARACTERS = 1_000  # of less, nothing but the alphabet would be learned


class TooLittleError(Exception):
    """There is not enough text to learn from."""


class Document(Protocol):
    """What is known of a text before its first character, and the text."""

    @property
    def path(self) -> str:
        """Relative to the folder that is learned."""

    @property
    def language(self) -> str:
        """A name such as "markdown"."""

    @property
    def modified(self) -> float:
        """Seconds since 1970."""

    @property
    def text(self) -> str:
        """Its lines are ended by LF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A document, or a part of one, that lies in a text file."""

    path: str
    language: str
    modified: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A document, or a part of one, by where it lies in the text file."""

    path: str
    language: str
    modified: float
    offset: int  # bytes, into the text file
    size: int  # bytes
    characters: int
    digest: str  # of the text
    id: str = ""  # of the file in the `registry`; a part has that of the whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """Documents in a text file, before it is known what is done with each."""

    folder: Path
    places: Sequence[Place]  # oldest first
    counts: Counter[str]  # of characters
    digest: str  # of every document, in order: the same digest is the same corpus

    @property
    def characters(self) -> int:
        """Of all documents."""
        return sum(place.characters for place in self.places)

    def text_of(self, place: Place) -> str:
        """What stands there."""
        (piece,) = _pieces(self.folder, [place])
        return piece.text

    def pieces(self, places: Iterable[Place]) -> "Iterator[Piece]":
        """What stands at each of them, one in memory at a time."""
        return _pieces(self.folder, places)

    def without(self, ends: Iterable[Place]) -> Iterator[Place]:
        """The documents without those of `ends` that are theirs, or the end of theirs."""
        starts = {}
        for end in ends:
            starts[end.offset + end.size] = end.offset
        for place in self.places:
            start = starts.get(place.offset + place.size, place.offset + place.size)
            if start <= place.offset:
                continue
            if start < place.offset + place.size:
                place = replace(place, size=start - place.offset)
                text = self.text_of(place)
                place = replace(
                    place,
                    characters=len(text),
                    digest=digest_of(text.encode("utf-8", "surrogatepass")),
                )
            yield place

    def part(self, place: Place, start: int, end: int | None = None) -> list[Place]:
        """The characters from `start` to `end` of a place; no place if there are none."""
        return _part(place, self.text_of(place), start, end)

    def newest_apart(
        self, places: Sequence[Place], n_heldout: int
    ) -> tuple[list[Place], list[Place]]:
        """All but the last `n_heldout` characters, and those; cut where a line ends."""
        n_learn = sum(place.characters for place in places) - n_heldout
        return _split(self.folder, places, n_learn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A corpus ready to be learned, in a folder of its own."""

    folder: Path
    alphabet: Alphabet
    digest: str  # of every document, in order: the same digest is the same corpus
    documents: int
    learn_characters: int
    heldout_characters: int
    n_learn_symbols: int  # headers included
    learn_places: Sequence[Place]
    heldout_places: Sequence[Place]

    def learn_symbols(self) -> "SymbolFile":
        """The symbols to learn from, headers included."""
        return SymbolFile(self.folder / LEARN)

    def heldout_symbols(self) -> "SymbolFile":
        """The symbols kept back, headers included."""
        return SymbolFile(self.folder / HELDOUT)

    def learned_digests(self) -> list[str]:
        """What the text to learn from consists of, for a model to remember and no one to read."""
        return [place.digest for place in self.learn_places]

    def n_known(self, digests: Collection[str]) -> int:
        """How many of the documents kept back a model has learned already, by its `digests`."""
        return sum(place.digest in digests for place in self.heldout_places)

    def learn_documents(self) -> Iterator[Piece]:
        """The text to learn from, oldest first."""
        return _pieces(self.folder, self.learn_places)

    def heldout_documents(self) -> Iterator[Piece]:
        """The text kept back, oldest first."""
        return _pieces(self.folder, self.heldout_places)


def prepare(
    documents: Iterable[Document],
    folder: Path,
    *,
    alphabet: Alphabet | None = None,
    extend: bool = False,
    heldout_share: float = HELDOUT_SHARE,
) -> Prepared:
    """Write `documents`, oldest first, to `folder` as symbols, the newest share apart.

    Without an `alphabet`, one is made from the characters of the text; with `extend`, those that
    are frequent in it join the `alphabet`. Raises TooLittleError for under a thousand characters,
    durable.StateError where nothing can be written.
    """
    spooled = spool(documents, folder)
    n_heldout = min(int(spooled.characters * heldout_share), HELDOUT_CHARACTERS)
    learn, heldout = spooled.newest_apart(spooled.places, n_heldout)
    if alphabet is None or extend:
        alphabet = (alphabet or Alphabet()).extended(spooled.counts)
    return prepared(spooled, learn, heldout, alphabet)


def spool(
    documents: Iterable[Document],
    folder: Path,
    id_of: Callable[[Document], str] = lambda _: "",
    *,
    least: int = LEAST_CHARACTERS,
) -> Spool:
    """One pass over `documents`, oldest first: their text to one file, their characters counted.

    Raises TooLittleError for fewer than `least` characters, durable.StateError.
    """
    counts: Counter[str] = Counter()
    digest = hashlib.blake2b(digest_size=16)
    places: list[Place] = []
    with durable.writer(folder / SPOOL) as file:
        offset = 0
        for document in documents:
            data = document.text.encode("utf-8", "surrogatepass")
            file.write(data)
            counts.update(document.text)
            digest.update(digest_of(document.path.encode(errors="replace")).encode())
            digest.update(digest_of(data).encode())
            places.append(
                Place(
                    path=document.path,
                    language=document.language,
                    modified=document.modified,
                    offset=offset,
                    size=len(data),
                    characters=len(document.text),
                    digest=digest_of(data),
                    id=id_of(document),
                )
            )
            offset += len(data)
    total = sum(place.characters for place in places)
    if total < least:
        raise TooLittleError(
            f"{total} characters of text are too little to learn from, {least} are the "
            "least; name more files or folders (`trainer corpus PATH --skipped` says what was "
            "left out, and why)"
        )
    return Spool(folder=folder, places=places, counts=counts, digest=digest.hexdigest())


def prepared(
    spooled: Spool,
    learn: Sequence[Place],
    heldout: Sequence[Place],
    alphabet: Alphabet,
    digest: str | None = None,
) -> Prepared:
    """A second pass, over what was chosen: symbols, each document behind its header.

    `digest` is what tells the choice from others; None: all of the spool was chosen.
    """
    folder = spooled.folder
    n_learn = write_symbols(folder / LEARN, alphabet, _pieces(folder, learn))
    write_symbols(folder / HELDOUT, alphabet, _pieces(folder, heldout))
    return Prepared(
        folder=folder,
        alphabet=alphabet,
        digest=digest or spooled.digest,
        documents=len(spooled.places) if digest is None else len({*learn, *heldout}),
        learn_characters=sum(place.characters for place in learn),
        heldout_characters=sum(place.characters for place in heldout),
        n_learn_symbols=n_learn,
        learn_places=learn,
        heldout_places=heldout,
    )


def write_symbols(path: Path, alphabet: Alphabet, documents: Iterable[Document]) -> int:
    """Write a `SymbolFile` of documents, each behind its header; the number of symbols."""
    with durable.writer(path) as file:
        for document in documents:
            header = alphabet.header(document.path, document.language, document.modified)
            file.write(header.astype("<u2").tobytes())
            file.write(alphabet.encode(document.text).astype("<u2").tobytes())
    return file.written.size // 2


class SymbolFile:
    """A file of 16-bit symbols, read window by window so that memory does not grow with it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.n_symbols = os.fstat(self._descriptor).st_size // 2

    def read(self, starts: NDArray[np.int64], length: int) -> NDArray[np.uint16]:
        """Symbols (len(starts), length), one row from each start."""
        rows = [os.pread(self._descriptor, 2 * length, 2 * int(start)) for start in starts]
        return np.frombuffer(b"".join(rows), "<u2").reshape(len(rows), length)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


SPOOL, LEARN, HELDOUT = "text", "learn.symbols", "heldout.symbols"  # names of files


def _split(folder: Path, places: Sequence[Place], n_learn: int) -> tuple[list[Place], list[Place]]:
    """The places of the first `n_learn` characters, and the rest; one document may be cut."""
    learn: list[Place] = []
    left = n_learn
    for index, place in enumerate(places):
        if place.characters > left:
            (piece,) = _pieces(folder, [place])
            at = piece.text.rfind("\n", 0, left) + 1 or left
            learn += _part(place, piece.text, 0, at)
            return learn, [*_part(place, piece.text, at, None), *places[index + 1 :]]
        learn.append(place)
        left -= place.characters
    return learn, []


def _part(place: Place, text: str, start: int, end: int | None) -> list[Place]:
    before, data = (t.encode("utf-8", "surrogatepass") for t in (text[:start], text[start:end]))
    if not data:
        return []
    part = replace(
        place,
        offset=place.offset + len(before),
        size=len(data),
        characters=len(text[start:end]),
        digest=digest_of(data),
    )
    return [part]


def _pieces(folder: Path, places: Iterable[Place]) -> Iterator[Piece]:
    with (folder / SPOOL).open("rb") as file:
        for place in places:
            file.seek(place.offset)
            text = file.read(place.size).decode("utf-8", "surrogatepass")
            yield Piece(
                path=place.path, language=place.language, modified=place.modified, text=text
            )


def digest_of(data: bytes) -> str:
    """Of a text, as a model remembers it."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
