"""Whatever a file is packed in, the words in it come out, and traps in it are refused."""

import email.policy
import io
import json
import sys
import types
import zipfile
from contextlib import suppress
from email.message import EmailMessage

import pytest
from afterword_trainer import formats
from afterword_trainer.formats import BinaryData, FormatError, LibraryMissing, UnknownEncoding
from hypothesis import given
from hypothesis import strategies as st

SCRIPTS = [
    "Call me Ishmael. Some years ago",
    "Größe, naïve façade, žluťoučký kůň",
    "Все счастливые семьи похожи друг на друга",
    "吾輩は猫である。　名前はまだ無い。",
    "나는 고양이로소이다",
    "في البدء كان الكلمة",
    "सत्यमेव जयते",
    "flags 🏳️‍🌈 and families 👨‍👩‍👧",
]
lines = st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=6)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]
)
@given(lines=lines, newline=st.sampled_from(["\n", "\r\n", "\r"]))
def test_unicode_round_trip(encoding: str, lines: list[str], newline: str) -> None:
    """Every Unicode encoding gives its text back, in every script, with a mark or without."""
    # Without a mark, only blanks and line ends betray UTF-16.
    text = newline.join((*lines, "the end"))

    assert text == formats.decode(text.encode(encoding))


@pytest.mark.parametrize("order", ["le", "be"])
def test_marked_utf16_and_utf32(order: str) -> None:
    """A byte order mark is believed, and goes."""
    for width in ("16", "32"):
        data = "\ufeffwide 🏳️ text\n".encode(f"utf-{width}-{order}")
        assert formats.decode(data) == "wide 🏳️ text\n"


LEGACY = {
    "latin-1": "Ça fait déjà une éternité que l'été est passé à côté de nous.\n",
    "cp1252": "L’œuvre “complète” coûte 20 € à l'évêque – dès août…\n",
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy, zažółć gęślą jaźń.\n",
    "cp1251": "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему.\n",
    "koi8-r": "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему.\n",
    "cp1253": "Άνδρα μοι έννεπε, μούσα, πολύτροπον, ος μάλα πολλά πλάγχθη.\n",
    "shift_jis": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n",
    "euc_jp": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n",
    "gb18030": "道可道，非常道。名可名，非常名。无名天地之始；有名万物之母。\n",
    "big5": "道可道，非常道。名可名，非常名。無名天地之始；有名萬物之母。\n",
    "cp949": "나는 고양이로소이다. 이름은 아직 없다. 어디서 태어났는지 모른다.\n",
}


@pytest.mark.parametrize("encoding", LEGACY)
def test_legacy_encodings(encoding: str) -> None:
    """A page in an old encoding is recognised by its own letters, even behind much ASCII."""
    text = "A long preface in English.\n" * 2000 + LEGACY[encoding] * 8

    assert text == formats.decode(text.encode(encoding))


def test_a_few_broken_places_do_not_make_utf8_something_else() -> None:
    """A damaged byte is lost alone; the text around it is still read as what it is."""
    data = ("Größe, naïve façade\n" * 20).encode() + b"\xff\n" + "schön\n".encode()

    assert formats.decode(data) == "Größe, naïve façade\n" * 20 + "\ufffd\nschön\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0",
        b"\0" * 100,
        b"text with\0 one zero byte",
        bytes(range(256)) * 4,
        b"\x01\x02\x03\x04" * 100,
        b"a\0",  # too little to tell
        bytes(range(1, 250)) + b"\0",
    ],
)
def test_what_is_no_text(data: bytes) -> None:
    """Binary data is known by its content, from its first bytes."""
    assert formats.is_binary(data)
    with pytest.raises(BinaryData):
        formats.decode(data)


def test_a_mark_that_lies() -> None:
    """Text that begins as UTF-16 and is not is an unknown encoding, not a crash."""
    with pytest.raises(UnknownEncoding, match="utf-16"):
        formats.decode(b"\xff\xfea\xd8")


@given(st.binary(max_size=300))
def test_no_bytes_break_a_reader(data: bytes) -> None:
    """Any data gives text or a FormatError, in every format."""
    readers = (formats.decode, formats.notebook, formats.docx, formats.odt, formats.mailbox)
    for reader in readers:
        with suppress(FormatError):
            assert isinstance(reader(data), str)
    assert isinstance(formats.mail(data), str)


# --- notebooks -----------------------------------------------------------------------------------


def test_notebook() -> None:
    """Cells come in order, outputs and raw cells never."""
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "and prose"]},
        {"cell_type": "code", "source": "x = 1\nx", "outputs": [{"text": "never"}]},
        {"cell_type": "raw", "source": "never"},
        {"cell_type": "code", "source": []},
        {"cell_type": "markdown", "source": "half \ud83d a pair"},
        "no cell",
    ]
    data = json.dumps({"cells": cells, "nbformat": 4}).encode()

    expected = "# Title\nand prose\n\nx = 1\nx\n\nhalf \ufffd a pair\n"
    assert expected == formats.notebook(data)


def test_notebook_of_the_third_format() -> None:
    """Old notebooks keep their cells in sheets, and call a source input."""
    cells = [{"cell_type": "code", "input": ["print 1\n", "print 2"]}]
    data = json.dumps({"worksheets": [{"cells": cells}]}).encode()

    assert formats.notebook(data) == "print 1\nprint 2\n"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 100_000, b"\xff\xff", b'"text"'])
def test_no_notebook(data: bytes) -> None:
    """What is no notebook says so, however deep it nests."""
    with pytest.raises(FormatError, match="not a notebook"):
        formats.notebook(data)


# --- word processors -----------------------------------------------------------------------------

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
ODF = "urn:oasis:names:tc:opendocument:xmlns"
O = f'xmlns:o="{ODF}:office:1.0" xmlns:t="{ODF}:text:1.0"'  # noqa: E741


def packed(name: str, content: str | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def docx(body: str, before: str = "") -> bytes:
    return packed(
        "word/document.xml", f"{before}<w:document {W}><w:body>{body}</w:body></w:document>"
    )


def odt(body: str) -> bytes:
    return packed("content.xml", f"<o:document-content {O}>{body}</o:document-content>")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "\n"),
        ("<w:p><w:r><w:t>One</w:t></w:r></w:p><w:p><w:t>Two</w:t></w:p>", "One\n\nTwo\n"),
        ("<w:p><w:r><w:t>spl</w:t></w:r><w:t>it &amp; word</w:t></w:p>", "split & word\n"),
        ("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>", "a\tb\nc\n"),
        ("<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>a</w:t></w:r></w:p>", "a\n"),
        ("<w:p><w:del><w:delText>gone</w:delText></w:del><w:t>kept</w:t></w:p>", "kept\n"),
        ("<w:p><w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:t>kept</w:t></w:p>", "kept\n"),
        ("<w:p><w:r><w:instrText>PAGE</w:instrText><w:t>kept</w:t></w:r></w:p>", "kept\n"),
        ("<w:p><w:t>out</w:t><w:p><w:t>in</w:t></w:p><w:t>side</w:t></w:p>", "in\n\noutside\n"),
        ("<w:Fallback><w:p><w:t>two</w:t></w:p></w:Fallback><w:p><w:t>one</w:t></w:p>", "one\n"),
    ],
)  # fmt: skip
def test_docx(body: str, expected: str) -> None:
    """Paragraphs with their text; what was deleted, computed or said twice stays out."""
    assert expected == formats.docx(docx(body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<t:h>Title</t:h><t:p>One <t:span>bold</t:span> word</t:p>", "Title\n\nOne bold word\n"),
        ("<t:p>a<t:s/>b<t:s t:c='3'/>c<t:tab/>d<t:line-break/>e</t:p>", "a b   c\td\ne\n"),
        ("<t:p>a<t:s t:c='99999999999'/>b</t:p>", "a b\n"),
        ("<t:tracked-changes><t:p>gone</t:p></t:tracked-changes><t:p>kept</t:p>", "kept\n"),
        ("<t:p>text<o:annotation><t:p>a remark</t:p></o:annotation></t:p>", "text\n"),
        ("<t:list><t:list-item><t:p>an item</t:p></t:list-item></t:list>", "an item\n"),
    ],
)
def test_odt(body: str, expected: str) -> None:
    """Paragraphs and headings with their blanks; no deleted text, no remarks."""
    assert expected == formats.odt(odt(body))


BOMB = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "zip"),
        (b"PK\x03\x04 and no more", "zip"),
        (packed("other.xml", "<a/>"), "without word/document.xml"),
        (packed("word/document.xml", "<a><b></a>"), "sound XML"),
        (docx("<w:p><w:t>&b;</w:t></w:p>", BOMB), "document type"),
        (docx("<w:p/>", "<!DOCTYPE b SYSTEM 'file:///etc/passwd'>"), "document type"),
        (packed("word/document.xml", BOMB.encode("utf-16")), "document type"),
        (docx(" " * (formats.MAX_UNPACKED_BYTES + 1)), "unpacks to over"),
        (packed("word/document.xml", "<?xml version='1.0' encoding='no-such'?><a/>"), "sound XML"),
    ],
    ids=[
        *("empty", "cut", "other archive", "broken", "entities", "external entity"),
        *("entities in UTF-16", "zip bomb", "unknown encoding"),
    ],
)
def test_traps_in_documents(data: bytes, message: str) -> None:
    """Damage, bombs and entities are refused with a sentence that says what it was."""
    with pytest.raises(FormatError, match=message):
        formats.docx(data)


def test_an_archive_that_is_cut_at_any_place() -> None:
    """Every prefix of a document is refused or read, never a crash."""
    whole = docx("<w:p><w:t>text</w:t></w:p>" * 50)
    for n in range(len(whole)):
        with pytest.raises(FormatError):
            formats.docx(whole[:n])


# --- mail ----------------------------------------------------------------------------------------


def message(body: str, sender: str = "Anna <anna@example.org>") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["Subject"] = "Re: the boat"
    mail.set_content(body)
    return mail


def wire(mail: EmailMessage) -> bytes:
    return mail.as_bytes(policy=email.policy.SMTP)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Dear Ben,\n\nwe sail at noon.\n", "Dear Ben,\n\nwe sail at noon.\n"),
        ("Yes.\n\nOn Monday, Ben wrote:\n> Do we sail?\n> Soon?\n", "Yes.\n"),
        ("Yes.\n\nAm Montag schrieb Ben:\n\n> Segeln wir?\n", "Yes.\n"),
        ("One thing: bring\nbread.\n", "One thing: bring\nbread.\n"),
        ("Noon.\n-- \nAnna\n+1 555 0100\n", "Noon.\n"),
        ("See below.\n\n-----Original Message-----\nFrom: Ben\nText\n", "See below.\n"),
        ("Größe zählt.\n", "Größe zählt.\n"),
    ],
)
def test_mail(body: str, expected: str) -> None:
    """What the sender wrote stays; quotes, their introduction and the signature go."""
    assert expected == formats.mail(wire(message(body)))


def test_mail_of_one_sender() -> None:
    """With senders given, others' mail is empty."""
    data = wire(message("Noon.\n"))

    assert formats.mail(data, {"anna@example.org"}) == "Noon.\n"
    assert formats.mail(data, {"ben@example.org"}) == ""


def test_mail_with_attachments_and_html() -> None:
    """Of several parts, only plain text that is not attached is anybody's writing."""
    mail = message("The body.\n")
    mail.add_alternative("<p>The body again</p>", subtype="html")
    mail.add_attachment("an attached text\n", filename="notes.txt")

    assert formats.mail(wire(mail)) == "The body.\n"


def test_mail_that_lies_about_its_encoding() -> None:
    """A false or unknown charset falls back to the text's own looks."""
    for charset in ("us-ascii", "no-such-charset"):
        head = f"From: a@example.org\nContent-Type: text/plain; charset={charset}\n"
        data = f"{head}Content-Transfer-Encoding: 8bit\n\nGrüße von hier\n".encode()
        assert formats.mail(data) == "Grüße von hier\n"


def test_mailbox() -> None:
    """Messages of an mbox file follow one another; an escaped From is one again."""
    one, two = (message(text).as_bytes() for text in ("One.\n>From the sea.\n", "Two.\n"))
    data = b"From anna Mon\n" + one + b"\nFrom anna Tue\n" + two

    assert formats.mailbox(data) == "One.\nFrom the sea.\n\nTwo.\n"
    assert formats.mailbox(data.replace(b"\n", b"\r\n")) == formats.mailbox(data)


# --- PDF -----------------------------------------------------------------------------------------


def test_pdf_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install."""
    monkeypatch.setitem(sys.modules, "pypdfium2", types.ModuleType("pypdfium2"))
    monkeypatch.delitem(sys.modules, "pypdfium2")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(LibraryMissing, match=r"afterword\[pdf\]"):
        formats.pdf(b"%PDF-1.7")
