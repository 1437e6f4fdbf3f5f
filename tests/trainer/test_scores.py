"""The values of the table: sums, rates, certainty, and the JSON that reports are made of."""

import json

import pytest
from afterword_trainer import scores
from afterword_trainer.model.suggestion import EAGERNESS
from afterword_trainer.scores import Bits, Confidence, Degree, Scores, calibration, network_row
from afterword_trainer.typist import Keystrokes, ListKeys

TYPED = Keystrokes(
    characters=100, keys=60, keys_with_accept_word=55, shown=50, distinct_shown=20, accepted=10
)
LISTED = ListKeys(words=2, unaided=10, with_list_of_1=9, with_list_of_3=8, with_list_of_6=5)


def test_bits_of_several_texts_add_up() -> None:
    """Bits and characters, so that the rate is that of all the text; no text has none."""
    assert Bits(bits=3, characters=2) + Bits(bits=1, characters=2) == Bits(bits=4, characters=4)
    assert Bits(bits=4, characters=2).per_character == 2
    assert Bits().per_character == 0


def test_calibration_compares_what_was_said_with_what_was() -> None:
    """By tenths of the stated probability, empty ones left out."""
    said = [(0.12, True), (0.18, False), (0.95, True), (1.0, True), (1.0, False)]

    assert calibration(said) == (
        Confidence(said=pytest.approx(0.15), was=0.5, n=2),
        Confidence(said=pytest.approx(2.95 / 3), was=pytest.approx(2 / 3), n=3),
    )
    assert calibration([]) == ()


@pytest.mark.parametrize(
    ("row", "title", "expected"),
    [
        (
            Scores(
                name=scores.PPMD, note="order 12", learning=True, bits=Bits(bits=6, characters=4)
            ),
            "PPMd, order 12",
            {"name": "PPMd", "note": "order 12", "learning": True, "bits_per_character": 1.5},
        ),
        (
            Scores(name=scores.BUFFER_WORDS, learning=True, seconds=1.23456, keystrokes=TYPED),
            "buffer words",
            {"note": "", "seconds": 1.235, "part": False, "ksr": 40, "acceptance": 50},
        ),
        (
            Scores(name=scores.MIX, learning=True, part=True, presage=LISTED),
            "mix",
            {"part": True, "presage_ksr": {"1": 10, "3": 20, "6": 50}},
        ),
    ],
)
def test_a_row_says_what_its_model_can_do(
    row: Scores, title: str, expected: dict[str, object]
) -> None:
    """Counts and rates as JSON, nothing where a model cannot be asked; a note joins the title."""
    found = json.loads(json.dumps(row.to_json()))

    assert title == row.title
    assert found | expected == found
    assert ("bits_per_character" in found) is (row.bits is not None)
    assert ("ksr" in found) is (row.keystrokes is not None)
    assert ("presage_ksr" in found) is (row.presage is not None)


@pytest.mark.parametrize("name", EAGERNESS)
def test_a_degree_of_the_dial_has_the_name_that_users_choose_it_by(name: str) -> None:
    """Named where it has a name, and between the names it has none."""
    named = Degree(min_probability=EAGERNESS[name], keystrokes=TYPED).to_json()

    assert (named["name"], named["ksr"], named["acceptance"]) == (name, 40, 50)
    assert Degree(min_probability=0.123, keystrokes=TYPED).to_json()["name"] == ""


def test_names_of_rows_are_told_apart() -> None:
    """No two rows of a table have the same name."""
    networks = [network_row(cell, dynamic=d) for cell in ("lstm", "gru") for d in (False, True)]
    names = [scores.MIX, scores.FROZEN_MIX, scores.MEMORY, *networks, *scores.RIVALS]

    assert len(names) == len(set(names))
