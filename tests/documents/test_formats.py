"""Each kind of document is read as people see it: pages, rows, notes."""

from __future__ import annotations

import re
import unicodedata
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfWriter

from assurebot.documents.extract import stretches
from assurebot.documents.worker import LimitedReader
from assurebot.ports import Reading
from tests.documents import making
from tests.documents.making import lines, paragraph, pdf, pdf_in, rows, stream, word, xlsx
from tests.documents.old import xls
from tests.pictures import broken_png, jpeg, png

OPEN_XML = "application/vnd.openxmlformats-officedocument."
OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SCANNED = pdf([stream(b"")] * 2)


def text(mime: str, *pages: str, note: str = "") -> Reading:
    """Something with text in it."""
    return Reading(kind="text", mime=mime, pages=pages, note=note)


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        (
            pdf([lines("Hello", "World"), stream(b""), lines("three")]),
            Reading(
                kind="pdf", mime="application/pdf", pages=("Hello\nWorld", "", "three"), leaves=3
            ),
        ),
        (
            b"\n\n" + SCANNED,
            Reading(
                kind="pdf",
                mime="application/pdf",
                leaves=2,
                note="there is no text in it, it seems to be scanned: send its pages as photos",
            ),
        ),
        (
            making.docx(),
            text(
                f"{OPEN_XML}wordprocessingml.document",
                "Caf\u00e9 & caf\u00e9\nName | Sum | Ann more\nx\nleft\tright\nbelow",
                "A footnote",
            ),
        ),
        (
            making.pptx(),
            text(
                f"{OPEN_XML}presentationml.presentation",
                "First",
                "Second\n\nSpeaker notes: Say hello",
            ),
        ),
        (
            xlsx({"Sums": rows([["Ann", 1, 2.5], ["a  b", 3.0]]), "More": rows([[7]])}),
            text(
                f"{OPEN_XML}spreadsheetml.sheet",
                "Sheet Sums\nAnn\t1\t2.5\na b\t3",
                "Sheet More\n7",
            ),
        ),
        (xls(), text("application/vnd.ms-excel", "Sheet Sums\nAnn\t2.5")),
        (making.ods(), text(f"{OPEN_DOCUMENT}spreadsheet", "Sheet Sums\nAnn\t2")),
        (
            making.odt(),
            text(f"{OPEN_DOCUMENT}text", "Head\nOne two\tthree [aside ]\nfour\na | b"),
        ),
        (making.odp(), text(f"{OPEN_DOCUMENT}presentation", "One", "Two")),
        (
            b"<!-- x -->\n<!doctype html><title>T</title><p>a<table><tr><td>1<td>2</table>",
            text("text/html", "T\n\na\n1 2"),
        ),
        (
            '<html><meta charset="koi8-r"><p>\u043f\u0440\u0438'.encode("koi8-r"),
            text("text/html", "\u043f\u0440\u0438"),
        ),
    ],
)
async def test_documents(data: bytes, reading: Reading) -> None:
    """Pages, slides and sheets are pages; rows are lines; whoever wrote notes finds them."""
    assert await LimitedReader().read(data, "misleading.txt") == reading


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("GBK-EUC-H", "gbk"),
        ("GBpc-EUC-H", "gb2312"),
        ("GBK2K-H", "gb18030"),
        ("ETen-B5-H", "cp950"),
        ("90ms-RKSJ-H", "cp932"),
        ("UniJIS-UTF16-H", "utf-16-be"),
    ],
)
async def test_pdf_in_the_encodings_of_asia(encoding: str, codec: str) -> None:
    """What these need is loaded before the child can open files no more."""
    reading = await LimitedReader().read(pdf_in(encoding, "\u65e5\u672c".encode(codec)), "x")
    assert (reading.pages, reading.note) == (("\u65e5\u672c",), "")


@pytest.mark.parametrize(
    ("password", "pages", "note"),
    [("", ("secret",), ""), ("x", (), "it is locked with a password: send a copy without one")],
)
async def test_encrypted_pdf(password: str, pages: tuple[str, ...], note: str) -> None:
    """One that anybody may read is read; of one with a password that is said."""
    writer, made = PdfWriter(clone_from=BytesIO(pdf([lines("secret")]))), BytesIO()
    writer.encrypt(password, "owner", algorithm="RC4-128")
    writer.write(made)
    reading = await LimitedReader().read(made.getvalue(), "x")
    assert (reading.kind, reading.pages, reading.note) == ("pdf", pages, note)


@pytest.mark.parametrize(
    ("data", "name", "mime", "words"),
    [
        (b"a,b\r\n1,2\r\n", "x.CSV", "text/csv", "a,b\n1,2"),
        (b"def f():\n\treturn 1\n", "f.py", "text/x-python", "def f():\n\treturn 1"),
        (
            ("\ufeff\u00e9\x00\u202e" + "x" * 99).encode(),
            "x",
            "text/plain",
            "\u00e9\u202e" + "x" * 99,
        ),
        ("h\u00e4 ho".encode("utf-16"), "x", "text/plain", "h\u00e4 ho"),
        ("hi ho, hi ho".encode("utf-16-le"), "x", "text/plain", "hi ho, hi ho"),
        ("hi ho, hi ho".encode("utf-16-be"), "x", "text/plain", "hi ho, hi ho"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442".encode("cp1251"), "x.pdf", "text/plain", "Привет"),
        ("Gr\u00fc\u00dfe aus K\u00f6ln".encode("cp1252"), "x", "text/plain", "Grüße aus Köln"),
        (("\u20ac" * 200).encode()[:-1], "x", "text/plain", "\u20ac" * 199 + "\ufffd"),
    ],
)
async def test_text(data: bytes, name: str, mime: str, words: str) -> None:
    """UTF-8, UTF-16 and what Windows wrote before are text; the name only tells the language."""
    assert await LimitedReader().read(data, name) == text(mime, words)


@pytest.mark.parametrize(
    ("data", "mime", "note"),
    [
        (b"{\\rtf1 hi}", "text/rtf", "it is in a format that is not read: save it as .docx"),
        (OLE + "WordDocument".encode("utf-16-le") + bytes(9), "application/msword", "it is in a "),
        (
            OLE + "EncryptedPackage".encode("utf-16-le") + bytes(9),
            "application/x-ole-storage",
            "it is locked with a password",
        ),
        (OLE + bytes(99), "application/x-ole-storage", "it is no text, and no document"),
        (making.zipped({"a.txt": "a"}), "application/zip", "it is an archive"),
        (b"PK\3\4" + bytes(99), "application/zip", "it is damaged"),
        (b"\x1f\x8b" + bytes(99), "application/gzip", "it is an archive"),
        (b"OggS" + bytes(99), "audio/ogg", "it is sound or video"),
        (b"\0\0\0\x18ftypheic" + bytes(9), "image/heic", "it is a picture of a kind"),
        (b"II*\0" + bytes(9), "image/tiff", "it is a picture of a kind"),
        (b"\0\0\0\x18ftypmp42" + bytes(9), "video/mp4", "it is sound or video"),
        (bytes(range(256)) * 9, "application/octet-stream", "it is no text"),
        (png()[:20], "image/png", "it is damaged"),
    ],
)
async def test_what_has_no_text_says_why(data: bytes, mime: str, note: str) -> None:
    """A file without text to be had is a result, with what the sender can do."""
    reading = await LimitedReader().read(data, "report.docx")
    assert reading == Reading(kind="other", mime=mime, note=reading.note)
    assert reading.note.startswith(note)


@pytest.mark.parametrize(
    ("data", "mime"),
    [(png(), "image/png"), (broken_png(), "image/png"), (jpeg(), "image/jpeg")],
)
async def test_pictures(data: bytes, mime: str) -> None:
    """A picture is told by its header alone, and how large it is."""
    assert await LimitedReader().read(data, "x.pdf") == Reading(
        kind="picture", mime=mime, sides=(32, 24)
    )


async def test_a_page_that_cannot_be_read_does_not_hide_the_others() -> None:
    """The pages around it are there, and the note tells of it."""
    bad = stream(b"BT /F1 12 Tf 9 9 Td (x) Tj ET", "/Filter/NoSuchDecode")
    reading = await LimitedReader().read(pdf([lines("one"), bad, lines("three")]), "x")
    assert reading == Reading(
        kind="pdf",
        mime="application/pdf",
        pages=("one", "", "three"),
        leaves=3,
        note="some of its pages could not be read",
    )


async def test_what_is_empty_is_told() -> None:
    """Nothing to read is no page, and a note."""
    for data in (b"", b" \n ", word(paragraph("")), making.zipped({"word/document.xml": "<d/>"})):
        reading = await LimitedReader().read(data, "x")
        assert (reading.kind, reading.pages, reading.note) == ("text", (), "there is no text in it")


@given(st.text(max_size=300), st.integers(2, 40))
def test_stretches_lose_nothing(words: str, chars: int) -> None:
    """Every word is in some stretch, in order; none is too long or holds what cannot be sent."""
    found = list(stretches(words, chars))
    assert all(len(piece) <= chars for piece in found)

    def bare(text: str) -> str:
        return unicodedata.normalize("NFD", re.sub(r"[\s\0-\x08\x0e-\x1f\x7f-\x9f]", "", text))

    assert bare("".join(found)) == bare(words)
    assert not re.search(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", "".join(found))


@given(st.lists(st.text("abc\u00e9", min_size=1, max_size=9), max_size=60), st.integers(20, 40))
def test_stretches_end_at_words(words: list[str], chars: int) -> None:
    """Where words are shorter than a stretch, none is cut."""
    found = list(stretches(" ".join(words), chars))
    assert " ".join(found).split() == words
