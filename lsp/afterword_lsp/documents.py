"""The text of an open document, as the editor has it: a list of its lines, edited in place.

Knows lines, places, and the three encodings in which editors count. Knows nothing of messages or
of what the text is wanted for.

A line ends at \\n, \\r\\n or \\r and nowhere else. str.splitlines breaks at eight more characters
(form feed, NEL, U+2028 ...): one of them in a file, and every later edit would land elsewhere than
in the editor. A line keeps its ending, and the last line, perhaps empty, has none.

A list of lines was measured beside blocks of text and a piece table, in documents of up to 10 MB.
An edit within a line takes 3 microseconds, wherever it is; one that adds a line moves the pointers
behind it, 26 microseconds at the start of 180,000 lines. Blocks took 4 to 80, the piece table 40 to
75. In exchange a line is copied at each key, which for one of megabytes takes milliseconds: a
document that has such a line is let go, and is not `is_synced`.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

Encoding = Literal["utf-8", "utf-16", "utf-32"]

# A line of these is generated, and nobody waits for its next word; the copies would be felt.
MOST_CHARACTERS_IN_LINE: Final = 100_000
MOST_CHARACTERS: Final = 32_000_000  # some 40 MB of lines


class Position(NamedTuple):
    """Where the editor says: the units of its encoding from the start of a line."""

    line: int
    character: int


class Place(NamedTuple):
    """Where that is in the text: code points from the start of a line."""

    line: int
    column: int


START: Final = Place(0, 0)  # of a text


class Change(NamedTuple):
    """One edit: `text` in place of what is between `start` and `end`; without them, of all."""

    text: str
    start: Position | None = None
    end: Position | None = None


class Document:
    """One open document. Its text equals the editor's as long as `is_synced`."""

    __slots__ = ("_lines", "encoding", "is_synced", "is_too_big", "mark", "version")

    def __init__(self, text: str, version: int, encoding: Encoding = "utf-16") -> None:
        self.encoding: Final = encoding
        self.version = version
        self.is_synced = True  # False from a change that cannot be right until a whole text
        self.is_too_big = False  # and not held: text, or a line, that nobody typed
        # A place that moves along when the text above it changes, None once the text around it is
        # replaced: whoever sets it finds it again behind the same character.
        self.mark: Place | None = None
        self._lines = [""]
        self._set(text)

    def apply(self, version: int, changes: Sequence[Change]) -> None:
        """Follow the editor, one change after another.

        A version that does not increase means that a message was lost or comes twice: the text is
        not to be trusted then, until a change brings all of it.
        """
        if version <= self.version:
            self.is_synced = False
        self.version = version
        for change in changes:
            if change.start is None or change.end is None:
                self.is_synced = True
                self._set(change.text)
            elif self.is_synced:
                self._edit(change.text, change.start, max(change.start, change.end))

    def place(self, position: Position) -> Place:
        """The place at `position`; one past the end of a line or of the text is at that end."""
        line = position.line
        if line >= len(self._lines):
            return self.end
        return Place(line, len(_cut(self._lines[line], position.character, self.encoding)[0]))

    def position(self, place: Place) -> Position:
        """How the editor calls `place`."""
        before = self._lines[place.line][: place.column]
        return Position(place.line, n_units(before, self.encoding))

    @property
    def end(self) -> Place:
        """Behind the last character."""
        return Place(len(self._lines) - 1, len(self._lines[-1]))

    @property
    def text(self) -> str:
        """All of it. Takes time in proportion to the text, which no keystroke can."""
        return "".join(self._lines)

    def between(self, start: Place, end: Place) -> str:
        """The text from `start` to `end`, with line ends as they are."""
        if start.line == end.line:
            return self._lines[start.line][start.column : end.column]
        first = self._lines[start.line][start.column :]
        last = self._lines[end.line][: end.column]
        return "".join((first, *self._lines[start.line + 1 : end.line], last))

    def right_of(self, place: Place) -> str:
        """The text from `place` to the end of its line, without the line's ending."""
        line = self._lines[place.line]
        return line[place.column : _width(line)]

    def back(self, place: Place, n_characters: int) -> Place:
        """The place so many characters earlier, or the start of the text."""
        line, index = place
        while index < n_characters and line > 0:
            n_characters -= index
            line -= 1
            index = len(self._lines[line])
        return Place(line, max(0, index - n_characters))

    def forth(self, place: Place, n_characters: int) -> Place:
        """The place so many characters later, or the end of the text."""
        line, index = place
        while (rest := len(self._lines[line]) - index) <= n_characters:
            if line == len(self._lines) - 1:
                return self.end
            n_characters -= rest
            line, index = line + 1, 0
        return Place(line, index + n_characters)

    def ending(self, place: Place) -> str:
        """The line ending in use around `place`."""
        for line in (place.line, place.line - 1):
            if line >= 0 and (width := _width(self._lines[line])) < len(self._lines[line]):
                return self._lines[line][width:]
        return "\n"

    def _set(self, text: str) -> None:
        self.mark = None
        self.is_too_big = False
        self._lines = _split(text)
        self._let_go_if_too_big(self._lines, len(text))

    def _edit(self, text: str, start: Position, end: Position) -> None:
        lines = self._lines

        # 1) the lines that the edit touches, and what remains of them
        first, last = min(start.line, len(lines) - 1), min(end.line, len(lines) - 1)
        head, tail = lines[first], ""  # as they are where a position is behind the last line
        if start.line < len(lines):
            head = _cut(lines[first], start.character, self.encoding)[0]
        if end.line < len(lines):
            tail = _cut(lines[last], end.character, self.encoding)[1]
        is_split = not lines[first].startswith(head)  # a surrogate pair, by one half of it
        from_place = Place(first, len(head))
        to_place = Place(last, len(lines[last]) - len(tail))
        new = _paired(head + text + tail)
        if first > 0 and new.startswith("\n") and lines[first - 1].endswith("\r"):
            first -= 1  # the two are one line ending from now on
            from_place = Place(first, len(lines[first]) - 1)
            new = lines[first] + new

        # 2) new lines in their place
        is_within_a_line = first == last and "\n" not in text and "\r" not in text
        replacing = [new] if is_within_a_line else _split(new)
        if last < len(lines) - 1 and not replacing[-1]:
            replacing.pop()  # the line that would begin here follows as it is
        lines[first : last + 1] = replacing

        # 3) the mark: it stays, or moves with what is behind the edit, or was within it
        mark = self.mark
        if is_split and mark == from_place:
            self.mark = None
        elif mark is not None and mark > from_place:
            n_more = len(replacing) - (last + 1 - first)
            if mark.line > last:
                self.mark = Place(mark.line + n_more, mark.column)
            elif mark >= to_place:
                end_of_edit = len(replacing[-1]) - len(tail)
                self.mark = Place(last + n_more, end_of_edit + mark.column - to_place.column)
            else:
                self.mark = None
        self._let_go_if_too_big(replacing)

    def _let_go_if_too_big(self, lines: Sequence[str], n_characters: int = 0) -> None:
        longest = max(map(len, lines))
        if n_characters > MOST_CHARACTERS or longest > MOST_CHARACTERS_IN_LINE:
            self.is_synced = False
            self.is_too_big = True
            self.mark = None
            self._lines = [""]


def n_units(text: str, encoding: Encoding) -> int:
    """Units of `encoding` in `text`."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# Where str.splitlines breaks a line and editors do not.
_NO_LINE_ENDS: Final = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _split(text: str) -> list[str]:
    """Lines with their endings; the last one has none, and is there even if it is empty."""
    if any(character in text for character in _NO_LINE_ENDS):
        lines = _LINE.findall(text)
    else:
        lines = text.splitlines(keepends=True)  # ten times as fast
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def _width(line: str) -> int:
    """Characters before the line's ending."""
    if line.endswith("\r\n"):
        return len(line) - 2
    return len(line) - 1 if line.endswith(("\n", "\r")) else len(line)


def _cut(line: str, n: int, encoding: Encoding) -> tuple[str, str]:
    """What is before and behind `n` units, or the end of the line; the ending is always behind.

    Within a character of several bytes is before it. Between the halves of a surrogate pair they
    part, as they do in an editor that counts in UTF-16; `_paired` joins them again.
    """
    width = _width(line)
    n = max(n, 0)
    if encoding == "utf-32" or line.isascii():
        index = min(n, width)
        return line[:index], line[index:]
    codec, size = ("utf-8", 1) if encoding == "utf-8" else ("utf-16-le", 2)
    data = line[:width].encode(codec, "surrogatepass")
    at = min(n * size, len(data))
    if encoding == "utf-8":
        while 0 < at < len(data) and data[at] & 0xC0 == 0x80:  # a byte that goes on
            at -= 1
    head = data[:at].decode(codec, "surrogatepass")
    return head, data[at:].decode(codec, "surrogatepass") + line[width:]


def _paired(text: str) -> str:
    """The text with surrogates that have come to stand side by side as the one that they mean."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
