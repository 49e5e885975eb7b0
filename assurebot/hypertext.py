"""Readable text out of HTML, for the children that read pages and documents of strangers.

The parser is C code, and 2 MB made for it (`<div><div>...`) keep it busy for minutes: call this
only where it is limited and can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

_TITLE_CHARS = 300
_LINK_CHARS = 500
_DROPPED = {"script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "head"}
_BLOCK = re.compile(
    "address|article|aside|blockquote|br|dd|div|dl|dt|fig.+|footer|form|h[1-6r]|header|li|main|nav"
    "|ol|option|p|pre|section|table|tr|ul"
)
_BREAK = "\u2029"  # a line's end, while those of the source are only spaces
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?([\w-]{1,40})""", re.IGNORECASE)
# Not all codecs of Python are for text of strangers: some take quadratic time.
_KNOWN = re.compile("utf-?(8|16)|us-ascii|iso-?8859|windows|koi8|gb|big5|shift|euc", re.IGNORECASE)


def decoded(body: bytes, charset: str) -> str:
    """Decode by byte order mark, named charset or `meta` element, else as UTF-8."""
    found = _CHARSET.search(body[:2000])
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        charset = "utf-16"
    elif found and not charset:
        charset = found[1].decode()
    try:
        text = body.decode(charset if _KNOWN.match(charset) else "utf-8", "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def readable(html: str, base: str) -> tuple[str, str]:
    """Return title and text of an HTML document; links become `words (url)`."""
    tree = LexborHTMLParser(html)
    head = tree.css_first("title")
    title = _folded(head.text())[:_TITLE_CHARS] if head else ""
    pieces, kept = [], 0
    for node, ends in _walk(tree.body) if tree.body else ():
        tag = node.tag
        kept += (-1 if ends else 1) if tag == "pre" else 0
        if _BLOCK.fullmatch(tag or ""):
            pieces.append(_BREAK)
        elif tag == "-text" and ends:
            text = node.text()
            pieces.append(text.replace("\n", _BREAK).replace(" ", "\xa0") if kept else text)
        elif tag in {"td", "th"}:
            pieces.append(" ")
        elif tag == "a" and ends:
            pieces.append(_target(node, base))
    return title, _folded("".join(pieces))


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each node at its start and at its end, without recursion and without changing any."""
    node, depth = root, 0
    while True:
        yield node, False
        child = None if node.tag in _DROPPED else node.first_child
        if child is not None:
            node, depth = child, depth + 1
            continue
        yield node, True
        while depth and node.next is None and node.parent is not None:
            node, depth = node.parent, depth - 1
            yield node, True
        following = node.next
        if not depth or following is None:
            return
        node = following


def _target(link: LexborNode, base: str) -> str:
    try:
        url = urljoin(base, (link.attributes.get("href") or "").strip())
    except ValueError:
        return ""
    wanted = url.startswith(("https://", "http://")) and url.partition("#")[0] != base
    return f" ({url})" if wanted and len(url) <= _LINK_CHARS else ""


def _folded(text: str) -> str:
    text = re.sub(r"[ \t\r\n\f\v]+", " ", text)
    lines = (line.strip(" ").rstrip("\xa0") for line in text.split(_BREAK))
    return "\n".join(line for line in lines if line).replace("\xa0", " ")
