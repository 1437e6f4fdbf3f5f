"""The main job: a folder of the user's own files in, a model on the shelf out.

    read -> train -> export -> judge -> score -> publish

Three ways in, one way through: `learn` takes all of the text by the user's order, `update` what is
new of it; for `forget.rebuild`, `learn` takes all of it once more without what was forgotten. Puts
the other rooms together and holds the promise of `--minutes`. Knows nothing of terminals: what
happens is told in records to whoever listens.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from afterword_trainer import (
    audit,
    base,
    candidate,
    durable,
    evaluation,
    experts,
    gate,
    ledger,
    plan,
    reading,
    records,
    remembering,
    stream,
)
from afterword_trainer.evaluation import Expert, Options
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.gate import Verdict
from afterword_trainer.model.bundle import Bundle, BundleCorruptError
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Clock, LearnError, Plan, Request
from afterword_trainer.reading import Source, Text
from afterword_trainer.registry import Registry, salted
from afterword_trainer.run import Listener, Trained, checkpoint_in, make_room
from afterword_trainer.scores import Table
from afterword_trainer.shelf import Shelf

# Checkpoints, the finished model, the text; a full disk is better met before an hour's work.
LEAST_FREE_BYTES = 500_000_000
TEXT = "text"  # in the folder of runs: what is learned
LOCK = "lock"  # likewise: held by whoever trains
BUSY = "wait until it has finished, or stop it (if it is the daemon's training: afterword pause)"
CHARACTERS_TOLD = 200  # that are measured from one word of how far it is to the next: 0.2 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What came of it."""

    id: str | None  # of the model; None if none was put on the shelf
    table: Table | None = None  # the model beside the baselines; None if nobody waited for it
    interrupted: bool = False  # training had not ended; the same request goes on from here
    active: bool = False
    previous: str | None  # the model that was in use before
    base_bits: records.BaseBits | None = None  # how much of the base's knowledge is kept
    verdict: Verdict | None = None  # of the gate; None if there was nothing to compare with
    n_new: int = 0  # characters that were not learned before
    n_left: int = 0  # characters of new text for which there was no room this time
    remembered: bool = False  # whether the memory that serves knows these files, as if watched


def learn(
    request: Request, paths: Paths, listener: Listener, *, started: float | None = None
) -> Learned:
    """Learn `request.roots` and put the model on the shelf of `paths`.

    It is put to use unless it is worse, as it serves, than the one in use. `started` is when the
    promise of minutes began, on the monotonic clock. Whatever happens, the models on the shelf
    stay as they are; a checkpoint lets a second call go on where a killed one was. Raises
    LearnError, stream.TooLittleError, records.TrainingError, durable.StateError,
    bundle.BundleError; KeyboardInterrupt if it is interrupted before anything was learned.
    """
    planned = plan.make(request, paths, time.monotonic() if started is None else started)
    with _at_work(planned, listener) as (source, listener):
        notices = [
            f"{path} had been forgotten; it is learned again, as you ask"
            for path in request.roots
            if request.work == "learned" and Forgotten.load(paths).holds(path)
        ]
        text = reading.everything(source, planned.parent.alphabet if planned.parent else None)
        source.registry.save()
        return _learned(planned, replace(text, notices=notices), source, listener)


def update(request: Request, paths: Paths, listener: Listener) -> Learned:
    """Go on from the model in use with what is new in `request.roots`.

    The new model is published and put to use if the gate lets it pass; else nothing is left of it
    but a line in the ledger. Raises as `learn`.
    """
    planned = plan.make(request, paths, time.monotonic())
    if planned.parent is None or planned.before is None:
        raise LearnError("there is no model to go on from; `trainer learn PATH` makes one")
    before = planned.before
    with _at_work(planned, listener) as (source, listener):
        found = reading.news(source, planned.parent, request.seed)
        if isinstance(found, int):
            return Learned(id=None, previous=before.id, n_new=found)
        source.registry.save()
        try:
            return _learned(planned, found, source, listener)
        except (records.TrainingError, BundleCorruptError) as error:
            # Weights that are no numbers, for one: not a model, but worth a line.
            verdict = Verdict(accepted=False, sentence=str(error), reasons=("weights",))
            _write_down(planned, found, source, None, "rejected", verdict)
            return Learned(id=None, previous=before.id, verdict=verdict, n_new=found.n_new)


def drop_begun(paths: Paths) -> None:
    """Delete what was begun, as nobody knows whether it saw what is to be forgotten.

    For who holds the lock. Raises durable.StateError.
    """
    for checkpoint in paths.runs.glob("checkpoint-*"):
        durable.retire(checkpoint)
    durable.retire(paths.runs / TEXT)


# -- one way through ---------------------------------------------------------------------------


def _learned(planned: Plan, text: Text, source: Source, listener: Listener) -> Learned:
    request, shelf, before = planned.request, planned.shelf, planned.before
    trained, parent = candidate.train(planned, text, listener)
    outcome = Learned(
        id=None,
        previous=before.id if before else None,
        interrupted=trained.interrupted,
        base_bits=next((r for r in trained.told if isinstance(r, records.BaseBits)), None),
        n_new=text.n_new,
        n_left=text.n_left,
        remembered=_is_remembered(planned),
    )
    if trained.interrupted and request.work != "learned":
        return outcome  # nobody waits for it; the next call goes on from the checkpoint

    # 1) the model, and whether it is better than the one in use
    bundle = candidate.export(shelf.next_id(), text, trained, parent)
    known = _known(text, planned.clock)
    parts = experts.of_bundle(bundle, known)
    secrets = audit.audit(bundle, _base(planned), text.hits, request.seed)
    # Where the memory holds none of it, the model in use is not to be measured as if it did.
    serving = known if outcome.remembered else []
    mix = parts[0] if outcome.remembered else experts.of_bundle(bundle, [])[0]
    verdict = _verdict(planned, text, bundle, secrets, mix, serving, trained, listener)
    if verdict is None and before and request.work != "learned":
        return replace(outcome, interrupted=True)  # what was not measured does not go live
    rejected = verdict is not None and not verdict.accepted
    # Who asked for a model may look at one that is no better; at one that knows a secret nobody.
    if verdict and rejected and (request.work == "updated" or "audit" in verdict.reasons):
        _write_down(planned, text, source, None, "rejected", verdict, trained)
        durable.retire(trained.run.checkpoint)
        return replace(outcome, verdict=verdict)

    # 2) its scores, for people
    table = None
    if request.work == "learned":
        table = _score(parts, known, text, listener, planned.clock)
    facts = candidate.provenance(planned, text, trained, table, parts[0].make())
    facts["verdict"] = verdict.to_json() if verdict else None
    facts["audit"] = secrets.to_json() if secrets else None
    bundle = replace(bundle, scores=_scores(table, verdict), provenance=facts)

    # 3) on the shelf, and in use
    _require_not_forgotten(source)
    new_id = shelf.publish(bundle)
    if request.work == "learned":
        source.forgotten.remove(*request.roots)  # not before: what ends in an error changes nothing
    active = _put_to_use(planned, text, source, new_id, verdict, trained)
    for old_id in (*_superseded(shelf, new_id, trained.run.id), *shelf.prune()):
        listener.on_deleted(old_id)
    if not trained.interrupted:
        durable.retire(trained.run.checkpoint)
    return replace(outcome, id=new_id, table=table, active=active, verdict=verdict)


def _put_to_use(
    planned: Plan,
    text: Text,
    source: Source,
    new_id: str,
    verdict: Verdict | None,
    trained: Trained,
) -> bool:
    """Write down what was published, and use it if nothing speaks against it; whether it is."""
    request, before = planned.request, planned.before
    rejected = verdict is not None and not verdict.accepted
    takes_over = before is None or _takes_over(trained, before)
    active = request.activate and not rejected and (takes_over or not trained.interrupted)
    # Before it is used: what is in use can always be made anew, without what is to be forgotten.
    what: ledger.What = "rejected" if rejected else request.work
    _write_down(planned, text, source, new_id, what, verdict, trained)
    if active:
        planned.shelf.use(new_id)
    return active


class _StoppedError(Exception):
    """The user does not want to wait for the scores."""


class ForgottenMeanwhileError(LearnError):
    """What is forgotten has changed while it was learned."""


@contextmanager
def _at_work(planned: Plan, listener: Listener) -> Iterator[tuple[Source, Listener]]:
    """Alone at work, with room for it; ends when what is forgotten changes meanwhile."""
    paths = planned.paths
    with durable.locked(paths.runs / LOCK, remedy=BUSY):
        durable.retire(paths.runs / TEXT)
        make_room(paths.runs, LEAST_FREE_BYTES)
        if planned.request.work != "learned":  # who says that again goes on from its checkpoint
            _finish_earlier(planned, listener)
        forgotten = Forgotten.load(paths)
        if planned.request.work == "learned":
            forgotten = forgotten.allowing(*planned.request.roots)
        source = Source(
            roots=planned.request.roots,
            rules=planned.request.rules,
            forgotten=forgotten,
            registry=Registry.load(paths),
            folder=paths.runs / TEXT,
            tell=listener.on_read,
        )

        def interrupted() -> bool:
            _require_not_forgotten(source)
            return listener.interrupted()

        source = replace(source, interrupted=interrupted)
        try:
            with _temporary_files_in(paths.runs):
                yield source, replace(listener, interrupted=interrupted)
        except ForgottenMeanwhileError:
            drop_begun(paths)
            raise
        durable.retire(paths.runs / TEXT)  # quickly made again; no text is left lying about


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Have libraries write what they write for a moment into a folder of ours.

    TensorFlow's converter puts the weights into a temporary file: the system's own folder is
    nothing that we tidy up after a kill, and this one is swept when learning begins again.
    """
    before = tempfile.tempdir
    with durable.temporary_folder(folder) as ours:
        tempfile.tempdir = str(ours)
        try:
            yield
        finally:
            tempfile.tempdir = before


def _require_not_forgotten(source: Source) -> None:
    """Raises ForgottenMeanwhileError; it is cheap, and asked after each step."""
    if source.forgotten.is_outdated():
        raise ForgottenMeanwhileError(
            "what is forgotten has changed meanwhile, so what was being learned is dropped; "
            "start again with the same command"
        )


# -- the gate ----------------------------------------------------------------------------------


def _verdict(
    planned: Plan,
    text: Text,
    bundle: Bundle,
    secrets: audit.Audit | None,
    mix: Expert,
    known: Sequence[stream.Piece],
    trained: Trained,
    listener: Listener,
) -> Verdict | None:
    """What audit and gate say; None if there is nothing to say, or nobody waited for it."""
    problems: dict[gate.Reason, str] = {}
    if secrets and not secrets.passed:
        problems["audit"] = secrets.sentence
    verdict = None
    if not trained.interrupted:
        verdict = _compared(planned, text, bundle, problems, mix, known, trained, listener)
    return verdict or (gate.refused(problems) if problems else None)


def _compared(
    planned: Plan,
    text: Text,
    bundle: Bundle,
    problems: dict[gate.Reason, str],
    mix: Expert,
    known: Sequence[stream.Piece],
    trained: Trained,
    listener: Listener,
) -> Verdict | None:
    """Whether `bundle` is better than what it would replace; None if there is nothing there.

    Both with a memory of `known`, `bundle` as `mix`. None too if the user does not wait for it.
    """
    incumbent = planned.before
    if incumbent is not None and _run_of(incumbent) == trained.run.id:
        incumbent = planned.parent  # what the same run left when it was interrupted is no rival
    if incumbent is None:
        return None
    held = text.prepared.heldout_places
    fair = [place for place in held if not _flatters(place, incumbent, bundle)]
    test = list(text.spool.pieces(fair))
    base_test = base.documents(planned.paths.base) if base.exists(planned.paths.base) else []
    sizes = gate.Sizes()
    if (left_s := planned.clock.left_s()) is not None:
        sizes = gate.Sizes.within(0.4 * left_s, evaluation.step_seconds(mix.make()))

    with suppress(_StoppedError):
        telling = _telling("the model in use", sizes.characters, listener)
        theirs = experts.of_bundle(incumbent, known)[0]
        before = gate.measure(incumbent, theirs, test, base_test, sizes, telling)
        telling = _telling("the new model", sizes.characters, listener)
        after = gate.measure(bundle, mix, test, base_test, sizes, telling)
        base_bits = None
        if own := _base(planned):
            base_bits = gate.network_bits(own, base_test, sizes.base_characters, telling)
        return gate.judge(
            after,
            before,
            base_bits=base_bits,
            problems=problems | gate.faults(bundle),
            asked=planned.request.work != "updated",
            remembered=bool(known),
        )
    return None


def _telling(name: str, n_characters: int, listener: Listener) -> gate.Tick:
    """What is called at each character that is measured, tells how far that is, and may end it."""
    listener.on_score(name, 0.0)
    ticks = count(1)

    def tick() -> None:
        if listener.interrupted():
            raise _StoppedError
        n = next(ticks)
        if n % CHARACTERS_TOLD == 0:
            listener.on_score(name, min(n / n_characters, 1.0))

    return tick


def _is_remembered(planned: Plan) -> bool:
    """Whether the memory that serves holds files of what is learned, as of a watched folder."""
    if planned.before is None:
        return False
    stored = remembering.load(remembering.path_of(planned.paths), planned.before.alphabet)
    roots = [Path(os.path.abspath(root)) for root in planned.request.roots]  # noqa: PTH100
    files = map(Path, stored.memory.documents()) if stored else ()
    return any(file.is_relative_to(root) for file in files for root in roots)


def _base(planned: Plan) -> Bundle | None:
    return base.load(planned.paths.base) if base.exists(planned.paths.base) else None


def _flatters(place: stream.Place, incumbent: Bundle, bundle: Bundle) -> bool:
    """Whether the model in use has learned the file, in some version, and the new one has not."""

    def has_learned(model: Bundle) -> bool:
        return place.digest in model.digests() or place.id in model.learned_ids()

    return has_learned(incumbent) and not has_learned(bundle)


def _known(text: Text, clock: Clock) -> list[stream.Piece]:
    """What memory and baselines learn: the newest, no more than there is time for."""
    hurried = clock.left_s() is not None
    most = evaluation.HURRIED_CHARACTERS if hurried else evaluation.LEARNED_CHARACTERS
    return experts.newest(text.known(), most)


def _score(
    parts: Sequence[Expert],
    known: Sequence[stream.Piece],
    text: Text,
    listener: Listener,
    clock: Clock,
) -> Table | None:
    """What the user gets, by the code that will serve it; None for one who does not wait."""
    step_s = evaluation.step_seconds(parts[0].make())  # first fills its memory: a second or two
    left_s = clock.left_s()
    options = Options.unhurried() if left_s is None else Options.within(left_s, step_s)

    def unless_stopped(name: str, share: float) -> None:
        if listener.interrupted():
            raise _StoppedError
        listener.on_score(name, share)

    with suppress(_StoppedError):
        return evaluation.evaluate(
            parts,
            text.prepared.alphabet,
            known,
            text.prepared.heldout_documents(),
            options,
            unless_stopped,
        )
    return None


def _scores(table: Table | None, verdict: Verdict | None) -> dict[str, float]:
    """What lists of models show: by the table, or else as the gate measured it."""
    if table is None and verdict and verdict.after:
        after = verdict.after
        found = {"bits_per_character": after.bits_per_character, "ksr": after.ksr}
        return {name: score for name, score in found.items() if score is not None}
    return candidate.scores(table)


# -- what is written down ----------------------------------------------------------------------


def _write_down(
    planned: Plan,
    text: Text,
    source: Source,
    new_id: str | None,
    what: ledger.What,
    verdict: Verdict | None,
    trained: Trained | None = None,
) -> None:
    """A line in the ledger. Raises durable.StateError."""
    request, registry = planned.request, source.registry
    settings: dict[str, Any] = {
        "roots": [registry.root(str(Path(root).absolute())).id for root in request.roots],
        "mail": request.rules.mail,
        "pdf": request.rules.pdf,
        "work": request.work,
        "threads": request.threads,
        "new_characters": text.n_new,
    }
    if trained:
        training = trained.run.training
        settings |= {
            # As many as were asked for, or as there was time for.
            "epochs": request.epochs or training.progress.symbols / text.prepared.n_learn_symbols,
            "seconds": round(training.progress.seconds, 1),
            "precision": trained.run.precision,
        }
    own = _base(planned)
    registry.ignore = request.rules.ignore  # not in the ledger: a pattern may say as much as a path
    registry.save()  # a root may be new
    ledger.add(
        planned.paths,
        ledger.Entry(
            what=what,
            when=ledger.now(),
            model=new_id,
            parent=trained.run.parent if trained else None,
            base=str(own.provenance.get("run", "")) if own else None,
            run=trained.run.id if trained else None,
            seed=request.seed,
            settings=settings,
            documents=[
                (registry.file(file).id, salted(registry.file(file), digest))
                for file, digest in text.learned
            ],
            before=verdict.before if verdict else None,
            after=verdict.after if verdict else None,
            verdict=verdict.sentence if verdict else "",
        ),
    )


def _finish_earlier(planned: Plan, listener: Listener) -> None:
    """Delete what is left where a kill came right after the model in use was put to use.

    That is the checkpoint of a run that has come to its end, and a model too many.
    """
    before = planned.before
    if before and before.scores:  # else it was interrupted, and may go on
        durable.retire(checkpoint_in(planned.paths.runs, str(_run_of(before))))
    for old_id in planned.shelf.prune():
        listener.on_deleted(old_id)


def _superseded(shelf: Shelf, new_id: str, run_id: str) -> Iterator[str]:
    """Delete what the same run left when it was interrupted earlier; the ids that went."""
    for entry in shelf.entries():
        unfinished = not (entry.scores or entry.problem or entry.is_current)
        if unfinished and entry.id != new_id and _run_of(shelf.load(entry.id)) == run_id:
            shelf.remove(entry.id)
            yield entry.id


def _takes_over(trained: Trained, before: Bundle) -> bool:
    """Whether what was cut short, and so was not scored, takes the place of the model in use.

    That of its own kind, unless it was finished; and the base model's if it began there, since of
    that and what came after the better on held-out text was kept.
    """
    began_there = trained.run.parent == before.id == base.ID
    return began_there or (_run_of(before) == trained.run.id and not before.scores)


def _run_of(bundle: Bundle) -> object:
    """Which run a model came out of."""
    return bundle.provenance.get("run")
