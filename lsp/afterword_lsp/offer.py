"""What became of a suggestion, told by the text alone: not every editor says that one was taken.

Pure: an offer is compared with the document after each change. Characters that agree were typed,
unless more of them appear at once than keys can have brought, and end where one accepts: with the
suggestion, a word or a line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from afterword_daemon.protocol import Item, Outcome

from afterword_lsp.documents import Document, Place

CONTEXT: Final = 40  # characters before the cursor by which its place is known again
# One change may hold several keys: some editors gather 150 milliseconds of them, an input method a
# word, and brackets come in pairs. Whoever accepts less has saved little, and is not seen to.
MOST_TYPED: Final = 5  # characters


@dataclass(slots=True, kw_only=True)
class Offer:
    """Suggestions that are on the screen, and how much of them has come true."""

    items: tuple[Item, ...]  # their text as in the document, line endings included
    place: Place  # where they begin
    context: str  # the text before it
    n_present: int  # characters of one of them behind the place
    n_at_once: int = 0  # of which so many appeared several at a time
    is_taken: bool = False  # some of them were accepted, as far as the text tells
    is_in_doubt: bool = False  # the word before the place is gone, and may be back at once
    best: Item = field(init=False)

    def __post_init__(self) -> None:
        self.best = self.items[0]

    @property
    def is_complete(self) -> bool:
        """Whether all of a suggestion is in the text."""
        return self.n_present >= len(self.best.text)


def offered(document: Document, place: Place, items: tuple[Item, ...]) -> Offer:
    """An offer of `items`, of which there is at least one, at a place."""
    offer = Offer(items=items, place=place, context=_context(document, place), n_present=0)
    offer.n_present = max(_n_present(document, place, item) for item in items)
    return offer


def follow(offer: Offer, document: Document) -> bool:
    """Look at the document after a change; False when it goes another way, or holds all of it."""
    place, was_in_doubt = offer.place, offer.is_in_doubt
    offer.is_in_doubt = _lacks_word(offer, document)
    if offer.is_in_doubt:
        return True
    if place > document.end or _context(document, place) != offer.context:
        return False
    found = {_n_present(document, place, item): item for item in reversed(offer.items)}
    n_present = max(found)
    n_more = n_present - offer.n_present
    if n_more < 0 or (n_more == 0 and not was_in_doubt):
        return False
    offer.best, offer.n_present = found[n_present], n_present
    if n_more > 1:
        offer.n_at_once += n_more
    offer.is_taken |= n_more > MOST_TYPED and _ends_there(offer.best.text, n_present)
    return not offer.is_complete


def outcome(offer: Offer, *, is_followed: bool) -> Iterator[Outcome]:
    """What to tell of an offer that ends: at most one thing.

    `is_followed` says that the text agreed until another offer took its place. What was typed
    along is neither accepted nor rejected.
    """
    if offer.is_taken and offer.is_complete:
        yield Outcome(suggestion=offer.best.id, event="accepted", characters=offer.n_at_once)
    elif offer.is_taken:
        yield Outcome(suggestion=offer.best.id, event="partly", characters=offer.n_at_once)
    elif (offer.is_in_doubt or not is_followed) and not offer.is_complete:
        yield Outcome(suggestion=offer.best.id, event="rejected")


def _ends_there(text: str, n: int) -> bool:
    """Whether one can accept `n` characters of a text: all, or up to a word's or line's end."""
    return n == len(text) or not (text[n - 1].isalnum() and text[n].isalnum())


def _lacks_word(offer: Offer, document: Document) -> bool:
    """Whether the word before the place is gone, and nothing before that.

    Vim takes it away before it shows a menu or puts in what was chosen. ALE tells of the text as it
    is at that moment, and of the word's return with the next change alone.
    """
    word = _WORD.search(offer.context)
    if not word:
        return False
    n_gone = len(word[0])
    start = document.back(offer.place, n_gone)
    if start > document.end:
        return False
    before = document.between(document.back(start, CONTEXT - n_gone), start)
    there = document.between(start, document.forth(start, 1))
    return before == offer.context[:-n_gone] and there != word[0][:1]


def _context(document: Document, place: Place) -> str:
    return document.between(document.back(place, CONTEXT), place)


def _n_present(document: Document, place: Place, item: Item) -> int:
    """Characters of the item's text that are in the document, from its first on."""
    there = document.between(place, document.forth(place, len(item.text)))
    for n, (one, other) in enumerate(zip(there, item.text, strict=False)):
        if one != other:
            return n
    return min(len(there), len(item.text))


_WORD: Final = re.compile(r"\w+\Z")
