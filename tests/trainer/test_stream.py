"""Documents become symbols on disk, the newest part apart, and nothing is lost on the way."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from afterword_trainer.model.alphabet import DOCUMENT, Alphabet
from afterword_trainer.stream import Piece, Prepared, TooLittleError, prepare
from hypothesis import given
from hypothesis import strategies as st


def text_of(text: str, path: str = "notes/a.md") -> Piece:
    """A note of 14 November 2023."""
    return Piece(path=path, language="markdown", modified=1_700_000_000.0, text=text)


def texts(*lengths: int) -> Iterator[Piece]:
    """Documents of lines, all different."""
    for number, length in enumerate(lengths):
        line = f"document {number} says something é\n"
        yield text_of((line * (length // len(line) + 1))[:length], path=f"notes/{number}.md")


def whole(prepared: Prepared, name: str) -> str:
    """All symbols of a part, as text with its headers."""
    file = prepared.learn_symbols() if name == "learn" else prepared.heldout_symbols()
    symbols = file.read(np.array([0]), file.n_symbols)[0]
    file.close()
    return prepared.alphabet.decode(symbols.tolist())


def test_the_newest_tenth_is_kept_back(tmp_path: Path) -> None:
    """Oldest first in, so the end is what is scored; the cut falls where a line ends."""
    prepared = prepare(texts(4000, 4000, 4000), tmp_path / "text")
    learned = "".join(piece.text for piece in prepared.learn_documents())
    kept_back = "".join(piece.text for piece in prepared.heldout_documents())
    assert learned + kept_back == "".join(document.text for document in texts(4000, 4000, 4000))
    assert learned.endswith("\n")
    assert 0.1 <= len(kept_back) / 12_000 <= 0.11
    assert (len(learned), len(kept_back)) == (
        prepared.learn_characters,
        prepared.heldout_characters,
    )


def test_each_document_stands_behind_its_header(tmp_path: Path) -> None:
    """Path, language and day prime the first state; a cut document keeps its header twice."""
    prepared = prepare(texts(2000, 2000), tmp_path / "text")
    assert whole(prepared, "learn").startswith("notes/0.md\tmarkdown\t2023-11-14document 0")
    assert whole(prepared, "heldout").startswith("notes/1.md\tmarkdown\t2023-11-14")
    file = prepared.learn_symbols()
    symbols = file.read(np.array([0]), file.n_symbols)[0]
    file.close()
    assert np.count_nonzero(symbols == DOCUMENT) == 2


def test_the_alphabet_is_made_from_the_text_or_given(tmp_path: Path) -> None:
    """A model that goes on learning keeps its alphabet; new characters are spelled in bytes."""
    assert prepare(texts(4000), tmp_path / "a").alphabet.characters == "é"
    given_one = prepare(texts(4000), tmp_path / "b", alphabet=Alphabet("ü"))
    assert given_one.alphabet.characters == "ü"
    assert "é" in whole(given_one, "learn")


def test_the_same_corpus_has_the_same_digest(tmp_path: Path) -> None:
    """A run is resumed only on the very text that it began with."""
    first = prepare(texts(2000, 3000), tmp_path / "a").digest
    assert prepare(texts(2000, 3000), tmp_path / "b").digest == first
    assert prepare(texts(2000, 3001), tmp_path / "c").digest != first


@pytest.mark.parametrize("lengths", [(), (999,), (10, 10, 10)])
def test_too_little_text_is_one_sentence(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    """It says how much there is and how much it takes."""
    with pytest.raises(TooLittleError, match=rf"^{sum(lengths)} characters .* 1000 .*; name more"):
        prepare(texts(*lengths), tmp_path / "text")


@given(st.text(alphabet=st.characters(), min_size=400, max_size=500))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever script, whatever control characters: both parts together are the text."""
    folder = tmp_path_factory.mktemp("any")
    prepared = prepare([text_of(text * 3)], folder / "text")
    pieces = [*prepared.learn_documents(), *prepared.heldout_documents()]
    assert "".join(piece.text for piece in pieces) == text * 3


def test_what_was_learned_is_recognised_and_what_was_kept_back_is_not(tmp_path: Path) -> None:
    """A model scored on text that it knows can say so; the two parts of a cut document differ."""
    prepared = prepare(texts(4000, 4000, 4000), tmp_path / "a")
    known = set(prepared.learned_digests())
    assert prepared.n_known(known) == 0
    assert prepare(texts(4000), tmp_path / "b", heldout_share=1.0).n_known(known) == 1
