"""The network in Keras, built from a frozen spec; symbols in, logits out, for whole windows.

Every position of a window is predicted (the many-to-many shape). The recurrent layers are
written for training on a CPU: see `Recurrent`. Knows nothing of corpora, schedules or files.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import, or it has no effect

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from afterword_trainer.model.spec import N_STATES, Cell, NetworkSpec

Tensor = Any  # tensorflow ships no types
Weights = Mapping[str, NDArray[np.float32]]


class CharacterNetwork(keras.Model):  # type: ignore[misc]  # keras ships no types
    """Embedding, recurrent layers, softmax layer; its weights are `spec.weight_shapes()`."""

    def __init__(self, spec: NetworkSpec, *, precision: str = "float32", seed: int = 0) -> None:
        """`precision` is what matrix products are computed in: "float32" or "bfloat16"."""
        super().__init__(name="character_network")
        self.spec = spec
        self.tables: dict[str, Any] = {}
        for name, initial in initial_weights(spec, seed).items():
            self.tables[name] = self.add_weight(
                name=name.replace(".", "_"),
                shape=initial.shape,
                initializer=lambda shape, dtype=None, value=initial: tf.constant(value, dtype),
            )
        self.precision = tf.as_dtype(precision)
        self.built = True

    def call(
        self, symbols: Tensor, state: Tensor, dropout: Tensor | None = None, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """Predict every position of a window.

        Args:
            symbols: (time, streams) int32.
            state: `spec.state_shape(streams)` float32, as the window before left it.
            dropout: scalar share of each layer's outputs to drop, or None to drop nothing. The
                mask stays the same through the window (Gal & Ghahramani 2016).
            seed: (2,) int32; the same seed draws the same masks.

        Returns:
            logits (time, streams, n_symbols) float32, and the state after the window.
        """
        # Tensors rather than variables: a function with its own gradient takes nothing else.
        weight = {name: tf.identity(table.value) for name, table in self.tables.items()}
        n_states = N_STATES[self.spec.cell]
        steps, streams = symbols.shape
        x = tf.gather(tf.cast(weight["embedding"], self.precision), symbols)
        after: list[Tensor] = []
        for layer in range(self.spec.layers):
            before = state[layer * n_states : (layer + 1) * n_states]
            kernel, recurrent, bias = (
                weight[f"layer{layer}.{part}"] for part in ("kernel", "recurrent", "bias")
            )
            run = _recurrence(self.spec.cell, self.precision, steps)
            x, hidden, carry = run(x, kernel, recurrent, bias, before[0], before[-1])
            after += [hidden, carry][:n_states]
            if dropout is not None:
                keep = tf.random.stateless_uniform((streams, self.spec.units), seed + layer)
                mask = tf.cast(keep >= dropout, tf.float32) / (1.0 - dropout)
                x = x * tf.cast(mask, x.dtype)
        flat = tf.reshape(x, (-1, self.spec.units))  # (time * streams, units)
        logits = tf.matmul(flat, tf.cast(weight["output.kernel"], self.precision))
        logits = tf.cast(logits, tf.float32) + weight["output.bias"]
        return tf.reshape(logits, (steps, streams, self.spec.n_symbols)), tf.stack(after)

    def weights_by_name(self) -> dict[str, NDArray[np.float32]]:
        """A copy of every weight, as `spec.weight_shapes()` names them."""
        return {name: table.numpy().copy() for name, table in self.tables.items()}

    def assign(self, weights: Weights) -> None:
        """Take over `weights`. Raises KeyError or ValueError where names or shapes differ."""
        for name, table in self.tables.items():
            table.assign(weights[name])


def initial_weights(spec: NetworkSpec, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """What training from scratch starts with, by the names of `spec.weight_shapes()`."""
    draw = np.random.default_rng(seed)
    return {
        name: _initial_weight(name, shape, spec, draw)
        for name, shape in spec.weight_shapes().items()
    }


def use_cores(n_cores: int) -> None:
    """Give TensorFlow `n_cores` threads that each run one operation; before its first operation.

    Recurrent steps are too small to share between threads: on two cores, two half batches on a
    thread each train 1.3 times as fast as one batch whose operations use both.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(n_cores)
    if n_cores == 1:
        tf.config.experimental.enable_op_determinism()  # bit for bit the same on this machine


def fastest_precision(units: int, streams: int = 32) -> str:
    """Measure whether this processor multiplies bfloat16 faster; takes about a fifth of a second.

    `streams` are those that one core trains at a time. A quarter faster is asked for, because
    casting and rounding cost a little elsewhere.
    """
    seconds: dict[str, float] = {}
    for precision in ("float32", "bfloat16"):
        a = tf.ones((streams, units), precision)
        b = tf.ones((units, 4 * units), precision)
        product = tf.function(lambda a, b: tf.matmul(a, b), autograph=False)
        product(a, b).numpy()
        times = []
        for _ in range(20):
            began = time.perf_counter()
            product(a, b).numpy()
            times.append(time.perf_counter() - began)
        seconds[precision] = sorted(times)[len(times) // 4]
    return "bfloat16" if seconds["float32"] > 1.25 * seconds["bfloat16"] else "float32"


class _Gates(NamedTuple):
    """The element-wise half of a cell; the matrix products stay outside.

    forward(from_input, from_hidden, carry) -> hidden, carry, kept
    backward(d_hidden, d_carry, carry, carry_before, kept) -> d_from_input, d_from_hidden, d_carry
    `carry` is what flows on besides the matrix product: the LSTM's cell state; elsewhere the
    hidden state itself. `kept` is what the gradient needs. All in float32, (streams, ...).
    """

    forward: Callable[..., tuple[Tensor, Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]]


def _recurrence(cell: Cell, precision: Any, steps: int) -> Callable[..., Any]:
    """One recurrent layer over a window, with its own gradient.

    x (time, streams, inputs), kernel, recurrent, bias, hidden, carry (streams, units)
    -> outputs (time, streams, units), hidden, carry.

    Three things make it fast on a CPU, as in cuDNN's LSTM (Appleyard et al. 2016): the product
    with the inputs is made once for the whole window; the gradients of the weights are one large
    product after the loop instead of a sum over the steps; each step's element-wise work is
    compiled into one pass over memory. Keras's own layer serves as the oracle in the tests.
    """
    gates = _GATES[cell]

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def forward(from_input: Tensor, from_hidden: Tensor, carry: Tensor) -> Any:
        wide = (tf.cast(from_input, tf.float32), tf.cast(from_hidden, tf.float32))
        hidden, carry, kept = gates.forward(*wide, carry)
        return tf.cast(hidden, precision), carry, tf.cast(kept, precision)

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def backward(
        d_output: Tensor,
        d_hidden: Tensor,
        d_carry: Tensor,
        after: Tensor,
        before: Tensor,
        kept: Any,
    ) -> Any:
        d_total = tf.cast(d_output, tf.float32) + tf.cast(d_hidden, tf.float32)
        wide = gates.backward(d_total, d_carry, after, before, tf.cast(kept, tf.float32))
        return tf.cast(wide[0], precision), tf.cast(wide[1], precision), wide[2]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(
        x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, hidden: Tensor, carry: Tensor
    ) -> Any:
        kernel, recurrent = tf.cast(kernel, precision), tf.cast(recurrent, precision)
        bias_shape = bias.shape
        two_biases = tf.reshape(tf.cast(bias, precision), (-1, bias_shape[-1]))
        rows = tf.reshape(x, (-1, x.shape[-1]))  # (time * streams, inputs)
        from_input = tf.split(tf.nn.bias_add(tf.matmul(rows, kernel), two_biases[0]), steps)
        hiddens, carries, kept = [tf.cast(hidden, precision)], [carry], []
        for t in range(steps):
            from_hidden = tf.matmul(hiddens[-1], recurrent)
            if len(bias_shape) == 2:
                from_hidden = tf.nn.bias_add(from_hidden, two_biases[1])
            h, c, k = forward(from_input[t], from_hidden, carries[-1])
            hiddens.append(h)
            carries.append(c)
            kept.append(k)

        def gradient(d_outputs: Tensor, d_hidden: Tensor, d_carry: Tensor) -> Any:
            d_outputs = tf.unstack(d_outputs)
            d_hidden = tf.cast(d_hidden, precision)
            d_inputs, d_hiddens = [None] * steps, [None] * steps
            for t in reversed(range(steps)):
                d_inputs[t], d_hiddens[t], d_carry = backward(
                    d_outputs[t], d_hidden, d_carry, carries[t + 1], carries[t], kept[t]
                )
                d_hidden = tf.matmul(d_hiddens[t], recurrent, transpose_b=True)
            d_input = tf.concat(d_inputs, 0)  # (time * streams, columns)
            # Only the GRU, with its two biases, tells the two apart.
            d_from_hidden = tf.concat(d_hiddens, 0) if len(bias_shape) == 2 else d_input
            ones = tf.ones((1, d_input.shape[0]), precision)
            d_biases = [tf.matmul(ones, d_input)]
            if len(bias_shape) == 2:
                d_biases.append(tf.matmul(ones, d_from_hidden))
            d_x = tf.matmul(d_input, kernel, transpose_b=True)
            d_kernel = tf.matmul(rows, d_input, transpose_a=True)
            d_recurrent = tf.matmul(tf.concat(hiddens[:-1], 0), d_from_hidden, transpose_a=True)
            d_bias = tf.reshape(tf.concat(d_biases, 0), bias_shape)
            return (
                tf.reshape(d_x, x.shape),
                tf.cast(d_kernel, tf.float32),
                tf.cast(d_recurrent, tf.float32),
                tf.cast(d_bias, tf.float32),
                None,  # truncated back-propagation through time: no gradient into the window before
                None,
            )

        return (
            tf.stack(hiddens[1:]),
            tf.cast(hiddens[-1], tf.float32),
            carries[-1],
        ), gradient

    return run  # type: ignore[no-any-return]


def _lstm_forward(from_input: Tensor, from_hidden: Tensor, cell: Tensor) -> Any:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000; Keras's order."""
    i, f, g, o = tf.split(from_input + from_hidden, 4, axis=-1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    cell = f * cell + i * g
    return o * tf.tanh(cell), cell, tf.concat([i, f, g, o], -1)


def _lstm_backward(
    d_hidden: Tensor, d_cell: Tensor, cell: Tensor, before: Tensor, kept: Any
) -> Any:
    i, f, g, o = tf.split(kept, 4, axis=-1)
    squashed = tf.tanh(cell)
    d_cell = d_cell + d_hidden * o * (1 - squashed * squashed)
    d_sums = tf.concat(
        [
            d_cell * g * i * (1 - i),
            d_cell * before * f * (1 - f),
            d_cell * i * (1 - g * g),
            d_hidden * squashed * o * (1 - o),
        ],
        -1,
    )
    return d_sums, d_sums, d_cell * f


def _gru_forward(from_input: Tensor, from_hidden: Tensor, before: Tensor) -> Any:
    """Cho et al. 2014, the reset gate after the matrix product as in Keras's default."""
    xz, xr, xn = tf.split(from_input, 3, axis=-1)
    hz, hr, hn = tf.split(from_hidden, 3, axis=-1)
    z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
    n = tf.tanh(xn + r * hn)
    hidden = z * before + (1 - z) * n
    return hidden, hidden, tf.concat([z, r, n, hn], -1)


def _gru_backward(d_hidden: Tensor, d_carry: Tensor, _: Tensor, before: Tensor, kept: Any) -> Any:
    z, r, n, hn = tf.split(kept, 4, axis=-1)
    d = d_hidden + d_carry
    dz = d * (before - n) * z * (1 - z)
    dn = d * (1 - z) * (1 - n * n)
    dr = dn * hn * r * (1 - r)
    return tf.concat([dz, dr, dn], -1), tf.concat([dz, dr, dn * r], -1), d * z


def _rnn_forward(from_input: Tensor, from_hidden: Tensor, _: Tensor) -> Any:
    """Elman 1990."""
    hidden = tf.tanh(from_input + from_hidden)
    return hidden, hidden, hidden


def _rnn_backward(d_hidden: Tensor, d_carry: Tensor, hidden: Tensor, _: Tensor, __: Any) -> Any:
    d_sums = (d_hidden + d_carry) * (1 - hidden * hidden)
    return d_sums, d_sums, tf.zeros_like(d_carry)


_GATES: dict[Cell, _Gates] = {
    "lstm": _Gates(_lstm_forward, _lstm_backward),
    "gru": _Gates(_gru_forward, _gru_backward),
    "rnn": _Gates(_rnn_forward, _rnn_backward),
}


# Keras draws embeddings within 0.05, which leaves the gates of the first layer all but deaf: after
# 0.3 passes over tinyshakespeare two layers stood at 3.74 bits per symbol, and at 2.84 with this.
EMBEDDING_SPREAD = 1.0


def _initial_weight(
    name: str, shape: tuple[int, ...], spec: NetworkSpec, draw: np.random.Generator
) -> NDArray[np.float32]:
    """As Keras draws them, but gate by gate, and the embedding: Glorot, orthogonal, forget bias 1.

    Keras draws all gates of a layer as one wide matrix, which makes each half as large as it would
    be alone. After 1.5 million characters of mixed text an LSTM of 2 x 512 stood at 3.01 bits per
    symbol that way, at 2.79 this way.
    """
    if name.endswith("bias"):
        bias = np.zeros(shape, np.float32)
        if spec.cell == "lstm" and name.startswith("layer"):
            bias[spec.units : 2 * spec.units] = 1.0  # remember at first (Jozefowicz et al. 2015)
        return bias
    if name == "embedding":
        return draw.normal(0.0, EMBEDDING_SPREAD, shape).astype(np.float32)
    rows, columns = shape
    if name.endswith("recurrent"):
        gates = [np.linalg.qr(draw.normal(size=(rows, rows))) for _ in range(columns // rows)]
        return np.concatenate([q * np.sign(np.diag(r)) for q, r in gates], 1).astype(np.float32)
    if name.startswith("layer"):
        columns = spec.units
    limit = np.sqrt(6.0 / (rows + columns))
    return draw.uniform(-limit, limit, shape).astype(np.float32)
