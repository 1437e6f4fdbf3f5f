"""Training by Keras's own layers: the same network, the same run, on any backend."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from afterword_trainer import records
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.spec import CELLS, Cell, NetworkSpec
from afterword_trainer.network import CharacterNetwork  # sets up TensorFlow's log
from afterword_trainer.pretraining.portable import PortableTraining
from afterword_trainer.stream import SymbolFile
from afterword_trainer.training import Recipe, Training

SENTENCE = "the quick brown fox jumps over the lazy dog.\n"
RECIPE = Recipe(epochs=2.0, streams=4, window=8, peak_rate=0.02, dropout=0.0, seed=1)


def spec(cell: Cell) -> NetworkSpec:
    return NetworkSpec(n_symbols=Alphabet().size, cell=cell, units=16, layers=2, embedding=8)


def files(folder: Path) -> tuple[SymbolFile, SymbolFile]:
    """A sentence that repeats, and some more of it."""
    symbols = Alphabet().encode(SENTENCE * 40).astype("<u2")
    (folder / "learn").write_bytes(symbols[:-400].tobytes())
    (folder / "heldout").write_bytes(symbols[-400:].tobytes())
    return SymbolFile(folder / "learn"), SymbolFile(folder / "heldout")


def finish(run: Training) -> float:
    """Bits per symbol at the end."""
    *_, end = run.train(
        interrupted=lambda: False, save=lambda: None, sample=lambda: ("the", " fox")
    )
    assert isinstance(end, records.Finished)
    return end.heldout_bits


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_the_same_weights_are_the_same_network(cell: Cell, tmp_path: Path) -> None:
    """Before the first step both predict alike: weights and states mean the same."""
    ours = Training(CharacterNetwork(spec(cell), seed=1), *files(tmp_path), RECIPE, n_cores=1)
    theirs = PortableTraining(spec(cell), *files(tmp_path), RECIPE)

    assert theirs.heldout_bits() == pytest.approx(ours.heldout_bits(), abs=1e-5)


@pytest.mark.slow
def test_both_make_the_same_run_and_take_over_from_each_other(tmp_path: Path) -> None:
    """Optimiser, clipping, carried state and checkpoint included."""
    ours = Training(CharacterNetwork(spec("lstm"), seed=1), *files(tmp_path), RECIPE, n_cores=1)
    theirs = PortableTraining(spec("lstm"), *files(tmp_path), RECIPE)
    before = theirs.heldout_bits()
    assert finish(theirs) < before - 2
    assert theirs.progress.best_bits == pytest.approx(finish(ours), abs=0.01)

    for run in (
        Training(CharacterNetwork(spec("lstm")), *files(tmp_path), RECIPE, n_cores=1),
        PortableTraining(spec("lstm"), *files(tmp_path), RECIPE),
    ):
        run.restore(theirs.arrays(), theirs.progress)
        assert run.heldout_bits() == pytest.approx(theirs.heldout_bits(), abs=1e-5)
        for name, array in theirs.arrays().items():
            assert run.arrays()[name] == pytest.approx(array), name


def test_dropout_is_refused(tmp_path: Path) -> None:
    """Keras's masks would be others than ours."""
    with pytest.raises(ValueError, match="dropout"):
        PortableTraining(spec("lstm"), *files(tmp_path), Recipe(epochs=1.0, dropout=0.5))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_learns_and_writes_what_tensorflow_reads(
    backend: str, tmp_path: Path
) -> None:
    """In a process of its own: a process has one backend."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    files(tmp_path)
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from test_portable import RECIPE, PortableTraining, files, finish, spec\n"
        "run = PortableTraining(spec('lstm'), *files(Path(sys.argv[1])), RECIPE)\n"
        "bits = finish(run)\n"
        "np.savez(Path(sys.argv[1]) / 'best.npz', **run.best)\n"
        "print(json.dumps(bits))\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": backend}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr
    bits = json.loads(ended.stdout)
    ours = Training(CharacterNetwork(spec("lstm")), *files(tmp_path), RECIPE, n_cores=1)
    with np.load(tmp_path / "best.npz") as best:
        ours.network.assign(best)
    assert ours.heldout_bits() == pytest.approx(bits, abs=1e-4)
    assert bits < 5
