"""Long texts into messages: whole words and emoji, whole entities where possible, nothing lost.

Telegram counts in UTF-16 code units and trims white space around a message, but not inside an
entity that stands there (td/telegram/MessageEntity.cpp, `fix_formatted_text`).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, islice

from assurebot.values import Entity, Piece

MAX_UNITS = 4096
MAX_ENTITIES = 100

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\n\t"}
_CUTS = (
    (re.compile(r"\n(?=\n)"), False),
    (re.compile(r"\n"), False),
    (re.compile(r"\n(?=\S)"), True),
    (re.compile(r"\n"), True),
    (re.compile(r"\.(?= )"), True),
    (re.compile(r" "), True),
)
"""After what to cut, best first, and whether also inside code blocks."""

_BLANKS = "\u2800\u3164\u115f\u1160\uffa0"  # letters by category, yet nothing is seen
_UNSEEN = frozenset(("Cc", "Cf", "Zl", "Zp", "Zs"))
_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_LONGEST_CLUSTER = 64


def units(text: str) -> int:
    """Count UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def clean(text: str) -> str:
    """Remove what no message can hold: lone surrogates, control characters, odd line ends."""
    text = _SURROGATES.sub("\ufffd", text)
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)


def split(text: str, entities: Sequence[Entity] = ()) -> tuple[Piece, ...]:
    """Cut a clean text into messages that Telegram accepts; an entity that is cut goes on.

    White space at the cuts is dropped, and so is a piece in which nothing can be seen.

    Args:
        text: As `clean` returns it.
        entities: Without partial overlaps; offsets and lengths in UTF-16 units.
    """
    layout = _Layout(text, entities)
    pieces = []
    start = 0
    while start < len(text):
        end = layout.cut(start)
        piece = layout.piece(start, end)
        if any(map(is_visible, piece.text)):
            pieces.append(piece)
        start = end
    return tuple(pieces)


def is_visible(char: str) -> bool:
    """Tell whether a character leaves a mark: Telegram refuses a text without one."""
    return char not in _BLANKS and unicodedata.category(char) not in _UNSEEN


def _outer_first(entity: Entity) -> tuple[int, int, bool]:
    return entity.offset, -entity.length, entity.type != "blockquote"


class _Layout:
    """A text with its entities, and where it can be cut."""

    def __init__(self, text: str, entities: Sequence[Entity]) -> None:
        self._text = text
        widths = (1 if char <= "\uffff" else 2 for char in text)
        self._at = list(accumulate(widths, initial=0))
        self._later = iter(sorted(entities, key=_outer_first))
        self._near: list[Entity] = []  # those of the next piece, and one more if there is one
        self._in_code = bytearray(self._at[-1] + 1)
        for entity in entities:
            if entity.type == "pre":
                end = entity.offset + entity.length
                self._in_code[entity.offset : end] = b"\1" * entity.length

    def cut(self, start: int) -> int:
        """Choose the end of the piece that begins at `start`."""
        furthest = bisect_right(self._at, self._at[start] + MAX_UNITS) - 1
        furthest = self._within_entity_limit(start, furthest)
        if furthest >= len(self._text):
            return len(self._text)
        least = start + (furthest - start) // 2
        for separator, in_code in _CUTS:
            places = (match.start() for match in separator.finditer(self._text, least, furthest))
            suitable = [place for place in places if in_code or not self._in_code[self._at[place]]]
            if suitable:
                return suitable[-1] + 1
        return self._between_clusters(start, furthest)

    def piece(self, start: int, end: int) -> Piece:
        """Make the message of a stretch of text, trimmed as Telegram would trim it."""
        trimmed = self._text[start:end].rstrip()
        in_code = self._in_code[self._at[start]]  # its indentation stays
        chunk = trimmed.lstrip("\n" if in_code else None)
        start += len(trimmed) - len(chunk)
        first, last = self._at[start], self._at[start + len(chunk)]
        found = []
        for entity in self._near:
            begin = max(entity.offset, first)
            length = min(entity.offset + entity.length, last) - begin
            if length > 0:
                found.append(replace(entity, offset=begin - first, length=length))
        return Piece(text=chunk, entities=tuple(found[:MAX_ENTITIES]))

    def _within_entity_limit(self, start: int, furthest: int) -> int:
        near = [one for one in self._near if one.offset + one.length > self._at[start]]
        self._near = near + list(islice(self._later, MAX_ENTITIES + 1 - len(near)))
        if len(self._near) <= MAX_ENTITIES:
            return furthest
        index = bisect_left(self._at, self._near[MAX_ENTITIES].offset)
        return min(furthest, index) if index > start else furthest

    def _between_clusters(self, start: int, furthest: int) -> int:
        ends = range(furthest, max(start, furthest - _LONGEST_CLUSTER), -1)
        return next((end for end in ends if not self._joins(end)), furthest)

    def _joins(self, index: int) -> bool:
        """Tell whether the character at `index` belongs to the one before it."""
        char = self._text[index]
        return (
            _JOINER in (char, self._text[index - 1])
            or ord(char) in _SKIN_TONES
            or unicodedata.category(char).startswith("M")
        )
