"""Bits per character, keystrokes saved, and the table of models."""

import json
import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.evaluation import (
    Bits,
    Confidence,
    Ghost,
    Keystrokes,
    Options,
    Speller,
    bits_per_character,
    calibration,
    evaluate,
    keystrokes,
    offers_along,
    outcomes,
    presage,
)
from afterword_trainer.model.alphabet import DOCUMENT, TEXT, Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor, Symbols
from afterword_trainer.model.suggestion import Policy, suggest

ALPHABET = Alphabet("é")
HEADER = ALPHABET.header("notes/a.md", "markdown", 1_769_860_800.0)
LEARNED = (
    "In the morning the ferry is late and the harbour is quiet. "
    "The ferry is late because the fog is thick, and nobody minds. "
) * 12


@dataclass(frozen=True)
class Page:
    path: str
    text: str
    language: str = "markdown"
    modified: float = 1.7e9


class Half:
    """A predictor that deems an a as likely as all the rest together; notes what it sees."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def observe(self, symbol: int) -> None:
        self.seen.append(symbol)

    def distribution(self) -> Distribution:
        distribution = np.full(ALPHABET.size, 0.5 / (ALPHABET.size - 1), np.float32)
        distribution[ord("a")] = 0.5
        distribution[ord("!")] = 0
        return distribution

    def fork(self) -> "Half":
        return Half(list(self.seen))


def learned() -> Predictor:
    return CharacterNgrams(ALPHABET.encode(LEARNED), ALPHABET.size).predictor()


OTHER = math.log2((ALPHABET.size - 1) / 0.5)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("", 0),
        ("aa", 2),
        ("ab", 1 + OTHER),
        ("é", OTHER),
        ("日", 3 * OTHER),  # one character, three bytes
        ("!", 30),  # deemed impossible: dear, but finite
    ],
)
def test_bits_are_those_of_every_symbol(text: str, bits: float) -> None:
    """All symbols of the text count, those of the header none; characters are counted as such."""
    predictor = Half([])
    cost = bits_per_character(predictor, ALPHABET, text, HEADER)

    assert cost.bits == pytest.approx(bits, rel=1e-5)
    assert cost.characters == len(text)
    assert cost.per_character == pytest.approx(bits / max(1, len(text)), rel=1e-5)
    assert predictor.seen == [*HEADER.tolist(), *ALPHABET.encode(text).tolist()]


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
    assert Bits(bits=3, characters=2) + Bits(bits=1, characters=2) == Bits(bits=4, characters=4)


def test_a_ghost_offers_what_the_daemon_would() -> None:
    """After each character the offer is `suggest`'s own; nothing before the first."""
    text = "The ferry is quiet.\nNobody minds the fög"
    predictor = learned()
    policy = Policy(min_saving=0.0)
    given = offers_along(Ghost(predictor, ALPHABET, policy), text, HEADER)
    for symbol in HEADER.tolist():
        predictor.observe(symbol)
    expected: list[object] = []
    for character in text:
        expected.append(suggest(predictor, ALPHABET, policy) if expected else None)
        for symbol in ALPHABET.encode(character).tolist():
            predictor.observe(symbol)

    assert expected == given
    assert sum(offer is not None for offer in given) > 20


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


def test_calibration_compares_what_was_said_with_what_was() -> None:
    """By tenths of the stated probability, empty ones left out."""
    said = [(0.12, True), (0.18, False), (0.95, True), (1.0, True), (1.0, False)]

    assert calibration(said) == (
        Confidence(said=pytest.approx(0.15), was=0.5, n=2),
        Confidence(said=pytest.approx(2.95 / 3), was=pytest.approx(2 / 3), n=3),
    )
    assert calibration([]) == ()


def test_outcomes_are_those_of_the_offers() -> None:
    """Each offer with its probability, and whether the text went on so."""
    text = "The ferry is late because"
    given = offers_along(Ghost(learned(), ALPHABET, Policy()), text, HEADER)
    said = outcomes(text, given)

    assert len(said) == sum(offer is not None for offer in given)
    assert all(0 < probability <= 1 for probability, _ in said)
    assert {right for _, right in said} <= {True, False}
    assert any(right for _, right in said)


OLD = [Page("a.md", LEARNED[: len(LEARNED) // 2]), Page("b.md", LEARNED[len(LEARNED) // 2 :])]
NEW = [
    Page("c.md", "In the morning the harbour is quiet because the ferry is late.\n"),
    Page("d.md", "Nobody minds the fog, and the morning is thick with it.\n" * 3),
]


def test_the_table_has_all_models_on_the_same_text() -> None:
    """The model first, then the baselines, each with what it can do; plain JSON comes of it."""
    said: list[tuple[str, float]] = []
    table = evaluate(
        "you-1",
        learned(),
        ALPHABET,
        OLD,
        NEW,
        Options(bits_characters=200, keystroke_characters=120, presage_words=10),
        lambda name, share: said.append((name, share)),
    )
    rows = {row["name"]: row for row in json.loads(json.dumps(table.to_json()))["rows"]}
    names = list(rows)
    model, ngrams = rows["you-1"], rows["characters, order 8"]

    assert names[0] == "you-1"
    assert names[1] == "characters, order 8"
    assert names[2].startswith("PPMd, order ")
    assert names[3:] == ["word trigram", "buffer words, most frequent", "buffer words, most recent"]
    assert 0 < ngrams["bits_per_character"] < 4
    assert model["bits_per_character"] < 4
    assert "bits_per_character" not in rows["word trigram"]
    assert all(row["ksr"] > 0 for name, row in rows.items() if "PPMd" not in name)
    assert rows["word trigram"]["presage_ksr"].keys() == {"1", "3", "6"}
    assert (table.bits_characters, table.keystroke_characters, table.presage_words) == (
        200,
        120,
        10,
    )
    assert table.rows[0].keystrokes is not None
    assert table.rows[0].keystrokes.characters == 120
    assert sum(group.n for group in table.calibration) > 0
    assert all(0 <= share <= 1 for _, share in said)
    assert said[0][0] == "you-1"
    assert len(said) <= 101 * len(rows)


def test_documents_are_bounded_and_headed() -> None:
    """The predictor sees each document's header, then its text, in order, carried on."""
    seen: list[int] = []

    class Spy(Half):
        def fork(self) -> "Half":
            return Half(seen) if not seen else Half([])

    evaluate(
        "spy",
        Spy([]),
        ALPHABET,
        OLD,
        NEW,
        Options(bits_characters=70, keystroke_characters=0, presage_words=0, ppmd_orders=(6,)),
    )

    first = ALPHABET.header("c.md", "markdown", 1_700_000_000.0)
    second = ALPHABET.header("d.md", "markdown", 1_700_000_000.0)
    text = NEW[0].text, NEW[1].text[: 70 - len(NEW[0].text)]
    expected = [first, ALPHABET.encode(text[0]), second, ALPHABET.encode(text[1])]
    assert seen == np.concatenate(expected).tolist()
    assert seen.count(DOCUMENT) == seen.count(TEXT) == 2


@pytest.mark.parametrize(("at_most", "expected"), [(10**6, len(LEARNED)), (100, 100), (1000, 1000)])
def test_baselines_learn_the_newest_text(at_most: int, expected: int) -> None:
    """No more of what was learned is held in memory than asked for."""
    options = Options(
        bits_characters=20,
        keystroke_characters=20,
        presage_words=1,
        ppmd_orders=(6,),
        learned_characters=at_most,
    )
    one = [Page("a.md", LEARNED[:732]), Page("b.md", LEARNED[732:])]
    table = evaluate("you-1", learned(), ALPHABET, one, NEW, options)

    assert table.learned_characters - expected in (0, 1)  # a line's end between two documents


def test_baselines_that_no_time_is_left_for_are_left_out() -> None:
    """After the deadline the table has the model alone, measured in full."""
    options = Options(
        bits_characters=60, keystroke_characters=60, presage_words=3, deadline=time.monotonic() - 1
    )
    table = evaluate("you-1", learned(), ALPHABET, OLD, NEW, options)

    assert [row.name for row in table.rows] == ["you-1"]
    assert table.rows[0].keystrokes is not None


def test_nothing_to_measure_is_no_error() -> None:
    """No documents at all: zeros."""
    table = evaluate("you-1", learned(), ALPHABET, [], [])

    assert table.rows[0].keystrokes == Keystrokes()
    assert table.rows[0].bits == Bits()
