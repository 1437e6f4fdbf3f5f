"""From a place in a document to a request, and from the reply to what an editor shows.

Pure functions over documents, the daemon's messages and LSP's types; knows no process, no socket
and no order of events.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from afterword_daemon import protocol
from lsprotocol import types

from afterword_lsp.documents import START, Document, Place, Position, n_units

# The anchor is where a request's text begins. It stays while the user types, so that a key costs
# the daemon one step; it is moved rarely and far.
FARTHEST: Final = 2_000  # characters from the anchor to the cursor, at most
NEAREST: Final = 256  # and at least, once it is set anew: what a jump costs in steps, about
MOST_AFTER: Final = 1_000  # characters; what comes later on a line says nothing about the cursor
MOST_IN_POPUP: Final = 80  # characters; longer items make some editors' menus fail

ACCEPT: Final = "afterword.accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where text is wanted: an item puts `typed` and what follows it in place of `start` to `end`.

    At a plain cursor `start` and `end` are the cursor and `typed` is empty.
    """

    start: Place
    end: Place
    typed: str = ""


def spot_at(
    document: Document, cursor: Place, selected: types.SelectedCompletionInfo | None = None
) -> Spot | None:
    """For ghost text. With an entry selected in a menu, behind that entry, as if it were there.

    None where the entry's range is none that ghost text could have.
    """
    if selected is None:
        return Spot(start=cursor, end=cursor)
    start = document.place(position_of(selected.range.start))
    end = document.place(position_of(selected.range.end))
    if not start <= cursor <= end or start.line != end.line or "\n" in selected.text:
        return None
    return Spot(start=start, end=end, typed=selected.text)


def spot_of_word(document: Document, cursor: Place) -> Spot:
    """For a popup: items begin with the word so far, so that editors find them by it."""
    left = document.between(Place(cursor.line, max(0, cursor.column - MOST_IN_POPUP)), cursor)
    word = _WORD_SO_FAR.search(left)
    typed = word[0] if word else ""
    return Spot(start=Place(cursor.line, cursor.column - len(typed)), end=cursor, typed=typed)


def anchor(document: Document, cursor: Place) -> Place:
    """Where the text of a request begins: the document's mark, or a new place if it is no good.

    A new one is the start of a line, or of the document if that is near; in a long line, of a word.
    """
    mark = document.mark
    if mark is not None and document.back(cursor, FARTHEST) <= mark <= cursor:
        return mark
    earliest = document.back(cursor, NEAREST + NEAREST // 2)
    if earliest == START:
        return START
    near = document.back(cursor, NEAREST)
    start_of_line = Place(near.line, 0)
    if start_of_line >= earliest:
        return start_of_line
    blank = document.between(near, cursor).find(" ", 0, NEAREST // 8)
    return document.forth(near, blank + 1)


def request(
    document: Document,
    spot: Spot,
    begin: Place,
    *,
    name: str,
    path: str,
    language: str,
    indentation: str,
    invoked: bool,
    options: protocol.Options,
) -> protocol.Complete:
    """What could come at `spot`, given the text from `begin`, its anchor; the id is yet to be."""
    return protocol.Complete(
        id=0,
        document=name,
        path=path,
        language=language,
        before=plain(document.between(begin, spot.start) + spot.typed)[-protocol.MAX_BEFORE :],
        after=plain(document.right_of(spot.end)[:MOST_AFTER]),
        indentation=indentation,
        invoked=invoked,
        options=options,
    )


def as_in(
    document: Document, spot: Spot, items: tuple[protocol.Item, ...]
) -> tuple[protocol.Item, ...]:
    """Items with the document's line endings, without those that are not fit to be shown."""
    ending = document.ending(spot.start)
    return tuple(
        msgspec.structs.replace(item, text=item.text.replace("\n", ending))
        for item in items
        if item.text and not _UNCLEAN.search(item.text)
    )


def inline_items(
    document: Document, spot: Spot, items: tuple[protocol.Item, ...]
) -> list[types.InlineCompletionItem]:
    """Ghost text, best first, of items `as_in` the document."""
    return [
        types.InlineCompletionItem(
            insert_text=spot.typed + item.text,
            filter_text=spot.typed + item.text,
            range=_range(document, spot, item.replaces),
            command=_accept(item),
        )
        for item in items
    ]


def popup_items(
    document: Document, spot: Spot, items: tuple[protocol.Item, ...]
) -> list[types.CompletionItem]:
    """Entries of a menu, best first: of each item `as_in` the document its first line."""
    found: list[types.CompletionItem] = []
    for item in items:
        line, is_longer, _ = item.text.replace("\r", "\n").partition("\n")
        text = (spot.typed + line)[:MOST_IN_POPUP].rstrip()
        if len(text) <= len(spot.typed):
            continue
        n_replaced = 0 if is_longer or text != spot.typed + line else item.replaces
        found.append(
            types.CompletionItem(
                label=text,
                kind=types.CompletionItemKind.Text,
                filter_text=text,
                sort_text=f"{len(found):04}",
                text_edit=types.TextEdit(_range(document, spot, n_replaced), text),
                command=_accept(item),
            )
        )
    return found


def remembered(document: Document, around: Place) -> str:
    """As much of the text around a place as the daemon is to learn at once."""
    half = protocol.MAX_TEXT // 2
    return plain(document.between(document.back(around, half), document.forth(around, half)))


def indentation(text: str) -> str:
    """One step of it: what lines are most often indented by against the line before; else a tab."""
    steps: dict[str, int] = {}
    before = 0
    for line in text.split("\n", 2_000)[:2_000]:  # enough to see; a change of habit is rare
        body = line.lstrip(" \t")
        if not body:
            continue
        if line.startswith("\t"):
            steps["\t"] = steps.get("\t", 0) + 1
            continue
        width = len(line) - len(body)
        if 1 < width - before <= 8:  # one blank is a list or an accident, more is alignment
            step = " " * (width - before)
            steps[step] = steps.get(step, 0) + 1
        before = width
    return max(steps, key=steps.__getitem__, default="\t")


def file_of(uri: str) -> str:
    """The absolute path of a document's file, or of a folder; "" for one that has none.

    Byte for byte, as `os.fsdecode` has it: names need not be UTF-8.
    """
    if not uri.startswith("file:"):
        return ""
    rest = re.split("[?#]", uri.removeprefix("file:"), maxsplit=1)[0]
    host, slash, path = rest[2:].partition("/") if rest.startswith("//") else ("", "", rest)
    raw = unquote_to_bytes(f"{slash}{path}".encode(errors="surrogatepass"))
    return (f"//{host}" if host and host != "localhost" else "") + os.fsdecode(raw)


def path_of(uri: str, folders: tuple[str, ...]) -> str:
    """The path as headers of learned text have it: relative, with the root folder's name first.

    Of one that is too long the end remains.
    Outside of every folder that is open it is the name with that of the file's own folder; of a
    document without a file it is empty.
    """
    path = file_of(uri)
    if not path:
        return ""
    parts = path.replace("\\", "/").split("/")
    for folder in folders:
        root = folder.replace("\\", "/").rstrip("/").split("/")
        if parts[: len(root)] == root and len(parts) > len(root):
            parts = parts[len(root) - 1 :]
            break
    else:
        parts = parts[-2:]
    return plain("/".join(parts).lstrip("/"))[-protocol.MAX_PATH :]


def name_of(uri: str) -> str:
    """The name that the daemon knows a document by: the path of its file, as what is forgotten is
    known by it; the URI where there is no file; or what stands for a very long one.
    """
    file = file_of(uri)
    name = protocol.name_of(file) if file else uri
    if len(name) <= protocol.MAX_NAME and not _SURROGATE.search(name):
        return name
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def language_of(name: str) -> str:
    """A language by the name that learned text has for it, whatever the editor calls it."""
    name = name.lower()
    return plain(_OUR_NAMES.get(name, name))[: protocol.MAX_LANGUAGE]


def plain(text: str) -> str:
    """Valid Unicode with \\n at the end of every line; character for character but for \\r\\n."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def position_of(position: types.Position) -> Position:
    """LSP's position as a value of ours; below 0 there is nothing."""
    return Position(max(position.line, 0), max(position.character, 0))


_WORD_SO_FAR: Final = re.compile(r"\w+\Z")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Nobody types these, and some make an editor show something else than it inserts: controls, what
# some take for line ends, marks that turn the direction of text, halves of characters, marks of
# encodings. The daemon's `shaping` leaves them out; this is the last gate, with at least as many.
_UNCLEAN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffd]"
)
_OUR_NAMES: Final = {
    "": "text",
    "plaintext": "text",
    "tex": "latex",
    "bib": "bibtex",
    "rst": "restructuredtext",
    "sh": "shellscript",
    "bash": "shellscript",
    "zsh": "shellscript",
    "fish": "shellscript",
    "cs": "csharp",
    "make": "makefile",
    "gitcommit": "git-commit",
    "javascript.jsx": "javascriptreact",
    "typescript.tsx": "typescriptreact",
}


def _range(document: Document, spot: Spot, n_replaced: int) -> types.Range:
    """Within one line: from the spot's start to behind what an item stands for."""
    start, end = document.position(spot.start), document.position(spot.end)
    replaced = document.right_of(spot.end)[:n_replaced]
    return types.Range(
        types.Position(start.line, start.character),
        types.Position(end.line, end.character + n_units(replaced, document.encoding)),
    )


def _accept(item: protocol.Item) -> types.Command:
    """What the editor runs once an item is in the text."""
    return types.Command(title="Accept", command=ACCEPT, arguments=[item.id])
