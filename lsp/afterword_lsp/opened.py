"""A document that is open in the editor, and what goes on around it. Holds, and does nothing."""

import asyncio
from dataclasses import dataclass, field

from afterword_daemon import protocol

from afterword_lsp import completion
from afterword_lsp.documents import START, Document, Place
from afterword_lsp.offer import Offer

Requested = asyncio.Task[protocol.Completed | None]


@dataclass(slots=True, eq=False, kw_only=True)
class OpenDocument:
    """Its text and names, what is asked and shown, and what the daemon knows of it.

    running    the newest request, until its answer, the next request, or the end of patience
    late       one for which nobody waits, so that the daemon is ready for the next key
    warming    a little while after a jump: `late` begins then, unless a request came
    pausing    from a key until the daemon is told; looks again if there was another key
    """

    uri: str
    document: Document
    path: str  # as headers of learned text have it
    language: str  # as learned text calls it
    editors_language: str
    cursor: Place = START  # where work was last seen
    indentation: str = "\t"
    running: "Running | None" = None
    late: Requested | None = None
    offer: Offer | None = None
    ended: Offer | None = None  # the one before, which the editor may yet say was accepted
    is_known: bool = False  # the daemon has heard of it, and has to hear of its end
    is_current: bool = False  # the daemon knows the text as it is, or was before the last pause
    is_secret: bool = False  # a file that is made for secrets, by its name
    wanted: bool | None = None  # suggestions, in this document alone; None: as elsewhere
    is_let_go: bool = False  # they are not, since the user had it forgotten
    changed_at: float | None = None  # time.monotonic of the last change that it was not told of
    pausing: asyncio.TimerHandle | None = None
    warming: asyncio.TimerHandle | None = None
    name: str = field(init=False)  # of the document, as the daemon has it

    def __post_init__(self) -> None:
        self.name = completion.name_of(self.uri)


@dataclass(slots=True, eq=False)
class Running:
    """The one request of a document that is worth an answer."""

    task: Requested
    # Cancelling is no sign of it: the task ends some turns of the loop later, and may have had its
    # answer by then.
    is_superseded: bool = False
