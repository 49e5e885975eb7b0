"""The program that reads a stranger's file: a child with nothing of ours around it.

It takes a line of JSON and then the file, and writes lines of JSON: what the file is, each page as
soon as it is read, and how it ended. Where it is killed, what it has told until then still counts;
so parsers may raise what they will: a child that ends without a last word says "damaged".
"""

from __future__ import annotations

import codecs
import json
import re
import resource
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from io import BytesIO

from assurebot.documents import signatures
from assurebot.documents.notes import PAGE_BYTES, Unreadable

_LIMITS = {
    resource.RLIMIT_AS: 1 << 30,
    resource.RLIMIT_CPU: 10,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NPROC: 0,
}
_CODECS = "ascii charmap cp437 cp932 cp950 gb18030 gb2312 gbk latin-1 utf-16 utf-16-be utf-16-le"
"""What the libraries decode by."""

_LINE_END = re.compile("\r\n?|[\f\v\x85\u2028\u2029]")
_CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Answer:
    """What is told: at most so many bytes of text, in pages of at most so many characters."""

    def __init__(self, page_chars: int, text_bytes: int) -> None:
        self._page_chars, self.room = page_chars, text_bytes

    def say(self, *words: str | int) -> None:
        """Write a line at once."""
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    def write(self, texts: Iterable[str | None], nothing: str) -> str:
        """Write pages; return why they are not all, or none with any text in it."""
        missed = words = False
        for text in texts:
            missed = missed or text is None
            for page in stretches(text or "", self._page_chars):
                self.room -= len(page.encode()) + PAGE_BYTES
                if self.room < 0:
                    return "cut"
                words = words or bool(page)
                self.say("page", page)
        if missed:
            return "partly" if words else "damaged"
        return "" if words else nothing


def stretches(text: str, chars: int) -> Iterator[str]:
    """Yield clean text in pieces of at most `chars`, ended at a line or a word where it can be."""
    text = _SURROGATE.sub("\ufffd", _CONTROL.sub("", _LINE_END.sub("\n", text)))
    for piece in _pieces(text.rstrip().lstrip("\n"), chars):
        # Composed only here: it takes quadratic time. It may make a piece longer.
        yield from _pieces(unicodedata.normalize("NFC", piece), chars)


def _pieces(text: str, chars: int) -> Iterator[str]:
    at = 0
    while len(text) - at > chars:
        ends = (text.rfind(sign, at + chars // 2, at + chars) + 1 for sign in "\n ")
        end = next(filter(None, ends), at + chars)
        yield text[at:end].rstrip()
        at = end
    yield text[at:]


def main() -> None:
    """Read the file on standard input."""
    for kind, most in _LIMITS.items():
        resource.setrlimit(kind, (most, most))
    ask = json.loads(sys.stdin.buffer.readline())
    answer = _Answer(ask["chars"], ask["bytes"])
    try:
        why = _read(sys.stdin.buffer.read(), ask["name"], answer)
    except Unreadable as error:
        why = error.why
    except MemoryError:
        why = "memory"
    answer.say("end", why)


def _seal() -> None:
    """From here on no file and no socket can be opened: there are no numbers left for them."""
    for name in _CODECS.split():
        codecs.lookup(name)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _read(data: bytes, name: str, answer: _Answer) -> str:
    mime, why = signatures.signed(data)
    if mime == signatures.PDF:
        return _read_pdf(data, answer)
    if mime in {signatures.ZIP, signatures.OLE}:
        return _read_office(data, mime, answer)
    answer.say("is", "other", mime or signatures.UNKNOWN)
    if mime:
        return why
    from assurebot.documents import plain

    mime, text = plain.decoded(data, name)  # may look for a codec
    _seal()
    answer.say("is", "text", mime)
    return answer.write([plain.words(text) if mime == plain.HTML else text], "empty")


def _read_pdf(data: bytes, answer: _Answer) -> str:
    from assurebot.documents import pdf

    _seal()
    answer.say("is", "pdf", signatures.PDF)
    reader = pdf.opened(data)
    answer.say("leaves", len(reader.pages))
    return answer.write(pdf.texts(reader), "scanned")


def _read_office(data: bytes, mime: str, answer: _Answer) -> str:
    from assurebot.documents import office, sheets
    from assurebot.documents.archive import Archive

    _seal()
    answer.say("is", "other", mime)
    if mime == signatures.OLE:
        mime, why = signatures.streamed(data)
        answer.say("is", "other" if why else "text", mime)
        return why or answer.write(sheets.sheets(BytesIO(data), answer.room), "empty")
    archive = Archive(data)
    mime = signatures.packed(archive.names, archive.read("mimetype"))
    if mime == signatures.ZIP:
        return "archive"
    answer.say("is", "text", mime)
    if mime in office.READERS:
        return answer.write(office.READERS[mime](archive), "empty")
    return answer.write(sheets.sheets(archive.repacked(), answer.room), "empty")
