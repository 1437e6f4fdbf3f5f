"""The word-level expert, beside counts made by hand."""

import numpy as np
import pytest
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Distribution, prime
from afterword_trainer.words import WordExpert, WordTrigrams, word_symbols
from hypothesis import given
from hypothesis import strategies as st

ALPHABET = Alphabet("é")
WRITTEN = "a red fox, a red fig. the red sea, the red sea. the réd sea"


class Uniform:
    """A model of characters that knows nothing."""

    learning = False

    def observe(self, symbol: int) -> None:
        pass

    def distribution(self) -> Distribution:
        return np.full(ALPHABET.size, 1 / ALPHABET.size, np.float32)

    def fork(self) -> "Uniform":
        return self


TRIGRAMS = WordTrigrams(ALPHABET.encode(WRITTEN), ALPHABET)


def expert(text: str) -> WordExpert:
    found = WordExpert(TRIGRAMS, Uniform())
    prime(found, ALPHABET.encode(text))
    return found


@pytest.mark.parametrize(
    ("before", "likeliest"),
    [
        ("I saw a red ", "f"),  # two words decide where one, followed by s twice, would not
        ("see the red ", "s"),
        ("one red ", "s"),  # the two words are new, the last one is not
        ("any f", "i"),  # neither word was seen: the letters so far, and of equals the lower id
        ("a red fi", "g"),
        ("a red fox", ","),  # what ends a word is learned with it
        ("a red fox,", " "),
        ("the r", "e"),
        ("réd", " "),  # an id beyond ASCII spells words too
    ],
)
def test_the_words_before_decide(before: str, likeliest: str) -> None:
    """The longest context that was seen counts most."""
    best = int(expert(before).distribution().argmax())

    assert ALPHABET.decode([best]) == likeliest


def test_orders_are_interpolated_with_absolute_discounting() -> None:
    """By hand: after "a red" came f twice of two times, after "red" of four, after a blank alone
    twice of ten, where three kinds came; each kind seen gives 0.8 of its count to what is below.
    """
    blank = (2 - 0.8 + 0.8 * 3 / ALPHABET.size) / 10
    one_word = (2 - 0.8 + 0.8 * 2 * blank) / 4
    two_words = (2 - 0.8 + 0.8 * 1 * one_word) / 2

    assert expert("a red ").distribution()[ord("f")] == pytest.approx(two_words, rel=1e-5)


@given(st.text(alphabet="a red fox,é日", max_size=20))
def test_it_is_a_distribution_and_forks_are_apart(before: str) -> None:
    """Never negative, sums to one, and what a fork observes is its own."""
    predictor = expert(before)
    kept = predictor.distribution().copy()
    prime(predictor.fork(), ALPHABET.encode("the red "))

    assert kept.min() >= 0
    assert kept.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(kept, predictor.distribution())


def test_unknown_words_are_spelled_by_the_model_of_characters() -> None:
    """Where no context was seen, the distribution is its own."""
    characters = CharacterNgrams(ALPHABET.encode(WRITTEN), ALPHABET.size, order=3).predictor()
    predictor = WordExpert(TRIGRAMS, characters)
    for symbol in ALPHABET.encode("quixotic").tolist():
        predictor.observe(symbol)
        characters.observe(symbol)

    np.testing.assert_array_equal(predictor.distribution(), characters.distribution())


def test_words_are_spelled_with_letters() -> None:
    """ASCII letters and digits, accented ids, and bytes of what has no id; nothing else."""
    spelled = word_symbols(ALPHABET)
    for character in "azAZ09_é":
        assert spelled[ALPHABET.encode(character)].all()
    for character in " .,-\n'":
        assert not spelled[ALPHABET.encode(character)].any()
    assert spelled[ALPHABET.encode("日")].all()
    assert not spelled[256:258].any()
