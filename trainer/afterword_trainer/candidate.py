"""From prepared text to a model that could be put on the shelf: trained, exported, written down.

Knows the plan, the text and the network; judges nothing and publishes nothing.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any

from afterword_trainer import base, machine, plan, portrait, records, stream, tuning
from afterword_trainer.model.bundle import Bundle, remembered
from afterword_trainer.model.predictor import Predictor
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Plan, Request
from afterword_trainer.reading import Text
from afterword_trainer.run import Listener, Run, Trained, carry_out, checkpoint_in
from afterword_trainer.scores import Table
from afterword_trainer.shelf import Entry

if TYPE_CHECKING:
    from afterword_trainer.training import Recipe, Start

MOST_FOLDERS = 100  # that a model remembers by name, the largest; its report shows a dozen
SHOWN_FOLDERS = 2  # of those in a list of models, where a line is all there is
PASSES = 2.0  # of an update over its text: on notes the network got no better with more


def train(planned: Plan, text: Text, listener: Listener) -> tuple[Trained, Bundle | None]:
    """The best network that the plan allows, from its checkpoint if it has one; its parent.

    Raises records.TrainingError, durable.StateError, bundle.BundleError.
    """
    listener.on_wait("starting TensorFlow")
    from afterword_trainer import checkpoint, network, training  # slow: they import it

    request, parent, prepared = planned.request, planned.parent, text.prepared
    n_cores = request.threads or machine.cores()
    network.use_cores(n_cores)
    spec = plan.spec(request, parent, prepared.alphabet.size)

    # 1) what will be done, and whether it was begun already
    deadline = planned.clock.deadline()
    recipe = _recipe(request, prepared, deadline, is_fine_tuning=parent is not None)
    run_id = _run_id(planned, prepared, spec, recipe, n_cores)
    saved = checkpoint_in(planned.paths.runs, run_id)
    earlier = checkpoint.load(saved, run_id)
    if earlier and earlier.parent:
        parent = planned.shelf.load(earlier.parent)
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
            start=_start(parent, prepared, planned.paths) if parent else None,
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
        _planned(request, planned.shelf.next_id(), origin, spec, text, recipe)
    ]
    if planned.why_scratch:
        opening.append(records.Noticed(seconds=0.0, message=planned.why_scratch))
    if parent and (n_known := prepared.n_known(parent.digests())):
        opening.append(records.Noticed(seconds=0.0, message=flattery(parent.id, n_known)))
    opening += [records.Noticed(seconds=0.0, message=notice) for notice in text.notices]
    return carry_out(run, earlier, opening, listener), parent


def _recipe(
    request: Request, prepared: stream.Prepared, deadline: float | None, *, is_fine_tuning: bool
) -> "Recipe":
    """How long it is trained, and how hard."""
    from afterword_trainer import training

    epochs = request.epochs
    if deadline is None and epochs is None:
        epochs = request.symbols / prepared.n_learn_symbols if request.symbols else PASSES
    recipe = training.Recipe(
        seconds=None if deadline is None else max(1.0, deadline - time.monotonic()),
        epochs=epochs,
        dropout=request.dropout,
        seed=request.seed,
    )
    if is_fine_tuning:
        recipe = training.fine_tuning(recipe)
    return training.going_on(recipe) if request.work == "updated" else recipe


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


def export(new_id: str, text: Text, trained: Trained, parent: Bundle | None) -> Bundle:
    """The best network in the form in which it is served. Raises BundleCorruptError."""
    from afterword_trainer.export import serving_graphs

    training = trained.run.training
    # What was dropped while training was chosen on the way.
    spec = replace(training.network.spec, dropout=training.progress.dropout or 0.0)
    read_again = {value["id"] for value in text.documents if "id" in value}
    before = parent.documents if parent else ()
    known = [value for value in before if value.get("id") not in read_again]
    return Bundle(
        id=new_id,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        spec=spec,
        alphabet=text.prepared.alphabet,
        weights=training.best,
        graphs=serving_graphs(spec, training.best),
        history=[records.to_json(record) for record in trained.told],
        documents=remembered([*known, *text.documents]),
    )


def flattery(model: str, n_known: int) -> str:
    """What to say when a model is scored on text that it knows."""
    return f"{model} has learned {n_known} of the documents it is scored on, which flatters it"


def _run_id(
    planned: Plan, prepared: stream.Prepared, spec: NetworkSpec, recipe: "Recipe", n_cores: int
) -> str:
    """The same corpus and the same settings are the same run, which can be resumed."""
    from afterword_trainer.training import layout

    request = planned.request
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
    if request.work != "learned":
        asked += [request.work, planned.parent.id if planned.parent else None]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _planned(
    request: Request, new_id: str, origin: str, spec: NetworkSpec, text: Text, recipe: "Recipe"
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
        epochs=recipe.epochs,
    )


def scores(table: Table | None) -> dict[str, float]:
    """What a model says of itself: the first row of its table, by the names of the measures."""
    if table is None:
        return {}
    ours, found = table.rows[0], {}
    if ours.bits:
        found["bits_per_character"] = ours.bits.per_character
    if ours.keystrokes:
        found |= {"ksr": ours.keystrokes.ksr, "acceptance": ours.keystrokes.acceptance}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredOn:
    """The text that a model's scores are of; those of two models compare where this is equal."""

    text: str  # for people: whose text, or which folders'
    digest: str  # of all that was read, the newest of which is measured on
    characters: int | None = None  # of that; None: as many as the gate had time for


def measured_on(model: Bundle | Entry) -> MeasuredOn | None:
    """What the scores of a model say something about; None if it has none, or nobody knows."""
    facts = model.provenance
    if not model.scores:
        return None
    if "parts" in facts:  # `trainer pretrain` made it
        return MeasuredOn(text="other people's writing", digest=str(facts.get("manifest")))
    read = facts.get("corpus")
    if not read:
        return None
    folders = [*dict.fromkeys(name.split("/")[0] for name in read["summary"].get("folders", ()))]
    # What was given away names none.
    names = ", ".join(folders[:SHOWN_FOLDERS]) or "what it learned"
    names += ", …" if len(folders) > SHOWN_FOLDERS else ""
    n_characters = (facts.get("evaluation") or {}).get("bits_characters")
    how_much = f"{n_characters:,} characters" if n_characters else "the newest"
    return MeasuredOn(text=f"{how_much} of {names}", digest=read["digest"], characters=n_characters)


def provenance(
    planned: Plan, text: Text, trained: Trained, table: Table | None, served: Predictor
) -> dict[str, Any]:
    """Where a model comes from, for its report; it quotes the user, and stays on the machine."""
    prepared, run, read = text.prepared, trained.run, text.summary.to_json()
    training = run.training
    read["folders"] = dict(islice(read["folders"].items(), MOST_FOLDERS))
    return {
        "run": run.id,
        "command": planned.request.command,
        "parent": run.parent,
        "previous": planned.before.id if planned.before else None,
        "work": planned.request.work,
        "seed": planned.request.seed,
        "threads": planned.request.threads,
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
