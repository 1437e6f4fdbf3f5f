"""What a simulated user presses, with one suggestion and with lists of words."""

import numpy as np
import pytest
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor, Symbols
from afterword_trainer.model.suggestion import Policy, suggest
from afterword_trainer.typist import (
    Dial,
    Ghost,
    Keystrokes,
    Speller,
    keystrokes,
    offers_along,
    presage,
)

ALPHABET = Alphabet("é")
HEADER = ALPHABET.header("notes/a.md", "markdown", 1_769_860_800.0)
LEARNED = (
    "In the morning the ferry is late and the harbour is quiet. "
    "The ferry is late because the fog is thick, and nobody minds. "
) * 12


def learned() -> Predictor:
    return CharacterNgrams(ALPHABET.encode(LEARNED), ALPHABET.size).predictor()


def offers(**at: str) -> list[str | None]:
    """Offers for a text of 12 characters: `at_3="xy"` is what is offered after three."""
    return [at.get(f"at_{index}") for index in range(12)]


TYPED = "to be, or no"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (offers(), {"keys": 12}),
        (
            offers(at_3="be,"),
            {"keys": 10, "shown": 1, "distinct_shown": 1, "accepted": 1, "inserted": 3},
        ),
        (
            offers(at_3="be,", at_6=" or no"),  # one after another
            {"keys": 5, "shown": 2, "distinct_shown": 2, "accepted": 2, "inserted": 9},
        ),
        (
            offers(at_3="be,", at_4="never asked for"),
            {"keys": 10, "shown": 1, "distinct_shown": 1, "accepted": 1, "inserted": 3},
        ),
        (
            offers(at_3="be;"),
            {"keys": 12, "keys_with_accept_word": 11, "shown": 1, "distinct_shown": 1},
        ),
        (offers(at_3="b"), {"keys": 12, "shown": 1, "distinct_shown": 1}),  # saves nothing
        (
            offers(at_10="no!"),
            {"keys": 12, "keys_with_accept_word": 11, "shown": 1, "distinct_shown": 1},
        ),
        (
            offers(at_10="no more"),
            {"keys": 12, "keys_with_accept_word": 11, "shown": 1, "distinct_shown": 1},
        ),
        (
            offers(at_3="be there", at_4="e there"),  # typed along with: still the same suggestion
            {"keys": 12, "keys_with_accept_word": 11, "shown": 2, "distinct_shown": 1},
        ),
        (
            offers(at_3="bet there", at_4="et there", at_5=" why"),
            {"keys": 12, "shown": 3, "distinct_shown": 2},
        ),
        (
            offers(at_2=" BE", at_3="BE"),  # not typed along with: the case is another
            {"keys": 12, "shown": 2, "distinct_shown": 1},
        ),
        (
            offers(at_2="xy", at_3="y"),  # what was left of it was never typed
            {"keys": 12, "shown": 2, "distinct_shown": 2},
        ),
        (
            offers(at_2=" be, but"),  # a word may follow a blank
            {"keys": 12, "keys_with_accept_word": 10, "shown": 1, "distinct_shown": 1},
        ),
    ],
)
def test_the_user_accepts_what_is_exactly_next(
    given: list[str | None], expected: dict[str, int]
) -> None:
    """One key for a whole suggestion of two or more characters that are what comes next."""
    counts = {"characters": 12, "keys_with_accept_word": expected["keys"]} | expected

    assert Keystrokes(**counts) == keystrokes(TYPED, given)


def test_rates_follow_from_the_counts() -> None:
    """KSR and RoCC are percent of the characters, acceptance of the distinct suggestions."""
    one = Keystrokes(
        characters=60,
        keys=40,
        keys_with_accept_word=36,
        shown=50,
        distinct_shown=20,
        accepted=8,
        inserted=28,
    )
    both = one + Keystrokes(characters=40, keys=40, keys_with_accept_word=40)

    assert (both.ksr, both.ksr_with_accept_word, both.acceptance) == (20, 24, 40)
    assert (both.rocc, both.mean_accepted_length) == (28, 3.5)
    assert Keystrokes().ksr == Keystrokes().acceptance == Keystrokes().mean_accepted_length == 0


def test_a_ghost_offers_what_the_daemon_would() -> None:
    """After each character the offer is `suggest`'s own; nothing before the first."""
    text = "The ferry is quiet.\nNobody minds the fög"
    predictor = learned()
    policy = Policy(min_probability=0.0)
    given = offers_along(Ghost(learned(), ALPHABET, policy), text, HEADER)
    for symbol in HEADER.tolist():
        predictor.observe(symbol)
    expected: list[object] = []
    for character in text:
        expected.append(suggest(predictor, ALPHABET, policy) if expected else None)
        for symbol in ALPHABET.encode(character).tolist():
            predictor.observe(symbol)

    assert expected == given
    assert sum(offer is not None for offer in given) > 20


def test_a_dial_offers_what_a_ghost_would_at_each_degree() -> None:
    """In one pass over the text, the offers of every degree by the same policy."""
    text = "The ferry is quiet. Nobody minds the fog"
    degrees = (0.0, 0.3, 0.7)
    dial = Dial(learned(), ALPHABET, Policy(max_characters=12), degrees)
    given = offers_along(dial, text, HEADER)

    for index, degree in enumerate(degrees):
        policy = Policy(max_characters=12, min_probability=degree)
        alone = offers_along(Ghost(learned(), ALPHABET, policy), text, HEADER)
        assert alone == [offers[index] if offers else None for offers in given]


class Counting:
    """A predictor that learns: what followed a symbol more often is likelier to follow it.

    Notes in `learned` what was typed into it; whatever is observed by a fork must not be there.
    """

    def __init__(self) -> None:
        self.learning = True
        self.learned: list[int] = []
        self.counts = np.zeros((ALPHABET.size, ALPHABET.size))
        self.before = 0

    def observe(self, symbol: int) -> None:
        if self.learning:
            self.learned.append(symbol)
            self.counts[self.before, symbol] += 1
        self.before = symbol

    def distribution(self) -> Distribution:
        weights = self.counts[self.before] + 1e-4
        return np.asarray(weights / weights.sum(), np.float32)

    def fork(self) -> "Counting":
        twin = Counting()
        twin.learning = False
        twin.counts, twin.before = self.counts, self.before
        return twin


# "ab" is expected after each a until "ac" was typed more often: a kept rollout would be wrong.
FICKLE = "abababacacacacacababacac the cat sat on the mat, the cat sat on the mat "


def test_a_predictor_that_learns_is_asked_anew_after_every_key() -> None:
    """The offers are those of new rollouts, and what rollouts imagine is never learned."""
    policy = Policy(min_probability=0.0)
    predictor, beside = Counting(), Counting()
    given = offers_along(Ghost(predictor, ALPHABET, policy), FICKLE, HEADER)
    for symbol in HEADER.tolist():
        beside.observe(symbol)
    expected: list[object] = []
    for character in FICKLE:
        expected.append(suggest(beside, ALPHABET, policy) if expected else None)
        beside.observe(ord(character))

    assert expected == given
    assert sum(offer is not None for offer in given) > 20
    assert [*HEADER.tolist(), *FICKLE.encode()] == predictor.learned


def test_a_speller_by_a_predictor_that_learns_forgets_what_it_found() -> None:
    """After each letter its list is that of a speller which was never asked before."""
    asked_often, typed_into = Speller(predictor := Counting(), ALPHABET), ""
    for character in FICKLE:
        asked_often.typed(character)
        typed_into += character
        asked_once = Speller(Counting(), ALPHABET)
        asked_once.typed(typed_into)

        assert asked_once.words(3) == asked_often.words(3)
    assert list(FICKLE.encode()) == predictor.learned


class Listed:
    """A lister that knows the words of a list, in order, and notes what is typed."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.text = ""

    def begin(self, header: Symbols) -> None:
        self.text = ""

    def typed(self, text: str) -> None:
        self.text += text

    def words(self, n: int) -> list[str]:
        beginning = self.text.rpartition(" ")[2].lower()
        return [word for word in self.known if word.startswith(beginning)][:n]


@pytest.mark.parametrize(
    ("known", "text", "keys"),  # without a list, with one of 1, 3 and 6
    [
        ((), "Word", (5, 5, 5, 5)),
        (("word",), "Word", (5, 1, 1, 1)),  # at once, whatever the case
        (("a", "b", "word"), "word", (5, 2, 1, 1)),
        (("wa", "wb", "wc", "wd", "word"), "word", (5, 3, 2, 1)),
        (("want", "word"), "word", (5, 2, 1, 1)),  # "want" was listed: not twice
        (("to", "be", "or", "not"), "to be, or not?", (3 + 3 + 3 + 4, 7, 5, 4)),
    ],
)
def test_words_are_counted_as_presage_does(
    known: tuple[str, ...], text: str, keys: tuple[int, int, int, int]
) -> None:
    """A hit costs the letters before it and one key, and gives word and space."""
    lister = Listed(*known)
    counted = presage(lister, text, HEADER, 100)
    found = (
        counted.unaided,
        counted.with_list_of_1,
        counted.with_list_of_3,
        counted.with_list_of_6,
    )

    assert keys == found
    assert counted.ksr[6] == pytest.approx(100 * (1 - keys[3] / keys[0]))


def test_presage_stops_after_so_many_words() -> None:
    """No more words than asked for, none at all for none."""
    assert presage(Listed(), "one two three", HEADER, 2).words == 2
    assert presage(Listed(), "one two three", HEADER, 0).ksr == {1: 0, 3: 0, 6: 0}


class Lexicon:
    """A predictor that writes the words of a table with blanks between them."""

    learning = False
    WORDS = {"late": 0.4, "lately": 0.3, "Quiet": 0.2, "fög": 0.1}  # noqa: RUF012 - a table

    def __init__(self, word: tuple[int, ...] = ()) -> None:
        self.word = word

    def observe(self, symbol: int) -> None:
        self.word = () if symbol == ord(" ") else (*self.word, symbol)

    def distribution(self) -> Distribution:
        distribution = np.zeros(BYTES_ONLY.size, np.float32)
        for word, probability in self.WORDS.items():
            spelled = (*BYTES_ONLY.encode(word).tolist(), ord(" "))
            if spelled[: len(self.word)] == self.word and len(spelled) > len(self.word):
                distribution[spelled[len(self.word)]] += probability
        return distribution / (distribution.sum() or 1)

    def fork(self) -> "Lexicon":
        return Lexicon(self.word)


BYTES_ONLY = Alphabet()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", ["late", "lately", "quiet", "fög"]),
        ("lately ", ["late", "lately", "quiet", "fög"]),
        ("l", ["late", "lately"]),
        ("late l", ["late", "lately"]),
        ("late", ["lately"]),  # what is typed is no completion of itself
        ("Qui", ["quiet"]),
        ("f", ["fög"]),  # two bytes to a letter
        ("x", []),
    ],
)
def test_a_speller_lists_the_likeliest_words(typed: str, expected: list[str]) -> None:
    """Whole words in lower case, by their probability, going on from what is typed."""
    speller = Speller(Lexicon(), BYTES_ONLY)
    speller.typed(typed)

    assert expected == speller.words(9)
    assert expected[:2] == speller.words(2)


def test_lists_asked_for_on_the_way_change_no_later_one() -> None:
    """A speller that was asked after every key answers as one that was asked once."""
    text = "In the morning the ferry is late and the f"
    asked_often = Speller(learned(), ALPHABET)
    for at, character in enumerate(text, 1):
        asked_often.typed(character)
        asked_once = Speller(learned(), ALPHABET)
        asked_once.typed(text[:at])

        assert asked_once.words(3) == asked_often.words(3)


def test_a_speller_is_exact() -> None:
    """Its order is that of the words' probabilities, each the product over its symbols."""
    predictor = learned()
    for symbol in ALPHABET.encode("In the morning the ferry is late and the ").tolist():
        predictor.observe(symbol)

    def probability(word: str) -> float:
        fork, product = predictor.fork(), 1.0
        for symbol in ALPHABET.encode(word).tolist():
            product *= float(fork.distribution()[symbol])
            fork.observe(symbol)
        ends = [ord(" "), ord("."), ord(","), ord("\n")]
        return product * float(fork.distribution()[ends].sum())

    words = Speller(predictor, ALPHABET).words(3)

    assert words == sorted(words, key=probability, reverse=True)
    assert len(words) == 3
