"""One recurrent step: symbols and state in, logits and state out.

By LiteRT from a bundle's graph, or by numpy from its weights: the oracle in the tests, and what
serves where LiteRT has no wheel. Knows nothing of text, files or sampling.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.bundle import Bundle, BundleCorruptError
from afterword_trainer.model.predictor import Distribution
from afterword_trainer.model.spec import N_STATES, NetworkSpec

State = NDArray[np.float32]  # spec.state_shape(streams); never written to once handed out
Logits = NDArray[np.float32]  # (streams, n_symbols)


class Step(Protocol):
    """(symbols (streams,), state) -> (logits, state) for a fixed number of streams."""

    spec: NetworkSpec
    n_streams: int

    def __call__(self, symbols: NDArray[Any], state: State) -> tuple[Logits, State]:
        """Advance every stream by one symbol."""


def open_step(
    spec: NetworkSpec,
    weights: Mapping[str, NDArray[np.float32]],
    graphs: Mapping[int, bytes],
    *,
    n_streams: int = 1,
    n_threads: int = 1,  # one: a second would take a core from the editor for a few microseconds
) -> Step:
    """The fastest step this machine has for `n_streams`, whichever graph there is."""
    if needs_weights(graphs):
        return NumpyStep(spec, weights, n_streams=n_streams)
    graph = graphs.get(n_streams) or next(iter(graphs.values()))
    return LiteRtStep(spec, graph, n_streams=n_streams, n_threads=n_threads)


def needs_weights(graphs: Mapping[int, bytes]) -> bool:
    """Whether `open_step` serves from the weights; else they need not be kept."""
    return not graphs or importlib.util.find_spec("ai_edge_litert") is None


class LiteRtStep:
    """A step through a LiteRT graph. The graph comes as bytes, so that its verifier runs.

    A graph for one stream serves any number: its inputs are resized before memory is laid out, and
    eight streams then take as long as with a graph of their own (189 and 193 microseconds, 2 × 512
    on a busy machine). So a model keeps one graph.

    Raises ValueError if the graph does not have the inputs and outputs of `spec`.
    """

    def __init__(
        self, spec: NetworkSpec, graph: bytes, *, n_streams: int = 1, n_threads: int = 1
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter  # not on every platform

        self.spec = spec
        self.n_streams = n_streams
        self._interpreter = Interpreter(model_content=graph, num_threads=n_threads)
        for given in self._interpreter.get_input_details():
            match list(given["shape"]):
                case [_]:
                    self._interpreter.resize_tensor_input(given["index"], [n_streams])
                case [n_states, _, n_units]:
                    shape = [n_states, n_streams, n_units]
                    self._interpreter.resize_tensor_input(given["index"], shape)
        self._interpreter.allocate_tensors()
        state_shape = spec.state_shape(n_streams)
        inputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_input_details()}
        outputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_output_details()}
        if set(inputs) != {(n_streams,), state_shape} or set(outputs) != {
            (n_streams, spec.n_symbols),
            state_shape,
        }:
            raise ValueError(
                f"the serving graph for {n_streams} streams takes {sorted(inputs)} and gives "
                f"{sorted(outputs)}, which is not what {spec!r} asks for"
            )
        self._symbols = inputs[(n_streams,)]
        self._state = inputs[state_shape]
        self._logits = outputs[(n_streams, spec.n_symbols)]
        self._after = outputs[state_shape]

    def __call__(self, symbols: NDArray[Any], state: State) -> tuple[Logits, State]:
        """Advance every stream by one symbol."""
        interpreter = self._interpreter
        interpreter.set_tensor(self._symbols, np.asarray(symbols, np.int32))
        interpreter.set_tensor(self._state, state)
        interpreter.invoke()
        return interpreter.get_tensor(self._logits), interpreter.get_tensor(self._after)


class NumpyStep:
    """A step in float32 by numpy, straight from the weights."""

    def __init__(
        self,
        spec: NetworkSpec,
        weights: Mapping[str, NDArray[np.float32]],
        *,
        n_streams: int = 1,
    ) -> None:
        self.spec = spec
        self.n_streams = n_streams
        self._weights = weights

    def __call__(self, symbols: NDArray[Any], state: State) -> tuple[Logits, State]:
        """Advance every stream by one symbol."""
        weights = self._weights
        n_states = N_STATES[self.spec.cell]
        after = np.empty_like(state)
        x = weights["embedding"][symbols]  # (streams, embedding)
        for layer in range(self.spec.layers):
            before = state[layer * n_states : (layer + 1) * n_states]
            kernel, recurrent, bias = (
                weights[f"layer{layer}.{part}"] for part in ("kernel", "recurrent", "bias")
            )
            here = slice(layer * n_states, (layer + 1) * n_states)
            after[here] = _CELLS[self.spec.cell](x @ kernel, before, recurrent, bias)
            x = after[layer * n_states]
        return x @ weights["output.kernel"] + weights["output.bias"], after


def open_predictor(bundle: Bundle) -> "NetworkPredictor":
    """A model from the shelf, ready to be asked. Raises BundleCorruptError for a false graph."""
    try:
        return NetworkPredictor(open_step(bundle.spec, bundle.weights, bundle.graphs))
    except (RuntimeError, ValueError) as error:
        raise BundleCorruptError(
            f"model {bundle.id!r}", "its serving graph cannot be run", "train again"
        ) from error


class NetworkPredictor:
    """The network as a `Predictor`: one stream, forks for nothing, no step taken twice.

    Forks remember together where their latest steps led, so that a continuation which is looked
    at again after every key, as beside a memory that learns, costs the network only what is new
    of it. Not for several threads at a time.
    """

    learning = False

    def __init__(self, step: Step) -> None:
        if step.n_streams != 1:
            raise ValueError(f"a predictor steps one stream, not {step.n_streams}")
        self._step = step
        self._symbol = np.zeros(1, np.int32)
        nowhere = np.zeros(step.spec.state_shape(1), np.float32)
        self._place = _Place(nowhere, np.zeros((1, step.spec.n_symbols), np.float32))
        self._ways: dict[tuple[_Place, int], _Place] = {}

    def observe(self, symbol: int) -> None:
        """One step, if no fork has taken it lately."""
        way = self._place, symbol
        place = self._ways.get(way)
        if place is None:
            self._symbol[0] = symbol
            logits, state = self._step(self._symbol, self._place.state)
            place = self._ways[way] = _Place(state, logits)
            if len(self._ways) > _N_WAYS:
                del self._ways[next(iter(self._ways))]  # the oldest
        self._place = place

    def distribution(self) -> Distribution:
        """Softmax of the last step's logits; uniform before the first."""
        place = self._place
        if place.distribution is None:
            logits = place.logits[0]
            powers = np.exp(logits - logits.max())
            place.distribution = powers / powers.sum()
        return place.distribution

    def logits(self) -> Logits:
        """Of the last step, (n_symbols,): the distribution before the softmax."""
        logits: Logits = self._place.logits[0]
        return logits

    @property
    def state(self) -> State:
        """After the last step, for one stream: from where a step of several streams can go on."""
        return self._place.state

    def fork(self) -> "NetworkPredictor":
        """A copy that shares everything: states are never written to."""
        twin = NetworkPredictor.__new__(NetworkPredictor)
        twin._step, twin._place, twin._ways = self._step, self._place, self._ways
        twin._symbol = np.zeros(1, np.int32)
        return twin


# Steps remembered: a few suggestions' worth, or a word's list; 2 MB for 2 × 512.
_N_WAYS = 256


@dataclass(slots=True, eq=False)  # each is itself alone, so that it can be looked up fast
class _Place:
    """Where a network stands, and what it makes of it."""

    state: State
    logits: Logits  # (1, n_symbols)
    distribution: Distribution | None = None


def _lstm(from_input: Any, before: State, recurrent: Any, bias: Any) -> list[NDArray[np.float32]]:
    hidden, cell = before
    i, f, g, o = np.split(from_input + hidden @ recurrent + bias, 4, axis=-1)
    cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
    return [_sigmoid(o) * np.tanh(cell), cell]


def _gru(from_input: Any, before: State, recurrent: Any, bias: Any) -> list[NDArray[np.float32]]:
    (hidden,) = before
    xz, xr, xn = np.split(from_input + bias[0], 3, axis=-1)
    hz, hr, hn = np.split(hidden @ recurrent + bias[1], 3, axis=-1)
    z = _sigmoid(xz + hz)
    return [z * hidden + (1 - z) * np.tanh(xn + _sigmoid(xr + hr) * hn)]


def _rnn(from_input: Any, before: State, recurrent: Any, bias: Any) -> list[NDArray[np.float32]]:
    (hidden,) = before
    return [np.tanh(from_input + hidden @ recurrent + bias)]


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    half = np.float32(0.5)
    return np.asarray(
        half * np.tanh(half * x) + half, np.float32
    )  # never overflows, unlike 1 / (1 + exp(-x))
