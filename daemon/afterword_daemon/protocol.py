"""What goes over the socket: small frozen messages, each a frame of JSON.

A frame is four bytes that tell its length, most significant first, and so much UTF-8. A request
carries an id that its asker chose and gets exactly one answer with the same id: the reply of its
kind, or `Failed`. A message without an id wants no answer. Knows no sockets and no clocks.
"""

from collections.abc import Iterator
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

PROTOCOL_VERSION: Final = 1  # raise it with any change below; who speaks another starts anew
MAX_FRAME: Final = 8 << 20  # bytes, from either side: no document or status is nearly as long

Message = TypeVar("Message")


class ProtocolError(Exception):
    """What arrived is no message; the connection it came by can no longer be trusted."""


class _Message(msgspec.Struct, frozen=True, tag=str.lower):
    """Each field is checked when it arrives; one that is unknown here is left alone."""


# -- from a client -----------------------------------------------------------------------------


class Hello(_Message, frozen=True, kw_only=True):
    """The first message on every connection; answered by `Welcome`, whoever is of which age.

    Its own fields, and those of `Welcome`, never change, nor do "drain" and "stop" of `Ask`, so
    that any two versions can meet and the older one can make room.
    """

    protocol: int
    build: str  # version of the distribution
    client: str  # "lsp", "afterword"; for the log


class Options(_Message, frozen=True, kw_only=True):
    """What an editor's settings say about one request; None leaves it to the daemon's own."""

    temperature: float | None = None  # 0 to 2; 0 offers what is likeliest
    max_characters: int | None = None
    multiline: bool | None = None
    min_probability: float | None = None  # see `suggestion.Policy`
    alternatives: int | None = None  # suggestions at most, when invoked
    seed: int | None = None


class Complete(_Message, frozen=True, kw_only=True):
    """What could come next at a cursor; answered by `Completed`.

    Carries all that the answer depends on, beside model, memory and settings.
    """

    id: int
    document: str  # the same string for the same open document, as its URI
    path: str = ""  # of the file, as the header of its text has it; "" for one without a name
    language: str = ""  # as the header of a learned text has it
    # Text from an anchor to the cursor. The anchor stays while the user types, so that a key
    # costs a step and not a whole priming; whoever asks moves it, seldom and far.
    before: str = ""
    starts: bool = False  # whether `before` begins where the document does, behind its header
    after: str = ""  # text right of the cursor, to the end of its line
    indentation: str = "\t"  # one step of it in this document, "\t" or blanks
    invoked: bool = False  # asked for by the user, who wants to see alternatives
    options: Options = Options()


class Cancel(_Message, frozen=True, kw_only=True):
    """Nobody waits for a request any more; it is answered by `Failed`, "cancelled", if at all."""

    id: int


class Remember(_Message, frozen=True, kw_only=True):
    """The text of an open document, whole or around the cursor: after opening, and after a pause.

    It is expected again at once, is forgotten with `Close`, and is never written to disk.
    """

    document: str
    path: str = ""
    language: str = ""
    text: str = ""


class Close(_Message, frozen=True, kw_only=True):
    """A document was closed."""

    document: str


class Outcome(_Message, frozen=True, kw_only=True):
    """What became of a suggestion. Counted; no text of it is kept."""

    suggestion: str  # `Item.id`
    event: Literal["shown", "accepted", "partly", "rejected"]
    characters: int = 0  # of it that are now in the document


class Ask(_Message, frozen=True, kw_only=True):
    """A question or an order that concerns the whole daemon; answered by `Told`."""

    id: int
    what: Literal[
        "status",
        "stats",
        "why",
        "pause",
        "resume",
        "reload",
        "forget",
        "clear-stats",
        "drain",
        "stop",
    ]
    document: str = ""  # of "why", of "forget"


# -- from the daemon ---------------------------------------------------------------------------


class Welcome(_Message, frozen=True, kw_only=True):
    """Who answers."""

    protocol: int
    build: str
    pid: int


class Item(_Message, frozen=True, kw_only=True):
    """One suggestion."""

    id: str  # for `Outcome`
    text: str  # to insert at the cursor, newlines as \n
    replaces: int = 0  # characters right of the cursor that it stands for
    probability: float = 0.0


class Completed(_Message, frozen=True, kw_only=True):
    """The answer to `Complete`, best first."""

    id: int
    items: tuple[Item, ...] = ()
    reason: str = ""  # a code, why there is none: see `engine.Reason`
    model: str = ""  # id of the bundle


class Told(_Message, frozen=True, kw_only=True):
    """The answer to `Ask`."""

    id: int
    facts: dict[str, Any] = {}


class Failed(_Message, frozen=True, kw_only=True):
    """A request that has no other answer."""

    id: int
    code: Literal["cancelled", "superseded", "busy", "draining", "internal"]
    message: str = ""  # for people; no text of theirs in it


class Changed(_Message, frozen=True, kw_only=True):
    """To every client, whenever it changes: what the daemon is about."""

    state: Literal["starting", "ready", "learning", "paused", "no-model", "degraded", "draining"]
    detail: str = ""  # one line for people
    progress: float | None = None  # 0 to 1, while learning
    model: str = ""


ToDaemon = Hello | Complete | Cancel | Remember | Close | Outcome | Ask
ToClient = Welcome | Completed | Told | Failed | Changed


# -- frames ------------------------------------------------------------------------------------

_HEADER = 4  # bytes
_encoder = msgspec.json.Encoder()


def frame(message: ToDaemon | ToClient) -> bytes:
    """A message as it is sent. Raises ValueError for text that is no Unicode, or far too long."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise ValueError(f"a {type(message).__name__} of {len(body)} bytes is over {MAX_FRAME}")
    return len(body).to_bytes(_HEADER, "big") + body


class Frames(Generic[Message]):
    """Bytes as they arrive, in whatever portions; messages as they are complete."""

    def __init__(self, kinds: Any) -> None:
        """`kinds` is `ToDaemon` or `ToClient`: what may arrive."""
        self._decoder = msgspec.json.Decoder[Message](kinds)
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises ProtocolError at the first that is none."""
        self._waiting += data
        while len(self._waiting) >= _HEADER:
            end = _HEADER + int.from_bytes(self._waiting[:_HEADER], "big")
            if end > _HEADER + MAX_FRAME:
                raise ProtocolError(f"a frame of {end - _HEADER} bytes is over {MAX_FRAME}")
            if len(self._waiting) < end:
                return
            body = bytes(self._waiting[_HEADER:end])
            del self._waiting[:end]
            try:
                yield self._decoder.decode(body)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ProtocolError(f"a frame of {len(body)} bytes is no message") from error

    @property
    def is_partial(self) -> bool:
        """Whether a message has begun and not ended, so that one waits for the rest."""
        return bool(self._waiting)
