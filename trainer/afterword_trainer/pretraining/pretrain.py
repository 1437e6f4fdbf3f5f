"""The job itself: a manifest in; a network that knows language, its scores and its origins out.

    plan -> prepare -> train -> export -> score -> publish

The symbols and the checkpoint of a run stay on disk until it has ended, so that it can be killed
at any moment and goes on when it is started again. Knows nothing of terminals: what happens is
told in records to whoever listens.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from afterword_trainer import base, durable, machine, measures, portrait, records, scores
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import FIRST_CHARACTER
from afterword_trainer.model.bundle import Bundle, BundleCorruptError, BundleMissingError
from afterword_trainer.model.spec import Cell, NetworkSpec
from afterword_trainer.model.step import open_predictor
from afterword_trainer.paths import Paths
from afterword_trainer.pretraining import PretrainingError, manifest, mixture, overlap, sources
from afterword_trainer.pretraining.manifest import Manifest
from afterword_trainer.pretraining.mixture import MOST_CHARACTERS, Mixture
from afterword_trainer.pretraining.sources import Source
from afterword_trainer.run import Listener, Run, Trained, carry_out, checkpoint_in, make_room

if TYPE_CHECKING:
    from afterword_trainer.pretraining.workers import Team
    from afterword_trainer.training import Recipe, Training

CHECKPOINT_S = 150.0  # between two checkpoints: the most that a kill costs
LEAST_FREE_BYTES = 2_000_000_000  # text, symbols and checkpoints of the largest corpus tried
LEAST_SYMBOLS = 1_000  # of less, nothing but the alphabet would be learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Which of several workers this process is; 0 is the chief, who alone writes what is made."""

    index: int

    @classmethod
    def parse(cls, config: str) -> "Task":
        """The task of a TF_CONFIG, as `tf.distribute` reads it. Raises PretrainingError."""
        try:
            value = json.loads(config)
            cluster, task = value["cluster"], value["task"]
            team = [(kind, n) for kind in KINDS for n in range(_n_members(cluster, kind))]
            if cluster.keys() <= {*KINDS}:
                return cls(index=team.index((task["type"], int(task["index"]))))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise PretrainingError(
            "TF_CONFIG does not say which worker this is; set it as the guide to tf.distribute "
            "does, or unset it to train on this machine alone"
        )


# In the order of their numbers. Members of other kinds would be waited for, and never come.
KINDS = ("chief", "worker")


def _n_members(cluster: Mapping[str, Any], kind: str) -> int:
    """How many of a kind a cluster has. Raises TypeError unless they are listed by address."""
    members = cluster.get(kind, [])
    if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
        raise TypeError(kind)
    return len(members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `trainer pretrain` was asked for. With neither minutes nor symbols: one pass."""

    manifest: Path
    out: Path  # a folder that does not exist yet: the model and its test text
    roots: Sequence[Path] = ()  # where the manifest's places lie, besides its own folder
    minutes: float | None = None  # for everything but preparing
    symbols: int | None = None  # to train on; exactly reproducible, unlike minutes
    start: Path | None = None  # a model whose weights, shape and alphabet training begins with
    # None: as `start` has it, which brings its own; else as `NetworkSpec` has it.
    cell: Cell | None = None
    layers: int | None = None
    units: int | None = None
    embedding: int | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: whichever is faster
    seed: int = 0
    task: Task | None = None  # None: this process is the only one

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what is made."""
        return self.task is None or self.task.index == 0

    def shape(self) -> dict[str, Any]:
        """What was asked of the network, by the names of `NetworkSpec`."""
        asked = {name: getattr(self, name) for name in ("cell", "layers", "units", "embedding")}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """What came of it."""

    folder: Path | None  # of the model; None if training was interrupted, or the chief wrote it
    bits_per_character: float | None  # on the test text, as it is served
    bits_by_part: Mapping[str, float]
    interrupted: bool  # the same request goes on from here


def pretrain(request: Request, paths: Paths, listener: Listener) -> Pretrained:
    """Make the base model that a manifest describes.

    Raises PretrainingError, durable.StateError, records.TrainingError, bundle.BundleError;
    KeyboardInterrupt if it is interrupted while the corpus is prepared, which is then begun again,
    or while the model is scored, which then is all that is left to do.
    """
    plan = _plan(request)
    # A folder of its own: `learn` tidies the one above. Workers may share a home.
    worker = "" if request.is_chief or not request.task else f"-{request.task.index}"
    runs = paths.runs / f"pretraining{worker}"

    def tick(documents: int, characters: int) -> None:
        if listener.interrupted():
            raise KeyboardInterrupt
        listener.on_read(documents, characters)

    with durable.locked(runs / "lock"):
        make_room(runs, LEAST_FREE_BYTES)
        _require_backend(request.task)
        alphabet = plan.start.alphabet if plan.start else None
        mixed = mixture.prepare(plan.found, plan.never, runs, request.seed, tick, alphabet)
        _require_enough(mixed)
        trained = _train(plan, mixed, runs, listener)
        bits: dict[str, float] = {}
        made = not trained.interrupted and request.is_chief
        if made:
            bundle = _export(plan, mixed, trained)
            bits = _score(bundle, mixed, listener)
            bundle = replace(
                bundle,
                scores={"bits_per_character": bits[ALL]} if bits else {},
                provenance=_provenance(plan, mixed, trained, bits),
            )
            _publish(request.out, bundle, mixed)
        if not trained.interrupted:
            durable.retire(trained.run.checkpoint)
            durable.retire(mixed.folder)
    return Pretrained(
        folder=request.out / plan.manifest.name if made else None,
        bits_per_character=bits.pop(ALL, None),
        bits_by_part=bits,
        interrupted=trained.interrupted,
    )


# -- the plan ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A request of which nothing is left that could be refused before hours of work."""

    request: Request
    manifest: Manifest
    found: Sequence[Source]
    never: Sequence[str]  # texts
    start: Bundle | None  # the model that training begins with, if it is not to begin with chance

    def spec(self, n_symbols: int) -> NetworkSpec:
        """The network for so many symbols. Raises PretrainingError for one that cannot be."""
        if self.start:
            return self.start.spec
        try:
            return NetworkSpec(n_symbols=n_symbols, **self.request.shape())
        except ValueError as error:
            raise PretrainingError(
                f"there is no such network: {error}; choose other --layers, --units or --embedding"
            ) from error


def _plan(request: Request) -> _Plan:
    """What will be done. Raises PretrainingError, BundleError for a network too large to keep."""
    if request.is_chief:
        _require_place(request.out)
    if request.task and request.minutes:
        raise PretrainingError("several workers cannot keep to --minutes; say --symbols instead")
    for root in request.roots:
        if not root.is_dir():
            raise PretrainingError(f"{root}: there is no such folder; name another --root")
    wanted = manifest.load(request.manifest)
    roots = (*request.roots, request.manifest.parent)
    plan = _Plan(
        request=request,
        manifest=wanted,
        found=[sources.locate(part, roots) for part in wanted.parts],
        never=[sources.unseen(name, roots) for name in wanted.never],
        start=_start(request.start, request.shape()) if request.start else None,
    )
    bundles.require_fits(plan.spec(FIRST_CHARACTER + MOST_CHARACTERS))
    return plan


def _require_place(out: Path) -> None:
    """Raises PretrainingError where something lies already, or nothing could be put."""
    if os.path.lexists(out) or os.path.lexists(out.resolve()):  # "new/.." is where one stands
        raise PretrainingError(
            f"{out}: something is there already; name another --out, or move it away"
        )
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    try:
        with durable.explained(out), suppress(FileNotFoundError):
            out.lstat()  # which a name that is too long does not survive
        with durable.temporary_folder(above):
            pass
    except durable.StateError as error:
        problem = str(error).partition("; ")[0]
        raise PretrainingError(
            f"{out}: it cannot be made there ({problem}); name another --out"
        ) from error


def _start(path: Path, asked: Mapping[str, Any]) -> Bundle:
    """The model at `path`. Raises PretrainingError for one that a base cannot begin with."""
    try:
        start = bundles.load(path)
    except (BundleMissingError, BundleCorruptError) as error:
        problem = str(error).partition("; ")[0]  # the remedies are for a model on the shelf
        raise PretrainingError(
            f"{problem}, so training cannot begin with it; name the folder of a model that "
            "`trainer pretrain` made, the one that holds its manifest.json"
        ) from error
    if not {*_PASSED_ON} - {"start"} <= start.provenance.keys():
        raise PretrainingError(
            f"{path}: this model did not come out of `trainer pretrain`, so it may have learned "
            "somebody's own text, which a base must not hold; name one that did"
        )
    if len(start.alphabet.characters) > MOST_CHARACTERS:
        raise PretrainingError(
            f"{path}: its alphabet names {len(start.alphabet.characters)} characters beyond ASCII, "
            f"and that of a base {MOST_CHARACTERS} at most; name another model"
        )
    if asked:
        options = ", ".join(f"--{name}" for name in asked)
        raise PretrainingError(
            f"{path}: training goes on in the shape of this model, {start.spec} with an embedding "
            f"of {start.spec.embedding}; leave out {options}"
        )
    return start


def _require_backend(task: Task | None) -> None:
    """Import Keras, which takes seconds. Raises PretrainingError if it runs on nothing of use."""
    try:
        from afterword_trainer.pretraining import portable
    except (ImportError, ValueError) as error:  # not installed, or no backend of that name
        raise PretrainingError(
            f"Keras cannot start ({error}); unset KERAS_BACKEND, or install what it names"
        ) from error
    backend = portable.backend()
    if backend not in portable.BACKENDS:
        raise PretrainingError(
            f"Keras cannot train on {backend!r}; set KERAS_BACKEND to one of "
            f"{', '.join(portable.BACKENDS)}, or unset it"
        )
    if task and backend != "tensorflow":
        raise PretrainingError("several workers need TensorFlow; unset KERAS_BACKEND or TF_CONFIG")


def _require_enough(mixed: Mixture) -> None:
    """Raises PretrainingError for a corpus of next to nothing, which is not kept."""
    n_symbols = mixed.learn_symbols().n_symbols
    if n_symbols < LEAST_SYMBOLS:
        durable.retire(mixed.folder)
        raise PretrainingError(
            f"{n_symbols} symbols are too little to learn from; name more or larger parts"
        )


# -- training ----------------------------------------------------------------------------------


def _train(plan: _Plan, mixed: Mixture, runs: Path, listener: Listener) -> Trained:
    """From the symbols to the best network that the plan allows, or from a checkpoint on."""
    from afterword_trainer import checkpoint, network  # slow: they import TensorFlow
    from afterword_trainer.pretraining import workers

    # 1) what will be done, by whom, and whether it was begun already
    started = time.monotonic()
    request, start = plan.request, plan.start
    network.use_cores(machine.cores())
    team = workers.Team(request.task.index) if request.task else None
    spec = plan.spec(mixed.alphabet.size)
    recipe = _recipe(request, mixed.learn_symbols().n_symbols)
    run_id = _run_id(plan, mixed, spec, recipe)
    saved = checkpoint_in(runs, run_id)
    data = checkpoint.read(saved) if request.is_chief else b""
    if team:
        if team.from_chief(run_id.encode()) != run_id.encode():
            raise PretrainingError(
                "the chief prepared another corpus than this worker; give both the same manifest, "
                "the same sources and the same options"
            )
        data = team.from_chief(data)
    earlier = checkpoint.parse(data, run_id)

    # 2) the network and its training
    deadline = None if recipe.seconds is None else started + recipe.seconds
    precision = _precision(earlier.precision if earlier else request.precision, spec, recipe, team)
    training = _training(spec, mixed, recipe, precision, deadline, team)
    if start:  # a checkpoint's weights would take their place
        training.network.assign(start.weights)

    # 3) train
    run = Run(
        training=training,
        id=run_id,
        parent=None,  # on no shelf, so a checkpoint could not name it
        precision=precision,
        alphabet=mixed.alphabet,
        prompt=portrait.opening(piece for _, piece in mixed.test_texts()),
        checkpoint=saved,
        writes=request.is_chief,
    )
    origin = "resumed" if earlier else start.id if start else "scratch"
    return carry_out(run, earlier, [_planned(plan, mixed, spec, recipe, origin)], listener)


def _precision(asked: str, spec: NetworkSpec, recipe: "Recipe", team: "Team | None") -> str:
    """What matrix products are computed in; by all workers the same."""
    from afterword_trainer import network
    from afterword_trainer.pretraining import portable

    precision = asked
    if asked == "auto":
        precision = "float32"
        if portable.backend() == "tensorflow":
            precision = network.fastest_precision(spec.units, recipe.streams // machine.cores())
    return team.from_chief(precision.encode()).decode() if team else precision


def _training(
    spec: NetworkSpec,
    mixed: Mixture,
    recipe: "Recipe",
    precision: str,
    deadline: float | None,
    team: "Team | None",
) -> "Training":
    """Training before its first step, on what Keras runs on, by one worker or several."""
    from afterword_trainer import network, training
    from afterword_trainer.pretraining import portable, workers

    files = mixed.learn_symbols(), mixed.heldout_symbols()
    if portable.backend() != "tensorflow":
        return portable.PortableTraining(
            spec, *files, recipe, precision=precision, deadline=deadline
        )
    net = network.CharacterNetwork(spec, precision=precision, seed=recipe.seed)
    n_cores = machine.cores()
    if not team:
        return training.Training(net, *files, recipe, n_cores=n_cores, deadline=deadline)
    try:
        return workers.WorkersTraining(net, *files, recipe, n_cores=n_cores, team=team)
    except ValueError as error:
        raise PretrainingError(f"{error}; name more text or fewer workers") from error


def _recipe(request: Request, n_symbols: int) -> "Recipe":
    from afterword_trainer.training import Recipe

    epochs: float | None = (request.symbols or n_symbols) / n_symbols
    seconds, expected_s = None, (request.symbols or n_symbols) / SYMBOLS_PER_S
    if request.minutes is not None:
        # Export takes ten seconds, and scores are taken character by character.
        seconds = max(1.0, 60 * request.minutes - min(75.0, 18 * request.minutes))
        epochs, expected_s = None, seconds
    return Recipe(
        seconds=seconds,
        epochs=epochs,
        # Much text and little repetition, so larger batches than for a user's files; 256 streams
        # would be a twelfth faster a symbol and make half as many updates.
        streams=128,
        window=64,
        # Weights that have been through one plan are warmed up again, not as far (Ibrahim et al.
        # 2024): far enough to leave the place where the cosine put them down.
        peak_rate=2.5e-3 if request.start else 4e-3,
        dropout=0.0,
        look_every=min(0.05, CHECKPOINT_S / expected_s),
        heldout_symbols=262_144,  # parts of very different kinds, so more than of a user's text
        seed=request.seed,
    )


SYMBOLS_PER_S = 20_000  # for a network of two layers of 512 units, on two cores


def _run_id(plan: _Plan, mixed: Mixture, spec: NetworkSpec, recipe: "Recipe") -> str:
    """The same corpus and the same settings are the same run, however long it may take."""
    settings = asdict(recipe)
    if recipe.seconds is not None:
        del settings["seconds"], settings["look_every"]
    asked = [mixed.digest, asdict(spec), settings, plan.request.precision, version("keras")]
    asked += [plan.start.provenance["run"]] if plan.start else []
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _planned(
    plan: _Plan, mixed: Mixture, spec: NetworkSpec, recipe: "Recipe", origin: str
) -> records.Planned:
    def total(*keys: str) -> int:
        return sum(int(part[key]) for part in mixed.parts for key in keys)

    return records.Planned(
        model=plan.manifest.name,
        origin=origin,
        cell=spec.cell,
        layers=spec.layers,
        units=spec.units,
        n_parameters=spec.n_parameters(),
        n_symbols=spec.n_symbols,
        documents=total("documents"),
        characters=total("characters_read"),
        heldout_characters=total("heldout_characters"),
        files_skipped=total("duplicates", "overlapping"),
        secrets_removed=total("secrets_removed"),
        seconds=recipe.seconds,
        epochs=recipe.epochs,
    )


# -- the result --------------------------------------------------------------------------------

ALL = ""  # the name under which figures of all parts together stand


def _export(plan: _Plan, mixed: Mixture, trained: Trained) -> Bundle:
    """The best network in the form in which it is served."""
    from afterword_trainer.export import serving_graphs

    training = trained.run.training
    spec = training.network.spec
    return Bundle(
        id=plan.manifest.name,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        spec=spec,
        alphabet=mixed.alphabet,
        weights=training.best,
        graphs=serving_graphs(spec, training.best),
        history=[records.to_json(record) for record in trained.told],
    )


def _score(bundle: Bundle, mixed: Mixture, listener: Listener) -> dict[str, float]:
    """Bits per character of the test text as it is served, by part and of ALL."""
    predictor = open_predictor(bundle)
    found: dict[str, scores.Bits] = {}
    texts = list(mixed.test_texts())
    for number, (part, piece) in enumerate(texts, 1):
        if listener.interrupted():
            raise KeyboardInterrupt
        header = mixed.alphabet.header(piece.path, piece.language, piece.modified)
        bits = measures.bits_per_character(predictor, mixed.alphabet, piece.text, header)
        for name in (part, ALL):
            found[name] = found[name] + bits if name in found else bits
        listener.on_score(bundle.id, number / len(texts))
    return {name: bits.per_character for name, bits in found.items()}


def _publish(out: Path, bundle: Bundle, mixed: Mixture) -> None:
    """`out/test.txt`, then `out/NAME`, the model; or neither.

    Raises PretrainingError, durable.StateError, bundle.BundleError; the run is kept then.
    """
    files = bundles.pack(bundle)
    _require_place(out)  # hours have passed
    try:
        durable.replace(out / base.TEST, mixed.test_data())
        durable.publish_folder(out, bundle.id, files)
    except BaseException:
        with suppress(durable.StateError):  # of two things that go wrong, the first is told
            durable.retire(out)
        raise


def _provenance(
    plan: _Plan, mixed: Mixture, trained: Trained, bits: Mapping[str, float]
) -> dict[str, Any]:
    """Where the model comes from: every part, its licences, and what was kept out of it."""

    def total(key: str) -> int:
        return sum(int(part[key]) for part in mixed.parts)

    start, training = plan.start, trained.run.training
    layout = {"streams": training.streams, "window": training.window}
    return {
        "start": {key: start.provenance.get(key) for key in _PASSED_ON} if start else None,
        "run": trained.run.id,
        "manifest": plan.manifest.digest,
        "seed": plan.request.seed,
        "recipe": asdict(training.recipe) | layout,
        "epochs": training.progress.symbols / mixed.learn_symbols().n_symbols,
        "symbols": training.progress.symbols,
        "seconds": training.progress.seconds,
        "precision": trained.run.precision,
        "machine": machine.description(),
        "parts": list(mixed.parts),
        "overlap": {
            "words": overlap.N_WORDS,
            "tests": [Path(name).name for name in plan.manifest.never],
            "passages_of_tests": mixed.n_passages,
            "passages_compared": total("passages_compared"),
            "documents_dropped": total("overlapping"),
            "characters_dropped": total("overlapping_characters"),
        },
        "test": {"bits_per_character": dict(bits), "documents": len(mixed.tested)},
    }


# Of the model that training began with: what it read, for how long, and what it began with itself.
_PASSED_ON = ("start", "run", "manifest", "seed", "symbols", "seconds", "parts", "overlap")
