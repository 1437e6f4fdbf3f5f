"""What the network has to beat."""

import itertools
import math

import numpy as np
import pytest
from afterword_trainer.baselines import BufferWords, CharacterNgrams, WordTrigram, ppmd_bits
from afterword_trainer.model.alphabet import Alphabet
from hypothesis import given, settings
from hypothesis import strategies as st

ALPHABET = Alphabet()
WRITTEN = "the thermal bath, the theory, the thermal spring. A thesis "


@pytest.mark.parametrize(
    ("typed", "recent", "frequent"),
    [
        ("t", "hesis", "he"),
        ("the", "sis", "rmal"),
        ("ther", "mal", "mal"),
        ("theo", "ry", "ry"),
        ("thesis", None, None),  # nothing longer begins so
        ("", None, None),
        ("the ", None, None),  # no word has begun
        ("T", None, None),  # case counts
        ("theme the", "me", "rmal"),  # what is typed is learned
    ],
)
def test_words_of_the_buffer(typed: str, recent: str | None, frequent: str | None) -> None:
    """The rest of the latest, or of the most frequent, longer word that begins so."""
    for expected, most_frequent in ((recent, False), (frequent, True)):
        words = BufferWords(WRITTEN, most_frequent=most_frequent)
        words.typed(typed)

        assert expected == words.suggest()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("I saw the thermal ", "spring"),  # the latest of two
        ("a thermal bath, the ", "theory"),  # the two words before decide
        ("I saw the the", "rmal"),  # two of three words after "the" that go on so
        ("quite unknown wor", None),
    ],
)
def test_the_word_after_two_words(typed: str, expected: str | None) -> None:
    """Whole words are offered, and the ends of words that have begun."""
    trigram = WordTrigram(WRITTEN)
    trigram.typed(typed)

    assert expected == trigram.suggest()


def test_a_list_of_words_is_in_order_and_whole() -> None:
    """Lists hold whole words that go on from what is typed, the likeliest first."""
    trigram = WordTrigram(WRITTEN)
    trigram.typed("see the the")

    assert trigram.words(2) == ["thermal", "theory"]
    assert trigram.words(9) == ["thermal", "theory", "thesis"]


@pytest.mark.parametrize("make", [WordTrigram, lambda text: BufferWords(text, most_frequent=True)])
def test_text_that_comes_in_pieces_is_learned_as_a_whole(
    make: type[WordTrigram],
) -> None:
    """One string, or a piece for every key: the same suggestions."""
    at_once, in_pieces = make(""), make("")
    at_once.typed(WRITTEN + "ther")
    for character in WRITTEN + "ther":
        in_pieces.typed(character)

    assert at_once.suggest() == in_pieces.suggest() == "mal"


def test_a_word_does_not_go_on_in_another_document() -> None:
    """What ends one document and what begins the next are two words."""
    words = BufferWords("sea", most_frequent=False)
    words.begin(ALPHABET.header())
    words.typed("shell sea")

    assert words.suggest() is None
    words.typed(" s")
    assert words.suggest() == "ea"


def counted(text: str, context: str, order: int) -> list[float]:
    """Interpolated Kneser-Ney straight from its definition, over the text's own n-grams."""
    probabilities = [1 / ALPHABET.size] * ALPHABET.size
    discounts = (0.0, 0.85, 1.1, 1.3)
    padded = "\x00" * order + text  # stands for what precedes the text
    ends = range(order, len(padded))
    for k in range(min(order, len(context)) + 1):
        suffix = context[len(context) - k :]
        if k == order:
            found = [padded[e] for e in ends if padded[e - k : e] == suffix]
        else:
            grams = {padded[e - k - 1 : e + 1] for e in ends if padded[e - k : e] == suffix}
            found = [gram[-1] for gram in grams]
        if not found:
            break
        counts = [found.count(chr(symbol)) for symbol in range(ALPHABET.size)]
        taken = [discounts[min(count, 3)] for count in counts]
        probabilities = [
            (count - off + sum(taken) * p) / len(found)
            for count, off, p in zip(counts, taken, probabilities, strict=True)
        ]
    return probabilities


@settings(max_examples=60)
@given(
    text=st.text("ab ", min_size=20, max_size=40),
    seen=st.integers(0, 20),
    more=st.sampled_from(["", "", "a", "z", "ba"]),
    order=st.integers(1, 6),
)
def test_ngrams_are_those_of_the_definition(text: str, seen: int, more: str, order: int) -> None:
    """The sorted array gives what counting every n-gram by hand gives."""
    context = text[:seen] + more
    predictor = CharacterNgrams(ALPHABET.encode(text), ALPHABET.size, order=order).predictor()
    for symbol in ALPHABET.encode(context).tolist():
        predictor.observe(symbol)
    expected = counted(text, context[-order:], order)

    assert expected == pytest.approx(predictor.distribution().tolist(), abs=1e-6)


def test_ngrams_predict_and_stay_distributions() -> None:
    """On text like what was learned most symbols are the likeliest; all are possible; sum is 1."""
    text = "the quick brown fox jumps over the lazy dog. " * 5
    predictor = CharacterNgrams(ALPHABET.encode(text), ALPHABET.size).predictor()
    hits = 0
    for symbol in ALPHABET.encode("the quick brown fox jumps over the lazy dog. ").tolist():
        distribution = predictor.distribution()
        hits += int(distribution.argmax()) == symbol
        predictor.observe(symbol)

        assert float(distribution.sum()) == pytest.approx(1, abs=1e-5)
        assert distribution.min() > 0
        assert distribution.dtype == np.float32
    assert hits >= 42


def test_a_fork_goes_its_own_way() -> None:
    """What a fork observes does not move the predictor that it came from."""
    predictor = CharacterNgrams(ALPHABET.encode("abcabcabd" * 3), ALPHABET.size).predictor()
    before = predictor.distribution().tolist()
    predictor.fork().observe(ord("a"))

    assert predictor.distribution().tolist() == before


def test_ngrams_of_nothing_know_nothing() -> None:
    """Nothing learned: every symbol is equally likely, whatever came before."""
    predictor = CharacterNgrams(ALPHABET.encode(""), ALPHABET.size).predictor()
    predictor.observe(ord("a"))

    assert predictor.distribution().tolist() == pytest.approx([1 / ALPHABET.size] * ALPHABET.size)


def test_what_is_remembered_stays_bounded() -> None:
    """The memory for short contexts is emptied when it is full, and answers stay the same."""
    symbols = np.random.default_rng(5).integers(0, 64, 30_000).astype(np.uint16)
    ngrams = CharacterNgrams(symbols, ALPHABET.size, order=3)
    first = ngrams.after((1, 2, 3)).tolist()
    for context in itertools.product(range(64), range(64), range(3)):
        ngrams.after(context)

    assert len(ngrams._remembered) <= 8192
    assert ngrams.after((1, 2, 3)).tolist() == first


def test_ppmd_needs_little_for_what_it_has_seen() -> None:
    """Text like what was learned costs little; the learned text itself is not counted."""
    learned = "the quick brown fox jumps over the lazy dog. " * 40
    noise = "".join(map(chr, np.random.default_rng(2).integers(33, 127, 90)))

    assert ppmd_bits(learned, learned[:90], 6) < 90 * 0.5
    assert ppmd_bits(learned, noise, 6) > 90 * math.log2(94) * 0.9
    assert ppmd_bits(learned, "", 6) == 0
    assert ppmd_bits("", "", 6) == 0
    assert ppmd_bits("", "\ud800日本", 6) > 0
