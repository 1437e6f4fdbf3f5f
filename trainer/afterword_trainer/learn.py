"""The main job: a folder of the user's own files in, a model on the shelf out.

    read -> train -> export -> score -> publish

Puts the other rooms together and holds the promise of `--minutes`. Knows nothing of terminals:
what happens is told in records to whoever listens.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from afterword_trainer import (
    base,
    corpus,
    durable,
    evaluation,
    experts,
    machine,
    portrait,
    records,
    stream,
    tuning,
)
from afterword_trainer.evaluation import Options
from afterword_trainer.model.alphabet import MAX_CHARACTERS, MOST_NEW, Alphabet
from afterword_trainer.model.bundle import Bundle, remembered, require_fits
from afterword_trainer.model.predictor import Predictor
from afterword_trainer.model.spec import Cell, NetworkSpec
from afterword_trainer.paths import Paths
from afterword_trainer.run import (
    Listener,
    Run,
    Trained,
    carry_out,
    checkpoint_in,
    make_room,
)
from afterword_trainer.scores import Table
from afterword_trainer.shelf import Shelf

if TYPE_CHECKING:
    from afterword_trainer.training import Recipe, Start

# Checkpoints, the finished model, the text; a full disk is better met before an hour's work.
LEAST_FREE_BYTES = 500_000_000

MOST_FOLDERS = 100  # that a model remembers by name, the largest; its report shows a dozen


class LearnError(Exception):
    """The request cannot be carried out; one sentence with its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `trainer learn` was asked for."""

    roots: Sequence[Path]
    rules: corpus.Rules
    minutes: float | None = None
    epochs: float | None = None
    origin: Literal["base", "current", "scratch"] = "base"
    # None: as the model that training starts from has it; from scratch, LSTM, `layers_for`, 512.
    cell: Cell | None = None
    layers: int | None = None
    units: int | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: measured
    dropout: float | None = None
    seed: int = 0
    activate: bool = True
    command: str = ""  # as it was typed, for the report


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What came of it."""

    id: str
    table: Table | None  # the model beside the baselines; None if nobody waited for it
    interrupted: bool  # training had not ended; the same request goes on from here
    active: bool
    previous: str | None  # the model that was in use before
    base_bits: records.BaseBits | None  # how much of the base's knowledge is kept


def learn(
    request: Request, paths: Paths, listener: Listener, *, started: float | None = None
) -> Learned:
    """Learn `request.roots` and put the model on the shelf of `paths`.

    `started` is when the promise of minutes began, on the monotonic clock. Whatever happens, the
    models on the shelf stay as they are; a checkpoint lets a second call go on where a killed one
    was. Raises LearnError, stream.TooLittleError, records.TrainingError, durable.StateError,
    bundle.BundleError; KeyboardInterrupt if it is interrupted before anything was learned.
    """
    plan = _plan(request, paths, time.monotonic() if started is None else started)
    shelf, before = plan.shelf, plan.before
    with durable.locked(paths.runs / "lock"):
        durable.retire(paths.runs / TEXT)
        make_room(paths.runs, LEAST_FREE_BYTES)
        text = _read(plan, listener)
        trained, parent = _train(plan, text, listener)
        bundle = _export(shelf.next_id(), text, trained, parent)
        known = _known(text, plan.clock)
        parts = experts.of_bundle(bundle, known)
        table = _score(parts, known, text, listener, plan.clock)
        bundle = replace(
            bundle,
            scores=_scores(table),
            provenance=_provenance(plan, text, trained, table, parts[0].make()),
        )
        new_id = shelf.publish(bundle)
        takes_over = before is None or _takes_over(trained.run, before)
        active = request.activate and (takes_over or not trained.interrupted)
        if active:
            shelf.use(new_id)
        for old_id in (*_superseded(shelf, new_id, trained.run.id), *shelf.prune()):
            listener.on_deleted(old_id)
        if not trained.interrupted:
            durable.retire(trained.run.checkpoint)
        durable.retire(text.prepared.folder)  # quickly made again; no text is left lying about
    return Learned(
        id=new_id,
        table=table,
        interrupted=trained.interrupted,
        active=active,
        previous=before.id if before else None,
        base_bits=next((r for r in trained.told if isinstance(r, records.BaseBits)), None),
    )


def layers_for(minutes: float | None) -> int:
    """From scratch, one layer learns twice as fast, two learn more in the end.

    On tinyshakespeare, 512 units each: after one minute 2.12 bits per character with one layer
    against 2.45 with two; after two and a half 1.99, where a wider layer (768) had 2.00.
    """
    return 1 if minutes is not None and minutes < 6 else 2


def flattery(model: str, n_known: int) -> str:
    """What to say when a model is scored on text that it knows."""
    return f"{model} has learned {n_known} of the documents it is scored on, which flatters it"


# -- what the steps hand on --------------------------------------------------------------------


class _Clock:
    """The promise: when it began, and how much of it is for what."""

    def __init__(self, started: float, minutes: float | None, *, is_fine_tuning: bool) -> None:
        self._end = None if minutes is None else started + 60 * minutes
        self._closing_s = 0.0
        if minutes is not None:
            # Export takes five seconds; the scores are steadier the longer they may take, to a
            # point; and what was fine-tuned is compared with its start a few times.
            self._closing_s = min(26.0, 6.5 + 0.08 * 60 * minutes)
            self._closing_s += is_fine_tuning * min(8.0, 0.06 * 60 * minutes)

    def deadline(self) -> float | None:
        """When training has to end, so that the rest is done in time."""
        return None if self._end is None else self._end - self._closing_s

    def left_s(self) -> float | None:
        """Until everything has to end; None if nothing was promised."""
        return None if self._end is None else self._end - time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A request of which nothing is left that could be refused."""

    request: Request
    paths: Paths
    shelf: Shelf
    before: Bundle | None  # the model in use
    parent: Bundle | None  # the model that training starts from
    why_scratch: str | None  # why there is none, where one was asked for
    clock: _Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """What was read, in figures and on disk."""

    prepared: stream.Prepared
    summary: corpus.Summary


class _StoppedError(Exception):
    """The user does not want to wait for the scores."""


# -- the steps ---------------------------------------------------------------------------------

TEXT = "text"  # in the folder of runs: what is learned


def _plan(request: Request, paths: Paths, started: float) -> _Plan:
    """What will be done, all of it possible. Raises LearnError, BundleError, StateError."""
    shelf = Shelf(paths.models, paths.base)
    before, _ = shelf.current()
    parent, why_scratch = _parent(request, paths, before)
    most = parent.alphabet.size + MOST_NEW if parent else Alphabet().size + MAX_CHARACTERS
    require_fits(_spec(request, parent, most))
    return _Plan(
        request=request,
        paths=paths,
        shelf=shelf,
        before=before,
        parent=parent,
        why_scratch=why_scratch,
        clock=_Clock(started, request.minutes, is_fine_tuning=parent is not None),
    )


def _parent(
    request: Request, paths: Paths, current: Bundle | None
) -> tuple[Bundle | None, str | None]:
    """The model that training starts from, and why it is none where one was asked for.

    Raises LearnError if there is no current model of that shape, BundleError if there is no base.
    """
    shape = (request.cell, request.layers, request.units)
    if request.origin == "scratch":
        return None, None
    if request.origin == "base":
        if any(shape) and not base.exists(paths.base):
            return None, "there is no base model, so this starts from scratch"
        parent = base.load(paths.base)
    elif current is None:
        raise LearnError("there is no current model to start from; leave out `--from current`")
    else:
        parent = current
    spec = parent.spec
    has = (spec.cell, spec.layers, spec.units)
    if all(asked in (None, given) for asked, given in zip(shape, has, strict=True)):
        return parent, None
    if request.origin == "base":
        problem = f"the base model is {spec} and another shape was asked for"
        return None, f"{problem}, so this starts from scratch"
    raise LearnError(
        f"the current model {parent.id} is {spec} and another shape was asked for; "
        "start from scratch, or leave the shape as it is"
    )


def _spec(request: Request, parent: Bundle | None, n_symbols: int) -> NetworkSpec:
    """Raises LearnError for a network that cannot be."""
    if parent:
        # This run chooses a dropout of its own.
        return replace(parent.spec, n_symbols=n_symbols, dropout=0.0)
    layers = layers_for(request.minutes) if request.layers is None else request.layers
    units = 512 if request.units is None else request.units
    try:
        return NetworkSpec(
            n_symbols=n_symbols,
            cell=request.cell or "lstm",
            layers=layers,
            units=units,
            # A quarter of the units carries all that one symbol can mean; more only costs time.
            embedding=max(16, min(128, units // 4)),
        )
    except ValueError as error:
        raise LearnError(
            f"there is no such network: {error}; choose other --layers or --units"
        ) from error


def _read(plan: _Plan, listener: Listener) -> _Text:
    """The user's files to symbols on disk."""
    summary = corpus.Summary()

    def documents() -> Iterator[corpus.Document]:
        for item in corpus.documents(plan.request.roots, plan.request.rules):
            if listener.interrupted():
                raise KeyboardInterrupt  # nothing was learned yet, so there is nothing to keep
            summary.add(item)
            if isinstance(item, corpus.Document):
                yield item
            listener.on_read(summary.total.documents, summary.total.characters)

    alphabet = plan.parent.alphabet if plan.parent else None
    prepared = stream.prepare(documents(), plan.paths.runs / TEXT, alphabet=alphabet, extend=True)
    return _Text(prepared=prepared, summary=summary)


def _train(plan: _Plan, text: _Text, listener: Listener) -> tuple[Trained, Bundle | None]:
    """The best network that the time allows, from its checkpoint if it has one; its parent."""
    from afterword_trainer import checkpoint, network, training  # slow: they import TensorFlow

    request, parent, prepared = plan.request, plan.parent, text.prepared
    n_cores = machine.cores()
    network.use_cores(n_cores)
    spec = _spec(request, parent, prepared.alphabet.size)

    # 1) what will be done, and whether it was begun already
    deadline = plan.clock.deadline()
    recipe = training.Recipe(
        seconds=None if deadline is None else max(1.0, deadline - time.monotonic()),
        epochs=request.epochs,
        dropout=request.dropout,
        seed=request.seed,
    )
    if parent:
        recipe = training.fine_tuning(recipe)
    run_id = _run_id(request, prepared, spec, recipe, n_cores)
    saved = checkpoint_in(plan.paths.runs, run_id)
    earlier = checkpoint.load(saved, run_id)
    if earlier and earlier.parent:
        parent = plan.shelf.load(earlier.parent)
    precision = earlier.precision if earlier else request.precision
    if precision == "auto":
        precision = network.fastest_precision(spec.units)

    # 2) the network, where it starts from
    run = Run(
        training=training.Training(
            network.CharacterNetwork(spec, precision=precision, seed=request.seed),
            prepared.learn_symbols(),
            prepared.heldout_symbols(),
            recipe,
            n_cores=n_cores,
            start=_start(parent, prepared, plan.paths) if parent else None,
            deadline=deadline,
        ),
        id=run_id,
        parent=parent.id if parent else None,
        precision=precision,
        alphabet=prepared.alphabet,
        prompt=portrait.opening(prepared.heldout_documents()),
        checkpoint=saved,
    )

    # 3) train, after saying what is planned and what has to be known of it
    origin = "resumed" if earlier else parent.id if parent else "scratch"
    opening: list[records.Record] = [
        _planned(request, plan.shelf.next_id(), origin, spec, text, recipe)
    ]
    if plan.why_scratch:
        opening.append(records.Noticed(seconds=0.0, message=plan.why_scratch))
    if parent and (n_known := prepared.n_known(parent.digests())):
        opening.append(records.Noticed(seconds=0.0, message=flattery(parent.id, n_known)))
    return carry_out(run, earlier, opening, listener), parent


def _start(parent: Bundle, prepared: stream.Prepared, paths: Paths) -> "Start":
    """What training starts from, and the text that tells how much of that is kept."""
    from afterword_trainer.training import Start

    test = None
    if base.exists(paths.base):
        symbols = prepared.folder / "base.symbols"
        stream.write_symbols(symbols, prepared.alphabet, base.documents(paths.base))
        test = stream.SymbolFile(symbols)
    weights = tuning.grown(parent.weights, parent.alphabet, prepared.alphabet)
    return Start(weights=weights, test=test)


def _export(new_id: str, text: _Text, trained: Trained, parent: Bundle | None) -> Bundle:
    """The best network in the form in which it is served."""
    from afterword_trainer.export import serving_graphs

    training = trained.run.training
    # What was dropped while training was chosen on the way.
    spec = replace(training.network.spec, dropout=training.progress.dropout or 0.0)
    known = [*parent.documents] if parent else []
    known += [{"digest": digest} for digest in text.prepared.learned_digests()]
    return Bundle(
        id=new_id,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        spec=spec,
        alphabet=text.prepared.alphabet,
        weights=training.best,
        graphs=serving_graphs(spec, training.best),
        history=[records.to_json(record) for record in trained.told],
        documents=remembered(known),
    )


def _known(text: _Text, clock: _Clock) -> list[stream.Piece]:
    """What the memory and the baselines learn: the newest, no more than there is time for."""
    hurried = clock.left_s() is not None
    most = evaluation.HURRIED_CHARACTERS if hurried else evaluation.LEARNED_CHARACTERS
    return experts.newest(text.prepared.learn_documents(), most)


def _score(
    parts: Sequence[evaluation.Expert],
    known: Sequence[stream.Piece],
    text: _Text,
    listener: Listener,
    clock: _Clock,
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


# -- what is written down ----------------------------------------------------------------------


def _run_id(
    request: Request, prepared: stream.Prepared, spec: NetworkSpec, recipe: "Recipe", n_cores: int
) -> str:
    """The same corpus and the same settings are the same run, which can be resumed."""
    from afterword_trainer.training import layout

    asked = [
        prepared.digest,
        prepared.alphabet.characters,
        asdict(spec),
        layout(prepared.n_learn_symbols, recipe, n_cores),
        request.origin,
        request.precision,
        request.dropout,
        request.epochs,
        request.seed,
        version("keras"),
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _superseded(shelf: Shelf, new_id: str, run_id: str) -> Iterator[str]:
    """Delete what the same run left when it was interrupted earlier; the ids that went."""
    for entry in shelf.entries():
        unfinished = not (entry.scores or entry.problem or entry.is_current)
        if unfinished and entry.id != new_id and _run_of(shelf.load(entry.id)) == run_id:
            shelf.remove(entry.id)
            yield entry.id


def _takes_over(run: Run, before: Bundle) -> bool:
    """Whether what was cut short, and so was not scored, takes the place of the model in use.

    That of its own kind; and the base model's if it began there, since of that and what came after
    the better on held-out text was kept.
    """
    began_there = run.parent == before.id == base.ID
    return began_there or _run_of(before) == run.id


def _run_of(bundle: Bundle) -> object:
    """Which run a model came out of."""
    return bundle.provenance.get("run")


def _planned(
    request: Request, new_id: str, origin: str, spec: NetworkSpec, text: _Text, recipe: "Recipe"
) -> records.Planned:
    return records.Planned(
        model=new_id,
        origin=origin,
        cell=spec.cell,
        layers=spec.layers,
        units=spec.units,
        n_parameters=spec.n_parameters(),
        n_symbols=spec.n_symbols,
        documents=text.prepared.documents,
        characters=text.prepared.learn_characters,
        heldout_characters=text.prepared.heldout_characters,
        files_skipped=text.summary.n_skipped,
        secrets_removed=text.summary.n_secrets,
        seconds=recipe.seconds,
        epochs=request.epochs,
    )


def _scores(table: Table | None) -> dict[str, float]:
    if table is None:
        return {}
    ours, scores = table.rows[0], {}
    if ours.bits:
        scores["bits_per_character"] = ours.bits.per_character
    if ours.keystrokes:
        scores |= {"ksr": ours.keystrokes.ksr, "acceptance": ours.keystrokes.acceptance}
    return scores


def _provenance(
    plan: _Plan, text: _Text, trained: Trained, table: Table | None, served: Predictor
) -> dict[str, Any]:
    """Where a model comes from, for its report; it quotes the user, and stays on the machine."""
    prepared, run, read = text.prepared, trained.run, text.summary.to_json()
    training = run.training
    read["folders"] = dict(islice(read["folders"].items(), MOST_FOLDERS))
    return {
        "run": run.id,
        "command": plan.request.command,
        "parent": run.parent,
        "previous": plan.before.id if plan.before else None,
        "seed": plan.request.seed,
        "recipe": asdict(training.recipe)
        | {"streams": training.streams, "window": training.window},
        "epochs": training.progress.symbols / prepared.n_learn_symbols,
        "seconds": training.progress.seconds,
        "precision": run.precision,
        "machine": machine.description(),
        "corpus": {
            "digest": prepared.digest,
            "documents": prepared.documents,
            "learn_characters": prepared.learn_characters,
            "heldout_characters": prepared.heldout_characters,
            "summary": read,
        },
        "evaluation": table.to_json() if table else None,
        "prompts": list(portrait.prompts(prepared.heldout_documents())),
        "offers": list(portrait.offers(served, prepared.alphabet, prepared.heldout_documents())),
    }
