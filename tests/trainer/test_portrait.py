"""A model's portrait: everything a bundle says of itself, and what it writes, as report data."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from afterword_trainer import portrait, records, report
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle, BundleCorruptError, without_excerpts
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import open_predictor
from afterword_trainer.stream import Piece

ALPHABET = Alphabet("é")
SPEC = NetworkSpec(n_symbols=ALPHABET.size, layers=1, units=4, embedding=3)
LINE = "Nobody weeds the garden until the end of June, and then everybody does."


def text_of(text: str, path: str = "notes/a.md") -> Piece:
    """A note of 14 November 2023."""
    return Piece(path=path, language="markdown", modified=1_700_000_000.0, text=text)


def bundle(**changes: Any) -> Bundle:
    """A network that learned nothing, with a story as `learn` writes one."""
    rng = np.random.default_rng(1)
    shapes = SPEC.weight_shapes().items()
    story: dict[str, Any] = {
        "id": "you-1",
        "created": "2026-11-20T12:00:00Z",
        "spec": SPEC,
        "alphabet": ALPHABET,
        "weights": {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes},
        "scores": {"bits_per_character": 2.5},
        "history": [
            records.to_json(
                records.Evaluated(
                    seconds=60.0,
                    share=1.0,
                    epoch=2.0,
                    train_bits=2.4,
                    heldout_bits=2.5,
                    best=True,
                    prompt="Nobody weeds",
                    sample=" the garden",
                )
            )
        ],
        "provenance": {
            "command": "trainer learn notes",
            "prompts": ["Nobody weeds the garden until"],
            "offers": [{"before": "Nobody ", "offered": "weeds", "written": "weeds the garden"}],
            "corpus": {
                "digest": "d",
                "documents": 3,
                "learn_characters": 900,
                "heldout_characters": 100,
                "summary": {
                    "languages": {"markdown": {"documents": 3, "characters": 1000}},
                    "folders": {},
                    "skipped": {"binary": 2},
                    "secrets_removed": 1,
                },
            },
        },
    }
    return Bundle(**{**story, **changes})


def test_a_bundle_becomes_all_that_the_report_shows() -> None:
    """What was read, how it learned, what it offers, and samples at every temperature."""
    data = portrait.of_bundle(bundle())
    assert (data.model, data.command) == ("you-1", "trainer learn notes")
    assert data.reading
    assert (data.reading.files, data.reading.secrets) == (3, 1)
    assert data.reading.skipped == (report.Count(name="not text", files=2),)
    assert data.learning
    assert data.learning.best == (1.0, 2.5)
    assert [sample.temperature for sample in data.samples] == list(portrait.TEMPERATURES)
    assert data.offers[0].right
    assert data.networks == ()
    assert "Nobody weeds the garden until" in report.render(data)


def test_prompts_of_the_users_own_are_continued() -> None:
    """As many samples for each as there are temperatures."""
    data = portrait.of_bundle(bundle(), prompts=["One", "Two"])
    assert {sample.prompt for sample in data.samples} == {"One", "Two"}
    assert len(data.samples) == 2 * len(portrait.TEMPERATURES)


def test_networks_that_learned_the_same_text_are_compared() -> None:
    """Others are left out, and so is a comparison of one with itself."""
    twin, stranger = bundle(id="you-2"), bundle(id="you-3", provenance={})
    assert portrait.of_bundle(bundle(), [stranger]).networks == ()
    networks = portrait.of_bundle(bundle(), [twin, stranger]).networks
    assert [(network.name, network.ours) for network in networks] == [
        ("LSTM 1 × 4 (you-1)", True),
        ("LSTM 1 × 4 (you-2)", False),
    ]


def test_a_bundle_without_excerpts_has_a_portrait_too() -> None:
    """The numbers are left; nothing of the user's lines is."""
    page = report.render(portrait.of_bundle(without_excerpts(bundle())))
    assert "Nobody" not in page
    assert "you-1" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"provenance": {"offers": [{"nonsense": 1}]}},
        {"provenance": {"offers": 7}},
        {"provenance": {"corpus": {"summary": []}}},
        {"provenance": {"evaluation": {"rows": [3]}}},
        {"provenance": {"machine": "a fine one"}},
        {"history": [{"event": "levitated"}]},
        {"history": [{"event": "evaluated", "bits": 1}]},
    ],
)
def test_a_story_that_cannot_be_read_is_one_sentence(changes: dict[str, Any]) -> None:
    """An imported model of another make can be used, and says why it has no report."""
    with pytest.raises(BundleCorruptError, match=r"you-1.*story.*; it can be used"):
        portrait.of_bundle(bundle(**changes))


def test_offers_stand_in_real_lines() -> None:
    """Before, offered and written: before and written together are the line."""
    predictor = open_predictor(bundle())
    short_and_long = f"too short\n{LINE}\n" * 12
    found = list(portrait.offers(predictor, ALPHABET, [text_of(short_and_long)]))
    assert len(found) == portrait.N_OFFERS
    assert {offer["before"] + offer["written"] for offer in found} == {LINE}


def test_prompts_are_beginnings_of_sentences() -> None:
    """Up to three, each once, no longer than a line; a text without sentences has none."""
    other = "- Apples, pears and plums, all of them from the old tree."
    assert list(portrait.prompts([text_of(f"{LINE}\n{other}\n{LINE}\n")])) == [
        "Nobody weeds the garden until",
        "Apples, pears and plums, all",
    ]
    assert list(portrait.prompts([text_of("x = 1\n" * 50)])) == []
    assert portrait.opening([text_of("x = 1\n")]) == "The"
    (long,) = portrait.prompts([text_of("a" * 500 + " b c d e f g h")])
    assert len(long) == portrait.PROMPT_CHARACTERS


def test_writing_is_repeatable_and_leaves_the_predictor_alone() -> None:
    """The same prompt and temperature give the same text."""
    predictor = open_predictor(bundle())
    before = predictor.distribution().copy()
    sampling = portrait.Sampling(temperature=1.0)
    drawn = [portrait.write(predictor, ALPHABET, "é", 40, sampling) for _ in range(2)]
    assert drawn[0] == drawn[1]
    np.testing.assert_array_equal(predictor.distribution(), before)


def test_times_that_are_none_are_shown_as_they_are() -> None:
    """A hand-edited bundle does not break a list."""
    assert portrait.local_time("long ago", "%Y") == "long ago"
    assert portrait.local_time("2026-07-01T12:00:00Z", "%Y") == "2026"
    assert portrait.of_bundle(replace(bundle(), created="2026-11-20T12:00:00Z")).made
