"""What became of a suggestion, by nothing but the text."""

import pytest
from afterword_daemon.protocol import Item
from afterword_lsp.documents import Change, Document, Position
from afterword_lsp.offer import follow, offered, outcome

TEXT = "We went to the ri\nbank."
CURSOR = Position(0, 17)
ITEMS = (Item(id="a", text="ver rose"), Item(id="b", text="dge"))


def insert(text: str, character: int, line: int = 0, end: int | None = None) -> Change:
    end = character if end is None else end
    return Change(text, Position(line, character), Position(line, end))


def became(*changes: Change) -> list[tuple[str, str, int]]:
    """What is told of an offer over these changes, and after them."""
    document = Document(TEXT, 0)
    offer = offered(document, document.place(CURSOR), ITEMS)
    is_followed = True
    for version, change in enumerate(changes, start=1):
        document.apply(version, [change])
        if not (is_followed := follow(offer, document)):
            break
    told = outcome(offer, is_followed=is_followed)
    return [(one.suggestion, one.event, one.characters) for one in told]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # accepted: at once, after some typing, in parts, another one, with the word before it
        ([insert("ver rose", 17)], ("a", "accepted", 8)),
        ([insert("v", 17), insert("er rose", 18)], ("a", "accepted", 7)),
        ([insert("ver", 17), insert(" rose", 20)], ("a", "accepted", 8)),
        ([insert("ver ros", 17), insert("e", 24)], ("a", "accepted", 8)),
        ([insert("dge", 17)], ("b", "accepted", 3)),
        ([insert("river rose", 15, end=17)], ("a", "accepted", 8)),
        # in part: a word of it, and then something else, or nothing yet
        ([insert("ver", 17), insert("s", 20)], ("a", "partly", 3)),
        ([insert("ver", 17)], ("a", "partly", 3)),
        # rejected: other text, text elsewhere, a deletion, another line above
        ([insert("x", 17)], ("a", "rejected", 0)),
        ([insert("v", 17), insert("a", 18)], ("a", "rejected", 0)),
        ([insert("x", 0, line=1)], ("a", "rejected", 0)),
        ([insert("", 10, end=17)], ("a", "rejected", 0)),
        ([insert("new\n", 0)], ("a", "rejected", 0)),
        ([Change("")], ("a", "rejected", 0)),
        # neither: typed along by hand, to its end even, or not touched
        ([insert("v", 17)], None),
        ([insert(c, 17 + n) for n, c in enumerate("ver rose")], None),
        ([], None),
    ],
)
def test_what_became_of_it(changes: list[Change], told: tuple[str, str, int] | None) -> None:
    """One thing at most, with the characters that appeared several at once."""
    assert became(*changes) == ([told] if told else [])


def test_text_that_was_there_before_is_not_counted() -> None:
    """The text to the right may begin as the suggestion does."""
    document = Document("a very", 0)
    place = document.place(Position(0, 2))
    offer = offered(document, place, (Item(id="a", text="very much"),))
    assert offer.n_present == 4
    document.apply(1, [insert(" much", 6)])
    assert not follow(offer, document)
    assert [one.characters for one in outcome(offer, is_followed=False)] == [5]
