"""File formats to text: plain text in any encoding, notebooks, word processors, mail, PDF.

Every function takes the bytes of one file and gives the words that its owner wrote. Sizes are
capped and XML entities refused, because a small file may claim to hold a large one.
Knows bytes; opens no file.

    FormatError          the data is not what its name says
      BinaryData         it is no text at all
      UnknownEncoding    it is text in an encoding that nobody recognises
      LibraryMissing     a library that is not installed would read it
"""

import codecs
import email
import importlib
import io
import json
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parseaddr
from typing import Any
from xml.parsers import expat

import charset_normalizer

MAX_UNPACKED_BYTES = 32_000_000  # of XML in a document: a thick novel has two million
_N_SAMPLE = 16_384  # bytes that an encoding is guessed from: more is slower and no surer


class FormatError(ValueError):
    """The data is not what its name says; the message says how."""


class BinaryData(FormatError):
    """The data is no text."""


class UnknownEncoding(FormatError):
    """The data looks like text, but no encoding reads it."""


class LibraryMissing(FormatError):
    """Reading this format needs a library that is not installed; the message names it."""


# --- plain text ----------------------------------------------------------------------------------

_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's: the longer ones come first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings that files of this century are found in. All that exist would be guessed at random.
_LEGACY = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("iso8859_2", "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp874"),
    *("mac_roman", "cp850", "cp866"),
)
_LIKELY = {"cp1252": 0.12, "cp1251": 0.0}  # and how much more chaos they are forgiven
_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\r\f\v\b\x1b"})


def decode(data: bytes) -> str:
    """The text of a plain text file: by its byte order mark, as UTF-8, UTF-16, or by guess.

    Raises BinaryData or UnknownEncoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise UnknownEncoding(f"it begins as {encoding} and does not go on so") from error
    if order := _unmarked_utf16(data[:_N_SAMPLE]):
        return data.decode(order, "replace")
    if is_binary(data[:_N_SAMPLE]) or b"\0" in data:
        raise BinaryData("it is not text")
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    n_beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    if text.count("\ufffd") * 10 < n_beyond_ascii:
        return text  # UTF-8 with a few broken places, as cut files and bad copies have
    return _guessed(data)


def is_binary(head: bytes) -> bool:
    """Whether the first kilobytes of a file are no text in any encoding that `decode` reads."""
    if any(head.startswith(mark) for mark, _ in _MARKS):
        return False
    n_controls = len(head) - len(head.translate(None, _CONTROLS))
    if b"\0" not in head:
        return n_controls > len(head) // 50
    return _unmarked_utf16(head) is None


def _unmarked_utf16(head: bytes) -> str | None:
    """The byte order of UTF-16 without a mark, if that is what this is.

    Read in the right order it has blanks, and letters, marks and numbers beside them; in the
    wrong one, or if it is other data, characters that nobody has assigned, and controls.
    """
    if b"\0" not in head:
        return None
    n_blanks = {}
    for order in ("utf-16-le", "utf-16-be"):
        # A character of four bytes may be cut at the end of the sample: hence step by step.
        text = codecs.getincrementaldecoder(order)("replace").decode(head)
        if "\ufffd" not in text and not any(map(_is_odd, text)):
            n_blanks[order] = sum(map(text.count, " \n\u3000"))
    best = max(n_blanks, key=lambda order: n_blanks[order], default=None)
    return best if best and n_blanks[best] else None


def _is_odd(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cn", "Co"} and character not in "\t\n\r\f"


def _guessed(data: bytes) -> str:
    # Only lines beyond ASCII tell encodings apart, so the sample is made of those.
    lines = re.findall(rb"[^\n]*[\x80-\xff][^\n]*\n?", data)
    sample = b"".join(lines)[: 4 * _N_SAMPLE]
    matches = charset_normalizer.from_bytes(sample, cp_isolation=list(_LEGACY))
    best = matches.best()
    if best is None:
        raise UnknownEncoding("no encoding reads it as text")
    # Nearly equal guesses are common in short texts; then the encoding that more files have wins.
    likely = [
        match.encoding
        for match in matches
        if match.encoding in _LIKELY
        and match.chaos <= best.chaos + _LIKELY[match.encoding]
        and match.coherence >= best.coherence - 0.1
    ]
    encodings = [*likely, *(match.encoding for match in matches)]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:  # beyond the sample
            continue
    raise UnknownEncoding(f"it begins as {encodings[0]} and does not go on so")


# --- notebooks -----------------------------------------------------------------------------------


def notebook(data: bytes) -> str:
    """Markdown and code cells of a Jupyter notebook, an empty line between; never outputs.

    Raises FormatError.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError("it is not a notebook: no JSON") from error
    if not isinstance(content, dict):
        raise FormatError("it is not a notebook: no cells")
    sheets = content.get("worksheets", [content])  # format 3 had sheets of cells
    cells = [
        cell
        for sheet in (sheets if isinstance(sheets, list) else [])
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
        for cell in sheet["cells"]
    ]
    texts = (_cell_text(cell) for cell in cells)
    return _sound("\n\n".join(text for text in texts if text.strip()) + "\n")


def _cell_text(cell: Any) -> str:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("markdown", "code", "heading"):
        return ""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _sound(text: str) -> str:
    """JSON may spell half a surrogate pair, which is no character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# --- word processors -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    """Local names of the XML elements that matter."""

    file: str  # in the archive
    paragraphs: Collection[str]
    text: str | None  # the only element whose text counts; None: all text in a paragraph does
    skipped: Collection[str]  # with all that is in them
    characters: dict[str, str]


_DOCX = _Dialect(
    file="word/document.xml",
    paragraphs=("p",),
    text="t",
    # Properties hold names, not text; a fallback repeats its shape; moved text is where it went.
    skipped=("pPr", "rPr", "Fallback", "moveFrom", "del"),
    characters={"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011"},
)
_ODT = _Dialect(
    file="content.xml",
    paragraphs=("p", "h"),
    text=None,
    skipped=("tracked-changes", "annotation", "note-citation", "automatic-styles", "title", "desc"),
    characters={"tab": "\t", "line-break": "\n", "s": " "},
)


def docx(data: bytes) -> str:
    """Paragraphs of a Word document, an empty line between. Raises FormatError."""
    return _paragraphs(data, _DOCX)


def odt(data: bytes) -> str:
    """Paragraphs of an OpenDocument text, an empty line between. Raises FormatError."""
    return _paragraphs(data, _ODT)


def _paragraphs(data: bytes, dialect: _Dialect) -> str:
    reader = _Reader(dialect)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_entities
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        for chunk in _unpacked(data, dialect.file):
            parser.Parse(chunk)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError) as error:
        raise FormatError(f"its {dialect.file} is not sound XML") from error
    return "\n\n".join(text for text in reader.done if text.strip()) + "\n"


def _refuse_entities(*_: object) -> None:
    raise FormatError("its XML declares a document type, which no word processor writes")


def _unpacked(data: bytes, name: str) -> Iterator[bytes]:
    """The file `name` of a zip archive, in chunks, as long as it stays under the cap."""
    n_bytes = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(name) as file:
            while chunk := file.read(65_536):
                n_bytes += len(chunk)
                if n_bytes > MAX_UNPACKED_BYTES:
                    raise FormatError(f"its {name} unpacks to over {MAX_UNPACKED_BYTES:,} bytes")
                yield chunk
    except KeyError as error:
        raise FormatError(f"it is an archive without {name}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise FormatError("it is not a sound zip archive") from error
    except (NotImplementedError, RuntimeError) as error:  # how zipfile refuses
        raise FormatError("it is encrypted or packed in a way that is not read") from error


@dataclass(slots=True)
class _Reader:
    """Paragraphs gathered while the parser walks; they nest, in notes and text boxes."""

    dialect: _Dialect
    done: list[str] = field(default_factory=list)
    _open: list[list[str]] = field(default_factory=list)
    _n_skipped: int = 0  # depth below an element that is skipped
    _n_text: int = 0  # depth below an element whose text counts

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if self._n_skipped or local in self.dialect.skipped:
            self._n_skipped += 1
        elif local in self.dialect.paragraphs:
            self._open.append([])
        elif local == self.dialect.text:
            self._n_text += 1
        elif self._open and local in self.dialect.characters:
            count = next((v for k, v in attributes.items() if k.endswith(" c")), "1")
            n = int(count) if count.isascii() and count.isdigit() and len(count) < 4 else 1
            self._open[-1].append(self.dialect.characters[local] * n)

    def end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if self._n_skipped:
            self._n_skipped -= 1
        elif local in self.dialect.paragraphs:
            self.done.append("".join(self._open.pop()))
        elif local == self.dialect.text:
            self._n_text -= 1

    def characters(self, text: str) -> None:
        if self._open and not self._n_skipped and (self._n_text or self.dialect.text is None):
            self._open[-1].append(text)


# --- mail ----------------------------------------------------------------------------------------

_ATTRIBUTION = re.compile(r"^(?=.{0,300}\n(?:[ \t]*\n)?>)[^>\n]{0,300}:[ \t]*\n", re.MULTILINE)
_QUOTED = re.compile(r"^>.*\n?", re.MULTILINE)
# The sign that a signature follows (RFC 3676), and what mail programs put above a whole copy.
_TAIL = re.compile(
    r"^(?:-- ?|_{20,}|-{2,} ?(?:Original Message|Forwarded message|Ursprüngliche Nachricht).*"
    r"|Begin forwarded message:)[ \t]*$",
    re.MULTILINE,
)
_MBOX_START = re.compile(rb"(?:\A|\n)From [^\n]*\n")


def mail(data: bytes, senders: Collection[str] = ()) -> str:
    """What the sender of one message wrote: its plain text without quotes and signature.

    With `senders` (addresses in lower case), only mail from one of them; empty for any other.
    """
    message = email.message_from_bytes(data)
    sender = parseaddr(str(message.get("From", "")))[1].lower()
    if senders and sender not in senders:
        return ""
    text = "\n\n".join(_plain_parts(message)).replace("\r\n", "\n")
    if tail := _TAIL.search(text):
        text = text[: tail.start()]
    return _QUOTED.sub("", _ATTRIBUTION.sub("", text)).strip() + "\n"


def mailbox(data: bytes, senders: Collection[str] = ()) -> str:
    """The same of every message in an mbox file, an empty line between.

    Raises FormatError if it does not begin as one.
    """
    data = data.replace(b"\r\n", b"\n")
    if not data.startswith(b"From "):
        raise FormatError("it is not a mailbox: no line that begins with From")
    messages = _MBOX_START.split(data)[1:]
    texts = (mail(re.sub(rb"(?m)^>(>*From )", rb"\1", message), senders) for message in messages)
    return "\n".join(text for text in texts if text.strip())


def _plain_parts(message: Message) -> Iterator[str]:
    for part in message.walk():
        if part.get_content_type() != "text/plain" or part.get_filename():
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            continue
        try:
            yield payload.decode(part.get_content_charset("utf-8"))
        except (LookupError, UnicodeError):  # an unknown or a false name of an encoding
            try:
                yield decode(payload)
            except FormatError:
                continue


# --- PDF -----------------------------------------------------------------------------------------


def pdf(data: bytes) -> str:
    """The text of a PDF file, an empty line between pages. Raises FormatError."""
    try:
        library = importlib.import_module("pypdfium2")
    except ImportError as error:
        raise LibraryMissing("pip install 'afterword[pdf]'") from error
    try:
        document = library.PdfDocument(data)
        pages = [page.get_textpage().get_text_range() for page in document]
    except (library.PdfiumError, ValueError) as error:
        raise FormatError("it is not a sound PDF file, or it is encrypted") from error
    return "\n\n".join(page.strip() for page in pages).replace("\r\n", "\n") + "\n"
