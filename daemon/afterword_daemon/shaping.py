"""A suggestion as it fits at the cursor, or the reason why nothing of it does.

Pure functions from text to text. Line ends are \\n on the wire; whoever asks turns those of a
document with others into it and back. Knows nothing of models, documents or editors.
"""

import re
from dataclasses import dataclass
from enum import Enum

from afterword_trainer import secrets


class Misfit(Enum):
    """Why a suggestion cannot be shown."""

    NOTHING = "nothing"  # too little of it is left to save a key
    OVERLAP = "overlap"  # it stands right of the cursor already
    SECRET = "secret"  # it would spell out a password or a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """Text to insert at the cursor."""

    text: str  # two characters at least, newlines as \n
    replaces: int = 0  # characters right of the cursor that it stands for


def shape(
    text: str, *, expected: str, before: str, after: str, indentation: str
) -> Shaped | Misfit:
    """What of `text` fits between `before` and `after`, the rest of the cursor's line.

    `expected` begins with `text` and is all that the model expects; `indentation` is one step of
    it in this document.
    """
    after = after.rstrip("\r\n")
    goes_on = not after and not expected.startswith("\n", len(text))
    line = before[before.rfind("\n") + 1 :]
    text = writable(text)
    if after and not after.isspace():
        text = text.partition("\n")[0]  # the rest of the line would move down with it
    text = indented(text, line, indentation)
    text, replaces = _beside(text, after)
    if not text:
        return Misfit.OVERLAP
    if not (before + text).strip():
        return Misfit.NOTHING  # blanks after nothing but blanks are no indentation
    text = without_trailing_blanks(text, line, goes_on=goes_on)
    if len(text) < _FEWEST:
        return Misfit.NOTHING
    return Shaped(text=text, replaces=replaces)


def spells_secret(expected: str, text: str, *, before: str) -> bool:
    """Whether any of `text` is of a secret.

    `expected` begins with `text` and is all that the model expects: the first half of a password
    looks like any word, and betrays it all the same.
    """
    context = before[-_SECRET_REACH:]
    at, end = len(context), len(context) + len(text)
    return any(span.start < end and span.end > at for span in secrets.find(context + expected))


def writable(text: str) -> str:
    """`text` up to the first character that nobody means to insert."""
    found = _UNWRITABLE.search(text)
    # What joins the characters before and after it is no end.
    return (text[: found.start()] if found else text).rstrip(_ZERO_WIDTH_JOINER)


def indented(text: str, line: str, indentation: str) -> str:
    """`text` with the document's own kind of indentation, `line` being what is left of it."""
    lines = text.split("\n")
    first = 1 if line.strip() else 0  # behind something, blanks are no indentation
    for i in range(first, len(lines)):
        blanks = lines[i][: len(lines[i]) - len(lines[i].lstrip(" \t"))]
        lines[i] = _as_indentation(blanks, indentation) + lines[i][len(blanks) :]
    return "\n".join(lines)


def without_trailing_blanks(text: str, line: str, *, goes_on: bool) -> str:
    """`text` without blanks at the ends of lines, but for an indentation in a blank `line`.

    The one behind a word stays where the line is expected to go on: without it 3 to 4 keys fewer
    are saved in 100.
    """
    if not text.strip() and "\n" not in text:
        return "" if line.strip() else text
    trimmed = _TRAILING.sub("", text)
    return f"{trimmed} " if goes_on and text.endswith(" ") and trimmed[-1:] != "\n" else trimmed


_FEWEST = 2  # characters: one alone costs as many keys as it saves
_ZERO_WIDTH_JOINER = "\u200d"
# Controls, halves of surrogate pairs, the mark of broken UTF-8, what turns the direction of text
# around (Boucher and Anderson 2021, "Trojan Source"), and what some editors take for line ends.
_UNWRITABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffd]"
)
_TRAILING = re.compile(r"[ \t]+(?=\n|\Z)")
_SECRET_REACH = 200  # characters before the cursor that may say what the next ones are


# -- beside what is there ----------------------------------------------------------------------

_OPENERS = {"(": ")", "[": "]", "{": "}"}
_NO_ACCIDENT = 8  # characters
_QUOTES = "\"'`"
_CLOSERS = re.compile(r"[)\]}>;,\"'`]*")


def _beside(text: str, after: str) -> tuple[str, int]:
    """(text, replaces): nothing that stands right of the cursor comes twice."""
    if not after.strip():
        return text, 0
    # 1) Editors close what is opened. A closer that has no opener in the suggestion is theirs:
    #    at its end the user types into it, further inside it stands for the one there.
    closers = _CLOSERS.match(after)
    closed = _closed(text, closers[0] if closers else "")
    if closed:
        n = len(closed)
        at_the_end = closed == list(range(len(text) - n, len(text)))
        return (text[:-n], 0) if at_the_end else (text, n)
    # 2) The end of the suggestion may be the beginning of what follows.
    for n in range(min(len(text), len(after)), 0, -1):
        if text.endswith(after[:n]) and _is_overlap(text[:-n], after, n):
            return text[:-n], 0
    return text, 0


def _is_overlap(head: str, after: str, n: int) -> bool:
    """Whether what `head` ends in and `after` begins with, `n` characters, is there twice.

    Blanks and closers by themselves may be, and within words it is an accident.
    """
    overlap = after[:n]
    if not overlap.strip() or _CLOSERS.fullmatch(overlap):
        return False
    if not head or n >= _NO_ACCIDENT:
        return True
    begins_within = head[-1:].isalnum() and overlap[0].isalnum()
    ends_within = overlap[-1].isalnum() and after[n : n + 1].isalnum()
    return not (begins_within or ends_within)


def _closed(text: str, closers: str) -> list[int]:
    """Where `text` has one of `closers` after the other without what it would close."""
    closed: list[int] = []
    open_: list[str] = []
    for at, (last, character) in enumerate(zip(f" {text}", text, strict=False)):
        if open_ and character == open_[-1]:
            open_.pop()
        elif character == closers[len(closed) :][:1] and not open_:
            closed.append(at)
        elif character in _OPENERS:
            open_.append(_OPENERS[character])
        elif character in _QUOTES and not open_ and not last.isalnum():  # no apostrophe
            open_.append(character)
    return closed


def _as_indentation(blanks: str, indentation: str) -> str:
    if indentation == "\t":
        return blanks.replace(_COMMON_STEP, "\t")
    return blanks.replace("\t", indentation or _COMMON_STEP)


_COMMON_STEP = "    "  # most texts that are not indented by tabs
