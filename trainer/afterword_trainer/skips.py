"""Why something is not learned: codes for programs, sentences for people.

Knows words; knows nothing of how it comes to that.
"""

import errno
from dataclasses import dataclass
from typing import Literal

from afterword_trainer import ignore

# Why something is not learned: a code for programs, in REASONS for people.
Reason = (
    ignore.Foreign
    | Literal["missing", "vanished", "unreadable", "changed", "special", "link"]
    | Literal["ignored", "opted-out", "secret-file", "secrets", "duplicate"]
    | Literal["too-large", "empty", "binary", "encoding", "broken", "mail", "pdf", "library"]
)
REASONS: dict[Reason, str] = {
    "missing": "no such file or folder",
    "vanished": "gone before it could be read",
    "unreadable": "could not be read",
    "changed": "changed while it was read; it is learned next time",
    "special": "no regular file: a pipe, a socket or a device",
    "link": "a symbolic link; what it points to is learned where it lies",
    "hidden": "hidden: its name begins with a dot",
    "ignored": "excluded by an ignore file",
    "opted-out": "opted out of learning",
    "dependencies": "other people's code",
    "build": "made by a build or a cache",
    "lock-file": "a lock file",
    "generated": "written by a program",
    "data": "data rather than writing",
    "too-large": "too large",
    "empty": "nothing in it",
    "binary": "not text",
    "encoding": "text in an unknown encoding",
    "broken": "damaged, or not what its name says",
    "mail": "mail is learned only when asked for",
    "pdf": "PDF files are learned only when asked for",
    "library": "a library that reads it is not installed",
    "secret-file": "a kind of file that holds secrets",
    "secrets": "full of secrets",
    "duplicate": "its text was learned from another file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file, or a folder with all that is in it, that is not learned. A folder ends in "/"."""

    path: str  # as in Document
    reason: Reason
    detail: str = ""  # what REASONS does not say; never the file's text


class Skip(Exception):
    """Ends the reading of one file; `corpus` makes a `Skipped` of it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.detail = detail


def reason_of(error: OSError) -> Reason:
    """Why a file cannot be had, by what the system says."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "vanished"
    if error.errno == errno.ELOOP:  # it has become a link
        return "link"
    return "special" if error.errno == errno.ENXIO else "unreadable"  # ENXIO: a socket
