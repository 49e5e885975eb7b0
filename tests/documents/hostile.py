"""Files made to break whoever reads them. Each is small to make, whatever it unpacks to.

Sources: the bombs that libraries were measured with, Fifield's overlapping zip (a better zip bomb,
WOOT 2019), and the usual attacks on XML, PDF and HTML readers.
"""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator

from tests.documents import making
from tests.documents.making import flate, lines, paragraph, pdf, pdf_of, rows, stream, word, xlsx
from tests.pictures import jpeg, png

MIB = 1 << 20


def _repeated(block: bytes, times: int) -> bytes:
    """Raw deflate of a block over and over, packed once."""
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return packed * times + b"\x03\0"


def _zlib(raw: bytes) -> bytes:
    return b"\x78\xda" + raw + bytes(4)


def _entry(
    name: str, raw: bytes, size: int, *, method: int = 8, at: int = 0
) -> tuple[bytes, bytes]:
    """Local header with data, and directory entry, of a part that claims a size."""
    fields = struct.pack("<HHHHHIIIH", 20, 0, method, 0, 33, 0, len(raw), size, len(name))
    local = b"PK\3\4" + fields + b"\0\0" + name.encode() + raw
    return local, b"PK\1\2\x14\0" + fields + bytes(12) + struct.pack("<I", at) + name.encode()


def _zip(parts: dict[str, tuple[bytes, int]], method: int = 8) -> bytes:
    """An archive of raw deflated parts that claim sizes of their own."""
    out, directory = b"", b""
    for name, (raw, size) in parts.items():
        local, central = _entry(name, raw, size, method=method, at=len(out))
        out, directory = out + local, directory + central
    return _ended(out, directory, len(parts))


def _ended(out: bytes, directory: bytes, count: int) -> bytes:
    end = struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(out), 0)
    return out + directory + b"PK\5\6" + end


def _part(text: bytes, times: int = 1, claims: int | None = None) -> tuple[bytes, int]:
    return _repeated(text, times), len(text) * times if claims is None else claims


def _overlapping(names: int) -> bytes:
    """One kernel that every directory entry names: 1 MiB each, hundreds of them."""
    raw = _repeated(bytes(MIB), 1)
    local, _ = _entry("word/document.xml", raw, MIB)
    directory = b"".join(
        _entry("word/document.xml" if n == 0 else f"x{n}", raw, MIB)[1] for n in range(names)
    )
    return _ended(local, directory, names)


def _many_entries(count: int) -> bytes:
    local, _ = _entry("a", b"\3\0", 0)
    _, central = _entry("000000", b"\3\0", 0)
    directory = b"".join([central[:-6] + b"%06d" % n for n in range(count)])
    return _ended(local, directory, count)


def _sheet(times: int) -> bytes:
    """A workbook of times x 1,000 rows."""
    good = making.zip_parts(xlsx({"A": ""}))
    row = b"<row><c><v>1</v></c><c><v>2</v></c></row>" * 1000
    start, _, end = good.pop("xl/worksheets/sheet1.xml").partition(b"</sheetData>")
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH) + _repeated(row, times)[:-2]
    packer = zlib.compressobj(wbits=-15)
    raw += packer.compress(b"</sheetData>" + end) + packer.flush()
    parts = {name: _part(data) for name, data in good.items()}
    return _zip(parts | {"xl/worksheets/sheet1.xml": (raw, len(row) * times + 200)})


def _deep_pages(depth: int) -> bytes:
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    objects += [b"<</Type/Pages/Count 1/Kids[%d 0 R]>>" % (n + 3) for n in range(depth)]
    return pdf_of([*objects, b"<</Type/Page/MediaBox[0 0 9 9]>>"])


def _looping_form() -> bytes:
    """A page whose form draws itself."""
    form = b"<</Type/XObject/Subtype/Form/Resources<</XObject<</F 5 0 R>>>>/Length 4>>stream\n"
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/Resources<</XObject<</F 5 0 R>>>>/Contents 4 0 R>>",
            stream(b"/F Do"),
            form + b"/F Do\nendstream",
        ]
    )


def _xxe(url: str) -> str:
    return f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "{url}">]>'


def _laughs() -> str:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE d [<!ENTITY l0 "lol">{levels}]>'


def bombs(canary: str) -> dict[str, Callable[[], bytes]]:
    """Makers of the files, by name; `canary` is a URL that nobody may ask for."""
    drawn = stream(b"BT /F1 12 Tf " + b"(x) Tj " * 900_000 + b"ET")
    dtd = {
        "docx xxe of a file": _xxe("file:///etc/passwd"),
        "docx xxe of a URL": _xxe(canary),
        "docx external subset": f'<!DOCTYPE d SYSTEM "{canary}">',
        "docx billion laughs": _laughs(),
        "docx quadratic": f'<!DOCTYPE d [<!ENTITY x "{"x" * 100_000}">]>',
    }
    entity = {"quadratic": "&x;" * 10_000, "laughs": "&l9;"}

    def with_dtd(name: str, text: str) -> Callable[[], bytes]:
        body = next((each for key, each in entity.items() if key in name), "&x;")
        return lambda: word(paragraph(body), before=text)

    return {
        "pdf flate 1 GB": lambda: pdf(
            [stream(_zlib(_repeated(b" " * MIB, 1000)), "/Filter/FlateDecode")]
        ),
        "pdf flate twice": lambda: pdf(
            [
                stream(
                    zlib.compress(_zlib(_repeated(b" " * MIB, 600))),
                    "/Filter[/FlateDecode/FlateDecode]",
                )
            ]
        ),
        "pdf flate 16 times": lambda: pdf([flate(b" " * MIB, 16)]),
        "pdf deep pages": lambda: _deep_pages(50_000),
        "pdf looping pages": lambda: pdf_of(
            [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>"]
        ),
        "pdf looping form": _looping_form,
        "pdf page with no end": lambda: pdf([lines("first"), drawn]),
        "pdf brackets": lambda: pdf([stream(b"[" * 400_000)]),
        "pdf object brackets": lambda: pdf_of([b"<</Pages " + b"[" * 300_000]),
        "pdf claims 1e9 pages": lambda: pdf_of(
            [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 1000000000>>"]
        ),
        "docx bomb": lambda: _zip({"word/document.xml": _part(bytes(MIB), 400)}),
        "docx many paragraphs": lambda: _zip(
            {"word/document.xml": _part(paragraph("x").encode() * 1000, 2500)}
        ),
        "docx as much as is let in": lambda: word(paragraph("x") * 150_000),
        "docx deep": lambda: word("<w:p>" * 1_000_000),
        "docx claims too little": lambda: _zip({"word/document.xml": _part(bytes(MIB), 400, 99)}),
        "docx claims 4 GB": lambda: _zip({"word/document.xml": _part(b"<", 1, 0xFFFFFFF0)}),
        "docx packed as lzma": lambda: _zip({"word/document.xml": _part(bytes(MIB))}, method=14),
        **{name: with_dtd(name, text) for name, text in dtd.items()},
        "docx utf-16 xxe": lambda: making.zipped(
            {"word/document.xml": (_xxe(canary) + "<d>&x;</d>").encode("utf-16")}
        ),
        "odt xxe": lambda: making.zipped(
            {
                "mimetype": "application/vnd.oasis.opendocument.text",
                "content.xml": _xxe("file:///etc/passwd") + "<d>&x;</d>",
            }
        ),
        "xlsx 6,000,000 rows": lambda: _sheet(6000),
        "xlsx claims too little": lambda: _zip({"xl/workbook.xml": _part(bytes(MIB), 400, 99)}),
        "xlsx far corner": lambda: xlsx({"A": rows([]) + _corner()}),
        "xlsx both corners": lambda: xlsx({"A": rows([[1]]) + _corner()}),
        "xlsx as much as is let in": lambda: xlsx({"A": rows([[1, 2]] * 700_000)}),
        "xlsx xxe": lambda: making.zipped(
            making.zip_parts(xlsx({"A": ""}))
            | {"xl/worksheets/sheet1.xml": (_xxe(canary) + "<worksheet>&x;</worksheet>").encode()}
        ),
        "zip 1,000,000 entries": lambda: _many_entries(1_000_000),
        "zip overlapping": lambda: _overlapping(500),
        "zip names of places": lambda: making.zipped(
            {"../../etc/x": "a", "/etc/y": "b", "word/document.xml": "<d/>"}
        ),
        "zip in zips": lambda: making.zipped({"a.zip": making.zipped({"b.zip": bytes(MIB)})}),
        "svgz bomb": lambda: gzip.compress(b"<svg>" + bytes(30 * MIB)),
        "svg billion laughs": (_laughs() + "<svg>&l9;</svg>").encode,
        "png claims 60,000 x 60,000": lambda: png().replace(
            (32).to_bytes(4) + (24).to_bytes(4), (60_000).to_bytes(4) * 2
        ),
        "jpeg claims 60,000 x 60,000": lambda: jpeg(60_000, 60_000),
        "html deep": lambda: b"<html>" + b"<div>" * 400_000,
        "html attributes": lambda: b"<html><a " + b"".join(b"a%d=1 " % n for n in range(30_000)),
        "html comments": lambda: b"<html>" + b"<!--" * 500_000,
        "csv one line": lambda: b"a,b;" * (10 * MIB // 4),
        "text 20 MB": lambda: b"words and words\n" * (20_000_000 // 16),
        "text wide": lambda: "a\U0001f600\n".encode() * 700_000,
        "text marks": ("a" + "\u0301\u0316" * 100_000).encode,
        "text no spaces": lambda: b"x" * 20_000_000,
        "utf-16 lone surrogates": lambda: b"\xff\xfe" + b"\x00\xd8" * 2_000_000,
        "ole rubbish": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(MIB),
        "xls rubbish": lambda: (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            + bytes(999)
            + "Workbook".encode("utf-16-le")
            + bytes(9)
        ),
        "random": lambda: random.Random(7).randbytes(20_000_000),  # noqa: S311 - the same each time
    }


def _corner() -> str:
    return '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'


def broken(good: bytes, seed: int) -> Iterator[bytes]:
    """Yield cut and bit-flipped versions of a good file."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    yield good[: chance.randrange(8, len(good))]
    flipped = bytearray(good)
    for _ in range(8):
        flipped[chance.randrange(8, len(good))] ^= 1 << chance.randrange(8)
    yield bytes(flipped)
