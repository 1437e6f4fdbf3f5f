"""Drawn continuations: seeded, and the same while one types along."""

import bases
import numpy as np
import pytest
from afterword_daemon.drawing import Drawn, draw, draw_together
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.step import NetworkPredictor, NumpyStep
from afterword_trainer.model.suggestion import Rollout

BUNDLE = bases.bundle()
BEFORE = BUNDLE.alphabet.encode("The river rose in the night, and the river fell by day. The ")


def place() -> Mix:
    """A predictor behind BEFORE that has a memory of it."""
    memory = Memory(BUNDLE.alphabet)
    memory.learn("a", BEFORE)
    network = NetworkPredictor(NumpyStep(BUNDLE.spec, BUNDLE.weights))
    mix = Mix(network, memory, Mixer.default(), learning=False)
    prime(mix, BEFORE)
    return mix


def grown(rollout: Rollout, n: int) -> list[int]:
    """Its first `n` symbols."""
    while len(rollout.symbols) < n:
        rollout.grow()
    return rollout.symbols[:n]


def drawn(mix: Mix, **changes: float) -> Drawn:
    """A continuation, by the settings that a test does not mind."""
    kept = {"position": len(BEFORE), "seed": 3, "temperature": 0.7, "path": 1} | changes
    return Drawn(
        mix,
        position=int(kept["position"]),
        seed=int(kept["seed"]),
        temperature=kept["temperature"],
        path=int(kept["path"]),
    )


def test_at_temperature_0_it_is_the_likeliest() -> None:
    """As the rollout that knows no temperature."""
    assert grown(Rollout(place()), 20) == grown(drawn(place(), temperature=0), 20)


@pytest.mark.parametrize("change", [{}, {"seed": 4}, {"path": 2}, {"temperature": 1.5}])
def test_it_follows_from_the_settings_alone(change: dict[str, float]) -> None:
    """The same draw for the same settings, another for others."""
    assert grown(drawn(place(), **change), 20) == grown(drawn(place(), **change), 20)
    assert (grown(drawn(place(), **change), 20) == grown(drawn(place()), 20)) is (not change)


def test_what_was_drawn_is_drawn_again_behind_its_own_characters() -> None:
    """So a suggestion shrinks in place as it is typed, and does not flicker."""
    whole = grown(drawn(place()), 20)
    followed = drawn(place())
    mix = place()
    for n, symbol in enumerate(whole[:10], 1):
        mix.observe(symbol)
        assert followed.follow(symbol)
        anew = drawn(mix, position=len(BEFORE) + n)
        assert grown(anew, 20 - n) == whole[n:]
        assert grown(followed, 20 - n) == whole[n:]
        assert np.array_equal(followed.probabilities[: 20 - n], anew.probabilities[: 20 - n])


def test_a_batch_draws_what_each_path_would_alone() -> None:
    """The first is the likeliest; growing any grows all."""
    mix = place()
    network = mix.network
    assert isinstance(network, NetworkPredictor)
    step = NumpyStep(BUNDLE.spec, BUNDLE.weights, n_streams=4)
    paths = draw_together(mix, network, step, position=len(BEFORE), seed=3, temperature=0.7)
    grown(paths[2], 15)
    alone = [Rollout(place()), *(drawn(place(), path=path) for path in (1, 2, 3))]
    assert [path.symbols for path in paths] == [grown(one, 15) for one in alone]
    for path, one in zip(paths, alone, strict=True):
        assert np.allclose(path.probabilities, one.probabilities, rtol=1e-3)


def test_symbols_are_drawn_as_often_as_they_are_probable() -> None:
    """At temperature 1; and rarer ones less often below it."""
    p = np.array([0.5, 0.3, 0.2, 0.0], np.float32)
    for temperature, expected in ((1.0, p), (0.5, p**2 / (p**2).sum())):
        counts = np.zeros(4)
        for position in range(4000):
            counts[draw(p, temperature, 0, 1, position)] += 1
        assert np.abs(counts / 4000 - expected).max() < 0.03
