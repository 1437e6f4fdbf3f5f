"""The table of scores: which models, on which text, in which order, and what time allows."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.evaluation import (
    Expert,
    NoSuchRowError,
    Options,
    evaluate,
    step_seconds,
)
from afterword_trainer.measures import Page, bits_per_character
from afterword_trainer.model.alphabet import DOCUMENT, TEXT, Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor
from afterword_trainer.model.suggestion import EAGERNESS, Policy
from afterword_trainer.scores import (
    BUFFER_WORDS,
    DIAL,
    NGRAMS,
    PPMD,
    RIVALS,
    WORD_TRIGRAM,
    Bits,
)
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
        Options(bits_characters=120, keystroke_characters=80, presage_words=4),
        lambda name, share: said.append((name, share)),
    )
    rows = {row["name"]: row for row in json.loads(json.dumps(table.to_json()))["rows"]}
    names = list(rows)
    model, ngrams = rows["you-1"], rows[NGRAMS]

    assert names[0] == "you-1"
    assert tuple(names[1:]) == RIVALS
    assert ngrams["note"] == "order 8"
    assert rows[PPMD]["note"] in {"order 6", "order 8", "order 12", "order 16"}
    assert 0 < ngrams["bits_per_character"] < 4
    assert model["bits_per_character"] < 4
    assert "bits_per_character" not in rows[WORD_TRIGRAM]
    assert all(row["ksr"] > 0 for name, row in rows.items() if name != PPMD)
    assert rows[WORD_TRIGRAM]["presage_ksr"].keys() == {"1", "3", "6"}
    assert (table.bits_characters, table.keystroke_characters, table.presage_words) == (
        120,
        80,
        4,
    )
    assert table.rows[0].keystrokes is not None
    assert table.rows[0].keystrokes.characters == 80
    assert sum(group.n for group in table.calibration) > 0
    assert all(0 <= share <= 1 for _, share in said)
    assert said[0][0] == "you-1"
    assert len(said) <= 101 * len(rows)
    assert model["learning"] is ngrams["learning"] is False
    assert rows[WORD_TRIGRAM]["learning"] is True


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


def test_only_the_rows_that_were_asked_for_are_measured() -> None:
    """Beside the first, which is always there; asking for it too changes nothing."""
    sizes = Options(bits_characters=20, keystroke_characters=20, presage_words=1)
    options = replace(sizes, rows=[WORD_TRIGRAM, BUFFER_WORDS, "you-1"])
    table = evaluate([OURS], ALPHABET, OLD, NEW, options)

    assert [row.name for row in table.rows] == ["you-1", WORD_TRIGRAM, BUFFER_WORDS]
    assert table.learned_characters == len(LEARNED) + 1  # a line's end between the documents


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """Before anything is measured, however long that would have taken."""
    said: list[str] = []
    with pytest.raises(NoSuchRowError) as refused:
        evaluate(
            [OURS, Expert(name="part", make=learned)],
            ALPHABET,
            OLD,
            NEW,
            Options(rows=["buffer wrods"]),
            lambda name, share: said.append(name),
            readers={"reader": lambda pages, tick: 0.0},
        )

    assert not said
    for name in ("'buffer wrods'", "you-1", "part", "reader", *RIVALS):
        assert name in str(refused.value)


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
