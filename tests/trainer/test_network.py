"""The network against independent oracles: Keras's own layers, numpy, LiteRT."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from afterword_trainer.export import serving_graphs
from afterword_trainer.model.spec import CELLS, Cell, NetworkSpec
from afterword_trainer.model.step import LiteRtStep, NetworkPredictor, NumpyStep, open_step
from afterword_trainer.network import CharacterNetwork

T, B = 7, 4


def make(cell: Cell, **changes: Any) -> CharacterNetwork:
    """A network of a few units with weights that are far from their start."""
    spec = NetworkSpec(n_symbols=20, cell=cell, layers=2, units=12, embedding=8, **changes)
    network = CharacterNetwork(spec, seed=3)
    rng = np.random.default_rng(4)
    network.assign(
        {
            name: (weight + rng.normal(0, 0.2, weight.shape)).astype(np.float32)
            for name, weight in network.weights_by_name().items()
        }
    )
    return network


def some_input(spec: NetworkSpec) -> tuple[Any, Any]:
    """Symbols (T, B) and a state."""
    rng = np.random.default_rng(5)
    symbols = rng.integers(0, spec.n_symbols, (T, B)).astype(np.int32)
    return symbols, rng.normal(0, 0.5, spec.state_shape(B)).astype(np.float32)


@pytest.mark.parametrize("cell", CELLS)
def test_outputs_states_and_gradients_equal_those_of_keras_layers(cell: Cell) -> None:
    """The hand-written recurrence is the textbook one; keras.layers is the oracle."""
    network = make(cell)
    spec = network.spec
    symbols, state = some_input(spec)
    targets = np.roll(symbols, 1)
    loss_of = tf.nn.sparse_softmax_cross_entropy_with_logits

    with tf.GradientTape() as tape:
        logits, after = network(symbols, state)
        loss = tf.reduce_mean(loss_of(labels=targets, logits=logits))
    gradients = tape.gradient(loss, network.trainable_variables)

    weights = network.weights_by_name()
    embedding, kernel, bias = (
        tf.Variable(weights[name]) for name in ("embedding", "output.kernel", "output.bias")
    )
    layer_of = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
    layers = []
    for index in range(spec.layers):
        layer = layer_of[cell](spec.units, return_sequences=True, return_state=True)
        layer.build((B, T, spec.embedding if index == 0 else spec.units))
        parts = ("kernel", "recurrent", "bias")
        layer.set_weights([weights[f"layer{index}.{part}"] for part in parts])
        layers.append(layer)
    n_states = len(state) // spec.layers
    with tf.GradientTape() as tape:
        x = tf.gather(embedding, symbols.T)
        expected_after = []
        for index, layer in enumerate(layers):
            before = list(state[index * n_states : (index + 1) * n_states])
            x, *states = layer(x, initial_state=before)
            expected_after += states
        expected_logits = tf.transpose(x @ kernel + bias, (1, 0, 2))
        loss = tf.reduce_mean(loss_of(labels=targets, logits=expected_logits))
    variables = [embedding, *(v.value for layer in layers for v in layer.weights), kernel, bias]
    expected_gradients = tape.gradient(loss, variables)

    np.testing.assert_allclose(logits.numpy(), expected_logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(after.numpy(), tf.stack(expected_after).numpy(), atol=1e-5)
    for found, expected in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(found), tf.convert_to_tensor(expected), atol=1e-5
        )


@pytest.mark.parametrize("cell", CELLS)
def test_a_window_in_two_halves_is_the_window(cell: Cell) -> None:
    """The state that is handed on is all that the past leaves behind."""
    network = make(cell)
    symbols, state = some_input(network.spec)
    whole, whole_after = network(symbols, state)
    first, between = network(symbols[:3], state)
    second, after = network(symbols[3:], between)
    np.testing.assert_allclose(whole, np.concatenate([first, second]), atol=1e-5)
    np.testing.assert_allclose(whole_after, after, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_numpy_and_litert_steps_agree_with_keras(cell: Cell) -> None:
    """What is served is what was trained: exactly in float32, closely with int8 weights.

    The graph is made for one stream, and serves as many as are asked for.
    """
    network = make(cell)
    spec, weights = network.spec, network.weights_by_name()
    symbols, state = some_input(spec)
    expected, expected_after = network(symbols, state)
    (exact,) = serving_graphs(spec, weights, quantise=False).values()
    (rounded,) = serving_graphs(spec, weights).values()
    for step, tolerance in (
        (NumpyStep(spec, weights, n_streams=B), 1e-5),
        (LiteRtStep(spec, exact, n_streams=B), 1e-5),
        (LiteRtStep(spec, rounded, n_streams=B), 0.3),
    ):
        now = state
        found = []
        for row in symbols:
            logits, now = step(row, now)
            found.append(logits)
        np.testing.assert_allclose(np.stack(found), expected, atol=tolerance)
        np.testing.assert_allclose(now, expected_after, atol=tolerance)


@pytest.mark.parametrize("cell", CELLS)
def test_a_single_layer_serves_many_streams(cell: Cell) -> None:
    """Its state may be a single one, as which nothing has to be stacked."""
    spec = NetworkSpec(n_symbols=20, cell=cell, layers=1, units=16, embedding=8)
    weights = CharacterNetwork(spec, seed=1).weights_by_name()
    (graph,) = serving_graphs(spec, weights, quantise=False).values()
    symbols, state = some_input(spec)
    expected, after = NumpyStep(spec, weights, n_streams=B)(symbols[0], state)
    logits, now = LiteRtStep(spec, graph, n_streams=B)(symbols[0], state)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(now, after, atol=1e-5)


def test_dropout_is_seeded_and_serving_knows_none_of_it() -> None:
    """The same seed drops the same units for the whole window; without dropout nothing is."""
    network = make("lstm")
    symbols, state = some_input(network.spec)
    plain, _ = network(symbols, state)
    one, _ = network(symbols, state, tf.constant(0.5), tf.constant([1, 2]))
    same, _ = network(symbols, state, tf.constant(0.5), tf.constant([1, 2]))
    other, _ = network(symbols, state, tf.constant(0.5), tf.constant([1, 3]))
    none, _ = network(symbols, state, tf.constant(0.0), tf.constant([1, 2]))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_allclose(plain, none, atol=1e-6)


def test_bfloat16_follows_float32() -> None:
    """Half the digits lose little: the same weights predict nearly the same."""
    exact = make("lstm")
    rounded = CharacterNetwork(exact.spec, precision="bfloat16")
    rounded.assign(exact.weights_by_name())
    symbols, state = some_input(exact.spec)
    np.testing.assert_allclose(exact(symbols, state)[0], rounded(symbols, state)[0], atol=0.15)


def test_a_graph_of_another_network_is_refused() -> None:
    """Two networks' files mixed up give a sentence, not nonsense."""
    network = make("lstm")
    graph = serving_graphs(network.spec, network.weights_by_name(), streams=(1,))[1]
    other = NetworkSpec(n_symbols=20, cell="lstm", layers=2, units=16, embedding=8)
    with pytest.raises(ValueError, match="serving graph"):
        LiteRtStep(other, graph)


def test_forks_go_their_own_ways() -> None:
    """A rollout leaves the predictor that it was forked from untouched."""
    network = make("gru")
    graphs = serving_graphs(network.spec, network.weights_by_name(), streams=(1,))
    predictor = NetworkPredictor(open_step(network.spec, network.weights_by_name(), graphs))
    predictor.observe(3)
    before = predictor.distribution().copy()
    twin = predictor.fork()
    twin.observe(5)
    np.testing.assert_array_equal(before, predictor.distribution())
    assert np.abs(before - twin.distribution()).max() > 1e-4
    assert abs(float(before.sum()) - 1) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [{"cell": "elman"}, {"layers": 0}, {"units": 0}, {"dropout": 1.0}, {"n_symbols": 1}],
)
def test_an_impossible_spec_names_what_is_wrong(changes: dict[str, Any]) -> None:
    """The message holds the setting and its value."""
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        NetworkSpec(**{"n_symbols": 20, **changes})
