"""The user's files as text to learn from: all of it, or what is new since a model was made.

Leaves out what was forgotten, gives each file its number, and says what a model that learns the
text is to remember of it. Knows the corpus and the registry; knows nothing of networks.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from afterword_trainer import corpus, finding, formats, secrets, stream
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import MAX_DOCUMENTS, Bundle, Json, document
from afterword_trainer.registry import Registry
from afterword_trainer.stream import Place, Prepared, Spool

# Of new text in one go, the newest; ten minutes of one core. What is older comes next time.
MOST_NEW = 1_000_000
MOST_KEPT = 50_000  # characters kept back between updates; the gate measures fewer
LEAST_NEW = stream.LEAST_CHARACTERS  # of less nothing can be learned but the letters
# Older text beside it, so that what it says is not forgotten: a fifth of all, and of little new
# text so much that a pass has the fifty updates or so that `training.layout` asks for.
REPLAYED = 0.25  # times the new text
LEAST_TOGETHER = 60_000  # characters
REPLAYED_AT_ONCE = 8_000  # characters of one file; a page says what its author writes like
MOST_HITS = 8  # secrets that a model is asked for in the end
MOST_SECRETS = 200  # that are looked for in all of the text; in each document for each of them
LEAST_SECRET = 8  # characters; a shorter one stands everywhere
PREFIX_CHARACTERS = 40  # before a secret, on its line


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A secret that the scanner took out of the text, and what stood before it on its line.

    It exists in the memory of this process, so that a model can be asked whether it knows it all
    the same; it is never written.
    """

    before: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What was read, in figures and on disk."""

    prepared: Prepared
    summary: corpus.Summary
    spool: Spool
    documents: Sequence[Json]  # what a model that learned it remembers, `document`
    learned: Sequence[tuple[str, str]]  # (file, digest) of what it learns
    hits: Sequence[Hit]
    n_new: int  # characters that the parent had not learned yet
    n_left: int = 0  # characters of new text for which there was no room; next time
    notices: Sequence[str] = ()  # what a person is told before training

    def known(self) -> Iterator[stream.Piece]:
        """All that is not kept back, oldest first: what the memory of a daemon would hold."""
        return self.spool.pieces(self.spool.without(self.prepared.heldout_places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the text comes from, and who is told while it is read."""

    roots: Sequence[Path]
    rules: finding.Rules
    forgotten: Forgotten
    registry: Registry
    folder: Path  # to work in
    tell: Callable[[int, int], None] = lambda files, characters: None
    interrupted: Callable[[], bool] = lambda: False


def everything(source: Source, alphabet: Alphabet | None) -> Text:
    """All text of the source, its newest tenth kept back; what is frequent in it joins `alphabet`.

    Raises stream.TooLittleError, durable.StateError; KeyboardInterrupt if interrupted.
    """
    reader, spool = _spooled(source, stream.LEAST_CHARACTERS)
    n_heldout = min(int(spool.characters * stream.HELDOUT_SHARE), stream.HELDOUT_CHARACTERS)
    learn, held = spool.newest_apart(spool.places, n_heldout)
    alphabet = (alphabet or Alphabet()).extended(spool.counts)
    prepared = stream.prepared(spool, learn, held, alphabet)
    remembered = [document(p.digest, id=p.id, characters=p.characters) for p in learn]
    remembered += [document(p.digest, id=p.id, held=True) for p in held]
    return Text(
        prepared=prepared,
        summary=reader.summary,
        spool=spool,
        documents=remembered,
        learned=[(reader.files[place.id], place.digest) for place in learn],
        hits=reader.hits,
        n_new=prepared.learn_characters,
    )


def news(source: Source, parent: Bundle, seed: int) -> Text | int:
    """What `parent` has not learned yet, with a share of what it has; or how few characters.

    Of new text the newest tenth is kept back, with what earlier models kept back, up to a tenth of
    all there is or `MOST_KEPT`: the oldest beyond that is learned now. Raises as `everything`, but
    for little text.
    """
    reader, spool = _spooled(source, 0)  # of little text, too, some may be known
    old, held, new = _told_apart(spool, parent)
    if sum(place.characters for place in new) < LEAST_NEW:
        return sum(place.characters for place in new)

    # 1) what is kept back: the newest
    n_heldout = min(int(spool.characters * stream.HELDOUT_SHARE), MOST_KEPT)
    n_fresh = int(sum(place.characters for place in new) * stream.HELDOUT_SHARE)
    new, fresh = spool.newest_apart(new, n_fresh)
    pool = sorted([*held, *fresh], key=lambda place: place.offset)
    released, kept = spool.newest_apart(pool, max(n_heldout, n_fresh))
    new += released

    # 2) what is learned: the newest of the rest, and a share of what was learned before
    new.sort(key=lambda place: place.offset)
    chosen, left = _newest(spool, new)
    n_new = sum(place.characters for place in chosen)
    replayed = _replayed(spool, old, max(int(REPLAYED * n_new), LEAST_TOGETHER - n_new), seed)
    learn = sorted([*chosen, *replayed], key=lambda place: place.offset)

    digest = hashlib.blake2b(digest_size=16)
    for place in (*learn, *kept):
        digest.update(f"{place.digest} {place.path}\n".encode(errors="replace"))
    alphabet = parent.alphabet.extended(spool.counts)
    prepared = stream.prepared(spool, learn, kept, alphabet, digest.hexdigest())
    return Text(
        prepared=prepared,
        summary=reader.summary,
        spool=spool,
        documents=_remembered(spool, chosen, kept),
        learned=[(reader.files[place.id], place.digest) for place in chosen],
        hits=reader.hits,
        n_new=n_new,
        n_left=sum(place.characters for place in left),
    )


def left(
    roots: Sequence[Path], rules: finding.Rules, forgotten: Forgotten
) -> Iterator[corpus.Document]:
    """The documents of `roots` without what was forgotten, oldest first."""
    for _, item in corpus.items(roots, rules, forgotten.holds):
        if isinstance(item, corpus.Document):
            yield item


# -- files to documents ------------------------------------------------------------------------


def _spooled(source: Source, least: int) -> tuple["_Reader", Spool]:
    """The documents in a file, without any secret that the scanner found in any of them.

    What one rule knows may stand elsewhere in a form that none knows: a key in an address. Where
    it stood in what was read before it was found, all is read once more.
    """
    reader = _Reader(source)
    spool = stream.spool(reader.documents(), source.folder, reader.id_of, least=least)
    if any(_holds(piece.text, reader.secrets) for piece in spool.pieces(spool.places)):
        reader = _Reader(source, reader.secrets)
        spool = stream.spool(reader.documents(), source.folder, reader.id_of, least=least)
    return reader, spool


def _holds(text: str, found: Iterable[str]) -> list[str]:
    return [secret for secret in found if secret in text]


def _without_lines(text: str, found: Sequence[str]) -> str:
    """The text without the lines that hold one of the strings found in it."""
    kept = [line for line in text.split("\n") if not _holds(line, found)]
    return "\n".join(kept)


class _Reader:
    """Documents of a source, and what is found on the way."""

    def __init__(self, source: Source, known: Iterable[str] = ()) -> None:
        self.summary = corpus.Summary()
        self.files: dict[str, str] = {}  # number -> absolute path, of what was read
        self.hits: list[Hit] = []
        self.secrets = dict.fromkeys(known)  # in the memory of this process alone
        self._source = source
        self._file = ""  # whose document comes next

    def documents(self) -> Iterator[corpus.Document]:
        """Oldest first, one in memory at a time."""
        source, summary = self._source, self.summary
        for file, item in corpus.items(source.roots, source.rules, source.forgotten.holds):
            if source.interrupted():
                raise KeyboardInterrupt  # nothing was learned yet, so there is nothing to keep
            summary.add(item)
            if isinstance(item, corpus.Document):
                self._file = file
                yield self._clean(file, item)
            source.tell(summary.total.documents, summary.total.characters)

    def _clean(self, file: str, document: corpus.Document) -> corpus.Document:
        if document.n_secrets and len(self.secrets) < MOST_SECRETS:
            for hit in _hits(file):
                if len(hit.secret) >= LEAST_SECRET:
                    self.secrets.setdefault(hit.secret)
                if len(self.hits) < MOST_HITS and hit.secret not in {h.secret for h in self.hits}:
                    self.hits.append(hit)
        found = _holds(document.text, self.secrets)
        text = _without_lines(document.text, found) if found else document.text
        return replace(document, text=text)

    def id_of(self, _: stream.Document) -> str:
        """The number of the document that was yielded last."""
        row = self._source.registry.file(self._file)
        self.files[row.id] = self._file
        return row.id


def _hits(file: str) -> list[Hit]:
    """The secrets of a file, read once more; those that are not lines of plain text are none."""
    try:
        text = formats.decode(Path(file).read_bytes())
    except (OSError, formats.FormatError):
        return []
    found: dict[str, Hit] = {}  # one may stand there more than once
    for span in secrets.find(text):
        secret = text[span.start : span.end]
        if "\n" not in secret:
            line = text.rfind("\n", 0, span.start) + 1
            before = text[max(line, span.start - PREFIX_CHARACTERS) : span.start]
            found.setdefault(secret, Hit(before=before, secret=secret))
    return list(found.values())


# -- what is new -------------------------------------------------------------------------------


def _told_apart(spool: Spool, parent: Bundle) -> tuple[list[Place], list[Place], list[Place]]:
    """What `parent` has learned, what it kept back, and what it does not know; a file may be cut.

    A file that goes on where it ended is new from there: a diary is not learned twice.
    """
    learned = {d["id"]: d for d in parent.documents if "id" in d and not d.get("held")}
    kept_back = {d["digest"] for d in parent.documents if d.get("held")}
    digests = parent.digests()
    # Of more files than a model can name, those count as learned that are older than it is.
    cut = len(parent.documents) >= MAX_DOCUMENTS
    made = datetime.strptime(parent.created, "%Y-%m-%dT%H:%M:%S%z").timestamp() if cut else 0.0
    if made > time.time():  # the clock was set back, and by it nothing would be new for long
        made = 0.0
    old: list[Place] = []
    held: list[Place] = []
    new: list[Place] = []
    for place in spool.places:
        before = learned.get(place.id, {})
        n_before = before.get("characters", 0)
        if place.digest in digests or place.modified < made:
            old.append(place)
            continue
        rest = [place]
        if 0 < n_before < place.characters:
            beginning = spool.part(place, 0, n_before)
            if beginning[0].digest == before["digest"]:
                old += beginning
                rest = spool.part(place, n_before)
        for part in rest:
            (held if part.digest in kept_back else new).append(part)
    return old, held, new


def _newest(spool: Spool, new: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    """The newest of new text that fits into one update, and what does not."""
    total = sum(place.characters for place in new)
    if total <= MOST_NEW:
        return list(new), []
    left, chosen = spool.newest_apart(new, MOST_NEW)
    return chosen, left


def _replayed(spool: Spool, old: Sequence[Place], n_characters: int, seed: int) -> list[Place]:
    """So many characters of what was learned before, drawn by pages."""
    draw = np.random.default_rng(seed)
    chosen: list[Place] = []
    for index in draw.permutation(len(old)).tolist():
        if n_characters <= 0:
            break
        place = old[index]
        if place.characters > REPLAYED_AT_ONCE:
            start = int(draw.integers(place.characters - REPLAYED_AT_ONCE))
            (place,) = spool.part(place, start, start + REPLAYED_AT_ONCE)
        chosen.append(place)
        n_characters -= place.characters
    return chosen


def _remembered(spool: Spool, learned: Sequence[Place], kept: Sequence[Place]) -> list[Json]:
    """Of each file how far it is learned now, and what of it was kept back.

    What lies before a new part was learned earlier, so the file counts as learned up to its end.
    """
    whole = {place.id: place for place in spool.places}
    found = []
    for place in learned:
        file = whole[place.id]
        if place.offset != file.offset:
            # From the file's beginning to the end of this part.
            text = spool.text_of(replace(file, size=place.offset + place.size - file.offset))
            data = text.encode("utf-8", "surrogatepass")
            place = replace(place, digest=stream.digest_of(data), characters=len(text))
        found.append(document(place.digest, id=place.id, characters=place.characters))
    return found + [document(place.digest, id=place.id, held=True) for place in kept]
