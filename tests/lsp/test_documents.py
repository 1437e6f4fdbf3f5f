"""Open documents: whatever an editor sends, their text is the editor's."""

import os
import random
from collections.abc import Sequence

import pytest
from afterword_lsp.documents import (
    MOST_CHARACTERS_IN_LINE,
    Change,
    Document,
    Encoding,
    Place,
    Position,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
PIECES = (
    *("a", "b", "word ", "\t", "\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85"),
    *("\u2028", "\u2029", "é", "ß", "漢字", "😀", "👩\u200d🚀", "e\u0301", "\ufeff", "\u202e"),
)


class Reference:
    """A document as its definition says: one string of units, counted from its start each time."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.codec, self.size = CODECS[encoding]
        self.data = text.encode(self.codec, "surrogatepass")

    @property
    def text(self) -> str:
        return self.data.decode(self.codec, "surrogatepass")

    def offset(self, position: Position) -> int:
        """In bytes of the encoding."""
        lines = self.lines()
        if position.line >= len(lines):
            return len(self.data)
        before = b"".join(body + ending for body, ending in lines[: position.line])
        body = lines[position.line][0]
        at = min(position.character * self.size, len(body))
        while self.codec == "utf-8" and 0 < at < len(body) and body[at] & 0xC0 == 0x80:
            at -= 1
        return len(before) + at

    def lines(self) -> list[tuple[bytes, bytes]]:
        """Bodies and endings."""
        found, body, text = [], "", self.text
        index = 0
        while index < len(text):
            ending = "\r\n" if text.startswith("\r\n", index) else text[index]
            if ending in ("\r\n", "\r", "\n"):
                found.append((body, ending))
                body = ""
            else:
                body += ending
            index += len(ending)
        found.append((body, ""))
        return [(b.encode(self.codec, "surrogatepass"), e.encode(self.codec)) for b, e in found]

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            new = change.text.encode(self.codec, "surrogatepass")
            if change.start is None or change.end is None:
                self.data = new
                continue
            start = self.offset(change.start)
            end = max(start, self.offset(change.end))
            self.data = self.data[:start] + new + self.data[end:]


texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
positions = st.builds(Position, st.integers(0, 9), st.integers(0, 12))
edits = st.builds(Change, texts, positions, positions)
batches = st.lists(st.lists(edits | texts.map(Change), max_size=4), max_size=6)


@settings(max_examples=60)
@given(st.sampled_from(ENCODINGS), texts, batches)
@example("utf-16", "a\rb", [[Change("\n", Position(1, 0), Position(1, 0))]])
@example("utf-16", "a\rb\n", [[Change("", Position(1, 0), Position(1, 1))]])
@example("utf-16", "😀", [[Change("", Position(0, 0), Position(0, 1))]])
@example("utf-16", "form\x0cf", [[Change("e", Position(0, 6), Position(0, 6))]])
def test_a_document_equals_the_editors(
    encoding: Encoding, text: str, batches: list[list[Change]]
) -> None:
    """After every batch of changes, in every encoding, positions past the end included."""
    document, reference = Document(text, 0, encoding), Reference(text, encoding)
    for version, changes in enumerate(batches, start=1):
        document.apply(version, changes)
        reference.apply(changes)
        assert (document.text, document.is_synced) == (reference.text, True)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_sync_diff(encoding: Encoding) -> None:
    """Long runs over one document; AFTERWORD_TEST_EDITS raises their number."""
    n_edits = int(os.environ.get("AFTERWORD_TEST_EDITS", "300"))
    seed = 20_260_000 + len(encoding)
    draw = random.Random(seed)
    document, reference = Document("", 0, encoding), Reference("", encoding)
    for version in range(1, n_edits + 1):
        changes = [random_change(draw, reference) for _ in range(draw.choice((1, 1, 1, 3)))]
        document.apply(version, changes)
        reference.apply(changes)
        assert document.text == reference.text, f"{encoding}, seed {seed}, edit {version}"


def random_change(draw: random.Random, reference: Reference) -> Change:
    """Mostly small, anywhere, sometimes past an end; a whole text once in a while."""
    text = "".join(draw.choices(PIECES, k=draw.choice((0, 0, 1, 1, 1, 2, 9))))
    if draw.random() < 0.01 or len(reference.data) > 400:
        return Change(text)
    n_lines = len(reference.lines())
    start = Position(draw.randrange(n_lines + 1), draw.choice((0, 1, 2, 5, 9, 99)))
    n_more = draw.choice((0, 0, 0, 0, 1, 2))
    character = start.character + draw.choice((0, 0, 1, 3)) if not n_more else draw.randrange(9)
    return Change(text, start, Position(start.line + n_more, character))


@settings(max_examples=60)
@given(st.sampled_from(ENCODINGS), texts, positions, st.lists(edits, max_size=4))
@example("utf-16", "a😀", Position(1, 0), [Change("b", Position(0, 2), Position(0, 2))])
def test_a_mark_stays_behind_the_same_character(
    encoding: Encoding, text: str, position: Position, changes: list[Change]
) -> None:
    """It moves with the text behind an edit, stays before one, and is gone when within it."""
    document = Document(text, 0, encoding)
    document.mark = document.place(position)
    for version, change in enumerate(changes, start=1):
        if document.mark is None:
            return
        assert change.start is not None
        assert change.end is not None
        old, start = document.mark, document.place(change.start)
        is_split = document.position(start) > change.start  # between the halves of a character
        before = document.between(Place(0, 0), old)
        behind = document.between(old, document.end)
        document.apply(version, [change])
        if document.mark is None:
            # At the beginning of a line \r and \n may come together, and are one line's end.
            assert old > start or old.column == 0 or is_split
        elif old <= start:
            assert document.between(Place(0, 0), document.mark) == before
        else:
            assert document.between(document.mark, document.end) == behind


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=texts, n=st.integers(0, 30))
def test_places_and_positions_are_two_names_of_one(encoding: Encoding, text: str, n: int) -> None:
    """Each place has a position that leads back to it, and can be reached from either side."""
    document = Document(text, 0, encoding)
    place = document.forth(Place(0, 0), n)
    before = document.between(Place(0, 0), place)
    assert len(before) == min(n, len(text))
    assert document.back(place, len(before)) == Place(0, 0)
    width = len(document.right_of(Place(place.line, 0)))
    if place.column <= width:
        assert document.place(document.position(place)) == place


def test_versions_that_do_not_increase_mark_a_document_unsynced() -> None:
    """Nothing is edited from then on, until a whole text arrives."""
    at = Position(0, 0)
    document = Document("one", 5)
    document.apply(5, [Change("x", at, at)])
    assert not document.is_synced
    document.apply(6, [Change("x", at, at)])
    assert not document.is_synced
    document.apply(7, [Change("x", at, at), Change("whole"), Change("a ", at, at)])
    assert (document.is_synced, document.text) == (True, "a whole")


def test_a_document_with_an_endless_line_is_let_go() -> None:
    """When it is opened and when it is pasted; a shorter whole text brings it back."""
    endless = "x" * (MOST_CHARACTERS_IN_LINE + 1)
    assert not Document(f"a\n{endless}\nb", 1).is_synced
    document = Document("a\nb", 1)
    document.apply(2, [Change(endless, Position(1, 0), Position(1, 0))])
    assert (document.is_synced, document.text) == (False, "")
    document.apply(3, [Change("short")])
    assert (document.is_synced, document.text) == (True, "short")


def test_the_line_ending_in_use_is_that_of_the_line_or_of_the_one_before() -> None:
    """A document's last line has none of its own."""
    document = Document("a\r\nb\nc", 1)
    found = [document.ending(Place(line, 0)) for line in range(3)]
    assert found == ["\r\n", "\n", "\n"]
    assert Document("a", 1).ending(Place(0, 0)) == "\n"
