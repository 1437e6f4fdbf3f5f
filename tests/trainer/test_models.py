"""`trainer models`: what each is worth, and on which text."""

from pathlib import Path
from typing import Any

import bases
import pytest
from afterword_trainer.candidate import measured_on
from afterword_trainer.model.bundle import without_excerpts
from afterword_trainer.shelf import Shelf
from processes import Trainer, records_of


def learned(*folders: str, digest: str = "d1", n: int | None = 2_000) -> dict[str, Any]:
    """The facts of a model that has learned `folders`, scored on `n` characters or by the gate."""
    return {
        "corpus": {"digest": digest, "summary": {"folders": {name: {} for name in folders}}},
        "evaluation": {"bits_characters": n} if n else None,
    }


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (bases.ORIGIN, "other people's writing"),
        (learned("notes/a", "notes/b", "notes"), "2,000 characters of notes"),
        (learned("notes", "thesis/one", "x"), "2,000 characters of notes, thesis, …"),
        (learned("notes", n=None), "the newest of notes"),
        ({}, None),  # made by an earlier version
    ],
)
def test_scores_are_of_a_text(facts: dict[str, Any], text: str | None) -> None:
    """Other people's, or what was kept back of somebody's folders."""
    found = measured_on(bases.bundle("you-1", provenance=facts))
    assert (found.text if found else None) == text


def test_scores_compare_where_the_text_is_the_same() -> None:
    """All that was read, and how much of its end."""
    one, same, later, longer = (
        measured_on(bases.bundle("you-1", provenance=facts))
        for facts in (
            learned("notes"),
            learned("notes"),
            learned("notes", digest="d2"),
            learned("notes", n=4_000),
        )
    )
    assert one == same
    assert len({one, later, longer}) == 3


def test_a_model_that_was_given_away_names_no_folders() -> None:
    """And can be listed all the same; one that was never scored is measured on nothing."""
    given = without_excerpts(bases.bundle("you-1", provenance=learned("notes")))
    found = measured_on(given)
    assert found
    assert found.text == "2,000 characters of what it learned"
    assert measured_on(bases.bundle("you-1", scores={}, provenance=learned("notes"))) is None


@pytest.mark.parametrize(("digest", "compares"), [("d1", True), ("d2", False)])
def test_the_list_says_on_which_text(
    digest: str, compares: bool, trainer: Trainer, home: Path
) -> None:
    """And where to look for scores that compare, if those in one column do not."""
    shelf = Shelf(home / "data/models")
    for n, read in enumerate(("d1", digest), 1):
        facts = learned("notes", digest=read)
        shelf.use(shelf.publish(bases.bundle(f"you-{n}", provenance=facts)))
    shown = trainer("models").stdout
    assert shown.count("2,000 characters of notes") == 2
    assert ("trainer history" in shown) is not compares
    texts = [model["measured_on"] for model in records_of(trainer("models", "--json").stdout)]
    assert texts[0] == {"text": "2,000 characters of notes", "digest": "d1", "characters": 2_000}
    assert (texts[0] == texts[1]) is compares


def test_a_model_whose_folder_was_renamed_spoils_no_list(trainer: Trainer, home: Path) -> None:
    """The others are listed all the same."""
    shelf = Shelf(home / "data/models")
    for n in (1, 2):
        shelf.publish(bases.bundle(f"you-{n}", provenance=learned("notes")))
    (shelf.root / "you-2").rename(shelf.root / "you-5")
    ids = [model["id"] for model in records_of(trainer("models", "--json").stdout)]
    assert ids == ["you-1", "you-5"]
