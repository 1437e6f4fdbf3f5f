"""Dynamic evaluation against the static network, and what it learns on the way."""

import numpy as np
import pytest
from afterword_trainer import dynamic
from afterword_trainer.measures import bits_per_character
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, NumpyStep
from afterword_trainer.network import CharacterNetwork

ALPHABET = Alphabet("é")
SPEC = NetworkSpec(n_symbols=ALPHABET.size, layers=1, units=16, embedding=16)
WEIGHTS = CharacterNetwork(SPEC, seed=3).weights_by_name()
HEADER = ALPHABET.header("notes/a.md", "markdown", 1.7e9)
TEXT = "The ferry is late again. " * 12


def test_at_a_rate_of_nothing_it_is_the_static_network() -> None:
    """The same bits as one step at a time by numpy, headers read and not counted."""
    on_read: list[int] = []
    text = ALPHABET.encode(TEXT)
    runs = [(HEADER, False), (text[:100], True), (HEADER, False), (text[100:], True)]
    found = dynamic.bits(SPEC, WEIGHTS, runs, on_read.append, rate=0.0)
    predictor = NetworkPredictor(NumpyStep(SPEC, WEIGHTS))
    expected = [
        bits_per_character(predictor, ALPHABET, part, HEADER).bits
        for part in (TEXT[:100], TEXT[100:])
    ]

    assert found == pytest.approx(sum(expected), rel=1e-5)
    assert sum(on_read) == len(TEXT)


def test_what_comes_again_costs_less() -> None:
    """It learns from what it has read, so a text that repeats itself gets cheap."""
    runs = [(ALPHABET.encode(TEXT), True)]
    static, learned = (dynamic.bits(SPEC, WEIGHTS, runs, rate=rate) for rate in (0.0, 0.4))

    assert learned < 0.96 * static


def test_a_segment_is_predicted_before_it_is_learned() -> None:
    """The first segment costs what the static network makes of it, whatever the rate."""
    one = [(ALPHABET.encode(TEXT[: dynamic.SEGMENT]), True)]

    assert dynamic.bits(SPEC, WEIGHTS, one) == pytest.approx(
        dynamic.bits(SPEC, WEIGHTS, one, rate=0.0), rel=1e-6
    )


def test_nothing_costs_nothing() -> None:
    """No text, and one symbol of which nothing is known."""
    assert dynamic.bits(SPEC, WEIGHTS, []) == 0
    assert dynamic.bits(SPEC, WEIGHTS, [(ALPHABET.encode("a"), True)]) == pytest.approx(
        np.log2(ALPHABET.size)
    )
