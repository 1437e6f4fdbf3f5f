"""What became of a suggestion, by nothing but the text."""

import pytest
from afterword_daemon.protocol import Item
from afterword_lsp.documents import Change, Document, Position
from afterword_lsp.offer import follow, offered, outcome

TEXT = "We went to the ri\nbank."
CURSOR = Position(0, 17)
ITEMS = (Item(id="a", text="ver rose slowly"), Item(id="b", text="ght bank"))


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
        ([insert("ver rose slowly", 17)], ("a", "accepted", 15)),
        ([insert("v", 17), insert("er rose slowly", 18)], ("a", "accepted", 14)),
        ([insert("ver rose", 17), insert(" slowly", 25)], ("a", "accepted", 15)),
        ([insert("ght bank", 17)], ("b", "accepted", 8)),
        ([insert("river rose slowly", 15, end=17)], ("a", "accepted", 15)),
        # in part: some words of it, and then something else, or nothing yet, or the rest by hand
        ([insert("ver rose", 17), insert("s", 25)], ("a", "partly", 8)),
        ([insert("ver rose", 17)], ("a", "partly", 8)),
        ([insert("ver rose", 17), insert(" ", 25)], ("a", "partly", 8)),
        # so does Vim: the word before it is taken away, and comes back, alone or with more
        (
            [Change("We went to the \nbank."), insert("river rose slowly", 15)],
            ("a", "accepted", 15),
        ),
        ([insert("", 15, end=17), insert("river rose", 15)], ("a", "partly", 8)),
        ([insert("", 15, end=17), insert("ri", 15)], None),
        ([insert("", 15, end=17), insert("ri", 15), insert("v", 17)], None),
        ([insert("", 15, end=17), insert("sea", 15)], ("a", "rejected", 0)),
        ([insert("", 15, end=17), insert("", 14, end=15)], ("a", "rejected", 0)),
        ([insert("", 15, end=17)], ("a", "rejected", 0)),
        ([insert("", 15, end=17), insert("", 15, end=15)], ("a", "rejected", 0)),
        # rejected: other text, text elsewhere, a deletion, another line above
        ([insert("x", 17)], ("a", "rejected", 0)),
        ([insert("v", 17), insert("a", 18)], ("a", "rejected", 0)),
        ([insert("x", 0, line=1)], ("a", "rejected", 0)),
        ([insert("", 10, end=17)], ("a", "rejected", 0)),
        ([insert("new\n", 0)], ("a", "rejected", 0)),
        ([Change("")], ("a", "rejected", 0)),
        # neither: typed along by hand, to its end even, or not touched
        ([insert("v", 17)], None),
        ([insert(c, 17 + n) for n, c in enumerate("ver rose slowly")], None),
        ([], None),
        # nor by quick hands, of which an editor gathers several keys: no word, or a short one
        ([insert("ve", 17)], None),
        ([insert("ver", 17)], None),
        ([insert("ver r", 17), insert("ose s", 22), insert("lowly", 27)], None),
        ([insert("ver rose slow", 17)], None),
    ],
)
def test_what_became_of_it(changes: list[Change], told: tuple[str, str, int] | None) -> None:
    """One thing at most, with the characters that appeared several at once."""
    assert became(*changes) == ([told] if told else [])


def test_text_that_was_there_before_is_not_counted() -> None:
    """The text to the right may begin as the suggestion does."""
    document = Document("a very", 0)
    place = document.place(Position(0, 2))
    offer = offered(document, place, (Item(id="a", text="very much so"),))
    assert offer.n_present == 4
    document.apply(1, [insert(" much so", 6)])
    assert not follow(offer, document)
    assert [one.characters for one in outcome(offer, is_followed=False)] == [8]
