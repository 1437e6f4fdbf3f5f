"""Updates that go wrong, without a network: what is left of them."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import pytest
from afterword_trainer import candidate, durable, finding, learn, ledger, records
from afterword_trainer.gate import Verdict
from afterword_trainer.model.bundle import BundleCorruptError
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Request
from afterword_trainer.run import Listener
from afterword_trainer.shelf import Shelf


@pytest.fixture
def paths(home: Path) -> Paths:
    """A home with a base."""
    bases.make(home / "base")
    return Paths.from_environment(
        {"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home / "base")}
    )


def update(notes: Path, paths: Paths) -> learn.Learned:
    """Go on from the base with the notes."""
    request = Request(roots=[notes], rules=finding.Rules(), work="updated", origin="current")
    return learn.update(request, paths, Listener(show=lambda record: None))


class Trained:
    """What training hands on, as far as it is looked at here."""

    interrupted = False
    told = ()


@pytest.mark.parametrize(
    "error",
    [
        records.TrainingError("the loss became nan again; train with another --seed"),
        BundleCorruptError("model 'you-1'", "weight embedding is not finite", "train again"),
    ],
)
def test_what_is_no_number_is_rejected_and_written_down(
    error: Exception, notes: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line in the ledger says why; nothing else is left, and what was in use still is."""

    def fails(*_: object) -> Any:
        raise error

    if isinstance(error, BundleCorruptError):
        monkeypatch.setattr(candidate, "train", lambda *_: (Trained(), None))
        monkeypatch.setattr(candidate, "export", fails)
    else:
        monkeypatch.setattr(candidate, "train", fails)
    found = update(notes, paths)
    assert found.verdict == Verdict(accepted=False, sentence=str(error), reasons=("weights",))
    assert (found.id, found.previous, found.active) == (None, "base", False)
    (entry,) = ledger.read(paths).entries
    assert (entry.what, entry.verdict, entry.model) == ("rejected", str(error), None)
    assert len(entry.documents) == 7
    assert not (paths.runs / "text").exists()
    assert [e.id for e in Shelf(paths.models, paths.base).entries()] == ["base"]


def test_what_was_not_measured_does_not_go_live(
    notes: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the gate measures: as if it had been stopped while it was trained."""
    monkeypatch.setattr(candidate, "train", lambda *_: (Trained(), None))
    monkeypatch.setattr(candidate, "export", lambda *_: replace(bases.bundle("you-1")))
    monkeypatch.setattr(learn, "_verdict", lambda *_: None)
    found = update(notes, paths)
    assert (found.id, found.interrupted, found.active) == (None, True, False)
    assert ledger.read(paths).entries == ()
    assert [e.id for e in Shelf(paths.models, paths.base).entries()] == ["base"]


def test_what_libraries_write_for_a_moment_lies_with_us(
    notes: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow's converter writes weights; a kill must not leave them in the system's folder."""
    found: list[Path] = []

    def train(*_: object) -> Any:
        found.append(Path(tempfile.mkdtemp()))
        raise records.TrainingError("enough")

    monkeypatch.setattr(candidate, "train", train)
    before = tempfile.gettempdir()
    update(notes, paths)
    (folder,) = found
    assert folder.is_relative_to(paths.runs)
    assert folder.parent.suffix == durable.TEMPORARY  # which the next learning sweeps
    assert not folder.exists()
    assert tempfile.gettempdir() == before
