"""The main job: a folder of the user's own files in, a model on the shelf out.

    read -> prepare -> train -> export -> score -> publish -> use

Puts the other rooms together and holds the promise of `--minutes`. Knows nothing of terminals:
what happens is told in records to whoever listens.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from afterword_trainer import corpus, durable, evaluation, portrait, records, stream
from afterword_trainer.evaluation import Options, Table
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.sampling import Sampling
from afterword_trainer.model.spec import Cell, NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, NumpyStep, open_step
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import Shelf

# Checkpoints, the finished model, the text; a full disk is better met before an hour's work.
LEAST_FREE_BYTES = 500_000_000

Origin = Literal["scratch", "current"]
Show = Callable[[records.Record], None]


class LearnError(Exception):
    """The request cannot be carried out; one sentence with its remedy."""


class _StoppedError(Exception):
    """The user does not want to wait for the scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `trainer learn` was asked for."""

    roots: Sequence[Path]
    rules: corpus.Rules
    minutes: float | None = None
    epochs: float | None = None
    origin: Origin = "scratch"
    cell: Cell = "lstm"
    layers: int | None = None  # None: as many as pay within the time, `layers_for`
    units: int = 512
    dropout: float | None = None
    seed: int = 0
    activate: bool = True
    command: str = ""  # as it was typed, for the report


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What came of it."""

    id: str
    heldout_bits: float  # bits per character of the held-out text, by the served model
    table: Table | None  # None if it was interrupted: no time for it
    interrupted: bool
    active: bool


def learn(
    request: Request,
    paths: Paths,
    *,
    show: Show,
    interrupted: Callable[[], bool] = lambda: False,
    on_read: Callable[[int, int], None] = lambda files, characters: None,
    on_score: evaluation.Progress = lambda name, share: None,
    started: float | None = None,
) -> Learned:
    """Learn `request.roots` and put the model on the shelf of `paths`.

    `started` is when the promise of minutes began, on the monotonic clock. Whatever happens, the
    models on the shelf stay as they are; a checkpoint lets a second call go on where a killed one
    was. Raises LearnError, stream.TooLittleError, records.TrainingError, durable.StateError,
    bundle.BundleError.
    """
    started = time.monotonic() if started is None else started
    shelf = Shelf(paths.models)
    before, _ = shelf.current()
    parent = _parent(before, request)
    with durable.locked(paths.runs / "lock"):
        for folder in (paths.runs, paths.runs / "text"):
            if folder.is_dir():
                durable.sweep(folder)  # what a killed run left half written
        durable.require_space(paths.runs, LEAST_FREE_BYTES)

        # 1) read: the user's files to symbols on disk
        summary = corpus.Summary()
        documents = _documents(request, summary, on_read, interrupted)
        prepared = stream.prepare(
            documents, paths.runs / "text", alphabet=parent.alphabet if parent else None
        )

        # 2) train; the slow import comes after everything that can be refused
        from afterword_trainer import checkpoint, network, training

        n_cores = _cores()
        network.use_cores(n_cores)
        spec = _spec(request, parent, prepared.alphabet)
        precision = network.fastest_precision(spec.units)
        net = network.CharacterNetwork(spec, precision=precision, seed=request.seed)
        if parent:
            net.assign(parent.weights)
        total_s = None if request.minutes is None else request.minutes * 60
        closing_s = closing_seconds(total_s)
        deadline = None if total_s is None else started + total_s - closing_s
        left_s = None if deadline is None else max(1.0, deadline - time.monotonic())
        recipe = training.Recipe(
            seconds=left_s,
            epochs=request.epochs,
            dropout=request.dropout,
            seed=request.seed,
        )
        run = training.Training(
            net, prepared.learn(), prepared.heldout(), recipe, n_cores=n_cores, deadline=deadline
        )
        identity = _identity(request, prepared, spec)
        saved = paths.runs / "checkpoint"
        earlier = checkpoint.load(saved, identity)
        told: list[records.Record] = []
        if earlier:
            run.restore(earlier.arrays, earlier.progress)
            told = [records.from_json(value) for value in earlier.records]

        def tell(record: records.Record) -> None:
            if not isinstance(record, records.Stepped):
                told.append(record)
            show(record)

        tell(_plan(request, shelf, spec, prepared, summary, parent, bool(earlier), left_s))
        if parent and (n_known := prepared.n_known(digests(parent))):
            tell(records.Noticed(seconds=0.0, message=flattery(parent.id, n_known)))
        prompt = _opening(prepared)

        def save() -> None:
            state = checkpoint.Checkpoint(
                run=identity,
                progress=run.progress,
                records=[records.to_json(record) for record in told],
                arrays=run.arrays(),
            )
            checkpoint.save(saved, state)

        def sample() -> tuple[str, str]:
            predictor = NetworkPredictor(NumpyStep(spec, net.weights_by_name()))
            calm = Sampling(temperature=0.5)
            return prompt, portrait.write(predictor, prepared.alphabet, prompt, 90, calm)

        reason = "planned"
        for record in run.run(interrupted=interrupted, save=save, sample=sample):
            tell(record)
            if isinstance(record, records.Finished):
                reason = record.reason

        # 3) export: the best network in the form in which it is served
        from afterword_trainer.export import serving_graphs

        spec = replace(spec, dropout=run.progress.dropout or 0.0)
        bundle = Bundle(
            id=shelf.next_id(),
            created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            spec=spec,
            alphabet=prepared.alphabet,
            weights=run.best,
            graphs=serving_graphs(spec, run.best),
            history=[records.to_json(record) for record in told],
        )

        # 4) score: what the user gets, by the code that will serve it
        stopped = reason == "interrupted"
        budget_s = None if total_s is None else started + total_s - time.monotonic()
        options = _options(bundle, budget_s)
        fresh = NetworkPredictor(open_step(spec, bundle.weights, bundle.graphs))
        table: Table | None = None
        bits = run.progress.best_bits

        def unless_stopped(name: str, share: float) -> None:
            if interrupted():
                raise _StoppedError
            on_score(name, share)

        with suppress(_StoppedError):
            table = evaluation.evaluate(
                bundle.id,
                fresh,
                bundle.alphabet,
                prepared.learn_documents(),
                prepared.heldout_documents(),
                options,
                unless_stopped,
            )
            if ours := table.rows[0].bits:
                bits = ours.per_character

        # 5) publish, and only then let go of the checkpoint
        bundle = replace(
            bundle,
            scores=_scores(bits, table),
            documents=[
                *(parent.documents if parent else ()),
                *({"digest": digest} for digest in prepared.learned_digests()),
            ],
            provenance=_provenance(request, prepared, summary, parent, table, run, precision)
            | {
                "previous": before.id if before else None,
                "offers": list(
                    portrait.offers(fresh, bundle.alphabet, prepared.heldout_documents())
                ),
            },
        )
        new_id = shelf.publish(bundle)
        if request.activate:
            shelf.use(new_id)
        if not stopped:
            durable.retire(saved)
            durable.retire(prepared.folder)
    return Learned(
        id=new_id,
        heldout_bits=bits,
        table=table,
        interrupted=stopped,
        active=request.activate,
    )


def digests(bundle: Bundle) -> set[str]:
    """Of the documents that a model has learned."""
    return {str(document.get("digest")) for document in bundle.documents}


def flattery(model: str, n_known: int) -> str:
    """What to say when a model is scored on text that it knows."""
    return f"{model} has learned {n_known} of the documents it is scored on, which flatters it"


def layers_for(minutes: float | None) -> int:
    """One layer learns twice as fast, two learn more in the end.

    On tinyshakespeare, 512 units each: after one minute 2.12 bits per character with one layer
    against 2.45 with two; after two and a half 1.99, where a wider layer (768) had 2.00.
    """
    return 1 if minutes is not None and minutes < 6 else 2


def closing_seconds(total_s: float | None) -> float:
    """How much of a promise of `total_s` is kept for export and scores."""
    return 0.0 if total_s is None else min(40.0, 5.0 + 0.15 * total_s)


def _parent(current: Bundle | None, request: Request) -> Bundle | None:
    """The model that training starts from. Raises LearnError if there is none of that shape."""
    if request.origin == "scratch":
        return None
    if current is None:
        raise LearnError("there is no current model to start from; leave out `--from current`")
    layers = request.layers or current.spec.layers
    asked = (request.cell, layers, request.units)
    found = (current.spec.cell, current.spec.layers, current.spec.units)
    if asked != found:
        raise LearnError(
            f"the current model {current.id} is {_shape(*found)} and {_shape(*asked)} was asked "
            "for; start from scratch, or leave the shape as it is"
        )
    return current


def _documents(
    request: Request,
    summary: corpus.Summary,
    on_read: Callable[[int, int], None],
    interrupted: Callable[[], bool],
) -> Iterator[corpus.Document]:
    files = characters = 0
    for item in corpus.documents(request.roots, request.rules):
        if interrupted():
            raise KeyboardInterrupt  # nothing was learned yet, so there is nothing to keep
        summary.add(item)
        if isinstance(item, corpus.Document):
            files += 1
            characters += len(item.text)
            yield item
        on_read(files, characters)


def _spec(request: Request, parent: Bundle | None, alphabet: Alphabet) -> NetworkSpec:
    if parent:
        return parent.spec
    try:
        return NetworkSpec(
            n_symbols=alphabet.size,
            cell=request.cell,
            layers=request.layers if request.layers is not None else layers_for(request.minutes),
            units=request.units,
            embedding=max(16, min(128, request.units // 4)),
        )
    except ValueError as error:
        raise LearnError(f"there is no such network: {error}") from error


def _identity(request: Request, prepared: stream.Prepared, spec: NetworkSpec) -> str:
    """The same corpus and the same settings are the same run, and can be resumed."""
    asked = [prepared.digest, asdict(spec), request.origin, request.seed, request.epochs]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _plan(
    request: Request,
    shelf: Shelf,
    spec: NetworkSpec,
    prepared: stream.Prepared,
    summary: corpus.Summary,
    parent: Bundle | None,
    resumed: bool,
    seconds: float | None,
) -> records.Planned:
    return records.Planned(
        model=shelf.next_id(),
        origin="resumed" if resumed else parent.id if parent else "scratch",
        cell=spec.cell,
        layers=spec.layers,
        units=spec.units,
        n_parameters=spec.n_parameters(),
        n_symbols=spec.n_symbols,
        documents=prepared.documents,
        characters=prepared.learn_characters,
        heldout_characters=prepared.heldout_characters,
        files_skipped=sum(summary.by_reason.values()),
        secrets_removed=summary.n_secrets,
        seconds=seconds,
        epochs=request.epochs,
    )


def _opening(prepared: stream.Prepared) -> str:
    """The first words of held-out text: what the eye follows through training."""
    for piece in prepared.heldout_documents():
        for line in piece.text.splitlines():
            words = line.strip().lstrip("#*->| ").split()
            if len(words) >= 8 and words[0][:1].isalpha():
                return " ".join(words[:5])
    return "The"


def _options(bundle: Bundle, budget_s: float | None) -> Options:
    """As much measuring as the time left allows, by the speed of this very model."""
    options = Options(bits_characters=100_000, keystroke_characters=10_000, presage_words=200)
    if budget_s is None:
        return options
    predictor = NetworkPredictor(open_step(bundle.spec, bundle.weights, bundle.graphs))
    began = time.perf_counter()
    for _ in range(100):
        predictor.observe(32)
        predictor.distribution()
    step_s = (time.perf_counter() - began) / 100
    share_s = max(0.5, 0.7 * budget_s) / 4
    return replace(
        options,
        bits_characters=_between(2_000, share_s / step_s, 100_000),
        keystroke_characters=_between(1_000, share_s / (6 * step_s), 10_000),
        presage_words=_between(20, share_s / (130 * step_s), 200),
        learned_characters=1_000_000,
        ppmd_orders=(8, 16),
        deadline=time.monotonic() + budget_s,
    )


def _scores(bits: float, table: Table | None) -> dict[str, float]:
    scores = {"bits_per_character": bits}
    if table and (typed := table.rows[0].keystrokes):
        scores |= {"ksr": typed.ksr, "acceptance": typed.acceptance}
    return scores


def _provenance(
    request: Request,
    prepared: stream.Prepared,
    summary: corpus.Summary,
    parent: Bundle | None,
    table: Table | None,
    run: Any,
    precision: str,
) -> dict[str, Any]:
    return {
        "command": request.command,
        "parent": parent.id if parent else None,
        "seed": request.seed,
        "recipe": asdict(run.recipe) | {"streams": run.streams, "window": run.window},
        "dropout": run.progress.dropout,
        "epochs": run.progress.symbols / max(1, prepared.learn().n_symbols),
        "seconds": run.progress.seconds,
        "precision": precision,
        "corpus": {
            "digest": prepared.digest,
            "documents": prepared.documents,
            "learn_characters": prepared.learn_characters,
            "heldout_characters": prepared.heldout_characters,
            "summary": summary.to_json(),
        },
        "evaluation": table.to_json() if table else None,
        "prompts": list(_prompts(prepared)),
        "machine": machine(),
    }


def _prompts(prepared: stream.Prepared) -> Iterable[str]:
    """Three openings of the user's own, from different held-out documents where there are."""
    pieces = list(islice(prepared.heldout_documents(), 200))
    seen: set[str] = set()
    for index in range(9):
        piece = pieces[index * len(pieces) // 9]
        lines = [line.strip() for line in piece.text.splitlines() if len(line.split()) >= 8]
        if lines:
            line = lines[index * len(lines) // 9]
            prompt = " ".join(line.split()[:5])
            if prompt not in seen:
                seen.add(prompt)
                yield prompt
        if len(seen) == 3:
            return


def machine() -> dict[str, str]:
    """Where a figure was measured: processor, cores, versions."""
    found = {"processor": _processor(), "cores": str(_cores()), "python": platform.python_version()}
    for name in ("afterword", "tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _shape(cell: str, layers: int, units: int) -> str:
    return f"{cell} {layers}x{units}"


def _between(low: int, value: float, high: int) -> int:
    return max(low, min(high, int(value)))
