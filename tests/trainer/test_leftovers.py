"""What a kill leaves between the moment a model is put to use and the end of the training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import pytest
from afterword_trainer import candidate, durable, finding, learn, records
from afterword_trainer.paths import Paths
from afterword_trainer.plan import Request
from afterword_trainer.run import Listener, checkpoint_in
from afterword_trainer.shelf import Shelf

KEPT = 10  # models, see `Shelf.prune`


@pytest.fixture
def paths(home: Path) -> Paths:
    """A home with a base, where a training was killed when its model, the eleventh, was in use."""
    bases.make(home / "base")
    paths = Paths.from_environment(
        {"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home / "base")}
    )
    shelf = Shelf(paths.models, paths.base)
    for number in range(1, KEPT + 2):
        made = replace(bases.bundle(f"you-{number}"), provenance={"run": f"{number:064}"})
        shelf.publish(made)
    shelf.use(f"you-{KEPT + 1}")
    for run in (f"{KEPT + 1:064}", "a" * 64):
        durable.replace(checkpoint_in(paths.runs, run), b"as far as it had come")
    return paths


def checkpoints(paths: Paths) -> set[Path]:
    return {*paths.runs.glob("checkpoint-*")}


@pytest.mark.parametrize("is_scored", [True, False])
def test_the_next_update_tidies_up(
    notes: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch, is_scored: bool
) -> None:
    """The checkpoint of the model in use goes, unless that was interrupted and may go on."""
    if not is_scored:
        shelf = Shelf(paths.models, paths.base)
        run = f"{KEPT + 1:064}"
        made = replace(bases.bundle("you-12"), provenance={"run": run}, scores={})
        shelf.use(shelf.publish(made))

    def fails(*_: object) -> Any:
        raise records.TrainingError("enough")

    monkeypatch.setattr(candidate, "train", fails)
    deleted: list[str] = []
    request = Request(roots=[notes], rules=finding.Rules(), work="updated", origin="current")
    learn.update(request, paths, Listener(show=lambda record: None, on_deleted=deleted.append))
    models = [entry.id for entry in Shelf(paths.models).entries()]
    assert (len(models), "you-1" in deleted) == (KEPT, True)
    ended, other = (checkpoint_in(paths.runs, run) for run in (f"{KEPT + 1:064}", "a" * 64))
    assert checkpoints(paths) == ({other} if is_scored else {ended, other})
