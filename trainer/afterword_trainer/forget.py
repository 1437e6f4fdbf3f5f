"""Forgetting: a path that was learned is out of everything at once, and the weights are made anew.

    forget it, so that nothing reads it again     (`forgotten`)
    use a model that never saw it
    delete every model, report, checkpoint and text that did, and its row in the registry
    rebuild: learn from the base what is left, as the ledger says it was learned

Weights cannot be made to forget; what can be proved is that they never saw. So a model goes if its
lineage has seen the path, and goes too if nobody knows what it has seen: models from elsewhere, and
those of before files had numbers. Each step may be interrupted: the same command goes on. What this
cannot reach are backups, file-system snapshots, swap, and what editors keep.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterword_trainer import (
    base,
    corpus,
    durable,
    experts,
    finding,
    learn,
    ledger,
    measures,
    reading,
    registry,
    remembering,
    sealed,
)
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.learn import Learned
from afterword_trainer.ledger import Entry
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.suggestion import Policy, Rollout, readable
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Request
from afterword_trainer.registry import Registry
from afterword_trainer.run import Listener
from afterword_trainer.shelf import Entry as OnShelf
from afterword_trainer.shelf import Shelf, ShelfError
from afterword_trainer.stream import Document, TooLittleError

TRAINING_ENDS_S = 60.0  # who trains sees after each step that something was forgotten
SEEN, UNKNOWN, UNREADABLE = "it has seen it", "nobody knows what it has seen", "it cannot be read"
PASSES = 2.0  # of a rebuild, if the ledger does not say how many there were


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What there is of a path, and what forgetting it does."""

    files: tuple[str, ...]  # that were learned, absolute
    tainted: Mapping[str, str]  # model -> why it goes
    in_use: str | None
    successor: str | None  # the model that is in use then; None if there is none
    recipe: Mapping[str, Any] | None  # by which the model in use is made anew; None: no need to

    @property
    def is_in_use(self) -> bool:
        """Whether the model in use goes."""
        return self.in_use in self.tainted


def traces(path: Path, paths: Paths, *, spares_unknown: bool = False) -> Traces:
    """What would go if `path` were forgotten; changes nothing. Raises durable.StateError."""
    known = Registry.load(paths)
    return _traces(
        paths, known, dict(known.below(path)), spared=(UNKNOWN,) if spares_unknown else ()
    )


def left(paths: Paths) -> Traces:
    """What is still to go of what was forgotten, as whoever was at it was ended early.

    Only models that have seen it for certain: nobody is asked, and a training of it that was killed
    leaves rows like these. Changes nothing. Raises durable.StateError.
    """
    forgotten, known = Forgotten.load(paths), Registry.load(paths)
    rows = {file: row for file, row in known.files.items() if forgotten.holds(file)}
    if not rows:
        return Traces(files=(), tainted={}, in_use=None, successor=None, recipe=None)
    return _traces(paths, known, rows, spared=(UNKNOWN, UNREADABLE))


def forget(path: Path, paths: Paths, *, spares_unknown: bool = False) -> Traces:
    """Take `path` out of everything that is there now. What was found, for `rebuild` to mend.

    `spares_unknown` keeps models of which nobody knows what they have seen.
    Raises durable.StateError, in particular LockedError if a training does not end: the model in
    use never saw the path by then, and the same call, or `finish`, deletes the rest later.
    """
    Forgotten.load(paths).add(path)
    return _forget(paths, lambda: traces(path, paths, spares_unknown=spares_unknown), path)


def finish(paths: Paths) -> Traces | None:
    """Take the rest out; what was found, or None if there was none. Raises as `forget`."""
    if not left(paths).tainted:
        return None
    return _forget(paths, lambda: left(paths))


def _forget(paths: Paths, look: Callable[[], Traces], *names: Path) -> Traces:
    """Take out what `look` finds, and the rows of `names`."""
    found = look()
    entry = Entry(
        what="forgotten",
        when=ledger.now(),
        model=found.successor,
        settings={"files": len(found.files), "models": len(found.tainted)}
        | ({"rebuild": found.recipe} if found.recipe else {}),
    )
    ledger.add(paths, entry)
    shelf = Shelf(paths.models, paths.base)
    _retreat(shelf, found)
    with durable.locked(paths.runs / learn.LOCK, wait_s=TRAINING_ENDS_S):
        later = look()  # what was published while we waited
        _retreat(shelf, later)
        for id in later.tainted:
            durable.retire(paths.reports / f"{id}.html")
        shelf.discard(*later.tainted)
        learn.drop_begun(paths)
        durable.sweep(paths.runs)
        durable.retire(paths.cache / "evaluations")
        # A daemon that runs takes it out of its own and stores that; the next one is told anew.
        durable.retire(remembering.path_of(paths))
        for damaged in durable.aside(paths.data):  # it may hold the text, and nobody can look
            durable.retire(damaged)
        known = Registry.load(paths)  # last: by these rows `left` knows that it is not done
        known.drop([*later.files, *(str(name.absolute()) for name in names)])
        known.save()
    return found


def unfinished(paths: Paths) -> str:
    """What is still to be done of what was forgotten, for people; "" if nothing is.

    Reads alone, and sets nothing aside. Raises durable.StateError if something is damaged.
    """
    durable.read_records(paths.data / ledger.NAME)
    sealed.read(paths.data / registry.NAME, at_most=registry.AT_MOST)
    if left(paths).tainted:
        return "it is not read any more, but models that have seen it were not deleted yet"
    if pending(paths):
        return "it is out of every model; the one that had learned it was not made anew yet"
    return ""


def pending(paths: Paths) -> Request | None:
    """The rebuild that is still to be done, by the ledger. Raises durable.StateError."""
    recipe = ledger.read(paths).to_rebuild
    return _request(recipe, paths) if recipe else None


def rebuild(request: Request, paths: Paths, listener: Listener) -> Learned | None:
    """Make the weights anew; None if too little is left to learn from. Raises as `learn.learn`."""
    try:
        return learn.learn(request, paths, listener)
    except TooLittleError:
        ledger.add(paths, Entry(what="rebuilt", when=ledger.now()))  # so nothing is pending
        return None


# -- what goes, and what comes -----------------------------------------------------------------


def _traces(
    paths: Paths,
    known: Registry,
    rows: Mapping[str, registry.Row],
    *,
    spared: Collection[str],
) -> Traces:
    """What goes with the files of these rows, save for reasons that are `spared`."""
    shelf = Shelf(paths.models, paths.base)
    ids = {row.id for row in rows.values()}
    numbered = {row.id for row in known.files.values()}
    tainted: dict[str, str] = {}
    successor = None
    in_use = None
    for entry in shelf.entries():
        if entry.is_current:
            in_use = entry.id
        why = _why(shelf, entry.id, ids, numbered)
        if why and why not in spared:
            tainted[entry.id] = why
        elif successor is None or not _was_rejected(entry):
            successor = entry.id  # the newest comes last
    if in_use is not None and in_use not in tainted:
        successor = in_use
    recipe = _recipe(paths, in_use, shelf) if in_use in tainted else None
    return Traces(
        files=tuple(rows), tainted=tainted, in_use=in_use, successor=successor, recipe=recipe
    )


def _why(shelf: Shelf, id: str, ids: set[str], numbered: set[str]) -> str | None:
    """Why a model has to go; None if it need not."""
    if id == base.ID:
        return None
    try:
        lineage = shelf.load(id).lineage()
    except (BundleError, ShelfError):  # the latter for one that was set aside
        return UNREADABLE
    if lineage and lineage & ids:
        return SEEN
    return UNKNOWN if lineage is None or lineage - numbered else None


def _was_rejected(entry: OnShelf) -> bool:
    """Whether the gate found it no better than what was in use; it is on the shelf all the same."""
    verdict = entry.provenance.get("verdict")
    return isinstance(verdict, dict) and verdict.get("accepted") is False


def _retreat(shelf: Shelf, found: Traces) -> None:
    """Put a model to use that never saw it; where there is none, discarding leaves none."""
    if found.is_in_use and found.successor:
        shelf.use(found.successor)


def _recipe(paths: Paths, in_use: str | None, shelf: Shelf) -> dict[str, Any] | None:
    """How the model in use was made, from its beginning, by the ledger; None if that is unknown."""
    made = {entry.model: entry for entry in ledger.read(paths).entries if _is_made(entry)}
    roots: dict[str, None] = {}
    recipe: dict[str, Any] = {}
    model, entry = in_use, None
    while model in made:
        entry = made.pop(model)
        settings = entry.settings
        roots |= dict.fromkeys(settings.get("roots", ()))
        if "epochs" not in recipe and settings["work"] != "updated":
            recipe |= {"epochs": settings.get("epochs"), "seed": entry.seed}
        recipe["mail"] = recipe.get("mail") or settings.get("mail")
        recipe["pdf"] = recipe.get("pdf") or settings.get("pdf")
        recipe["precision"] = settings.get("precision")
        model = entry.parent
    if entry is None or not roots:
        return None
    if entry.parent is None and in_use:
        spec = shelf.load(in_use).spec
        recipe["shape"] = [spec.cell, spec.layers, spec.units]
    return recipe | {"roots": list(roots)}


def _is_made(entry: Entry) -> bool:
    return entry.model is not None and entry.settings.get("work") is not None


def _request(recipe: Mapping[str, Any], paths: Paths) -> Request | None:
    """None if no folder is left."""
    known, forgotten = Registry.load(paths), Forgotten.load(paths)
    roots = [Path(root) for root in known.roots_of(recipe["roots"])]
    roots = [root for root in roots if not forgotten.holds(root)]
    if not roots:
        return None
    cell, layers, units = recipe.get("shape") or (None, None, None)
    return Request(
        roots=roots,
        rules=_rules(recipe, tuple(known.ignore)),
        work="rebuilt",
        # By passes, on one thread and in a fixed precision: the same text gives the same weights.
        epochs=recipe.get("epochs") or PASSES,
        threads=1,
        precision=recipe.get("precision") or "float32",
        origin="scratch" if cell else "base",
        cell=cell,
        layers=layers,
        units=units,
        seed=recipe.get("seed") or 0,
        command="",
    )


def _rules(recipe: Mapping[str, Any], ignored: tuple[str, ...] = ()) -> finding.Rules:
    """What was read then."""
    return finding.Rules(mail=bool(recipe.get("mail")), pdf=bool(recipe.get("pdf")), ignore=ignored)


# -- to be seen --------------------------------------------------------------------------------

N_PHRASES = 20
N_CANDIDATES = 400  # of which those are chosen that stand nowhere else: half a second to look
# Of a line, of a piece of one that is a whole paragraph, or of short ones together: long enough
# for a cursor in it.
PHRASE_CHARACTERS = (40, 200)
COMPLETED_CHARACTERS = 12  # of what follows the cursor; two words are hardly an accident
PRIMING_CHARACTERS = 400  # before the cursor; above 256 the network gets no better
MEMORY_CHARACTERS = 1_000_000  # of what is left, its newest; a second or two to learn


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A passage with a cursor in its middle, held in memory alone."""

    document: Document
    cursor: int  # in the text of the document
    end: int

    @property
    def passage(self) -> str:
        """What stands around the cursor, half of it before."""
        return self.document.text[2 * self.cursor - self.end : self.end]

    @property
    def completion(self) -> str:
        """What a model is to go on with, and as much before it as it has to know for that."""
        reach = COMPLETED_CHARACTERS
        return self.document.text[max(0, self.cursor - reach) : self.cursor + reach]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What a model makes of phrases."""

    phrases: int
    completed: int  # those that it goes on with word for word
    bits_per_character: float  # of the second halves


def phrases(path: Path, recipe: Mapping[str, Any]) -> tuple[list[Phrase], str]:
    """Passages of what lies at `path`, spread over it, and why there are none, if so.

    It is read as by `recipe` it was learned: mail and PDF as the text in them.
    """
    items = corpus.documents([path], _rules(recipe))
    documents = [item for item in items if isinstance(item, corpus.Document)]
    if not documents:
        return [], "it cannot be read any more"
    found = [phrase for document in documents for phrase in _passages(document)]
    why = "" if found else f"its text is shorter than {PHRASE_CHARACTERS[0]} characters"
    return _spread(found, N_CANDIDATES), why


def only_there(wanted: Sequence[Phrase], others: Sequence[Document]) -> list[Phrase]:
    """Of `wanted` those that no other document could teach anybody, `N_PHRASES` at most."""
    kept = {phrase.passage: phrase for phrase in wanted}
    for document in others:
        for passage, phrase in [*kept.items()]:
            if phrase.completion in document.text:
                del kept[passage]
    return _spread([*kept.values()], N_PHRASES)


def others(request: Request, paths: Paths) -> list[Document]:
    """What is left to learn from, the newest of it, as the memory of a daemon would hold it."""
    left = reading.left(request.roots, request.rules, Forgotten.load(paths))
    return list(experts.newest(left, MEMORY_CHARACTERS))


def recalled(bundle: Bundle, known: Sequence[Document], wanted: Sequence[Phrase]) -> Recalled:
    """What `bundle` makes of phrases as it serves, its memory holding `known`."""
    frozen = experts.of_bundle(bundle, known)[1]
    completed, bits, n_characters = 0, 0.0, 0
    for phrase in wanted:
        document, text = phrase.document, phrase.document.text
        before = text[max(0, phrase.cursor - PRIMING_CHARACTERS) : phrase.cursor]
        rest = text[phrase.cursor : phrase.end]
        header = bundle.alphabet.header(document.path, document.language, document.modified)
        predictor = frozen.make()
        prime(predictor, header, bundle.alphabet.encode(before))
        policy = Policy(min_probability=0.0, multiline=True)
        expected = readable(Rollout(predictor), bundle.alphabet, policy)
        completed += expected.text.startswith(rest[:COMPLETED_CHARACTERS])
        cost = measures.bits_per_character(predictor, bundle.alphabet, rest, header[:0])
        bits, n_characters = bits + cost.bits, n_characters + cost.characters
    return Recalled(
        phrases=len(wanted),
        completed=completed,
        bits_per_character=bits / n_characters if n_characters else 0.0,
    )


def _spread(phrases: Sequence[Phrase], n: int) -> list[Phrase]:
    """So many of them at most, from beginning to end."""
    n = min(n, len(phrases))
    return [phrases[i * len(phrases) // n] for i in range(n)]


def _passages(document: Document) -> Iterator[Phrase]:
    least, most = PHRASE_CHARACTERS
    for start, end in _stretches(document.text):
        for at in range(start, end, most):
            half = min(most, end - at) // 2
            if 2 * half >= least:
                # The cursor in the middle, so that `passage` can be told from cursor and end.
                yield Phrase(document=document, cursor=at + half, end=at + 2 * half)


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each long line, and of as many short ones as are one together."""
    least = PHRASE_CHARACTERS[0]
    begin, at = None, 0  # where the short lines begin that are gathered; None for no such
    for line in text.split("\n"):
        end = at + len(line)
        if len(line) >= least:
            yield at, end
            begin = None
        elif line.strip():
            begin = at if begin is None else begin
            if end - begin >= least:
                yield begin, end
                begin = None
        at = end + 1


def model_in_use(paths: Paths) -> Bundle | None:
    """To be asked before it goes; None if it cannot be."""
    with suppress(BundleError):
        return Shelf(paths.models, paths.base).current()[0]
    return None
