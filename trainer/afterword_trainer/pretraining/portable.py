"""Training on whatever Keras runs on: with JAX or PyTorch, and through them on an accelerator.

The loop, the recipe, the weights and the checkpoints are those of `training`; a run may change
the backend in the middle. Only the step differs: Keras's own layers and its own training take the
place of ours, which are written for TensorFlow on a processor.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.spec import N_STATES, Cell, NetworkSpec
from afterword_trainer.network import Weights, initial_weights
from afterword_trainer.stream import SymbolFile
from afterword_trainer.training import Recipe, Training, layout

Floats = NDArray[np.float32]

_LAYERS: dict[Cell, type] = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "rnn": keras.layers.SimpleRNN,
}


BACKENDS = ("tensorflow", "jax", "torch")  # on which Keras trains


def backend() -> str:
    """What Keras runs on; KERAS_BACKEND names it."""
    return str(keras.backend.backend())


class _Carrying(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """A recurrent layer that goes on from where the window before ended.

    Keras's own `stateful=True` does so on TensorFlow only: elsewhere it forgets (Keras 3.15).
    """

    def __init__(self, spec: NetworkSpec, streams: int, policy: str) -> None:
        super().__init__(dtype=policy)
        self._layer = _LAYERS[spec.cell](
            spec.units, return_sequences=True, return_state=True, dtype=policy
        )
        self.states = [
            self.add_weight(
                shape=(streams, spec.units), initializer="zeros", trainable=False, dtype="float32"
            )
            for _ in range(N_STATES[spec.cell])
        ]

    def build(self, shape: Any) -> None:
        """Make the weights for inputs of `shape`."""
        self._layer.build(shape)

    def call(self, x: Any) -> Any:
        """x (streams, time, inputs) -> outputs (streams, time, units)."""
        # A copy, since PyTorch needs what it began with until the gradient is there.
        before = [keras.ops.copy(state) for state in self.states]
        outputs, *after = self._layer(x, initial_state=before)
        for state, value in zip(self.states, after, strict=True):
            state.assign(value)
        return outputs


class PortableNetwork:
    """The network in Keras's own layers, for batches of one shape; weights as `spec` names them."""

    def __init__(
        self, spec: NetworkSpec, *, streams: int, window: int, precision: str = "float32"
    ) -> None:
        """`precision` is what matrix products are computed in: "float32" or "bfloat16"."""
        self.spec = spec
        policy = "float32" if precision == "float32" else f"mixed_{precision}"
        self._recurrent = [_Carrying(spec, streams, policy) for _ in range(spec.layers)]
        self.model = keras.Sequential(
            [
                keras.Input(batch_shape=(streams, window), dtype="int32"),
                keras.layers.Embedding(spec.n_symbols, spec.embedding, dtype=policy),
                *self._recurrent,
                keras.layers.Dense(spec.n_symbols, dtype=policy),
                keras.layers.Activation("linear", dtype="float32"),  # logits in full precision
            ]
        )
        self.trainable_variables = self.model.trainable_variables  # in the order of the spec

    def weights_by_name(self) -> dict[str, Floats]:
        """A copy of every weight, as `spec.weight_shapes()` names them."""
        names = self.spec.weight_shapes()
        values = (np.array(variable.numpy()) for variable in self.trainable_variables)
        return dict(zip(names, values, strict=True))

    def assign(self, weights: Weights) -> None:
        """Take over `weights`. Raises KeyError or ValueError where names or shapes differ."""
        names = self.spec.weight_shapes()
        for name, variable in zip(names, self.trainable_variables, strict=True):
            variable.assign(weights[name])

    def run(self, step: Callable[[Any, Any], Any], window: Any, state: Any) -> tuple[float, Floats]:
        """`step(inputs, targets)` on a window (time + 1, streams): its loss, and the state after.

        `state` has `spec.state_shape(streams)`.
        """
        n_states = N_STATES[self.spec.cell]
        for layer, recurrent in enumerate(self._recurrent):
            for index, variable in enumerate(recurrent.states):
                variable.assign(state[layer * n_states + index])
        self.model.reset_metrics()  # or Keras would tell the average of all windows so far
        loss = float(np.asarray(step(window[:-1].T, window[1:].T)))
        after = [variable.numpy() for layer in self._recurrent for variable in layer.states]
        return loss, np.stack(after).astype(np.float32)


class PortableTraining(Training):
    """`Training` by a `PortableNetwork`; without dropout, which pre-training has no use for."""

    def __init__(
        self,
        spec: NetworkSpec,
        learn: SymbolFile,
        heldout: SymbolFile,
        recipe: Recipe,
        *,
        precision: str = "float32",
        deadline: float | None = None,
    ) -> None:
        """As `Training`, with the weights of the recipe's seed. Raises ValueError for dropout."""
        if recipe.dropout:
            raise ValueError("only the default backend trains with dropout")
        self._precision = precision
        self._measuring: dict[tuple[int, int], PortableNetwork] = {}
        streams, window = layout(learn.n_symbols, recipe, n_cores=1)
        net: Any = PortableNetwork(spec, streams=streams, window=window, precision=precision)
        net.assign(initial_weights(spec, recipe.seed))
        super().__init__(net, learn, heldout, recipe, n_cores=1, deadline=deadline)
        self._optimiser.global_clipnorm = recipe.clip_norm
        net.model.compile(self._optimiser, _loss())
        self._train_step = self._portable_step
        self._measure_step = self._portable_measure

    def _portable_step(
        self, window: Any, state: Any, rate: float, dropout: float, seed: Any
    ) -> tuple[float, float, Floats]:
        """As `Training._one_step`; Keras tells no norm, and a broken one breaks the next loss."""
        network: Any = self.network
        self._optimiser.learning_rate.assign(rate)
        loss, after = network.run(network.model.train_on_batch, window, state)
        return loss, loss, after

    def _portable_measure(self, window: Any, state: Any) -> tuple[float, Floats]:
        """window (time + 1, streams), state -> nats of all targets together, state."""
        steps, streams = window.shape[0] - 1, window.shape[1]
        network = self._measuring.get((streams, steps))
        if network is None:
            network = PortableNetwork(
                self.network.spec, streams=streams, window=steps, precision=self._precision
            )
            network.model.compile(loss=_loss())
            self._measuring[streams, steps] = network
        network.assign(self.network.weights_by_name())
        loss, after = network.run(network.model.test_on_batch, window, state)
        return loss * steps * streams, after


def _loss() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
