"""A training run, whoever starts it: told from beginning to end, and kept on disk meanwhile.

Knows checkpoints and listeners; knows nothing of where the text comes from or the model goes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from afterword_trainer import durable, evaluation, portrait, records
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.sampling import Sampling
from afterword_trainer.model.step import NetworkPredictor, NumpyStep

if TYPE_CHECKING:
    from afterword_trainer.checkpoint import Checkpoint
    from afterword_trainer.training import Training

UNFINISHED = 3  # runs that can be gone on with, the newest; each keeps three times its weights
SAMPLE_CHARACTERS = 90  # a line: the eye follows it from look to look


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told what happens, and who may end it."""

    show: Callable[[records.Record], None]
    interrupted: Callable[[], bool] = lambda: False
    on_read: Callable[[int, int], None] = lambda files, characters: None
    on_wait: Callable[[str], None] = lambda what: None  # what takes seconds now
    on_score: evaluation.Progress = lambda name, share: None
    on_deleted: Callable[[str], None] = lambda id: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Training before its first step, and what a checkpoint of it is known by."""

    training: "Training"
    id: str  # of the corpus and the settings
    parent: str | None  # the model that training starts from
    precision: str  # of its matrix products
    alphabet: Alphabet
    prompt: str  # continued at each look
    checkpoint: Path
    writes: bool = True  # the checkpoint; of several workers only one does


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came out of a run."""

    run: Run
    told: Sequence[records.Record]  # all but the steps, those before a kill included
    interrupted: bool  # the same run goes on from its checkpoint


def make_room(folder: Path, n_bytes: int) -> None:
    """Remove from the folder of runs what killed ones left; `n_bytes` have to fit after that.

    The caller holds the folder's lock. Raises durable.StateError.
    """
    durable.sweep(folder)
    kept = sorted(folder.glob(f"{_CHECKPOINT}*"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-UNFINISHED]:
        durable.retire(path)
    durable.require_space(folder, n_bytes)


def checkpoint_in(folder: Path, run_id: str) -> Path:
    """Where the checkpoint of a run lies in the folder of runs."""
    return folder / f"{_CHECKPOINT}{run_id[:16]}"


_CHECKPOINT = "checkpoint-"


def carry_out(
    run: Run,
    earlier: "Checkpoint | None",
    opening: Sequence[records.Record],
    listener: Listener,
) -> Trained:
    """Train to the end, on from what was done `earlier`, the `opening` told before all else.

    Raises records.TrainingError, durable.StateError.
    """
    from afterword_trainer import checkpoint  # slow: it imports TensorFlow

    training = run.training
    told: list[records.Record] = []
    if earlier:
        training.restore(earlier.arrays, earlier.progress)
        told += earlier.records

    def save() -> None:
        state = checkpoint.Checkpoint(
            run=run.id,
            parent=run.parent,
            precision=run.precision,
            progress=training.progress,
            records=told,
            arrays=training.arrays(),  # asked of every worker, since each holds a part of them
        )
        if run.writes:
            checkpoint.save(run.checkpoint, state)

    def sample() -> tuple[str, str]:
        network = training.network
        predictor = NetworkPredictor(NumpyStep(network.spec, network.weights_by_name()))
        calm = Sampling(temperature=0.5)
        text = portrait.write(predictor, run.alphabet, run.prompt, SAMPLE_CHARACTERS, calm)
        return run.prompt, text

    steps = training.train(interrupted=listener.interrupted, save=save, sample=sample)
    for record in chain(opening, steps):
        if not isinstance(record, records.Stepped):
            told.append(record)
        listener.show(record)
    end = told[-1]
    interrupted = isinstance(end, records.Finished) and end.reason == "interrupted"
    return Trained(run=run, told=told, interrupted=interrupted)
