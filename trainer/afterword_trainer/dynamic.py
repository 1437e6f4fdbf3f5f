"""Dynamic evaluation: what a network would cost whose weights learn from the text that it reads.

After Krause, Kahembwe, Murray and Renals (2018), with plain gradients. Only measured: it takes
three times as long as reading alone, and the weights that serve stay as they are. Knows networks
and symbols; knows nothing of documents or files.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from afterword_trainer.model.predictor import Symbols
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.network import CharacterNetwork, Tensor, Weights

LN2 = float(np.log(2.0))
SEGMENT = 32  # symbols between two updates; with 48 a tenth as much again was left to learn
RATE = 0.4  # twice as much was no better on notes that the network knew badly
DECAY = 2e-3  # for each segment, back to the weights as they were trained
CLIP_NORM = 1.0  # of a gradient, as in training


def bits(
    spec: NetworkSpec,
    weights: Weights,
    runs: Sequence[tuple[Symbols, bool]],
    on_read: Callable[[int], object] = lambda n_symbols: None,
    *,
    rate: float = RATE,
) -> float:
    """What symbols cost that come in runs, of which some count and others are only read.

    Each segment is predicted by the weights as they are and learned from afterwards, so that no
    symbol is ever known in advance. `on_read` is told how many symbols that count were read. At
    the rate of 0 the network is static.
    """
    # 1) one sequence, in segments of one length
    symbols = np.concatenate([np.zeros(0, np.uint16), *(run for run, _ in runs)])
    counted = np.concatenate([np.zeros(0), *(np.full(len(run), counts) for run, counts in runs)])
    if not len(symbols):
        return 0.0
    n_segments = -(-(len(symbols) - 1) // SEGMENT)
    n_missing = n_segments * SEGMENT + 1 - len(symbols)
    symbols = np.pad(symbols, (0, n_missing)).astype(np.int32)
    counted = np.pad(counted, (0, n_missing)).astype(np.float32)

    # 2) the network, and what it was
    network = CharacterNetwork(spec)
    network.assign(weights)
    variables = network.trainable_variables
    trained = [tf.identity(variable.value) for variable in variables]

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def read(window: Tensor, counts: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """window (segment + 1,), counts (segment,) -> nats of what counts, state; then learn."""
        with tf.GradientTape() as tape:
            logits, after = network(window[:-1, None], state)
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(window[1:], logits[:, 0])
            loss = tf.reduce_mean(nats)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), CLIP_NORM)
        for variable, gradient, first in zip(variables, gradients, trained, strict=True):
            learned = rate * tf.convert_to_tensor(gradient)
            variable.assign(variable - learned + DECAY * (first - variable))
        return tf.reduce_sum(nats * counts), after

    # 3) read and learn; of the first symbol nothing is known
    total = float(counted[0]) * float(np.log(spec.n_symbols))
    state: Tensor = np.zeros(spec.state_shape(1), np.float32)
    for at in range(0, n_segments * SEGMENT, SEGMENT):
        counts = counted[at + 1 : at + SEGMENT + 1]
        nats, state = read(symbols[at : at + SEGMENT + 1], counts, state)
        total += float(nats)
        on_read(int(counts.sum()))
    return total / LN2
