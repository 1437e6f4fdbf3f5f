"""The parts of a model by themselves: what each knows, and what none learns from another."""

import numpy as np
from afterword_trainer import experts
from afterword_trainer.measures import bits_per_character
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.scores import FROZEN_MIX, MEMORY, MIX, network_row
from afterword_trainer.stream import Piece

ALPHABET = Alphabet("é")
SPEC = NetworkSpec(n_symbols=ALPHABET.size, layers=1, units=8, embedding=8)
RNG = np.random.default_rng(0)
BUNDLE = Bundle(
    id="you-1",
    created="2026-01-01T00:00:00Z",
    spec=SPEC,
    alphabet=ALPHABET,
    weights={
        name: RNG.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in SPEC.weight_shapes().items()
    },
    graphs={},
)
WRITTEN = "The ferry leaves the harbour at nine, and the fog is thick. "
NEW = "Quite another sentence stands here, with words of its own. "


def piece(path: str, text: str) -> Piece:
    return Piece(path=path, language="markdown", modified=1.7e9, text=text)


def parts_of(*documents: Piece) -> dict[str, experts.Expert]:
    return {expert.name: expert for expert in experts.of_bundle(BUNDLE, documents)}


PARTS = parts_of(piece("a.md", WRITTEN * 3), piece("b.md", "The ferry is late. " * 3))
NO_HEADER = ALPHABET.header()


def test_the_mix_comes_first_and_each_part_says_whether_it_learns() -> None:
    """What serves learns from what is typed; frozen, and in a fork, nothing does."""
    assert {name: part.make().learning for name, part in PARTS.items()} == {
        MIX: True,
        FROZEN_MIX: False,
        network_row("lstm"): False,
        MEMORY: True,
    }
    assert next(iter(PARTS)) == MIX
    assert not any(part.make().fork().learning for part in PARTS.values())


def test_the_memory_knows_what_was_learned_and_the_network_does_not() -> None:
    """The learned text costs little with the memory, and as much as any without it."""
    bits = {
        name: bits_per_character(part.make(), ALPHABET, WRITTEN, NO_HEADER).per_character
        for name, part in PARTS.items()
    }

    assert max(bits[MIX], bits[FROZEN_MIX], bits[MEMORY]) < 2 < 7 < bits[network_row("lstm")]


def test_what_one_measure_taught_the_next_does_not_know() -> None:
    """Each predictor starts from what was learned before the test, also beside one that learns."""
    for name in (MIX, MEMORY, FROZEN_MIX):
        make = PARTS[name].make
        first = bits_per_character(make(), ALPHABET, NEW, NO_HEADER)
        learner = make()
        prime(learner, ALPHABET.encode(NEW * 3))

        assert bits_per_character(make(), ALPHABET, NEW, NO_HEADER) == first


def test_on_the_first_day_the_mix_is_the_network() -> None:
    """With nothing remembered, and nothing learned on the way."""
    parts = parts_of()
    frozen, network = (
        bits_per_character(parts[name].make(), ALPHABET, NEW, NO_HEADER)
        for name in (FROZEN_MIX, network_row("lstm"))
    )

    assert frozen == network


def test_documents_of_one_path_are_all_remembered() -> None:
    """Two folders may hold the same relative path."""
    both = parts_of(piece("a.md", WRITTEN), piece("a.md", NEW))[MEMORY].make()
    one = parts_of(piece("a.md", NEW))[MEMORY].make()

    known, unknown = (
        bits_per_character(memory, ALPHABET, WRITTEN, NO_HEADER).per_character
        for memory in (both, one)
    )
    assert known < 0.5 * unknown


def test_the_newest_documents_are_the_last() -> None:
    """As many as hold so many characters, in their order; all if there are fewer."""
    documents = [piece(f"{n}.md", "x" * 10) for n in range(5)]

    assert [found.path for found in experts.newest(documents, 11)] == ["3.md", "4.md"]
    assert experts.newest(documents, 1000) == documents
    assert experts.newest([], 10) == []
