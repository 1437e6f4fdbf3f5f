"""The network as a predictor: which steps are taken, and what is kept of them."""

import weakref
from importlib.util import find_spec
from typing import Any

import numpy as np
from afterword_trainer.model.predictor import Symbols, prime
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, NumpyStep, needs_weights, open_step
from numpy.typing import NDArray

SPEC = NetworkSpec(n_symbols=260, layers=1, units=8, embedding=8)
RNG = np.random.default_rng(0)
WEIGHTS = {
    name: RNG.normal(0, 0.5, shape).astype(np.float32)
    for name, shape in SPEC.weight_shapes().items()
}


class Watched:
    """A step that notes which symbols it took, and which of its states somebody still holds."""

    spec, n_streams = SPEC, 1

    def __init__(self) -> None:
        self._step = NumpyStep(SPEC, WEIGHTS)
        self.taken = b""
        self._states: list[weakref.ref[NDArray[np.float32]]] = []

    def __call__(self, symbols: NDArray[Any], state: NDArray[np.float32]) -> Any:
        self.taken += bytes(symbols.tolist())
        logits, after = self._step(symbols, state)
        self._states.append(weakref.ref(after))
        return logits, after

    @property
    def n_states_held(self) -> int:
        return sum(state() is not None for state in self._states)


def symbols(text: bytes) -> Symbols:
    return np.frombuffer(text, np.uint8).astype(np.uint16)


def test_forks_take_no_step_twice() -> None:
    """What is looked ahead at after every key costs only what is new of it."""
    step = Watched()
    predictor = NetworkPredictor(step)
    for at in range(4):
        prime(predictor.fork(), symbols(b"abcdefgh"[at : at + 4]))
        predictor.observe(b"abcdefgh"[at])
    fresh = NetworkPredictor(Watched())
    prime(fresh, symbols(b"abcd"))

    assert step.taken == b"abcdefg"
    np.testing.assert_array_equal(fresh.distribution(), predictor.distribution())


def test_the_same_symbol_elsewhere_is_another_step() -> None:
    """A step is known by all that was observed before it, not by its symbol."""
    step = Watched()
    one, other = NetworkPredictor(step), NetworkPredictor(step)
    prime(one, symbols(b"ab"))
    prime(fork := one.fork(), symbols(b"xa"))
    prime(other, symbols(b"ba"))

    assert step.taken == b"abxaba"
    assert np.abs(fork.distribution() - other.distribution()).max() > 1e-4


def test_without_a_graph_the_weights_are_needed() -> None:
    """With one they are where LiteRT is missing, and nowhere else."""
    assert needs_weights({})
    assert isinstance(open_step(SPEC, WEIGHTS, {}), NumpyStep)
    assert needs_weights({1: b"a graph"}) == (find_spec("ai_edge_litert") is None)


def test_what_is_remembered_is_bounded() -> None:
    """However long the text, no more states are held than a few suggestions take."""
    step = Watched()
    start = NetworkPredictor(step)
    prime(start.fork(), symbols(bytes(range(256)) * 4))

    assert len(step.taken) == 1024
    assert step.n_states_held < 300
