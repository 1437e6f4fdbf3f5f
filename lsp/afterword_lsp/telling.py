"""What the daemon is told of open documents: each text in its turn, and as it is by then.

Knows documents, the link and the order; knows nothing of keys, settings or editors.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from afterword_daemon import protocol
from afterword_daemon.link import Link

from afterword_lsp import completion
from afterword_lsp.opened import OpenDocument

UNSENT_S: Final = 0.02  # between two looks at whether the daemon has read what it was told
# Bytes that may wait for the daemon when it is told of one more document: a quarter of what the
# link lets wait, so that a request has room behind any text.
MOST_UNSENT: Final = 256 * 1024


class Telling:
    """Documents of which the daemon is to hear, in order."""

    def __init__(self, link: Link, is_wanted: Callable[[OpenDocument], bool]) -> None:
        """Of a document that is not wanted any more when its turn comes, the end is told."""
        self._link = link
        self._is_wanted = is_wanted
        self._untold: dict[OpenDocument, None] = {}
        self._next: asyncio.Handle | None = None

    def soon(self, doc: OpenDocument) -> None:
        """Let the daemon hear of a document, unless it knows the text as it is."""
        self._untold[doc] = None
        self._go_on()

    def anew(self, doc: OpenDocument) -> None:
        """Let the daemon hear of a document that has changed, or that it may have lost."""
        doc.is_current = False
        self.soon(doc)

    def let_go(self, doc: OpenDocument) -> None:
        """Have the daemon forget a document, at once or as soon as it reads again."""
        self._untold.pop(doc, None)
        doc.is_current = False
        if doc.is_known and self._link.is_connected and not self._close(doc):
            self.soon(doc)

    def end(self) -> None:
        """Say no more."""
        if self._next:
            self._next.cancel()

    def _go_on(self) -> None:
        if not self._next:
            self._next = asyncio.get_running_loop().call_soon(self._tell_next)

    def _tell_next(self) -> None:
        """Tell of one document; of the others in later turns of the loop, when there is room.

        To join a long text, look at its indentation and encode it takes a millisecond or two, and
        some editors open a hundred at once.
        """
        self._next = None
        if not self._untold or not self._link.is_connected:
            return  # when there is a daemon again it is told everything
        if self._link.n_unsent > MOST_UNSENT:
            self._next = asyncio.get_running_loop().call_later(UNSENT_S, self._tell_next)
            return
        doc = next(iter(self._untold))
        del self._untold[doc]
        if self._is_wanted(doc):
            self._remember(doc)
        elif doc.is_known:
            self._close(doc)
        if self._untold:
            self._go_on()

    def _remember(self, doc: OpenDocument) -> None:
        """Tell the daemon the text, unless it knows it."""
        if doc.is_current or not doc.document.is_synced:
            return
        text = completion.remembered(doc.document, doc.cursor)
        doc.indentation = completion.indentation(text)
        doc.changed_at = None
        doc.is_current = True  # even if it cannot be said: it could not be the next time
        if self._link.send(
            protocol.Remember(document=doc.name, path=doc.path, language=doc.language, text=text)
        ):
            doc.is_known = True

    def _close(self, doc: OpenDocument) -> bool:
        """Tell the daemon that a document is closed; whether that is on its way."""
        is_said = self._link.send(protocol.Close(document=doc.name))
        doc.is_known = not is_said
        return is_said
