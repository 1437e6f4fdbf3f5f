"""One recurrent step: symbols and state in, logits and state out.

By LiteRT from a bundle's graph, or by numpy from its weights: the oracle in the tests, and what
serves where LiteRT has no wheel. Knows nothing of text, files or sampling.
"""

import importlib.util
from collections.abc import Mapping
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
    """The fastest step this machine has for `n_streams`."""
    if n_streams in graphs and importlib.util.find_spec("ai_edge_litert"):
        return LiteRtStep(spec, graphs[n_streams], n_streams=n_streams, n_threads=n_threads)
    return NumpyStep(spec, weights, n_streams=n_streams)


class LiteRtStep:
    """A step through a LiteRT graph. The graph comes as bytes, so that its verifier runs.

    Raises ValueError if the graph does not have the inputs and outputs of `spec`.
    """

    def __init__(
        self, spec: NetworkSpec, graph: bytes, *, n_streams: int = 1, n_threads: int = 1
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter  # not on every platform

        self.spec = spec
        self.n_streams = n_streams
        self._interpreter = Interpreter(model_content=graph, num_threads=n_threads)
        self._interpreter.allocate_tensors()
        inputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_input_details()}
        outputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_output_details()}
        state_shape = spec.state_shape(n_streams)
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
    """The network as a `Predictor`: one stream, one step a symbol, forks for nothing."""

    def __init__(self, step: Step) -> None:
        if step.n_streams != 1:
            raise ValueError(f"a predictor steps one stream, not {step.n_streams}")
        self._step = step
        self._state: State = np.zeros(step.spec.state_shape(1), np.float32)
        self._symbol = np.zeros(1, np.int32)
        self._logits: Logits = np.zeros((1, step.spec.n_symbols), np.float32)
        self._distribution: Distribution | None = None

    def observe(self, symbol: int) -> None:
        """One step."""
        self._symbol[0] = symbol
        self._logits, self._state = self._step(self._symbol, self._state)
        self._distribution = None

    def distribution(self) -> Distribution:
        """Softmax of the last step's logits; uniform before the first."""
        if self._distribution is None:
            logits = self._logits[0]
            powers = np.exp(logits - logits.max())
            self._distribution = powers / powers.sum()
        return self._distribution

    def fork(self) -> "NetworkPredictor":
        """A copy that shares everything until it observes: states are never written to."""
        twin = NetworkPredictor.__new__(NetworkPredictor)
        twin._step, twin._state, twin._logits = self._step, self._state, self._logits
        twin._distribution = self._distribution
        twin._symbol = np.zeros(1, np.int32)
        return twin


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
