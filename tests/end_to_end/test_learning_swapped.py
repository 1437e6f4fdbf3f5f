"""Another model is put to use while somebody types: nothing fails, and nothing known is lost."""

from pathlib import Path

import bases
import numpy as np
import pytest
from afterword_trainer import remembering
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import Shelf
from daemons import TIMEOUT_S, connect, eventually, request
from desk import rounds
from household import BRIDGE, RIVER, knows, quick, soon_knows, text_of, watch

ALPHABET = Alphabet("éß")
GROWN = Alphabet("éßω")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of the user's."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text(text_of(RIVER))
    return tmp_path / "notes"


def another(id: str, seed: int) -> Bundle:
    """A model that expects something else."""
    spec = bases.bundle().spec
    draw = np.random.default_rng(seed)
    shapes = spec.weight_shapes().items()
    weights = {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes}
    return bases.bundle(id, weights=weights)


@pytest.mark.slow
def test_models_are_swapped_under_the_fingers(paths: Paths, notes: Path) -> None:
    """Twenty times, by `use` and by `rollback`: no request fails, and each has one model's answer.

    Once the new one has answered the old one does not again; and the memory knows throughout what
    it knew. AFTERWORD_ROUNDS raises the number of swaps.
    """
    shelf = Shelf(paths.models, paths.base)
    ids = [shelf.publish(another(f"you-{n}", n)) for n in (1, 2)]
    shelf.use(ids[1])
    shelf.use(ids[0])
    watch(paths, notes)
    typed = "The river rose over the meadows, and nobody knew why. " * 40
    with connect(paths, *quick(server__REFRESH_S=0.0)) as connection:
        assert soon_knows(connection, RIVER)
        before, at = ids[0], 0
        for number in range(rounds(20)):
            after = ids[1] if before == ids[0] else ids[0]
            if number % 2:
                shelf.use(after)
            else:
                assert shelf.rollback() == after
            seen = [before]
            while seen[-1] != after:
                at += 1
                said = connection.complete(request(typed[: at % len(typed)], document="typed"))
                assert said.reason in ("", "nothing", "unsure", "secret", "overlap")
                seen.append(said.model)
                assert len(seen) < 100 * TIMEOUT_S
            assert {*seen[:-1]} == {before}
            before = after
            assert knows(connection, RIVER)
        status = connection.status()
        assert (status.state, status.detail) == ("ready", "")
        assert not {*status.requests} & {"internal", "busy", "draining"}


@pytest.mark.slow
def test_a_model_with_another_alphabet_is_told_anew(paths: Paths, notes: Path) -> None:
    """What the memory held is of no use to it; all that is in the folders comes again."""
    shelf = Shelf(paths.models, paths.base)
    watch(paths, notes)
    with connect(paths, *quick()) as connection:
        assert soon_knows(connection, RIVER)
        assert eventually(lambda: has_stored(paths, ALPHABET, 1))
        shelf.use(shelf.publish(bases.bundle("you-1", alphabet=GROWN)))

        def is_in_use() -> bool:
            return connection.complete(request("x")).model == "you-1"

        assert eventually(is_in_use)
        assert soon_knows(connection, RIVER)
        (notes / "b.md").write_text(text_of(BRIDGE))
        assert soon_knows(connection, BRIDGE)
        assert eventually(lambda: has_stored(paths, GROWN, 2))
    # And back: what is gone meanwhile is not known any more.
    (notes / "a.md").unlink()
    shelf.rollback()
    with connect(paths, *quick()) as connection:
        assert eventually(lambda: connection.complete(request("x")).model == "base")
        assert soon_knows(connection, BRIDGE)
        assert eventually(lambda: has_stored(paths, ALPHABET, 1))
        assert not knows(connection, RIVER)


def has_stored(paths: Paths, alphabet: Alphabet, n_files: int) -> bool:
    """Whether a memory of that alphabet is on disk, with so many files."""
    found = remembering.load(remembering.path_of(paths), alphabet)
    return found is not None and len(found.memory.documents()) == n_files
