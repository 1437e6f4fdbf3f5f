"""What the daemon and the reader of its folders say to each other, in the frames of `protocol`.

The daemon writes to the reader's stdin and reads its stdout; the pipe is the back-pressure: while
the daemon has enough to learn it reads no more, and the reader waits. The end of stdin ends the
reader. Knows no files.

Each `Saved` and each `Gone` has a number, one more than the one before; the numbers of a process
begin with 1. `Stored` names the last one that the memory's file on disk holds; until then the
reader owes it, and tells it again when it has to start anew. Telling twice does no harm: the last
`Saved` or `Gone` of a path is what holds.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from afterword_daemon.protocol import MAX_TEXT, unchecked_frame

# Raise it with any change below: both ends are of one build, but a daemon may be older than the
# files on disk that its reader is started from.
READER_VERSION: Final = 4
INDEX: Final = "files.sqlite"  # what is known of each file; in the data folder
MAX_PATH: Final = 3 * 4096  # characters; no system opens one of more than a third, see `name_of`

Path = Annotated[str, Meta(max_length=MAX_PATH)]
Mode = Literal["events", "scanning", "away", "missing"]


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower):
    """Each field is checked when it arrives."""


# -- to the reader -----------------------------------------------------------------------------


class Look(_Message, frozen=True, kw_only=True):
    """What to watch; the first message, and sent again when it changes.

    What lies in a folder that is no longer named is `Gone`.
    """

    folders: tuple[str, ...]  # absolute
    ignore: tuple[str, ...] = ()  # patterns as in .gitignore, beside those that always hold
    quiet_s: float = 2.0  # editors save in bursts; shorter would learn half of a change
    # What the memory holds at most. Of a first look, and of thousands of files that change at
    # once, the newest are told up to this; what came before them would be pushed out anyway.
    most_characters: int
    memory: str  # an id of the memory's file: of another one the reader knows nothing, see `Anew`


class Stored(_Message, frozen=True, kw_only=True):
    """All `Saved` and `Gone` up to this number are in the memory's file on disk."""

    number: int


class Rescan(_Message, frozen=True, kw_only=True):
    """Look at everything again, now: after something was forgotten, after the machine slept."""


# -- from the reader ---------------------------------------------------------------------------


class Hello(_Message, frozen=True, kw_only=True):
    """The first message: another version than the daemon's own is to be ended, not used."""

    version: int = READER_VERSION


class Anew(_Message, frozen=True, kw_only=True):
    """The reader does not know what the memory holds: its index is new, or the memory is.

    All that is to be remembered is told again. What the memory still holds of a folder, and was
    not told until `Settled`, is no longer there, and to be forgotten; but not in a folder that is
    "away" or "missing", of which nobody knows. If either end dies before a `Stored` that covers
    all of it, the next reader begins anew too.
    """


class Saved(_Message, frozen=True, kw_only=True):
    """A file's text as it is now."""

    number: int
    path: Path  # as `protocol.name_of` names it
    # That were not told before, of the whole text: 0 of one that is told again because the memory
    # or the reader is another; of a text that was written on, what was added to it.
    characters: int
    # Without secrets, lines end in \n; the end of a text that is longer.
    text: Annotated[str, Meta(max_length=MAX_TEXT)]


class Gone(_Message, frozen=True, kw_only=True):
    """Forget this file: deleted, moved away, ignored, opted out, forgotten or denied by now."""

    number: int
    path: Path


class Folder(_Message, frozen=True, kw_only=True):
    """How one of the folders is watched; told whenever it changes."""

    path: Path
    # "events": changes are told as they happen. "scanning": it is looked through every so often.
    # "away", "missing": it is not there as it was, so all that is known of it is kept as it is.
    mode: Mode
    detail: str = ""  # why it is not "events", a sentence with its remedy
    files: int = 0  # that are learned from
    skipped: int = 0  # files and whole folders that are not
    every_s: float | None = None  # seconds between two scans, about


class Settled(_Message, frozen=True, kw_only=True):
    """A scan, or a burst of changes, has been told completely."""

    files: int  # that are learned from, in all folders
    changed: int  # `Saved` and `Gone` since the last one
    characters: int  # of their texts that were not told before


class Failing(_Message, frozen=True, kw_only=True):
    """The last message of a reader that cannot go on; another one may, later."""

    detail: str  # a sentence with its remedy
    cause: str  # the same without a path, for the log


ToReader = Look | Stored | Rescan
FromReader = Hello | Anew | Saved | Gone | Folder | Settled | Failing


def frame(message: ToReader | FromReader) -> bytes:
    """A message as it is sent; `protocol.Frames(ToReader)`, or of FromReader, reads it.

    Raises ValueError for text that is no Unicode, or a message that is too long.
    """
    return unchecked_frame(message)
