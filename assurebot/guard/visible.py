"""Text in which nothing hides: what would move, reverse or vanish is written out."""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b"
    r"\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control, bidi and invisible characters; not the two joiners, which scripts and emoji need."""


def visible(text: str) -> str:
    """Return the text with each hidden character as its picture, or as its number."""
    return _HIDDEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < ord(" "):
        return chr(0x2400 + code)  # the block of control pictures has the same order
    return "\u2421" if found.group() == "\x7f" else f"<U+{code:04X}>"
