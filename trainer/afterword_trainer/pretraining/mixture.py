"""The corpus of a base model on disk: parts by their weights, in pieces, in random order.

Text goes through files, so that memory does not grow with it. What shares a passage with a test
text is left out and counted. Knows texts and symbols; knows nothing of networks.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from afterword_trainer import base, durable
from afterword_trainer.model.alphabet import FIRST_CHARACTER, Alphabet
from afterword_trainer.pretraining import sources
from afterword_trainer.pretraining.overlap import Passages
from afterword_trainer.pretraining.sources import Source
from afterword_trainer.stream import Piece, SymbolFile

PIECE_CHARACTERS = 32_768  # of a long text that stay together; then another text follows
HEADERLESS = 0.3  # share of pieces without a header: what users type into often has none
DATED = 0.5  # share of headers with a day, made up: users' files have one, archives have none
HELDOUT_SHARE = 0.01  # of the pieces: a megabyte, of which looks see a quarter
HELDOUT_CHARACTERS = 4_096  # of a held-out piece that stay together, so that looks see many
TEST_CHARACTERS = 130_000  # of the test text; a figure on it is steady to a hundredth of a bit
TEST_EXCERPT = 4_000  # characters of one piece in it, at most
MOST_CHARACTERS = 512 - FIRST_CHARACTER  # beyond ASCII; the softmax is a round 512 symbols wide
FORMAT = 2  # of what lies on disk; raise it with any change above or below

Tick = Callable[[int, int], None]  # told documents and characters read so far; may raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A prepared corpus in a folder of its own."""

    folder: Path
    alphabet: Alphabet
    digest: str  # of all its symbols: the same digest is the same corpus, wherever it was prepared
    parts: Sequence[Mapping[str, Any]]  # a `_Tally` each, as the model card has them
    n_passages: int  # of the texts that it must not hold
    tested: Sequence[str]  # the part of each document of the test text

    def learn_symbols(self) -> SymbolFile:
        """What is learned, pieces in random order, most of them behind a header."""
        return SymbolFile(self.folder / LEARN)

    def heldout_symbols(self) -> SymbolFile:
        """What is only looked at."""
        return SymbolFile(self.folder / HELDOUT)

    def test_data(self) -> bytes:
        """The test text as it is handed on: documents as in an archive, not compressed."""
        return durable.read(self.folder / base.TEST, at_most=1 << 26)

    def test_texts(self) -> Iterator[tuple[str, Piece]]:
        """(part, document) of the test text."""
        return zip(self.tested, base.documents(self.folder), strict=True)


def prepare(
    found: Sequence[Source],
    never: Sequence[str],
    parent: Path,
    seed: int,
    tick: Tick,
    alphabet: Alphabet | None = None,
) -> Mixture:
    """The corpus in a folder of `parent`; at once if it was prepared before from the same sources.

    No text of it shares thirteen words in a row with a text of `never`. Without an `alphabet`, its
    most frequent characters make one. Raises what `sources.texts` and `tick` raise, and
    durable.StateError; nothing is left then of what was begun.
    """
    identity = [FORMAT, seed, [source.fingerprint() for source in found], *map(_digest, never)]
    identity += [alphabet.characters] if alphabet else []
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    folder = parent / f"corpus-{key[:16]}"
    if earlier := _opened(folder, key):
        return earlier
    for stale in parent.glob("corpus-*"):  # of another manifest, or begun and not ended
        durable.retire(stale)
    try:
        return _prepared(found, Passages(never), folder, key, seed, tick, alphabet)
    except BaseException:
        with suppress(durable.StateError):  # of two things that go wrong, the first is told
            durable.retire(folder)
        raise


LEARN, HELDOUT = "learn.symbols", "heldout.symbols"  # names of files; base.TEST is another
SPOOL, INDEX = "text", "index.json"


def _opened(folder: Path, key: str) -> Mixture | None:
    """A corpus that was prepared to its end; None if there is none."""
    try:
        index = json.loads(durable.read(folder / INDEX, at_most=1 << 26))
        whole = index["key"] == key and all(
            (folder / name).stat().st_size == size for name, size in index["sizes"].items()
        )
        return (
            Mixture(
                folder=folder,
                alphabet=Alphabet(index["alphabet"]),
                digest=index["digest"],
                parts=index["parts"],
                n_passages=index["n_passages"],
                tested=index["tested"],
            )
            if whole
            else None
        )
    except (durable.StateError, OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(slots=True)
class _Tally:
    """A part in figures."""

    name: str
    weight: float
    licences: Sequence[str]
    source: str
    documents: int = 0
    characters: int = 0
    characters_read: int = 0  # of what is learned, as often as its weight says
    heldout_characters: int = 0
    duplicates: int = 0  # documents dropped, because they were there already
    overlapping: int = 0  # documents dropped, because they share a passage with a test text
    overlapping_characters: int = 0
    passages_compared: int = 0
    passages_shared: int = 0
    secrets_removed: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """A piece of text in the spool."""

    part: int
    path: str
    language: str
    offset: int  # bytes
    size: int  # bytes


def _prepared(
    found: Sequence[Source],
    passages: Passages,
    folder: Path,
    key: str,
    seed: int,
    tick: Tick,
    alphabet: Alphabet | None,
) -> Mixture:
    draw = np.random.default_rng(seed)
    tallies = [_Tally(s.part.name, s.part.weight, list(s.licences), s.part.source) for s in found]

    # 1) every text once, in pieces, to one file; a piece is listed as often as it will be read
    counts: Counter[str] = Counter()  # of characters beyond ASCII
    learn: list[_Place] = []
    heldout: list[_Place] = []
    testable: list[_Place] = []
    offset = 0
    with durable.writer(folder / SPOOL) as file:
        for number, text in _kept(found, passages, tallies, tick):
            tally, part = tallies[number], found[number].part
            tally.documents += 1
            tally.characters += len(text.text)
            for piece, is_heldout in _pieces(text.text):
                size = file.write(piece.encode("utf-8", "surrogatepass"))
                place = _Place(number, text.path, text.language, offset, size)
                offset += size
                if is_heldout:
                    tally.heldout_characters += len(piece)
                    heldout.append(place)
                    if sources.matches(text.path, part.test):
                        testable.append(place)
                    continue
                copies = int(part.weight + draw.random())
                learn += copies * [place]
                tally.characters_read += copies * len(piece)
                for character in _beyond_ascii(piece) if copies else ():
                    counts[character] += copies

    # 2) in random order, as symbols
    alphabet = alphabet or Alphabet.from_counts(counts, at_most=MOST_CHARACTERS)
    written = {}
    with (folder / SPOOL).open("rb") as spool:
        for name, places in ((LEARN, learn), (HELDOUT, heldout)):
            with durable.writer(folder / name) as file:
                for done, at in enumerate(draw.permutation(len(places)).tolist(), 1):
                    tick(done, sum(tally.characters_read for tally in tallies))
                    place = places[at]
                    if draw.random() >= HEADERLESS:
                        day = float(draw.integers(*DAYS)) if draw.random() < DATED else 0.0
                        header = alphabet.header(place.path, place.language, 86_400 * day)
                        file.write(header.astype("<u2").tobytes())
                    file.write(alphabet.encode(_text_at(spool, place)).astype("<u2").tobytes())
            written[name] = file.written

        # 3) the test text: held out and free to be handed on, parts in their proportions
        total = sum(tally.characters_read for tally in tallies)
        room = [TEST_CHARACTERS * tally.characters_read / max(1, total) for tally in tallies]
        tested: list[str] = []
        with durable.writer(folder / base.TEST) as file:
            for at in draw.permutation(len(testable)).tolist():
                place = testable[at]
                if room[place.part] <= 0:
                    continue
                excerpt = next(_cut(_text_at(spool, place), TEST_EXCERPT))
                if base.DOCUMENT in place.path + excerpt:
                    continue  # what follows it would be read as another document
                room[place.part] -= len(excerpt)
                record = f"{base.DOCUMENT}{place.path}\n{excerpt}"
                file.write(record.encode("utf-8", "surrogatepass"))
                tested.append(tallies[place.part].name)
        written[base.TEST] = file.written
    durable.retire(folder / SPOOL)

    # 4) the index comes last: without one there is no corpus
    digests = [alphabet.characters, *(file.sha256 for file in written.values())]
    index = {
        "key": key,
        "sizes": {name: file.size for name, file in written.items()},
        "alphabet": alphabet.characters,
        "digest": _digest("".join(digests)),
        "parts": [asdict(tally) for tally in tallies],
        "n_passages": len(passages),
        "tested": tested,
    }
    durable.replace(folder / INDEX, json.dumps(index).encode())
    mixture = _opened(folder, key)
    assert mixture, "what was just written is there"
    return mixture


DAYS = (16_436, 20_819)  # since 1970: of the years 2015 to 2026


def _kept(
    found: Sequence[Source], passages: Passages, tallies: Sequence[_Tally], tick: Tick
) -> Iterator[tuple[int, sources.Text]]:
    """Each text once, with the number of its part, unless it shares a passage with the tests."""
    seen: set[str] = set()  # a hundred bytes for each document
    documents = characters = 0
    for number, source in enumerate(found):
        tally = tallies[number]
        for text in sources.texts(source):
            documents, characters = documents + 1, characters + len(text.text)
            tick(documents, characters)
            tally.secrets_removed += text.n_secrets
            digest = _digest(text.text)
            if digest in seen:
                tally.duplicates += 1
                continue
            seen.add(digest)
            shared, compared = passages.shared_with(text.text)
            tally.passages_compared += compared
            tally.passages_shared += shared
            if shared:
                tally.overlapping += 1
                tally.overlapping_characters += len(text.text)
                continue
            yield number, text


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a text, and whether each is held out.

    That is decided by the piece itself, so it is held out of every base model ever made from it.
    A chapter of a book may be held out where others are not: there are too few books to spare one.
    """
    for piece in _cut(text, PIECE_CHARACTERS):
        if int(_digest(piece), 16) < HELDOUT_SHARE * 16**32:
            yield from ((part, True) for part in _cut(piece, HELDOUT_CHARACTERS))
        else:
            yield piece, False


def _cut(text: str, at_most: int) -> Iterator[str]:
    """Pieces of at most so many characters, cut where a line ends if there is one."""
    start = 0
    while start < len(text):
        end = start + at_most
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text[start:end]
        start = end


def _beyond_ascii(text: str) -> str:
    return "" if text.isascii() else "".join(c for c in text if c > "\x7f")


def _text_at(spool: BinaryIO, place: _Place) -> str:
    spool.seek(place.offset)
    return spool.read(place.size).decode("utf-8", "surrogatepass")


def _digest(text: str) -> str:
    """32 hexadecimal digits."""
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()
