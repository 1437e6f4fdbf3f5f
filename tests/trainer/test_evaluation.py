"""Bits per character, how sure a model is, and the table of models."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.evaluation import (
    DIAL,
    Bits,
    Confidence,
    Expert,
    Options,
    Page,
    bits_per_character,
    calibration,
    evaluate,
    outcomes,
    step_seconds,
)
from afterword_trainer.model.alphabet import DOCUMENT, TEXT, Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor
from afterword_trainer.model.suggestion import EAGERNESS, Policy
from afterword_trainer.typist import Ghost, Keystrokes, keystrokes, offers_along

ALPHABET = Alphabet("é")
HEADER = ALPHABET.header("notes/a.md", "markdown", 1_769_860_800.0)
LEARNED = (
    "In the morning the ferry is late and the harbour is quiet. "
    "The ferry is late because the fog is thick, and nobody minds. "
) * 12


@dataclass(frozen=True)
class Document:
    path: str
    text: str
    language: str = "markdown"
    modified: float = 1.7e9


class Half:
    """A predictor that deems an a as likely as all the rest together; notes what it sees."""

    learning = False

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


OURS = Expert(name="you-1", make=learned)
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


def test_bits_of_several_texts_add_up() -> None:
    """Bits and characters, so that the rate is that of all the text."""
    assert Bits(bits=3, characters=2) + Bits(bits=1, characters=2) == Bits(bits=4, characters=4)


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


OLD = [
    Document("a.md", LEARNED[: len(LEARNED) // 2]),
    Document("b.md", LEARNED[len(LEARNED) // 2 :]),
]
NEW = [
    Document("c.md", "In the morning the harbour is quiet because the ferry is late.\n"),
    Document("d.md", "Nobody minds the fog, and the morning is thick with it.\n" * 3),
]


def test_the_table_has_all_models_on_the_same_text() -> None:
    """The model first, then the baselines, each with what it can do; plain JSON comes of it."""
    said: list[tuple[str, float]] = []
    table = evaluate(
        [OURS],
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
    assert names[1:3] == ["words by letters", "characters, order 8"]
    assert names[3].startswith("PPMd, order ")
    assert names[4:] == ["word trigram", "buffer words, most frequent", "buffer words, most recent"]
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
    assert model["learning"] is ngrams["learning"] is False
    assert rows["word trigram"]["learning"] is True


class Copycat(Half):
    """A predictor that learns: whatever followed a symbol last time follows it again."""

    def __init__(self, follows: dict[int, int], before: int = 0, *, learning: bool = True) -> None:
        self.follows, self.before, self.learning = follows, before, learning

    def observe(self, symbol: int) -> None:
        if self.learning:
            self.follows[self.before] = symbol
        self.before = symbol

    def distribution(self) -> Distribution:
        distribution = np.full(ALPHABET.size, 0.1 / ALPHABET.size, np.float32)
        distribution[self.follows.get(self.before, 0)] += 0.9
        return distribution

    def fork(self) -> "Copycat":
        return Copycat(self.follows, self.before, learning=False)


def test_experts_are_measured_alone_and_no_measure_knows_the_text_from_another() -> None:
    """One that learns starts each measure from what it had learned before the test."""
    experts = [
        Expert(name="copycat", make=lambda: Copycat({})),
        Expert(name="still copycat", make=lambda: Copycat({}).fork()),
        OURS,
    ]
    read: list[list[Page]] = []

    def reader(pages: Sequence[Page], tick: Callable[[], object]) -> float:
        read.append(list(pages))
        return 40.0

    options = Options(bits_characters=80, keystroke_characters=60, presage_words=0)
    table = evaluate(experts, ALPHABET, OLD, NEW, options, readers={"reader": reader})
    rows = {row.name: row for row in table.rows}
    text = NEW[0].text + NEW[1].text[: 80 - len(NEW[0].text)]

    assert [*rows][:4] == ["copycat", "still copycat", "you-1", "reader"]
    assert [rows[name].learning for name in [*rows][:4]] == [True, False, False, True]
    assert rows["copycat"].bits == copied_bits()
    assert rows["copycat"].keystrokes == typed_into(Copycat({}))
    assert rows["still copycat"].keystrokes == Keystrokes(
        characters=60, keys=60, keys_with_accept_word=60
    )
    assert rows["reader"].bits == Bits(bits=40.0, characters=80)
    assert ["".join(page.text for page in pages) for pages in read] == [text]


def copied_bits() -> Bits:
    reader, bits = Copycat({}), Bits()
    for document, size in zip(NEW, (len(NEW[0].text), 80 - len(NEW[0].text)), strict=True):
        header = ALPHABET.header(document.path, document.language, document.modified)
        bits += bits_per_character(reader, ALPHABET, document.text[:size], header)
    return bits


def typed_into(predictor: Predictor, policy: Policy = Policy()) -> Keystrokes:  # noqa: B008
    header = ALPHABET.header(NEW[0].path, NEW[0].language, NEW[0].modified)
    offers = offers_along(Ghost(predictor, ALPHABET, policy), NEW[0].text[:60], header)
    return keystrokes(NEW[0].text[:60], [offer.text if offer else None for offer in offers])


def test_the_dial_turns_savings_into_trust() -> None:
    """The row itself is one point of the curve; the surer it must be, the less is shown."""
    options = Options(bits_characters=120, keystroke_characters=120, presage_words=0)
    table = evaluate([OURS], ALPHABET, OLD, NEW, options)
    found = json.loads(json.dumps(table.to_json()))["dial"]

    assert [degree["min_probability"] for degree in found] == list(DIAL)
    assert {degree["name"] for degree in found} == {"", *EAGERNESS}
    assert table.rows[0].keystrokes in [degree.keystrokes for degree in table.dial]
    assert found[0]["ksr"] > found[-1]["ksr"]
    assert found[0]["acceptance"] < found[-1]["acceptance"]


def test_a_policy_beside_the_dial_has_its_own_point() -> None:
    """The row is measured with the policy that was asked for, and the dial shows where it lies."""
    options = Options(
        policy=Policy(min_probability=0.47),
        bits_characters=60,
        keystroke_characters=60,
        presage_words=0,
    )
    table = evaluate([OURS], ALPHABET, OLD, NEW, options)

    assert [degree.min_probability for degree in table.dial] == sorted([*DIAL, 0.47])
    assert table.rows[0].keystrokes == typed_into(learned(), options.policy)


def test_documents_are_bounded_and_headed() -> None:
    """The predictor sees each document's header, then its text, in order, carried on."""
    seen: list[int] = []

    def make() -> Predictor:
        return Half([] if seen else seen)  # the first that is made reads the text in bits

    evaluate(
        [Expert(name="spy", make=make)],
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
    one = [Document("a.md", LEARNED[:732]), Document("b.md", LEARNED[732:])]
    table = evaluate([OURS], ALPHABET, one, NEW, options)

    assert table.learned_characters - expected in (0, 1)  # a line's end between two documents


def test_baselines_that_no_time_is_left_for_are_left_out() -> None:
    """After the deadline the table has the model alone, measured in full."""
    options = Options(
        bits_characters=60, keystroke_characters=60, presage_words=3, deadline=time.monotonic() - 1
    )
    table = evaluate([OURS], ALPHABET, OLD, NEW, options)

    assert [row.name for row in table.rows] == ["you-1"]
    assert table.rows[0].keystrokes is not None


@pytest.mark.parametrize(
    ("budget_s", "step_s", "expected"),  # characters in bits, characters typed, words
    [
        (-5.0, 1e-3, (2_000, 1_000, 20)),  # the promise is broken already: the least there is
        (0.0, 1e-9, (100_000, 10_000, 200)),  # nothing to wait for
        (45.0, 1e-3, (6_000, 1_000, 33)),  # 18 s, in thirds of 6,000 steps
        (60.0, 0.25e-3, (32_000, 2_285, 177)),
        (1e6, 1e-3, (100_000, 10_000, 200)),
    ],
)
def test_as_much_is_measured_as_there_is_time(
    budget_s: float, step_s: float, expected: tuple[int, int, int]
) -> None:
    """Each measure has its share of the time, within bounds, and the baselines have a deadline."""
    before = time.monotonic()
    options = Options.within(budget_s, step_s)
    typed = options.keystroke_characters

    assert expected == (options.bits_characters, typed, options.presage_words)
    assert before + 0.9 * budget_s <= options.deadline <= time.monotonic() + 0.9 * budget_s


def test_a_step_is_timed_without_being_seen() -> None:
    """The trial runs on a fork; what comes of it is a time."""
    predictor = Half([])

    assert step_seconds(predictor, n_steps=3) > 0
    assert predictor.seen == []


def test_nothing_to_measure_is_no_error() -> None:
    """No documents at all: zeros."""
    table = evaluate([OURS], ALPHABET, [], [])

    assert table.rows[0].keystrokes == Keystrokes()
    assert table.rows[0].bits == Bits()
