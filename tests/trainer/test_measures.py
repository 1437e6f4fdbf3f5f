"""What one model makes of one text: bits per character, keys saved, and how sure it was."""

import math

import numpy as np
import pytest
from afterword_trainer.baselines import BufferWords, CharacterNgrams
from afterword_trainer.measures import (
    Page,
    Trial,
    beginning,
    bits_of,
    bits_per_character,
    listed_by,
    outcomes,
    typed_with,
    typed_with_words,
)
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor
from afterword_trainer.model.suggestion import Policy
from afterword_trainer.scores import Bits
from afterword_trainer.typist import Ghost, Keystrokes, Speller, keystrokes, offers_along

ALPHABET = Alphabet("é")
HEADER = ALPHABET.header("notes/a.md", "markdown", 1_769_860_800.0)
LEARNED = (
    "In the morning the ferry is late and the harbour is quiet. "
    "The ferry is late because the fog is thick, and nobody minds. "
) * 12
PAGES = [Page(HEADER, "The ferry is late."), Page(HEADER, "Nobody minds the fog.")]


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


def trial(*pages: Page, n_words: int = 0) -> Trial:
    return Trial(
        alphabet=ALPHABET, policy=Policy(), for_bits=pages, for_keys=pages, n_words=n_words
    )


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


def test_bits_of_pages_add_up() -> None:
    """State is carried from page to page, as in training."""
    carried, pages = Half([]), trial(*PAGES)
    costs = [bits_per_character(Half([]), ALPHABET, text, HEADER) for _, text in PAGES]

    assert bits_of(carried, pages) == costs[0] + costs[1]
    assert len(carried.seen) == sum(len(HEADER) + len(text) for _, text in PAGES)
    assert pages.bits_characters == pages.keystroke_characters == 18 + 21
    assert bits_of(Half([]), trial()) == Bits()


def test_outcomes_are_those_of_the_offers() -> None:
    """Each offer with its probability, and whether the text went on so."""
    text = "The ferry is late because"
    given = offers_along(Ghost(learned(), ALPHABET, Policy()), text, HEADER)
    said = outcomes(text, given)

    assert len(said) == sum(offer is not None for offer in given)
    assert all(0 < probability <= 1 for probability, _ in said)
    assert {right for _, right in said} <= {True, False}
    assert any(right for _, right in said)


def test_each_degree_is_typed_as_if_it_were_alone() -> None:
    """Several degrees at once save what a ghost of each saves; outcomes are those of the first."""
    typed = typed_with(learned(), trial(*PAGES), [0.5, 0.0])
    expected = []
    for degree in (0.5, 0.0):
        ghost, total, came_true = (
            Ghost(learned(), ALPHABET, Policy(min_probability=degree)),
            Keystrokes(),
            [],
        )
        for header, text in PAGES:
            offers = offers_along(ghost, text, header)
            total += keystrokes(text, [offer.text if offer else None for offer in offers])
            came_true += outcomes(text, offers)
        expected.append((total, tuple(came_true)))

    assert typed.by_degree == (expected[0][0], expected[1][0])
    assert typed.outcomes == expected[0][1]
    assert typed.by_degree[0].shown < typed.by_degree[1].shown
    assert typed.by_degree[0].accepted > 0


def test_words_are_typed_and_listed_page_by_page() -> None:
    """Counts add up over pages; lists end after so many words, wherever that is."""
    typed = typed_with_words(BufferWords(LEARNED, most_frequent=True), trial(*PAGES))
    listed = listed_by(Speller(learned(), ALPHABET), trial(*PAGES, n_words=6))

    assert (typed.characters, typed.shown > 5) == (39, True)
    assert listed.words == 6
    assert 0 < listed.ksr[1] <= listed.ksr[6]


@pytest.mark.parametrize(
    ("n_characters", "expected"),
    [(0, []), (3, ["The"]), (18, [18]), (20, [18, "No"]), (99, [18, 21])],
)
def test_the_beginning_of_pages_is_cut_exactly(
    n_characters: int, expected: list[str | int]
) -> None:
    """Whole pages (by their length here), and the beginning of the last."""
    found = beginning(PAGES, n_characters)

    assert [page.text if len(page.text) < 18 else len(page.text) for page in found] == expected
    assert all(page.header is HEADER for page in found)
