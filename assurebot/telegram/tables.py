"""Tables for a phone: aligned where they fit its width, else row by row."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from assurebot.telegram.page import Page

MAX_COLUMNS = 40
"""As many signs of a fixed width stand in a line of a phone."""

MAX_HEADS = 12_000
"""A head, some 20 units with its form, stands at each value; a table with more is aligned."""

_MAX_PADDING = 32


def write_table(page: Page, rows: Sequence[Sequence[str]]) -> None:
    """Write rows of equal length, of which the first has the heads."""
    lines = _aligned(rows)
    page.new_block()
    heads = sum(len(head) + 20 for head in rows[0]) * (len(rows) - 1)
    if not 0 < heads <= MAX_HEADS or max(map(width, lines)) <= MAX_COLUMNS:
        page.write_code("\n".join(lines), "pre")
    else:
        for number, row in enumerate(rows[1:]):
            page.new_paragraph()
            _write_record(page, rows[0], row, first=not number)
    page.new_block()


def _write_record(page: Page, heads: Sequence[str], row: Sequence[str], *, first: bool) -> None:
    """Write a line for each value; the first record names the heads of empty ones too."""
    shown = [(head, value) for head, value in zip(heads, row, strict=True) if value or first]
    for number, (head, value) in enumerate(shown):
        if number:
            page.new_line()
        if head:
            page.open_style("bold")
            page.write(f"{head}:")
            page.close_style("bold")
        page.write(f" {value}" if head and value else value)


def width(text: str) -> int:
    """Count columns of a fixed-width font: emoji and East Asian letters take two."""
    text = re.sub("\u200d.?", "", text)  # what is joined to a sign takes no place
    wide = [unicodedata.east_asian_width(char) in "WF" for char in text]
    emoji = sum(char == "\ufe0f" and not one for char, one in zip(text[1:], wide, strict=False))
    marks = sum(unicodedata.category(char)[0] == "M" for char in text)
    return len(text) + sum(wide) + emoji - marks


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    paddings = [min(_MAX_PADDING, max(map(width, column))) for column in zip(*rows, strict=True)]
    lines = [" | ".join(map(_padded, _filled(row), paddings)).rstrip() for row in rows]
    return [lines[0], "-+-".join("-" * padding for padding in paddings), *lines[1:]]


def _filled(row: Sequence[str]) -> Sequence[str]:
    """Leave out the empty cells at the end."""
    return row[: max((at for at, cell in enumerate(row, 1) if cell), default=0)]


def _padded(cell: str, padding: int) -> str:
    return cell + " " * (padding - width(cell))
