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
from itertools import accumulate
from typing import Literal

from assurebot.values import Entity, Piece

MAX_UNITS = 4096
MAX_ENTITIES = 100

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\n\t"}
_Where = Literal["outside", "margin", "anywhere"]
_SEPARATORS: tuple[tuple[str, _Where], ...] = (
    ("\n\n", "outside"),
    ("\n", "outside"),
    ("\n", "margin"),
    ("\n", "anywhere"),
    (". ", "anywhere"),
    (" ", "anywhere"),
)
"""Where to cut, best first: outside code blocks, before a line without indentation, anywhere."""

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
        self._entities = sorted(entities, key=_outer_first)
        blocks = [entity for entity in self._entities if entity.type == "pre"]
        self._block_starts = [block.offset for block in blocks]
        self._block_ends = [block.offset + block.length for block in blocks]

    def cut(self, start: int) -> int:
        """Choose the end of the piece that begins at `start`."""
        furthest = bisect_right(self._at, self._at[start] + MAX_UNITS) - 1
        furthest = self._within_entity_limit(start, furthest)
        if furthest >= len(self._text):
            return len(self._text)
        least = start + (furthest - start) // 2
        for separator, where in _SEPARATORS:
            found = self._last(separator, least, furthest, where)
            if found is not None:
                return found
        return self._between_clusters(start, furthest)

    def piece(self, start: int, end: int) -> Piece:
        """Make the message of a stretch of text, trimmed as Telegram would trim it."""
        trimmed = self._text[start:end].rstrip()
        code = self._in_block(start, or_at_its_start=True)  # its indentation stays
        chunk = trimmed.lstrip("\n" if code else None)
        start += len(trimmed) - len(chunk)
        first, last = self._at[start], self._at[start + len(chunk)]
        return Piece(text=chunk, entities=self._clipped(first, last)[:MAX_ENTITIES])

    def _clipped(self, first: int, last: int) -> tuple[Entity, ...]:
        found = []
        for entity in self._entities:
            if entity.offset >= last:
                break
            begin = max(entity.offset, first)
            length = min(entity.offset + entity.length, last) - begin
            if length > 0:
                found.append(replace(entity, offset=begin - first, length=length))
        return tuple(found)

    def _within_entity_limit(self, start: int, furthest: int) -> int:
        first = self._at[start]
        seen = 0
        for entity in self._entities:
            seen += entity.offset + entity.length > first
            if seen > MAX_ENTITIES:
                index = bisect_left(self._at, entity.offset)
                return min(furthest, index) if index > start else furthest
        return furthest

    def _last(self, separator: str, least: int, furthest: int, where: _Where) -> int | None:
        """Find the last place right after the first character of a separator."""
        end = furthest
        while (found := self._text.rfind(separator, least, end)) >= 0:
            if self._suits(found, where):
                return found + 1
            end = found + len(separator) - 1
        return None

    def _suits(self, index: int, where: _Where) -> bool:
        if where == "outside":
            return not self._in_block(index)
        return where == "anywhere" or not self._text[index + 1].isspace()

    def _in_block(self, index: int, *, or_at_its_start: bool = False) -> bool:
        unit = self._at[index]
        block = bisect_right(self._block_starts, unit) - 1
        if block < 0 or unit >= self._block_ends[block]:
            return False
        return or_at_its_start or unit > self._block_starts[block]

    def _between_clusters(self, start: int, furthest: int) -> int:
        for end in range(furthest, max(start, furthest - _LONGEST_CLUSTER), -1):
            if not self._joins(end):
                return end
        return furthest

    def _joins(self, index: int) -> bool:
        """Tell whether the character at `index` belongs to the one before it."""
        char = self._text[index]
        return (
            _JOINER in (char, self._text[index - 1])
            or ord(char) in _SKIN_TONES
            or unicodedata.category(char).startswith("M")
        )
