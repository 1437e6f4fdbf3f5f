"""What each client has asked and has open.

Knows clients as keys, requests and the names of documents; knows nothing of what is done about
them: it says which documents were closed, and whoever it says it to closes them.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from afterword_daemon.connection import Client
from afterword_daemon.protocol import Complete

MAX_CLIENTS: Final = 64  # editors and terminals of one user
MAX_REQUESTS: Final = 32  # of one client at a time; an editor has one or two
MAX_DOCUMENTS: Final = 1000  # open in one client; then the one heard of longest ago is closed


def name_of(client: Client, document: str) -> str:
    """Of a document that a client has open, as the engine knows it.

    Two editors may have one file open, with different text in it.
    """
    return f"{client.number} {document}"


def document_of(name: str) -> str:
    """As the client calls it."""
    return name.partition(" ")[2]


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """A request that is not answered yet."""

    client: Client
    session: "Session"
    message: Complete
    learn: bool  # from what was typed; False in a file that the user had forgotten
    since: float = field(default_factory=time.perf_counter)
    unwanted: Literal["", "superseded", "cancelled"] = ""


@dataclass(slots=True, eq=False)
class Session:
    """What a client has asked, and what it has open, the one heard of longest ago first."""

    requests: dict[int, Request] = field(default_factory=dict)  # by their ids
    documents: dict[str, None] = field(default_factory=dict)
    is_terminal: bool = False  # `afterword` itself, and no editor
    # One request of each client at a time: who asks many waits for itself, and others for one.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_idle(self) -> bool:
        """Whether it has asked for nothing that matters by now."""
        return not self.requests and not self.documents

    def opened(self, document: str) -> str | None:
        """Note that a document is open; another one for which there is no room any more."""
        self.documents.pop(document, None)
        self.documents[document] = None
        return next(iter(self.documents)) if len(self.documents) > MAX_DOCUMENTS else None

    def shut(self, document: str) -> bool:
        """Note that a document is open no more; whether it was."""
        if document not in self.documents:
            return False
        del self.documents[document]
        self.give_up(document, "cancelled")
        return True

    def give_up(self, document: str, why: Literal["superseded", "cancelled"]) -> None:
        """Nobody wants what is asked of a document any more."""
        for request in self.requests.values():
            if request.message.document == document and not request.unwanted:
                request.unwanted = why


class Sessions:
    """All of them."""

    def __init__(self) -> None:
        self.is_alone = asyncio.Event()  # nobody is connected
        self._by_client: dict[Client, Session] = {}

    def __len__(self) -> int:
        return len(self._by_client)

    def __iter__(self) -> Iterator[Client]:
        """The clients, as they are now."""
        return iter([*self._by_client])

    def of(self, client: Client) -> Session | None:
        """A client's; None if it has left."""
        return self._by_client.get(client)

    def all(self) -> Iterator[tuple[Client, Session]]:
        """Each client with what is its own."""
        return iter([*self._by_client.items()])

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._by_client) >= MAX_CLIENTS

    @property
    def has_requests(self) -> bool:
        """Whether somebody waits for an answer."""
        return any(session.requests for session in self._by_client.values())

    @property
    def n_documents(self) -> int:
        """How many are open, a file in two editors counted twice."""
        return sum(len(session.documents) for session in self._by_client.values())

    def idle(self) -> Client | None:
        """The oldest client that loses nothing by coming again; an editor has something open."""
        return next((one for one, session in self._by_client.items() if session.is_idle), None)

    def begin(self, client: Client) -> None:
        """A client has come."""
        self._by_client[client] = Session()
        self.is_alone.clear()

    def end(self, client: Client) -> Session | None:
        """A client has gone: what it had; None if it had gone before."""
        session = self._by_client.pop(client, None)
        for request in session.requests.values() if session else ():
            request.unwanted = "cancelled"
        if not self._by_client:
            self.is_alone.set()
        return session
