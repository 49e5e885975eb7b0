"""Documents made from nothing, good ones as office programs write them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

from tests.documents.old import xls

OFFICE = "http://schemas.openxmlformats.org"
_MAIN = "vnd.openxmlformats-officedocument"
_RELATIONS = f"{OFFICE}/package/2006/relationships"
_KINDS = f"{OFFICE}/officeDocument/2006/relationships"
_W = f'xmlns:w="{OFFICE}/wordprocessingml/2006/main"'
_A = (
    f'xmlns:a="{OFFICE}/drawingml/2006/main" xmlns:r="{_KINDS}" '
    f'xmlns:p="{OFFICE}/presentationml/2006/main"'
)
_ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "text", "table", "presentation")
) + (' xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"')
_TYPES = f'<Types xmlns="{OFFICE}/package/2006/content-types"/>'


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A packed archive."""
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return made.getvalue()


def zip_parts(archive: bytes) -> dict[str, bytes]:
    """The parts of an archive."""
    with ZipFile(BytesIO(archive)) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def relations(targets: Mapping[str, str]) -> str:
    """Relations of a part, by target: what kind each is."""
    listed = "".join(
        f'<Relationship Id="rId{n}" Type="{_KINDS}/{kind}" Target="{target}"/>'
        for n, (target, kind) in enumerate(targets.items(), 1)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{listed}</Relationships>'


def word(body: str, more: Mapping[str, str] | None = None, before: str = "") -> bytes:
    """A docx with this body; `before` stands before the root element."""
    document = f"{before}<w:document {_W}><w:body>{body}</w:body></w:document>"
    return zipped({"[Content_Types].xml": _TYPES, "word/document.xml": document, **(more or {})})


def paragraph(text: str) -> str:
    """A paragraph of a docx."""
    return f"<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx() -> bytes:
    """A docx with a table and a footnote."""
    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("Name", "Sum"))
    cells += "".join(f"<w:tc>{paragraph(text)}{paragraph('more')}</w:tc>" for text in ("Ann",))
    row = f"<w:tbl><w:tr>{cells}</w:tr><w:tr><w:tc>{paragraph('x')}</w:tc></w:tr></w:tbl>"
    tab = "<w:p><w:r><w:t>left</w:t><w:tab/><w:t>right</w:t><w:br/><w:t>below</w:t></w:r></w:p>"
    notes = f"<w:footnotes {_W}><w:footnote>{paragraph('A footnote')}</w:footnote></w:footnotes>"
    return word(
        paragraph("Caf\u00e9 &amp; caf\u0065\u0301") + row + tab, {"word/footnotes.xml": notes}
    )


def pptx() -> bytes:
    """A show whose second slide was made first and has notes."""

    def slide(text: str) -> str:
        return f"<p:sld {_A}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>"

    order = '<p:sldIdLst><p:sldId id="9" r:id="rId2"/><p:sldId id="8" r:id="rId1"/></p:sldIdLst>'
    notes = f"<p:notes {_A}><a:p><a:t>Say hello</a:t></a:p><a:fld><a:t>2</a:t></a:fld></p:notes>"
    return zipped(
        {
            "[Content_Types].xml": _TYPES,
            "ppt/presentation.xml": f"<p:presentation {_A}>{order}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": relations(
                {"slides/slide1.xml": "slide", "slides/slide2.xml": "slide"}
            ),
            "ppt/slides/slide1.xml": slide("Second"),
            "ppt/slides/slide2.xml": slide("First"),
            "ppt/slides/_rels/slide1.xml.rels": relations(
                {"../notesSlides/notesSlide1.xml": "notesSlide"}
            ),
            "ppt/notesSlides/notesSlide1.xml": notes,
        }
    )


def xlsx(sheets: Mapping[str, str]) -> bytes:
    """A workbook; sheets by their name, as the XML of their rows."""
    main = f"{OFFICE}/spreadsheetml/2006/main"
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(sheets, 1)
    )
    parts: dict[str, str | bytes] = {
        f"xl/worksheets/sheet{n}.xml": (
            f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
        )
        for n, rows in enumerate(sheets.values(), 1)
    }
    names = {f"worksheets/sheet{n}.xml": "worksheet" for n in range(1, len(sheets) + 1)}
    book = f'<workbook xmlns="{main}" xmlns:r="{_KINDS}"><sheets>{listed}</sheets></workbook>'
    parts["xl/workbook.xml"] = book
    parts["xl/_rels/workbook.xml.rels"] = relations(names)
    parts["[Content_Types].xml"] = _TYPES
    parts["_rels/.rels"] = relations({"xl/workbook.xml": "officeDocument"})
    return zipped(parts)


def rows(table: Sequence[Sequence[str | float]]) -> str:
    """Rows of a sheet."""

    def cell(at: str, value: str | float) -> str:
        if isinstance(value, str):
            return f'<c r="{at}" t="inlineStr"><is><t>{value}</t></is></c>'
        return f'<c r="{at}"><v>{value}</v></c>'

    return "".join(
        f'<row r="{y}">{"".join(cell(f"{chr(65 + x)}{y}", v) for x, v in enumerate(row))}</row>'
        for y, row in enumerate(table, 1)
    )


def _open_document(kind: str, body: str) -> bytes:
    content = f"<office:document-content {_ODF}><office:body>{body}</office:body>"
    mime = f"application/vnd.oasis.opendocument.{kind}"
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    )
    return zipped(
        {
            "mimetype": mime,
            "content.xml": f"{content}</office:document-content>",
            "META-INF/manifest.xml": manifest,
        }
    )


def odt() -> bytes:
    """A text with a table and a footnote."""
    cells = "".join(
        f"<table:table-cell><text:p>{t}</text:p></table:table-cell>" for t in ("a", "b")
    )
    note = "<text:note><text:note-body><text:p>aside</text:p></text:note-body></text:note>"
    return _open_document(
        "text",
        f"<office:text><text:h>Head</text:h><text:p>One<text:s/>two<text:tab/>three{note}"
        f"<text:line-break/>four</text:p><table:table><table:table-row>{cells}</table:table-row>"
        "</table:table></office:text>",
    )


def odp() -> bytes:
    """A show of two slides."""
    slides = "".join(f"<draw:page><text:p>{text}</text:p></draw:page>" for text in ("One", "Two"))
    return _open_document("presentation", f"<office:presentation>{slides}</office:presentation>")


def ods() -> bytes:
    """A workbook of one sheet."""
    cells = (
        '<table:table-cell office:value-type="string"><text:p>Ann</text:p></table:table-cell>'
        '<table:table-cell office:value-type="float" office:value="2"><text:p>2</text:p>'
        "</table:table-cell>"
    )
    return _open_document(
        "spreadsheet",
        '<office:spreadsheet><table:table table:name="Sums"><table:table-row>'
        f"{cells}</table:table-row></table:table></office:spreadsheet>",
    )


def stream(data: bytes, filters: str = "") -> bytes:
    """A stream of a PDF; `filters` as in its dictionary."""
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), filters.encode(), data)


def flate(data: bytes, times: int = 1) -> bytes:
    """A stream that is packed so many times."""
    for _ in range(times):
        data = zlib.compress(data, 9)
    return stream(data, f"/Filter[{'/FlateDecode ' * times}]")


def pdf_of(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """A PDF of these objects, the first of which is its root."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count, at = len(objects) + 1, len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    out += b"trailer<</Size %d/Root 1 0 R%s>>" % (count, trailer.encode())
    out += b"\nstartxref\n%d\n%%%%EOF\n" % at
    return bytes(out)


def pdf(contents: Sequence[bytes], trailer: str = "") -> bytes:
    """A PDF with one page for each content stream."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(contents)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(contents)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n, content in enumerate(contents):
        page = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]"
            b"/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>"
        )
        objects += [page % (5 + 2 * n), content]
    return pdf_of(objects, trailer)


def lines(*texts: str) -> bytes:
    """The content stream of a page with these lines."""
    shown = "".join(f"({text}) Tj 0 -14 Td " for text in texts)
    return stream(f"BT /F1 12 Tf 72 720 Td {shown}ET".encode())


def pdf_in(encoding: str, text: bytes) -> bytes:
    """A PDF whose font has one of the predefined encodings."""
    info = b"<</Registry(Adobe)/Ordering(X)/Supplement 0>>"
    kind = b"<</Type/Font/Subtype/CIDFontType0/BaseFont/X/CIDSystemInfo%s>>" % info
    font = b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/%s/DescendantFonts[%s]>>"
    resources = b"<</Font<</F1 3 0 R>>>>"
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
            font % (encoding.encode(), kind),
            b"<</Type/Page/Parent 2 0 R/Resources%s/Contents 5 0 R>>" % resources,
            stream(b"BT /F1 12 Tf 72 720 Td <%s> Tj ET" % text.hex().encode()),
        ]
    )


def good() -> dict[str, bytes]:
    """One good file of each kind with an inner form, by what it is."""
    return {
        "pdf": pdf([lines("Hello", "World"), flate(b"BT /F1 9 Tf 9 9 Td (Flat) Tj ET")]),
        "docx": docx(),
        "pptx": pptx(),
        "xlsx": xlsx({"Sums": rows([["Ann", 1, 2.5], ["Bob", 3.0]]), "More": rows([[7]])}),
        "xls": xls(),
        "odt": odt(),
        "odp": odp(),
        "ods": ods(),
        "html": b"<!doctype html><title>T</title><p>One<table><tr><td>1<td>2</table>",
    }
