"""What is asked of the daemon for a place in a document, and what an editor is shown."""

import os
from urllib.parse import quote

import msgspec
import pytest
from afterword_daemon import protocol, shaping
from afterword_daemon.protocol import Complete, Item, Options
from afterword_lsp import completion
from afterword_lsp.completion import (
    FARTHEST,
    MOST_IN_POPUP,
    NEAREST,
    Spot,
    anchor,
    as_in,
    inline_items,
    popup_items,
    spot_at,
    spot_of_word,
)
from afterword_lsp.documents import START, Change, Document, Encoding, Place, Position
from hypothesis import example, given
from hypothesis import strategies as st
from lsprotocol import types

LINE = "On the third day we went down to the river and counted boats.\n"


def asked(document: Document, spot: Spot) -> Complete:
    document.mark = anchor(document, spot.start)
    return completion.request(
        document,
        spot,
        document.mark,
        name="file:///a.md",
        path="notes/a.md",
        language="markdown",
        indentation="\t",
        invoked=False,
        options=Options(),
    )


def at(document: Document, line: int, character: int) -> Spot:
    spot = spot_at(document, document.place(Position(line, character)))
    assert spot
    return spot


def range_of(line: int, start: int, end: int) -> types.Range:
    return types.Range(types.Position(line, start), types.Position(line, end))


def shown(document: Document, spot: Spot, *items: Item) -> list[tuple[str, types.Range]]:
    fit = as_in(document, spot, items)
    found = inline_items(document, spot, fit)
    assert [item.filter_text for item in found] == [item.insert_text for item in found]
    return [(str(item.insert_text), item.range) for item in found if item.range]


def entries(document: Document, spot: Spot, *items: Item) -> list[tuple[str, types.Range]]:
    found = popup_items(document, spot, as_in(document, spot, items))
    edits = [item.text_edit for item in found]
    assert all(item.filter_text == item.label for item in found)
    return [(e.new_text, e.range) for e in edits if isinstance(e, types.TextEdit)]


# -- the request -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "character", "before", "after"),
    [
        ("", 0, 0, "", ""),
        ("one\ntwo three\n", 1, 3, "one\ntwo", " three"),
        ("one\r\ntwo\rthree\r\n", 2, 2, "one\ntwo\nth", "ree"),
        ("a\x0cb\u2028c", 0, 3, "a\x0cb", "\u2028c"),
        ("\ud800x", 0, 1, "\ufffd", "x"),
        ("😀 y", 0, 3, "😀 ", "y"),
    ],
)
def test_what_is_around_the_cursor(
    text: str, line: int, character: int, before: str, after: str
) -> None:
    """Text before it and to the end of its line, as valid Unicode with \\n between lines."""
    document = Document(text, 1)
    request = asked(document, at(document, line, character))
    assert (request.before, request.after) == (before, after)


def test_while_typing_each_request_begins_with_the_one_before() -> None:
    """So each key costs the daemon one step; the anchor moves once in many hundred keys."""
    document = Document("", 0)
    before, n_moves, text = "", 0, LINE * 100
    for version, character in enumerate(text, start=1):
        end = document.position(document.end)
        document.apply(version, [Change(character, end, end)])
        request = asked(document, Spot(start=document.end, end=document.end))
        assert len(request.before) <= FARTHEST
        n_moves += request.before != before + character
        before = request.before
    assert 1 <= n_moves <= len(text) / (FARTHEST - 2 * NEAREST)


def test_a_jump_costs_little() -> None:
    """A new anchor is the start of a line, near but not too near, or that of the document."""
    document = Document(LINE * 1000, 1)
    document.mark = START
    request = asked(document, at(document, 700, 10))
    assert NEAREST <= len(request.before) <= NEAREST + 2 * len(LINE)
    assert request.before.startswith(LINE)
    assert asked(document, at(document, 2, 5)).before == LINE * 2 + LINE[:5]


def test_an_anchor_moves_along_with_edits_above_it() -> None:
    """Lines that come or go there change nothing about the request."""
    document = Document(LINE * 100, 1)
    request = asked(document, at(document, 50, 10))
    document.apply(2, [Change("new\nlines\n", Position(3, 0), Position(3, 5))])
    assert asked(document, at(document, 52, 10)) == request


def test_an_anchor_that_was_edited_away_is_set_anew() -> None:
    """The text before the cursor is another one then, whatever is done."""
    document = Document(LINE * 100, 1)
    asked(document, at(document, 50, 10))
    document.apply(2, [Change("", Position(40, 0), Position(49, 9))])
    assert document.mark is None
    request = asked(document, at(document, 41, 10))
    assert request.before.endswith(LINE[9:] + LINE[:10])


def test_in_a_line_without_end_the_anchor_is_within_it() -> None:
    """No start of a line is near there."""
    document = Document("x" * 50_000, 1)
    request = asked(document, at(document, 0, 40_000))
    assert len(request.before) == NEAREST


def test_a_selected_entry_of_a_menu_is_extended() -> None:
    """The request is that of the text with the entry in it, and so is the item."""
    document = Document("x = pri(1)", 1)
    selected = types.SelectedCompletionInfo(range=range_of(0, 4, 7), text="print")
    spot = spot_at(document, Place(0, 7), selected)
    assert spot
    request = asked(document, spot)
    assert (request.before, request.after) == ("x = print", "(1)")
    item = Item(id="a", text="_all")
    assert shown(document, spot, item) == [("print_all", range_of(0, 4, 7))]


@pytest.mark.parametrize("selected", [(0, 1, "one"), (8, 9, "two"), (4, 7, "two\nlines")])
def test_an_entry_that_cannot_be_extended_gets_nothing(selected: tuple[int, int, str]) -> None:
    """It does not hold the cursor, or is of several lines."""
    start, end, text = selected
    document = Document("x = pri(1)", 1)
    info = types.SelectedCompletionInfo(range=range_of(0, start, end), text=text)
    assert spot_at(document, Place(0, 7), info) is None


# -- the reply ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_a_range_counts_as_the_editor_does(encoding: Encoding, units: int) -> None:
    """It covers the characters right of the cursor that the item stands for."""
    document = Document("😀f(😀)\n", 1, encoding)
    spot = at(document, 0, units + 2)
    item = Item(id="a", text="x)", replaces=2)
    assert shown(document, spot, item) == [("x)", range_of(0, units + 2, 2 * units + 3))]


def test_a_plain_item_has_an_empty_range_and_tells_when_it_is_accepted() -> None:
    """A range of more would be drawn over the text to the right."""
    document = Document("one ", 1)
    spot = at(document, 0, 4)
    [item] = inline_items(document, spot, (Item(id="it", text="two"),))
    assert item.range == range_of(0, 4, 4)
    assert item.command
    assert (item.command.command, item.command.arguments) == ("afterword.accept", ["it"])


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_as_in_the_document(ending: str) -> None:
    """Whatever the daemon says, which knows \\n only."""
    document = Document(f"a{ending}b", 1)
    found = shown(document, at(document, 1, 1), Item(id="a", text="c\nd"))
    assert [text for text, _ in found] == [f"c{ending}d"]


@pytest.mark.parametrize(
    "odd",
    ["\x00", "\x1b[1m", "\r", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud83d"],
)
def test_what_nobody_types_is_never_shown(odd: str) -> None:
    """Controls, marks that turn the direction, halves of characters."""
    document = Document("a ", 1)
    spot = at(document, 0, 2)
    good = Item(id="b", text="good")
    assert shown(document, spot, Item(id="a", text=f"b{odd}c"), good) == [
        ("good", range_of(0, 2, 2))
    ]


def test_the_last_gate_holds_back_all_that_the_daemon_does() -> None:
    """Character by character, beside the list by which it shapes what it offers."""
    document = Document("a ", 1)
    spot = at(document, 0, 2)
    texts = [f"b{chr(code)}c" for code in range(0x1_0000) if chr(code) != "\n"]
    missed = [
        text
        for text in texts
        if shaping.writable(text) != text and as_in(document, spot, (Item(id="a", text=text),))
    ]
    assert missed == []


def test_what_is_asked_fits_into_a_message() -> None:
    """However long what the editor says is: the daemon hangs up on what is longer."""
    document = Document("x" * 50_000, 1)
    selected = types.SelectedCompletionInfo(range=range_of(0, 0, 7), text="y" * 50_000)
    spot = spot_at(document, Place(0, 7), selected)
    assert spot
    path = completion.path_of(f"file:///{'p' * 5_000}/end.py", ())
    language = completion.language_of("l" * 5_000)
    request = msgspec.structs.replace(asked(document, spot), path=path, language=language)
    assert protocol.frame(request)
    assert request.before.endswith("y")
    assert path.endswith("/end.py")


@pytest.mark.parametrize(
    ("left", "text", "label", "start"),
    [
        ("the riv", "er rose", "river rose", 4),
        ("the ", "river", "river", 4),
        ("the", " river", "the river", 0),
        ("naïve caf", "é", "café", 6),
        ("the riv", "er\nand more", "river", 4),
        ("the riv", "x" * 200, ("riv" + "x" * 200)[:MOST_IN_POPUP], 4),
    ],
)
def test_entries_of_a_menu(left: str, text: str, label: str, start: int) -> None:
    """One short line that begins with the typed word, which it replaces and is found by."""
    document = Document(left, 1)
    spot = spot_of_word(document, document.end)
    assert asked(document, spot).before == left
    item = Item(id="a", text=text)
    assert entries(document, spot, item) == [(label, range_of(0, start, len(left)))]


def test_an_entry_that_would_add_nothing_is_left_out() -> None:
    """A new line is for ghost text."""
    document = Document("the", 1)
    assert not entries(document, spot_of_word(document, document.end), Item(id="a", text="\nx"))


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///home/a/notes/day/one.md", "notes/day/one.md"),
        ("file:///home/a/notes%20b/one.md", "notes b/one.md"),
        ("file:///home/a/other/two%C3%A9.py", "other/twoé.py"),
        ("file:///three.py", "three.py"),
        ("untitled:Untitled-1", ""),
        ("vscode-notebook-cell:/home/a/x.ipynb#1", ""),
        ("", ""),
    ],
)
def test_paths_are_as_in_learned_text(uri: str, path: str) -> None:
    """Relative, with the name of the open folder first."""
    assert completion.path_of(uri, ("/home/a/notes", "/home/a/notes b/")) == path


@pytest.mark.parametrize(
    ("editors", "ours"),
    [("markdown", "markdown"), ("plaintext", "text"), ("", "text"), ("sh", "shellscript")],
)
def test_languages_are_as_in_learned_text(editors: str, ours: str) -> None:
    """Editors differ in their names for some."""
    assert completion.language_of(editors) == ours


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("", "\t"),
        ("a\n  b\n    c\n  d\n", "  "),
        ("def f():\n    if x:\n        y\n", "    "),
        ("f:\n\ta\n\tb\n  c\n", "\t"),
        (" * a\n * b\n", "\t"),
    ],
)
def test_indentation_is_found_in_the_text(text: str, step: str) -> None:
    """Whatever most lines are indented by against the one before."""
    assert completion.indentation(text) == step


def test_of_a_long_document_the_part_around_the_cursor_is_remembered() -> None:
    """A limit that holds for documents of any length."""
    document = Document(LINE * 10_000, 1)
    text = completion.remembered(document, Place(5_000, 0))
    assert len(text) == protocol.MAX_TEXT
    assert text in document.text
    assert completion.remembered(Document("a\r\nb", 1), START) == "a\nb"


@pytest.mark.parametrize("uri", [f"file:///{'a' * 13_000}", "file:///\ud800"])
def test_every_document_has_a_name_that_can_be_sent(uri: str) -> None:
    """And each another one; usually it is the path of its file, or the URI where it has none."""
    name = completion.name_of(uri)
    protocol.frame(protocol.Close(document=name))
    assert name == completion.name_of(uri) != completion.name_of(f"{uri}b")
    assert completion.name_of("file:///%C3%A4%20b.md") == "/ä b.md"
    assert completion.name_of("untitled:1") == "untitled:1"


@given(name=st.binary(max_size=60))
@example(name=b"\xff.md")
@example(name=b"100%25 #1?.md ")
@example(name="\U0001f9d1\u200d\U0001f373\u202e\n".encode())
def test_a_uri_names_its_file_byte_for_byte(name: bytes) -> None:
    """Names need not be Unicode; what was forgotten is known by just these bytes."""
    path = b"/n/" + name.replace(b"\0", b"")
    for uri in (f"file://{quote(path)}", f"file:{quote(path)}", f"file://localhost{quote(path)}"):
        assert os.fsencode(completion.file_of(uri)) == path
        assert os.fsencode(protocol.path_of(completion.name_of(uri))) == path
