"""Training and its checkpoints: learns, keeps time, repeats itself, survives being stopped."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from afterword_trainer import checkpoint, durable, records
from afterword_trainer.export import serving_graphs  # after the import above
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import LiteRtStep, NetworkPredictor
from afterword_trainer.network import CharacterNetwork  # after the import above
from afterword_trainer.stream import Piece, SymbolFile, prepare
from afterword_trainer.training import (
    Progress,
    Recipe,
    Start,
    Training,
    dropout_for,
    learning_rate,
)

ROOT = Path(__file__).parent.parent.parent
SENTENCE = "the quick brown fox jumps over the lazy dog.\n"
SPEC = NetworkSpec(n_symbols=Alphabet().size, units=24, layers=1, embedding=16)


def training(folder: Path, recipe: Recipe, **options: Any) -> Training:
    """A run on a sentence that repeats."""
    folder.mkdir(exist_ok=True)
    symbols = Alphabet().encode(SENTENCE * 80)
    for name, part in (("learn", symbols[:-700]), ("heldout", symbols[-700:])):
        (folder / name).write_bytes(part.astype("<u2").tobytes())
    files = SymbolFile(folder / "learn"), SymbolFile(folder / "heldout")
    return Training(CharacterNetwork(SPEC, seed=1), *files, recipe, n_cores=1, **options)


def finish(
    run: Training,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    save: Callable[[], None] = lambda: None,
) -> list[records.Record]:
    """All that a run says."""
    return list(run.train(interrupted=interrupted, save=save, sample=lambda: ("the", " fox")))


def small(**changes: Any) -> Recipe:
    """Windows of 8 in 4 streams: some hundred updates in a second."""
    chosen = {"epochs": 3.0, "streams": 4, "window": 8, "peak_rate": 0.02, "dropout": 0.0}
    return Recipe(**{**chosen, **changes})


class Ticking:
    """A clock that moves by a fixed step whenever it is read."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, list[records.Record]]:
    """One run that several tests look at."""
    run = training(tmp_path_factory.mktemp("finished"), small())
    return run, finish(run)


def test_learns_a_sentence(finished: tuple[Training, list[records.Record]]) -> None:
    """Far below the 4.3 bits of its letter frequencies, and told in order."""
    _, told = finished
    end = told[-1]
    assert isinstance(end, records.Finished)
    assert end.reason == "planned"
    assert end.heldout_bits < 1.5
    looks = [record for record in told if isinstance(record, records.Evaluated)]
    assert end.heldout_bits == min(look.heldout_bits for look in looks)
    assert [look.share for look in looks] == sorted(look.share for look in looks)


def test_the_best_is_kept_not_the_last(finished: tuple[Training, list[records.Record]]) -> None:
    """The weights that are exported are those of the best look at the held-out text."""
    run, _ = finished
    run.network.assign(run.best)
    assert math.isclose(run.heldout_bits(), run.progress.best_bits, rel_tol=1e-5)


def test_the_same_seed_gives_the_same_weights(
    tmp_path: Path, finished: tuple[Training, list[records.Record]]
) -> None:
    """A run by epochs is exactly repeatable."""
    again = training(tmp_path, small())
    finish(again)
    for name, weight in finished[0].best.items():
        np.testing.assert_array_equal(again.best[name], weight)


def test_stopped_and_resumed_is_as_if_never_stopped(
    tmp_path: Path, finished: tuple[Training, list[records.Record]]
) -> None:
    """A checkpoint holds all that matters: the second half ends at the very same weights."""
    first = training(tmp_path, small())
    answers = iter([False] * 150 + [True] * 100)
    told = finish(first, interrupted=lambda: next(answers))
    assert isinstance(told[-1], records.Finished)
    assert told[-1].reason == "interrupted"
    saved = checkpoint.Checkpoint(
        run="a",
        parent=None,
        precision="float32",
        progress=first.progress,
        records=told,
        arrays=first.arrays(),
    )
    checkpoint.save(tmp_path / "checkpoint", saved)
    loaded = checkpoint.load(tmp_path / "checkpoint", "a")
    assert loaded
    second = training(tmp_path, small())
    second.restore(loaded.arrays, loaded.progress)
    finish(second)
    assert second.progress.steps == finished[0].progress.steps
    for name, weight in finished[0].best.items():
        np.testing.assert_array_equal(second.best[name], weight)


def test_minutes_are_kept_by_the_clock(tmp_path: Path) -> None:
    """By a clock that moves a second at each look, a plan of 60 ends there, to a few looks."""
    run = training(tmp_path, small(epochs=None, seconds=60.0), clock=Ticking(1.0))
    (*_, end) = finish(run)
    assert 57 <= end.seconds <= 66


def test_a_deadline_ends_training_whatever_the_plan_says(tmp_path: Path) -> None:
    """What was promised is kept when the start took longer than planned."""
    run = training(tmp_path, small(epochs=None, seconds=600.0), clock=Ticking(1.0), deadline=40.0)
    (*_, end) = finish(run)
    assert end.seconds <= 45


def test_a_loss_that_is_no_number_restarts_from_the_best_once(tmp_path: Path) -> None:
    """Then it gives up, with the best weights unharmed."""
    run = training(tmp_path, small())
    poisoned = {**run.network.weights_by_name(), "output.bias": np.full(SPEC.n_symbols, np.nan)}
    run.network.assign(poisoned)
    told = run.train(interrupted=lambda: False, save=lambda: None, sample=lambda: ("", ""))
    first = next(told)
    assert isinstance(first, records.Noticed)
    assert "half the rate" in first.message
    run.network.assign(poisoned)
    with pytest.raises(records.TrainingError, match=r"loss became nan .*; .*--seed"):
        list(told)
    assert all(np.isfinite(weight).all() for weight in run.best.values())


def from_start(folder: Path, **changes: Any) -> tuple[Training, list[records.Record]]:
    """A run that starts from weights that know the sentence, on another one; its own text kept."""
    known = training(folder / "known", small())
    finish(known)
    other = Alphabet().encode("pack my box with five dozen liquor jugs!\n" * 90).astype("<u2")
    (folder / "other").write_bytes(other.tobytes())
    files = SymbolFile(folder / "other"), SymbolFile(folder / "other")
    start = Start(weights=known.best, test=SymbolFile(folder / "known" / "heldout"))
    run = Training(CharacterNetwork(SPEC), *files, small(**changes), n_cores=1, start=start)
    return run, finish(run)


def test_a_start_is_measured_before_and_after(tmp_path: Path) -> None:
    """The first look is at the start itself; what it knew is told at the end."""
    run, told = from_start(tmp_path)
    first, kept, end = told[0], told[-2], told[-1]
    assert isinstance(first, records.Evaluated)
    assert isinstance(kept, records.BaseBits)
    assert isinstance(end, records.Finished)
    assert first.share == 0
    assert end.heldout_bits < first.heldout_bits
    assert kept.before < kept.after  # another sentence was learned, and some of this one lost
    run.network.assign(run.best)
    assert run.heldout_bits() <= 1.004 * end.heldout_bits


def test_a_pull_keeps_what_was_known(tmp_path: Path) -> None:
    """The stronger it is, the more of it, and the less of the new text is learned."""
    outcomes = []
    for pull in (0.0, 2.0, 20.0):
        (tmp_path / f"{pull}").mkdir()
        _, told = from_start(tmp_path / f"{pull}", pull=pull)
        kept, end = told[-2:]
        assert isinstance(kept, records.BaseBits)
        assert isinstance(end, records.Finished)
        outcomes.append((kept.after, -end.heldout_bits))
    assert outcomes == sorted(outcomes, reverse=True)


def test_a_start_that_nothing_improves_is_what_remains(tmp_path: Path) -> None:
    """A rate that ruins everything changes nothing."""
    run, told = from_start(tmp_path, peak_rate=5.0, epochs=0.5)
    (kept,) = [record for record in told if isinstance(record, records.BaseBits)]
    assert kept.after == pytest.approx(kept.before)
    first = told[0]
    assert isinstance(first, records.Evaluated)
    assert run.progress.best_bits == first.heldout_bits


@pytest.mark.parametrize("n_sentences", [4, 10, 40])
def test_small_texts_are_learned_in_small_batches(tmp_path: Path, n_sentences: int) -> None:
    """A few hundred characters are enough to take a step."""
    symbols = Alphabet().encode(SENTENCE * n_sentences)
    (tmp_path / "learn").write_bytes(symbols.astype("<u2").tobytes())
    (tmp_path / "heldout").write_bytes(symbols[:60].astype("<u2").tobytes())
    files = SymbolFile(tmp_path / "learn"), SymbolFile(tmp_path / "heldout")
    run = Training(CharacterNetwork(SPEC), *files, Recipe(epochs=1.0), n_cores=2)
    (*_, end) = finish(run)
    assert isinstance(end, records.Finished)
    assert math.isfinite(end.heldout_bits)


def test_the_rate_warms_up_and_dies_away() -> None:
    """Linear, then a cosine."""
    recipe = Recipe(seconds=1.0)
    rates = [learning_rate(share, recipe) for share in (0.0, 0.02, 0.03, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(recipe.peak_rate)
    assert rates[2] > rates[3] > rates[4] == pytest.approx(recipe.final_rate)


def test_dropout_grows_with_the_number_of_passes() -> None:
    """None where nothing is read twice."""
    assert [dropout_for(epochs) for epochs in (0.1, 1.0, 1.5)] == [0.0, 0.0, 0.0]
    assert 0 < dropout_for(3) < dropout_for(10) <= dropout_for(1000) == 0.5


@pytest.mark.parametrize("damage", ["cut", "flip", "other run", "foreign"])
def test_a_checkpoint_that_is_not_sound_is_no_checkpoint(tmp_path: Path, damage: str) -> None:
    """Training starts afresh rather than from rubbish."""
    path = saved_checkpoint(tmp_path)
    data = path.read_bytes()
    if damage == "cut":
        durable.replace(path, data[:-1])
    elif damage == "flip":
        durable.replace(path, data[:60] + bytes([data[60] ^ 1]) + data[61:])
    elif damage == "foreign":
        durable.replace(path, b"something else altogether")
    assert checkpoint.load(path, "b" if damage == "other run" else "a") is None


def test_a_sound_checkpoint_comes_back(tmp_path: Path) -> None:
    """Numbers, records and arrays of any shape."""
    found = checkpoint.load(saved_checkpoint(tmp_path), "a")
    assert found
    assert (found.progress, found.records) == (Progress(steps=3), NOTICED)
    np.testing.assert_array_equal(found.arrays["a"], ARRAYS["a"])
    np.testing.assert_array_equal(found.arrays["b"], ARRAYS["b"])


ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(2)}
NOTICED = [records.Noticed(seconds=1.0, message="something")]


def saved_checkpoint(folder: Path) -> Path:
    """A checkpoint of run "a"."""
    saved = checkpoint.Checkpoint(
        run="a",
        parent=None,
        precision="float32",
        progress=Progress(steps=3),
        records=NOTICED,
        arrays=ARRAYS,
    )
    checkpoint.save(folder / "checkpoint", saved)
    return folder / "checkpoint"


@pytest.mark.slow
def test_what_is_served_scores_as_what_was_trained_on_real_text(tmp_path: Path) -> None:
    """On letters that it learned for two passes: LiteRT in float32 to a hair, int8 to 0.01 bits."""
    letters = sorted((ROOT / "examples/letters/1912-daddy-long-legs").glob("*.txt"))
    assert len(letters) > 50
    documents = [
        Piece(path=path.name, language="text", modified=1.0, text=path.read_text(encoding="utf-8"))
        for path in letters
    ]
    prepared = prepare(documents, tmp_path / "text")
    spec = NetworkSpec(n_symbols=prepared.alphabet.size, units=96, layers=2, embedding=32)
    files = prepared.learn_symbols(), prepared.heldout_symbols()
    recipe = Recipe(epochs=2.0, streams=16)
    run = Training(CharacterNetwork(spec), *files, recipe, n_cores=1)
    finish(run)
    run.network.assign(run.best)

    text = "".join(piece.text for piece in prepared.heldout_documents())[:4000]
    symbols = prepared.alphabet.encode(text).astype(np.int32)
    state = np.zeros(spec.state_shape(1), np.float32)
    logits = run.network(symbols[:-1, None], state)[0].numpy()[:, 0]
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    of_keras = -logits[np.arange(len(symbols) - 1), symbols[1:]].mean() / math.log(2)
    assert of_keras < 4.0  # it has learned something that rounding could lose

    for quantise, tolerance in ((False, 1e-3), (True, 0.01)):
        graph = serving_graphs(spec, run.best, streams=(1,), quantise=quantise)[1]
        predictor = NetworkPredictor(LiteRtStep(spec, graph))
        bits = 0.0
        for symbol, target in zip(symbols[:-1].tolist(), symbols[1:].tolist(), strict=True):
            predictor.observe(symbol)
            bits -= math.log2(float(predictor.distribution()[target]))
        assert abs(bits / (len(symbols) - 1) - of_keras) < tolerance
