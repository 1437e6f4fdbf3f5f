"""Trained weights to LiteRT graphs of one recurrent step, the form in which a model is served.

The weights are int8 constants in it (dynamic-range quantisation: one scale per output, activations
quantised on the fly). One graph serves any number of streams, see `model.step.LiteRtStep`.
"""

import os
from collections.abc import Iterable, Mapping

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from afterword_trainer.model.spec import N_STATES, NetworkSpec
from afterword_trainer.network import Tensor

STREAMS = (1,)  # the text at the cursor; resized for the eight rollouts of one request


def serving_graphs(
    spec: NetworkSpec,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    streams: Iterable[int] = STREAMS,
    quantise: bool = True,
) -> dict[int, bytes]:
    """LiteRT flatbuffers by number of streams; inputs `symbols` and `state`, outputs likewise."""
    return {n: _convert(spec, weights, n, quantise) for n in streams}


def _convert(
    spec: NetworkSpec, weights: Mapping[str, NDArray[np.float32]], n_streams: int, quantise: bool
) -> bytes:
    # The weights enter as constants: a variable would not be folded into the graph and made a
    # step thirty times slower when it was measured.
    constant = {name: tf.constant(weight) for name, weight in weights.items()}
    n_states = N_STATES[spec.cell]
    step = {"lstm": _lstm_step, "gru": _gru_step, "rnn": _rnn_step}[spec.cell]

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((n_streams,), tf.int32, name="symbols"),
            tf.TensorSpec(spec.state_shape(n_streams), tf.float32, name="state"),
        ],
        autograph=False,  # the loop over layers is meant to be unrolled
    )
    def serve(symbols: Tensor, state: Tensor) -> dict[str, Tensor]:
        x = tf.gather(constant["embedding"], symbols)
        # Taken apart once: indexing would become slices that run outside the fast kernels, and
        # cost a quarter of the time of a step of eight streams.
        states = tf.unstack(state)
        after: list[Tensor] = []
        for layer in range(spec.layers):
            before = states[layer * n_states : (layer + 1) * n_states]
            layer_weights = (
                constant[f"layer{layer}.{part}"] for part in ("kernel", "recurrent", "bias")
            )
            after += step(x, before, *layer_weights)
            x = after[-n_states]
        logits = tf.matmul(x, constant["output.kernel"]) + constant["output.bias"]
        # A stack of one would become a reshape to a single stream, which no other number fits.
        stacked = tf.stack(after) if len(after) > 1 else tf.stack(after * 2)[:1]
        return {"logits": logits, "after": stacked}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    if quantise:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def _lstm_step(
    x: Tensor, before: list[Tensor], kernel: Tensor, recurrent: Tensor, bias: Tensor
) -> list[Tensor]:
    hidden, cell = before
    both = tf.concat([x, hidden], 1) @ tf.concat([kernel, recurrent], 0) + bias
    i, f, g, o = tf.split(both, 4, axis=1)
    cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
    return [tf.sigmoid(o) * tf.tanh(cell), cell]


def _gru_step(
    x: Tensor, before: list[Tensor], kernel: Tensor, recurrent: Tensor, bias: Tensor
) -> list[Tensor]:
    (hidden,) = before
    xz, xr, xn = tf.split(x @ kernel + bias[0], 3, axis=1)
    hz, hr, hn = tf.split(hidden @ recurrent + bias[1], 3, axis=1)
    z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
    return [z * hidden + (1 - z) * tf.tanh(xn + r * hn)]


def _rnn_step(
    x: Tensor, before: list[Tensor], kernel: Tensor, recurrent: Tensor, bias: Tensor
) -> list[Tensor]:
    (hidden,) = before
    return [tf.tanh(x @ kernel + hidden @ recurrent + bias)]
