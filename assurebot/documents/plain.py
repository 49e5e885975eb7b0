"""Text as it is: plain, code, tables with commas; and the words of HTML."""

from __future__ import annotations

import codecs
import re
from mimetypes import MimeTypes

from assurebot import hypertext
from assurebot.documents.notes import Unreadable

_LOOKED_AT = 65_536
_ODD = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_ODD_SHARE = 100
"""Text has fewer than one such character in so many."""

_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.{0,1000}?-->\s*)?"
    r"<(!doctype html|html|head|body|title|meta|div|p|table|h[1-6]|span|ul|ol|section)\b",
    re.IGNORECASE | re.DOTALL,
)
HTML = "text/html"


def decoded(data: bytes, name: str) -> tuple[str, str]:
    """Return MIME type and text; the name only tells what language code is in.

    Raises:
        Unreadable: It is no text.
    """
    text = _decoded(data)
    head = text[:_LOOKED_AT]
    if len(_ODD.findall(head)) * _ODD_SHARE > len(head):
        raise Unreadable("unknown")
    if _HTML.match(head):
        return HTML, hypertext.decoded(data, "")
    mime = MimeTypes().guess_type(name)[0] or ""
    return mime if mime.startswith("text/") and mime != HTML else "text/plain", text


def words(html: str) -> str:
    """Return title and words of HTML."""
    return "\n\n".join(filter(None, hypertext.readable(html, "")))


def _decoded(data: bytes) -> str:
    """Decode UTF-8, UTF-16 with or without its mark, or what Windows wrote before."""
    head = data[:_LOOKED_AT]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    for order, zeros in (("le", head[1::2]), ("be", head[::2])):
        if zeros.count(0) * 2 > len(zeros):
            return data.decode(f"utf-16-{order}", "replace")
    text = data.decode("utf-8-sig", "replace")
    # Where it is UTF-8, few of the characters beyond ASCII are broken: those at a cut.
    if text.count("\ufffd") * 2 <= len(data) - len(text):
        return text
    beyond, latin = len(re.findall(rb"[\xc0-\xff]", head)), len(re.findall(rb"[A-Za-z]", head))
    return data.decode("cp1251" if beyond > latin else "cp1252", "replace")
