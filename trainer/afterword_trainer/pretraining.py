"""A base model: a manifest in; a network that knows language, its scores and its origins out.

    locate -> prepare -> train -> export -> score -> publish

The symbols and the checkpoint of a run stay on disk until it has ended, so that it can be killed
at any moment and goes on when it is started again. Knows nothing of terminals: what happens is
told in records to whoever listens.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from afterword_trainer import (
    durable,
    evaluation,
    machine,
    manifest,
    mixture,
    overlap,
    portrait,
    records,
    sources,
)
from afterword_trainer.learn import UNFINISHED, Listener
from afterword_trainer.manifest import Manifest, ManifestError
from afterword_trainer.mixture import MOST_CHARACTERS, TEST, Mixture
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import FIRST_CHARACTER
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.sampling import Sampling
from afterword_trainer.model.spec import Cell, NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, NumpyStep, open_predictor
from afterword_trainer.paths import Paths

if TYPE_CHECKING:
    from afterword_trainer.training import Recipe, Training
    from afterword_trainer.workers import Team

CHECKPOINT_S = 150.0  # between two checkpoints: the most that a kill costs
LEAST_FREE_BYTES = 2_000_000_000  # text, symbols and checkpoints of the largest corpus tried
LEAST_SYMBOLS = 1_000  # of less, nothing but the alphabet would be learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Which of several workers this process is; 0 is the chief, who alone writes what is made."""

    index: int

    @classmethod
    def parse(cls, config: str) -> "Task":
        """The task of a TF_CONFIG, as `tf.distribute` reads it. Raises ManifestError."""
        try:
            value = json.loads(config)
            cluster, task = value["cluster"], value["task"]
            kind, index = task["type"], int(task["index"])
            if kind in ("chief", "worker") and 0 <= index < len(cluster[kind]):
                n_chiefs = len(cluster.get("chief", ()))
                return cls(index=index + (n_chiefs if kind == "worker" else 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise ManifestError(
            "TF_CONFIG does not say which worker this is; set it as the guide to tf.distribute "
            "does, or unset it to train on this machine alone"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `trainer pretrain` was asked for. With neither minutes nor symbols: one pass."""

    manifest: Path
    out: Path  # a folder that does not exist yet: the model and its test text
    roots: Sequence[Path] = ()  # where the manifest's places lie, besides its own folder
    minutes: float | None = None  # for everything but preparing
    symbols: int | None = None  # to train on; exactly reproducible, unlike minutes
    start: Path | None = None  # a model whose weights, shape and alphabet training begins with
    cell: Cell = "lstm"
    layers: int = 2
    units: int = 512
    embedding: int = 128  # a quarter of the units
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: whichever is faster
    seed: int = 0
    task: Task | None = None  # None: this process is the only one

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what is made."""
        return self.task is None or self.task.index == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """What came of it."""

    folder: Path | None  # of the model; None if training was interrupted, or the chief wrote it
    bits_per_character: float | None  # on the test text, as it is served
    bits_by_part: Mapping[str, float]
    interrupted: bool  # the same request goes on from here


def pretrain(request: Request, paths: Paths, listener: Listener) -> Pretrained:
    """Make the base model that a manifest describes.

    Raises ManifestError, durable.StateError, records.TrainingError, bundle.BundleError;
    KeyboardInterrupt if it is interrupted while the corpus is prepared, which is then begun again.
    """
    # The slow work begins only when nothing is left that could be refused.
    if request.out.exists() and request.is_chief:
        raise ManifestError(
            f"{request.out}: something is there already; name another --out, or move it away"
        )
    if request.task and request.minutes:
        raise ManifestError("several workers cannot keep to --minutes; say --symbols instead")
    wanted = manifest.load(request.manifest)
    roots = (*request.roots, request.manifest.parent)
    found = [sources.locate(part, roots) for part in wanted.parts]
    never = [sources.unseen(name, roots) for name in wanted.never]
    start = _start(request)
    bundles.require_fits(start.spec if start else _spec(request, FIRST_CHARACTER + MOST_CHARACTERS))

    # A folder of its own: `learn` tidies the one above. Workers may share a home.
    runs = paths.runs / "pretraining"
    if not request.is_chief and request.task:
        runs = paths.runs / f"pretraining-{request.task.index}"

    def tick(documents: int, characters: int) -> None:
        if listener.interrupted():
            raise KeyboardInterrupt
        listener.on_read(documents, characters)

    with durable.locked(runs / "lock"):
        durable.sweep(runs)
        unfinished = sorted(runs.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
        for path in unfinished[:-UNFINISHED]:
            durable.retire(path)
        durable.require_space(runs, LEAST_FREE_BYTES)
        alphabet = start.alphabet if start else None
        mixed = mixture.prepare(found, never, runs, request.seed, tick, alphabet)
        trained = _train(request, wanted, mixed, start, runs, listener)
        bits: dict[str, float] = {}
        made = not trained.interrupted and request.is_chief
        if made:
            bundle = _export(wanted, mixed, trained)
            bits = _score(bundle, mixed, listener)
            bundle = replace(
                bundle,
                scores={"bits_per_character": bits[ALL]} if bits else {},
                provenance=_provenance(request, wanted, mixed, trained, start, bits),
            )
            _publish(request.out, bundle, mixed)
        if not trained.interrupted:
            durable.retire(trained.checkpoint)
            durable.retire(mixed.folder)
    return Pretrained(
        folder=request.out / wanted.name if made else None,
        bits_per_character=bits.pop(ALL, None),
        bits_by_part=bits,
        interrupted=trained.interrupted,
    )


def _start(request: Request) -> Bundle | None:
    """The model that training begins with, if it is not to begin with chance."""
    if request.start is None:
        return None
    bundle = bundles.load(request.start)
    if "parts" not in bundle.provenance:
        raise ManifestError(
            f"{request.start}: this model learned somebody's own text, which a base must not hold; "
            "name one that `trainer pretrain` made"
        )
    return bundle


# -- training ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What came out of training."""

    spec: NetworkSpec
    run: "Training"
    precision: str
    told: list[records.Record]
    interrupted: bool
    checkpoint: Path
    run_id: str


def _train(
    request: Request,
    wanted: Manifest,
    mixed: Mixture,
    start: Bundle | None,
    runs: Path,
    listener: Listener,
) -> _Trained:
    """From the symbols to the best network that the plan allows, or from a checkpoint on."""
    from afterword_trainer import checkpoint, network, workers  # slow: they import TensorFlow

    # 1) what will be done, by whom, and whether it was begun already
    started = time.monotonic()
    n_cores = machine.cores()
    network.use_cores(n_cores)
    team = workers.Team(request.task.index) if request.task else None
    spec = start.spec if start else _spec(request, mixed.alphabet.size)
    n_symbols = mixed.learn_symbols().n_symbols
    if n_symbols < LEAST_SYMBOLS:
        raise ManifestError(
            f"{n_symbols} symbols are too little to learn from; name more or larger parts"
        )
    recipe = _recipe(request, n_symbols)
    run_id = _run_id(request, mixed, start, spec, recipe)
    saved = runs / f"checkpoint-{run_id[:16]}"
    data = checkpoint.read(saved) if request.is_chief else b""
    if team:
        if team.from_chief(run_id.encode()) != run_id.encode():
            raise ManifestError(
                "the chief prepared another corpus than this worker; give both the same manifest, "
                "the same sources and the same options"
            )
        data = team.from_chief(data)
    earlier = checkpoint.parse(data, run_id)

    # 2) the network and its training
    deadline = None if recipe.seconds is None else started + recipe.seconds
    precision = earlier.precision if earlier else request.precision
    run, precision = _training(spec, mixed, recipe, n_cores, deadline, precision, team)
    if start:
        run.network.assign(start.weights)
    told: list[records.Record] = []
    if earlier:
        run.restore(earlier.arrays, earlier.progress)
        told = list(earlier.records)

    # 3) train, telling everything, keeping what a report will want to know
    def tell(record: records.Record) -> None:
        if not isinstance(record, records.Stepped):
            told.append(record)
        listener.show(record)

    def save() -> None:
        state = checkpoint.Checkpoint(
            run=run_id,
            parent=None,
            precision=precision,
            progress=run.progress,
            records=told,
            arrays=run.arrays(),
        )
        if request.is_chief:
            checkpoint.save(saved, state)

    prompt = portrait.opening(piece for _, piece in mixed.test_texts())

    def sample() -> tuple[str, str]:
        predictor = NetworkPredictor(NumpyStep(spec, run.network.weights_by_name()))
        calm = Sampling(temperature=0.5)
        return prompt, portrait.write(predictor, mixed.alphabet, prompt, 90, calm)

    origin = "resumed" if earlier else start.id if start else "scratch"
    tell(_planned(wanted, mixed, spec, recipe, origin))
    for record in run.train(interrupted=listener.interrupted, save=save, sample=sample):
        tell(record)
    end = told[-1]
    return _Trained(
        spec=spec,
        run=run,
        precision=precision,
        told=told,
        interrupted=isinstance(end, records.Finished) and end.reason == "interrupted",
        checkpoint=saved,
        run_id=run_id,
    )


def _training(
    spec: NetworkSpec,
    mixed: Mixture,
    recipe: "Recipe",
    n_cores: int,
    deadline: float | None,
    precision: str,
    team: "Team | None",
) -> tuple["Training", str]:
    """The run before its first step, and what its matrix products are computed in."""
    from afterword_trainer import network, portable, training, workers

    files = mixed.learn_symbols(), mixed.heldout_symbols()
    if portable.backend() != "tensorflow":
        if team:
            raise ManifestError("several workers need TensorFlow; unset KERAS_BACKEND or TF_CONFIG")
        precision = "float32" if precision == "auto" else precision
        run = portable.PortableTraining(
            spec, *files, recipe, precision=precision, deadline=deadline
        )
        return run, precision
    if precision == "auto":
        precision = network.fastest_precision(spec.units, recipe.streams // n_cores)
    if team:
        precision = team.from_chief(precision.encode()).decode()
    net = network.CharacterNetwork(spec, precision=precision, seed=recipe.seed)
    if not team:
        return training.Training(net, *files, recipe, n_cores=n_cores, deadline=deadline), precision
    try:
        return workers.WorkersTraining(net, *files, recipe, n_cores=n_cores, team=team), precision
    except ValueError as error:
        raise ManifestError(f"{error}; name more text or fewer workers") from error


def _spec(request: Request, n_symbols: int) -> NetworkSpec:
    """Raises ManifestError for a network that cannot be."""
    try:
        return NetworkSpec(
            n_symbols=n_symbols,
            cell=request.cell,
            layers=request.layers,
            units=request.units,
            embedding=request.embedding,
        )
    except ValueError as error:
        raise ManifestError(
            f"there is no such network: {error}; choose other --layers, --units or --embedding"
        ) from error


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


def _run_id(
    request: Request, mixed: Mixture, start: Bundle | None, spec: NetworkSpec, recipe: "Recipe"
) -> str:
    """The same corpus and the same settings are the same run, however long it may take."""
    settings = asdict(recipe)
    if recipe.seconds is not None:
        del settings["seconds"], settings["look_every"]
    asked = [mixed.digest, asdict(spec), settings, request.precision, version("keras")]
    asked += [start.provenance["run"]] if start else []
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _planned(
    wanted: Manifest, mixed: Mixture, spec: NetworkSpec, recipe: "Recipe", origin: str
) -> records.Planned:
    def total(*keys: str) -> int:
        return sum(int(part[key]) for part in mixed.parts for key in keys)

    return records.Planned(
        model=wanted.name,
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


def _export(wanted: Manifest, mixed: Mixture, trained: _Trained) -> Bundle:
    """The best network in the form in which it is served."""
    from afterword_trainer.export import serving_graphs

    return Bundle(
        id=wanted.name,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        spec=trained.spec,
        alphabet=mixed.alphabet,
        weights=trained.run.best,
        graphs=serving_graphs(trained.spec, trained.run.best),
        history=[records.to_json(record) for record in trained.told],
    )


def _score(bundle: Bundle, mixed: Mixture, listener: Listener) -> dict[str, float]:
    """Bits per character of the test text as it is served, by part and of ALL."""
    predictor = open_predictor(bundle)
    found: dict[str, evaluation.Bits] = {}
    texts = list(mixed.test_texts())
    for number, (part, piece) in enumerate(texts, 1):
        header = mixed.alphabet.header(piece.path, piece.language, piece.modified)
        bits = evaluation.bits_per_character(predictor, mixed.alphabet, piece.text, header)
        for name in (part, ALL):
            found[name] = found[name] + bits if name in found else bits
        listener.on_score(bundle.id, number / len(texts))
    return {name: bits.per_character for name, bits in found.items()}


def _publish(out: Path, bundle: Bundle, mixed: Mixture) -> None:
    """`out/test.txt`, then `out/NAME`, the model: whoever finds the second has both."""
    durable.replace(out / TEST, mixed.test_data())
    durable.publish_folder(out, bundle.id, bundles.pack(bundle))


def _provenance(
    request: Request,
    wanted: Manifest,
    mixed: Mixture,
    trained: _Trained,
    start: Bundle | None,
    bits: Mapping[str, float],
) -> dict[str, Any]:
    """Where the model comes from: every part, its licences, and what was kept out of it."""

    def total(key: str) -> int:
        return sum(int(part[key]) for part in mixed.parts)

    run = trained.run
    return {
        "start": {key: start.provenance[key] for key in _PASSED_ON} if start else None,
        "run": trained.run_id,
        "manifest": wanted.digest,
        "seed": request.seed,
        "recipe": asdict(run.recipe) | {"streams": run.streams, "window": run.window},
        "epochs": run.progress.symbols / mixed.learn_symbols().n_symbols,
        "symbols": run.progress.symbols,
        "seconds": run.progress.seconds,
        "precision": trained.precision,
        "machine": machine.description(),
        "parts": list(mixed.parts),
        "overlap": {
            "words": overlap.N_WORDS,
            "tests": [Path(name).name for name in wanted.never],
            "passages_of_tests": mixed.n_passages,
            "passages_compared": total("passages_compared"),
            "documents_dropped": total("overlapping"),
            "characters_dropped": total("overlapping_characters"),
        },
        "test": {"bits_per_character": dict(bits), "documents": len(mixed.tested)},
    }


# Of the model that training began with: what it read, for how long, and where it began itself.
_PASSED_ON = ("start", "run", "manifest", "seed", "symbols", "seconds", "overlap")
