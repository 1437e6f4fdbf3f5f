"""What goes over the socket: small frozen messages, each a frame of JSON.

A frame is four bytes that tell its length, most significant first, and so much UTF-8. A request
carries an id that its asker chose and gets exactly one answer with the same id: the reply of its
kind, or `Failed`. A message without an id wants no answer. Knows no sockets and no clocks.

What a client may say is bounded field by field, so that a message that is well formed costs the
daemon little as well: it keeps many of them, and makes everybody wait while it reads one.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Meta

# Raise it with any change below, from the first release on; who speaks another starts anew.
PROTOCOL_VERSION: Final = 1
MAX_FRAME: Final = 2 << 20  # bytes, from either side: the longest document, were it all escaped
MOST_BYTES_OF_PATH: Final = 4095  # no system opens a longer one
MAX_NAME: Final = 3 * 4096  # characters of a document's name, see `name_of`, or a URI
MAX_PATH: Final = 1024  # characters; it is relative, and each is a step of the network
MAX_LANGUAGE: Final = 64  # characters, for the same reason
MAX_BEFORE: Final = 16_384  # characters left of a cursor: eight times what the network is shown
MAX_AFTER: Final = 4096  # characters right of it
MAX_INDENTATION: Final = 64  # characters of one step; an answer has it in every line
MAX_TEXT: Final = 256 * 1024  # characters of a document that are remembered
MAX_CHARACTERS: Final = 1000  # of a suggestion; nobody reads as much grey text
MAX_ALTERNATIVES: Final = 10  # a menu

Message = TypeVar("Message")

Name = Annotated[str, Meta(max_length=MAX_NAME)]
Path = Annotated[str, Meta(max_length=MAX_PATH)]
Language = Annotated[str, Meta(max_length=MAX_LANGUAGE)]

# What can be asked, what became of a suggestion, and what the daemon is about.
Order = Literal[
    "status",
    "stats",
    "why",
    "pause",
    "resume",
    "reload",
    "watch",
    "forget",
    "clear-stats",
    "settings",
    "drain",
    "stop",
]
Event = Literal["shown", "accepted", "partly", "rejected"]
State = Literal[
    "starting",
    "ready",
    "learning",
    "forgetting",
    "paused",
    "no-model",
    "degraded",
    "draining",
]


def name_of(path: str) -> str:
    """The absolute path of a file as messages have it, which are Unicode.

    It is itself; one with bytes that are no UTF-8 becomes a URI in which these are escaped.
    """
    if not _NO_UNICODE.search(path):
        return path
    escaped = _NO_UNICODE.sub(lambda byte: f"%{ord(byte[0]) & 0xFF:02X}", path.replace("%", "%25"))
    return f"file:{escaped}"


def path_of(name: str) -> str:
    """The path that has this name; "" for the name of a document that has no file."""
    if name.startswith("file:/"):
        return os.fsdecode(unquote_to_bytes(name.removeprefix("file:")))
    return name if name.startswith("/") else ""


_NO_UNICODE: Final = re.compile("[\udc80-\udcff]")  # a byte as `os.fsdecode` has it


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
    build: Name  # version of the distribution
    client: Name  # "lsp", "afterword"; for the log


class Options(_Message, frozen=True, kw_only=True):
    """What an editor's settings say about one request; None leaves it to the daemon's own."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None  # 0 offers what is likeliest
    max_characters: Annotated[int, Meta(ge=2, le=MAX_CHARACTERS)] | None = None
    multiline: bool | None = None
    min_probability: Annotated[float, Meta(ge=0, le=1)] | None = None  # see `suggestion.Policy`
    # Suggestions at most, when invoked.
    alternatives: Annotated[int, Meta(ge=1, le=MAX_ALTERNATIVES)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**53)] | None = None  # as JavaScript has whole numbers


class Complete(_Message, frozen=True, kw_only=True):
    """What could come next at a cursor; answered by `Completed`.

    Carries all that the answer depends on, beside model, memory and settings.
    """

    id: int
    document: Name  # the same string for the same open document, as its URI
    path: Path = ""  # of the file, as the header of its text has it; "" for one without a name
    language: Language = ""  # as the header of a learned text has it
    # Text from an anchor to the cursor. The anchor stays while the user types, so that a key
    # costs a step and not a whole priming; whoever asks moves it, seldom and far.
    before: Annotated[str, Meta(max_length=MAX_BEFORE)] = ""
    # Text right of the cursor, to the end of its line.
    after: Annotated[str, Meta(max_length=MAX_AFTER)] = ""
    # One step of it in this document, "\t" or blanks.
    indentation: Annotated[str, Meta(max_length=MAX_INDENTATION)] = "\t"
    invoked: bool = False  # asked for by the user, who wants to see alternatives
    options: Options = Options()


class Cancel(_Message, frozen=True, kw_only=True):
    """Nobody waits for a request any more; it is answered by `Failed`, "cancelled", if at all."""

    id: int


class Remember(_Message, frozen=True, kw_only=True):
    """The text of an open document, whole or around the cursor: after opening, and after a pause.

    It is expected again at once, is forgotten with `Close`, and is never written to disk.
    """

    document: Name
    path: Path = ""
    language: Language = ""
    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""


class Close(_Message, frozen=True, kw_only=True):
    """A document was closed."""

    document: Name


class Outcome(_Message, frozen=True, kw_only=True):
    """What became of a suggestion. Counted; no text of it is kept."""

    suggestion: Name  # `Item.id`
    event: Event
    characters: int = 0  # of it that are now in the document


class Ask(_Message, frozen=True, kw_only=True):
    """A question or an order that concerns the whole daemon; answered by `Told`."""

    id: int
    what: Order
    document: Name = ""  # of "why"; of "watch" the folder, of "forget" the file


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
    reason: str = ""  # a code, why there is none: see `reasons.Reason`
    model: str = ""  # id of the bundle


class Told(_Message, frozen=True, kw_only=True):
    """The answer to `Ask`; its facts read more surely by way of `Status`."""

    id: int
    facts: dict[str, Any] = {}


class Failed(_Message, frozen=True, kw_only=True):
    """A request that has no other answer."""

    id: int
    code: Literal["cancelled", "superseded", "busy", "draining", "internal"]
    message: str = ""  # for people; no text of theirs in it


class Changed(_Message, frozen=True, kw_only=True):
    """To every client, whenever it changes: what the daemon is about."""

    state: State
    detail: str = ""  # one line for people
    progress: float | None = None  # 0 to 1, while learning or forgetting
    model: str = ""
    forgotten: str = ""  # what came of forgetting, for people; once, when it has ended
    # What the settings forbid everywhere, so that nobody has to ask.
    trigger: Literal["auto", "manual"] = "auto"
    enable: Mapping[str, bool] = {}  # by language


ToDaemon = Hello | Complete | Cancel | Remember | Close | Outcome | Ask
ToClient = Welcome | Completed | Told | Failed | Changed


# -- facts -------------------------------------------------------------------------------------


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts from a daemon of any build: what it does not tell has a value that claims nothing."""


class Model(_Facts, frozen=True, kw_only=True):
    """The model in use."""

    id: str = "unknown"
    created: str = ""  # ISO 8601
    scores: Mapping[str, float] = {}  # by the name of the measure


class Latency(_Facts, frozen=True, kw_only=True):
    """From a request to its answer, of the last thousand that the model was asked."""

    p50: float = 0.0  # milliseconds
    p95: float = 0.0


class Processor(_Facts, frozen=True, kw_only=True):
    """Seconds of processor that were used."""

    today: float = 0.0  # by every daemon of this data folder
    since_start: float = 0.0  # by this one


class Watched(_Facts, frozen=True, kw_only=True):
    """A folder that is learned from."""

    path: str = ""
    mode: str = ""  # "events", "scanning", "away", "missing"; "" while it is not known yet
    detail: str = ""  # why not "events", and the remedy
    files: int = 0
    skipped: int = 0


class Training(_Facts, frozen=True, kw_only=True):
    """What came of a training."""

    how: str = ""  # "better", "no-better", "died"
    sentence: str = ""  # for people
    model: str = ""  # that is in use since
    before: Mapping[str, float] = {}  # scores of the model that was in use, by their names
    after: Mapping[str, float] = {}  # of the new one
    when: float = 0.0  # Unix time


class Forgot(_Facts, frozen=True, kw_only=True):
    """What came of forgetting a path."""

    how: str = ""  # "rebuilt", "deleted", "nothing", "died"
    sentence: str = ""  # for people; it does not name the path
    model: str = ""  # that was made without it
    when: float = 0.0  # Unix time


class Learning(_Facts, frozen=True, kw_only=True):
    """What the training of the weights is about."""

    # "off", "paused", "idle", "resting", "waiting", "training", "halted", "ended", "forgetting"
    state: str = "off"
    detail: str = ""  # a sentence for people: what it waits for, or why not
    share: float | None = None  # 0 to 1, while there is a training
    waiting_characters: int = 0  # saved, and not learned yet
    next: float | None = None  # Unix time before which there is none
    failures: int = 0  # in a row that gained nothing
    last: Training | None = None
    forgotten: Forgot | None = None  # what came of the last path


class Status(_Facts, frozen=True, kw_only=True):
    """What "status" tells."""

    state: str = "unknown"
    detail: str = ""  # one line for people
    pid: int = 0
    started: float = 0.0  # seconds since 1970
    protocol: int = 0
    build: str = ""
    confinement: str = "none"
    model: Model | None = None
    clients: int = 0
    documents: int = 0
    requests: Mapping[str, int] = {}  # by their outcome
    latency_ms: Latency | None = None  # None: nothing was asked yet
    cpu_s: Processor = Processor()
    resident: int = 0  # bytes
    memory: Mapping[str, int] = {}  # bytes by part
    network: int = 0  # sockets that are not local
    watched: tuple[Watched, ...] = ()
    learning: Learning = Learning()
    files: Mapping[str, str] = {}  # paths by what is there


# -- frames ------------------------------------------------------------------------------------

_HEADER = 4  # bytes
_encoder = msgspec.json.Encoder()


def frame(message: ToDaemon | ToClient) -> bytes:
    """A message as it is sent. Raises ValueError for what would not be understood at the other end.

    That is text that is no Unicode or too long, or an option that is out of its range.
    """
    framed = unchecked_frame(message)
    try:
        # The library looks at bounds when it reads; this reads without a copy of any text.
        msgspec.convert(msgspec.to_builtins(message), type(message))
    except msgspec.ValidationError as error:
        raise ValueError(f"a {type(message).__name__} is out of bounds: {error}") from None
    return framed


def unchecked_frame(message: msgspec.Struct) -> bytes:
    """Any message as it is sent. Raises ValueError for text that is no Unicode, or too long."""
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
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ProtocolError(f"a frame of {len(body)} bytes is no message") from error

    @property
    def is_partial(self) -> bool:
        """Whether a message has begun and not ended, so that one waits for the rest."""
        return bool(self._waiting)
