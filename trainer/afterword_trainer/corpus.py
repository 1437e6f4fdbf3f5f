"""The user's files as documents: read, cleaned, oldest first, one in memory at a time.

Whatever is not learned is reported with its reason. Nothing that a file holds can stop the others
from being read, nor one that changes or vanishes meanwhile. Knows texts and when they were written;
leaves folders to `finding`, the bytes inside to `formats`, what to take out to `secrets`; knows
nothing of symbols or models.
"""

import os
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from afterword_trainer import formats, ignore, secrets
from afterword_trainer.finding import KINDS, Found, Roots, Rules, find, most_bytes, too_large
from afterword_trainer.language import language_of
from afterword_trainer.opening import bytes_of
from afterword_trainer.skips import Reason, Skip, Skipped, reason_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file's text, ready to be learned."""

    path: str  # relative, with the root folder's name first and "/" between the parts
    modified: float  # Unix time, s
    language: str  # as editors name it: "markdown", "python", "text"
    text: str  # lines end in \n; no byte order mark
    # Of each secret that was removed and left an empty line: where that is, from 1, and its kind.
    secret_lines: tuple[tuple[int, secrets.Kind], ...] = ()
    digest: str  # BLAKE2b of the text before paragraphs that other documents hold were dropped

    @property
    def n_secrets(self) -> int:
        """How many were removed."""
        return len(self.secret_lines)


def documents(roots: Roots, rules: Rules) -> Iterator[Document | Skipped]:
    """What is learned from `roots`, files or folders: skips of the walk, then files by age.

    The oldest modification comes first, then the path decides. A document or a paragraph that
    repeats an earlier one is dropped. Memory is bounded by one document and a fixed table, and
    by about a hundred bytes for each file. Raises nothing for anything that the roots may hold.
    """
    return (item for _, item in items(roots, rules))


def items(
    roots: Roots, rules: Rules, passes_over: Callable[[str], bool] = lambda file: False
) -> Iterator[tuple[str, Document | Skipped]]:
    """As `documents`, each with its file, "" for a skip of the walk.

    A file for which `passes_over` is true is left out without a word.
    """
    waiting = _ByAge()
    for found in find(roots, rules):
        if isinstance(found, Skipped):
            yield "", found
        elif not passes_over(found.file):
            waiting.add(found)
    seen = _Fingerprints()
    for file in waiting.oldest_first():
        item = read(file, rules)
        yield file.file, _without_repeats(item, seen, rules) if isinstance(item, Document) else item


def read(found: Found, rules: Rules) -> Document | Skipped:
    """The file's text without its secrets, or why there is none."""
    try:
        return _document(found, rules)
    except Skip as skip:
        return Skipped(path=found.path, reason=skip.reason, detail=skip.detail)


@dataclass(slots=True)
class Share:
    """A part of a corpus."""

    documents: int = 0
    characters: int = 0


@dataclass(slots=True)
class Summary:
    """A corpus in figures; `add` takes what `documents` yields."""

    total: Share = field(default_factory=Share)
    n_secrets: int = 0  # removed from documents
    by_language: dict[str, Share] = field(default_factory=dict)
    by_folder: dict[str, Share] = field(default_factory=dict)  # the root's own folders
    by_reason: dict[Reason, int] = field(default_factory=dict)  # what was skipped

    def add(self, item: Document | Skipped) -> None:
        if isinstance(item, Skipped):
            self.by_reason[item.reason] = self.by_reason.get(item.reason, 0) + 1
            return
        folder = "/".join(item.path.split("/")[:-1][:2])
        self.n_secrets += item.n_secrets
        for share in (
            self.total,
            self.by_language.setdefault(item.language, Share()),
            self.by_folder.setdefault(folder, Share()),
        ):
            share.documents += 1
            share.characters += len(item.text)

    @property
    def n_skipped(self) -> int:
        """Files and whole folders that are not learned."""
        return sum(self.by_reason.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON object; languages, folders and reasons with most in them come first."""

        def ranked(shares: dict[str, Share]) -> dict[str, dict[str, int]]:
            order = sorted(shares.items(), key=lambda item: (-item[1].characters, item[0]))
            return {
                name: {"documents": share.documents, "characters": share.characters}
                for name, share in order
            }

        reasons = sorted(self.by_reason.items(), key=lambda item: (-item[1], item[0]))
        return {
            "documents": self.total.documents,
            "characters": self.total.characters,
            "secrets_removed": self.n_secrets,
            "languages": ranked(self.by_language),
            "folders": ranked(self.by_folder),
            "files_skipped": self.n_skipped,
            "skipped": dict(reasons),
        }


def summarise(items: Iterable[Document | Skipped]) -> Summary:
    """The figures of a whole corpus; the items themselves are let go one by one."""
    summary = Summary()
    for item in items:
        summary.add(item)
    return summary


# --- reading -------------------------------------------------------------------------------------


class _ByAge:
    """Files that wait to be read, in about a hundred bytes each, for there may be many.

    A file is a string of bytes that sorts as it should: modification time, path, root, kind.
    """

    _END = struct.Struct(">xHB?")  # a zero, which no path holds; root, kind, whether it was named

    def __init__(self) -> None:
        self._above: list[str] = []  # what precedes the root's name, for each root
        self._files: list[bytes] = []

    def add(self, found: Found) -> None:
        above = found.file[: found.n_above]
        if above not in self._above:
            self._above.append(above)
        end = (self._above.index(above), KINDS.index(found.kind), found.named)
        time = max(0, found.modified_ns).to_bytes(9, "big")
        path = os.fsencode(found.file[found.n_above :])
        self._files.append(time + path + self._END.pack(*end))

    def oldest_first(self) -> Iterator[Found]:
        """Each file once; it is forgotten when it is given."""
        self._files.sort(reverse=True)
        while self._files:
            file = self._files.pop()
            root, kind, named = self._END.unpack(file[-self._END.size :])
            above = self._above[root]
            yield Found(
                file=above + os.fsdecode(file[9 : -self._END.size]),
                n_above=len(above),
                modified_ns=int.from_bytes(file[:9], "big"),
                kind=KINDS[kind],
                named=named,
            )


def _document(found: Found, rules: Rules) -> Document:
    try:
        data, status = bytes_of(
            found.file,
            at_most=most_bytes(found, rules),
            text_only=found.kind == "text",
            listed=found.status,
        )
    except OSError as error:
        raise Skip(reason_of(error), error.strerror or "") from error
    except OverflowError as error:
        raise Skip("too-large", too_large(found, rules)) from error
    text = _text_of(data, found.kind, rules)
    del data
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise Skip("empty")
    language = "mail" if found.kind in ("mail", "mailbox") else language_of(found.file)
    if ignore.opts_out(text):
        raise Skip("opted-out", "it says so in its first or last lines")
    if ignore.is_generated(text, language) and not found.named:
        raise Skip("generated")
    text = _without_long_lines(text)
    spans = secrets.find(text)
    if len(text) <= rules.small_file_chars:
        n_certain = sum(span.kind in secrets.CERTAIN for span in spans)
        if n_certain >= rules.many_secrets:
            raise Skip("secrets", f"{n_certain} in {len(text):,} characters")
    secret_lines = _secret_lines(text, spans)
    text = secrets.without(text, spans)
    if not text.strip():
        raise Skip("secrets" if spans else "generated")
    return Document(
        path=found.path,
        modified=status.st_mtime,
        language=language,
        text=text,
        secret_lines=secret_lines,
        digest=blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest(),
    )


def _secret_lines(text: str, spans: Sequence[secrets.Span]) -> tuple[tuple[int, secrets.Kind], ...]:
    """Where each span begins, as a line from 1, and its kind; spans come in order."""
    lines, number, before = [], 1, 0
    for span in spans:
        number += text.count("\n", before, span.start)
        before = span.start
        lines.append((number, span.kind))
    return tuple(lines)


def _text_of(data: bytes, kind: str, rules: Rules) -> str:
    try:
        match kind:
            case "notebook":
                return formats.notebook(data)
            case "docx":
                return formats.docx(data)
            case "odt":
                return formats.odt(data)
            case "mail":
                return formats.mail(data, rules.mail_from)
            case "mailbox":
                return formats.mailbox(data, rules.mail_from)
            case "pdf":
                return formats.pdf(data)
            case _:
                return formats.decode(data)
    except formats.BinaryData as error:
        raise Skip("binary") from error
    except formats.UnknownEncoding as error:
        raise Skip("encoding", str(error)) from error
    except formats.LibraryMissing as error:
        raise Skip("library", str(error)) from error
    except formats.FormatError as error:
        raise Skip("broken", str(error)) from error


def _without_long_lines(text: str) -> str:
    """Lines beyond all typing become empty: they are data, and the rules for secrets end there."""
    lines = text.split("\n")
    if max(map(len, lines)) <= ignore.LONGEST_LINE:
        return text
    return "\n".join(line if len(line) <= ignore.LONGEST_LINE else "" for line in lines)


# --- repetition ----------------------------------------------------------------------------------


class _Fingerprints:
    """64-bit fingerprints of texts seen before, in a table that never grows.

    A newer one takes the place of an older one, so that a repetition may be missed after
    millions of paragraphs; two different texts are never taken for one.
    """

    _N_BITS = 21  # 16 MB: the paragraphs of about 500 MB of prose

    def __init__(self) -> None:
        self._table = array("Q", [0]) * (1 << self._N_BITS)

    def holds(self, text: str) -> bool:
        """Whether `text` was here before; it has been from now on."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        fingerprint = int.from_bytes(digest, "little") or 1  # 0 stands for an empty place
        place = fingerprint >> (64 - self._N_BITS)
        if self._table[place] == fingerprint:
            return True
        self._table[place] = fingerprint
        return False


def _without_repeats(document: Document, seen: _Fingerprints, rules: Rules) -> Document | Skipped:
    if seen.holds(document.digest):
        return Skipped(path=document.path, reason="duplicate")
    kept = [
        paragraph
        for paragraph in document.text.split("\n\n")
        if len(paragraph) < rules.min_repeat_chars or not seen.holds(" ".join(paragraph.split()))
    ]
    text = "\n\n".join(kept)
    if not text.strip():
        return Skipped(path=document.path, reason="duplicate", detail="paragraph by paragraph")
    return replace(document, text=text)
