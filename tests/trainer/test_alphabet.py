"""Alphabet: any text becomes symbols and comes back unharmed."""

from collections import Counter

import pytest
from afterword_trainer.model.alphabet import DOCUMENT, FIRST_CHARACTER, TEXT, Alphabet, Decoder
from hypothesis import given
from hypothesis import strategies as st

any_text = st.text(alphabet=st.characters(), max_size=60)  # every plane, lone surrogates too
alphabets = st.sets(st.characters(min_codepoint=0x80), max_size=12).map(
    lambda characters: Alphabet("".join(sorted(characters)))
)


@given(alphabets, any_text)
def test_any_text_round_trips(alphabet: Alphabet, text: str) -> None:
    """No script, emoji, NUL byte or lone surrogate is lost, whether it has an id or not."""
    assert alphabet.decode(alphabet.encode(text).tolist()) == text


@given(alphabets, any_text)
def test_symbols_lie_within_the_softmax_and_are_never_control_symbols(
    alphabet: Alphabet, text: str
) -> None:
    """Text cannot forge the end of a document."""
    symbols = set(alphabet.encode(text).tolist())
    assert not symbols & {DOCUMENT, TEXT}
    assert all(symbol < alphabet.size for symbol in symbols)


@given(alphabets, st.lists(st.integers(0, 255), max_size=30))
def test_broken_utf8_decodes_to_marks_rather_than_errors(
    alphabet: Alphabet, symbols: list[int]
) -> None:
    """A model may spell anything; what it spells is always text."""
    text = alphabet.decode(symbols)
    expected = bytes(symbols).decode("utf-8", "replace")
    # How many marks a broken run becomes is a matter of taste; the sound characters are not.
    assert text.replace("\ufffd", "") == expected.replace("\ufffd", "") or any(
        symbol == 0xED for symbol in symbols
    )


@given(alphabets, any_text)
def test_text_can_be_decoded_symbol_by_symbol(alphabet: Alphabet, text: str) -> None:
    """A character spelled in bytes appears with its last byte, never in part."""
    decoder = Decoder(alphabet)
    pieces = [decoder.feed(symbol) for symbol in alphabet.encode(text).tolist()]
    assert "".join(pieces) + decoder.finish() == text
    assert all(len(piece) <= 1 for piece in pieces)


@pytest.mark.parametrize(
    ("text", "characters", "expected"),
    [
        ("ab", "", [97, 98]),
        ("é", "é", [FIRST_CHARACTER]),
        ("é", "", [0xC3, 0xA9]),
        ("a€b", "é", [97, 0xE2, 0x82, 0xAC, 98]),
        ("\x00\n", "", [0, 10]),
    ],
)
def test_encoding(text: str, characters: str, expected: list[int]) -> None:
    """ASCII stands for itself, frequent characters for their id, others for their bytes."""
    assert Alphabet(characters).encode(text).tolist() == expected


def test_frequent_characters_get_ids_most_frequent_first() -> None:
    """Rare characters are left to their bytes, and the softmax stays small."""
    counts = Counter("é" * 60 + "ü" * 80 + "x" * 1000 + "€" * 3)
    assert Alphabet.from_counts(counts).characters == "üé"
    assert Alphabet.from_counts(counts, at_most=1).characters == "ü"


def test_header_primes_with_what_is_known() -> None:
    """Path, language and day stand between the two control symbols; nothing known, nothing."""
    alphabet = Alphabet()
    header = alphabet.header("notes/a.md", "markdown", 1_795_132_800.0).tolist()
    assert (header[0], header[-1]) == (DOCUMENT, TEXT)
    assert alphabet.decode(header) == "notes/a.md\tmarkdown\t2026-11-20"
    assert alphabet.header().tolist() == []


@pytest.mark.parametrize("characters", ["aé", "éé", "".join(map(chr, range(0x100, 0x1200)))])
def test_an_impossible_alphabet_is_refused(characters: str) -> None:
    """ASCII, repeats and thousands of characters are mistakes of whoever made it."""
    with pytest.raises(ValueError, match=r"alphabet|ASCII"):
        Alphabet(characters)
