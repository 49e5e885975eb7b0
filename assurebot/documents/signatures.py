"""What a file is, by its first bytes and its inner names; its own name says nothing."""

from __future__ import annotations

import re
from collections.abc import Collection

PDF, ZIP, OLE, UNKNOWN = (
    f"application/{kind}" for kind in ("pdf", "zip", "x-ole-storage", "octet-stream")
)
DOCX, PPTX, XLSX = (
    f"application/vnd.openxmlformats-officedocument.{kind}"
    for kind in ("wordprocessingml.document", "presentationml.presentation", "spreadsheetml.sheet")
)
ODT, ODP, ODS = (
    f"application/vnd.oasis.opendocument.{kind}" for kind in ("text", "presentation", "spreadsheet")
)
XLS = "application/vnd.ms-excel"

_PDF_WITHIN = 1024
"""Some bytes may stand before a PDF's header. Source: PDF Reference 1.7, appendix H.3.4.1."""

# The kind, and why there is no text in it.
_SIGNATURES = (
    (rb"PK(\x03\x04|\x05\x06)", ZIP, ""),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE, ""),
    (rb"\{\\rtf", "text/rtf", "old"),
    (rb"\x1f\x8b", "application/gzip", "archive"),
    (rb"7z\xbc\xaf|Rar!\x1a\x07|\xfd7zXZ\0|BZh[1-9]1AY&SY", "application/x-archive", "archive"),
    (rb"OggS", "audio/ogg", "sound"),
    (rb"ID3|\xff[\xfb\xf3\xf2]", "audio/mpeg", "sound"),
    (rb"fLaC|RIFF....WAVE", "audio/wav", "sound"),
    (rb"....ftyp(hei|mif|avi)", "image/heic", "picture"),
    (rb"II\*\0|MM\0\*", "image/tiff", "picture"),
    (rb"....ftyp|\x1aE\xdf\xa3", "video/mp4", "sound"),
)
_PARTS = {"word/document.xml": DOCX, "ppt/presentation.xml": PPTX, "xl/workbook.xml": XLSX}
_PARTS |= {"xl/workbook.bin": XLSX}  # the binary form of it
_STREAMS = (
    ("WordDocument", "application/msword", "old"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint", "old"),
    ("EncryptedPackage", OLE, "locked"),
    ("Workbook", XLS, ""),
    ("Book", XLS, ""),
)


def signed(data: bytes) -> tuple[str, str]:
    """Return the MIME type by the first bytes, and why there is no text in such a file, if so.

    The type is empty for what has no signature, as text has none.
    """
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return PDF, ""
    found = (each for sign, *each in _SIGNATURES if re.match(sign, data, re.DOTALL))
    mime, why = next(found, ("", ""))
    return mime, why


def packed(names: Collection[str], mimetype: bytes) -> str:
    """Return the MIME type of a zip archive by what is in it: its names, and its `mimetype`."""
    said = mimetype.decode("latin-1").strip()
    if said in {ODT, ODP, ODS}:
        return said
    return next((mime for part, mime in _PARTS.items() if part in names), ZIP)


def streamed(data: bytes) -> tuple[str, str]:
    """Return the same as `signed` of an OLE file, by the streams in its directory."""
    for name, mime, why in _STREAMS:
        if name.encode("utf-16-le") + bytes(4) in data:
            return mime, why
    return OLE, "unknown"
