"""A message text in the making, with its entities: layout, and what Telegram lets be nested."""

from __future__ import annotations

import re
from collections import Counter

from assurebot.telegram.split import is_visible, units
from assurebot.values import Entity

_BULLET, _INDENT = "\u2022 ", "  "

_CONTACT = re.compile(r"^(?:mailto|tel):", re.IGNORECASE)


class Page:
    """Text and entities in the making; line breaks are written when something follows them."""

    def __init__(self) -> None:
        self.entities: list[Entity] = []
        self.lists: list[int | None] = []  # the next number of each open list; None: bullets
        self.rows: list[list[str]] = []  # of the open table
        self._parts: list[str] = []
        self._units = 0
        self._breaks = 2  # newlines at the end of the text; its start counts as a blank line
        self._wanted_breaks = 0
        self._after_marker = False
        self._style_starts: dict[str, int] = {}
        self._style_depths: Counter[str] = Counter()
        self._links: list[tuple[str, str, int]] = []  # target, title, parts before the label
        self._quotes: list[int] = []

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def write(self, text: str) -> None:
        """Add text as it stands."""
        if not text:
            return
        self._begin()
        self._parts.append(text)
        self._units += units(text)
        self._breaks = len(text) - len(text.rstrip("\n"))

    def new_paragraph(self) -> None:
        """Have the next text stand apart, or right behind its list marker."""
        if not self._after_marker:
            self.new_block()
            self.write(_INDENT * len(self.lists))

    def new_block(self, breaks: int = 2) -> None:
        """Have the next text stand apart."""
        self._after_marker = False
        wanted = 1 if self.lists else breaks
        self._wanted_breaks = max(self._wanted_breaks, wanted - self._breaks)

    def write_marker(self) -> None:
        """Begin an item of the innermost list."""
        self.new_block(1)
        number = self.lists[-1]
        marker = _BULLET if number is None else f"{number}. "
        if number is not None:
            self.lists[-1] = number + 1
        self.write(_INDENT * (len(self.lists) - 1) + marker)
        self._after_marker = True

    def new_line(self) -> None:
        """Begin a further line of a paragraph."""
        self.write("\n" + _INDENT * len(self.lists))

    def write_code(self, text: str, kind: str, language: str | None = None) -> None:
        """Write code; styles around it are interrupted, for Telegram has no code inside them."""
        for style, start in self._style_starts.items():
            self._mark(style, start)
        start = self._begin()
        self.write(text)
        self._mark(kind, start, language=language)
        self._style_starts = dict.fromkeys(self._style_starts, self._units)

    def open_style(self, style: str) -> None:
        """Begin bold, italic or the like; inside itself it changes nothing."""
        self._style_depths[style] += 1
        self._style_starts.setdefault(style, self._begin())

    def close_style(self, style: str) -> None:
        """End the innermost style of this kind."""
        self._style_depths[style] -= 1
        if not self._style_depths[style]:
            self._mark(style, self._style_starts.pop(style))

    def open_link(self, url: str, title: str) -> None:
        """Begin the label of a link."""
        self._begin()
        self._links.append((url, title, len(self._parts)))

    def close_link(self) -> None:
        """End a link: nothing hides behind its label, so the target is written after it."""
        url, title, part = self._links.pop()
        label = "".join(self._parts[part:])
        address = _CONTACT.sub("", url)
        if not any(map(is_visible, label)):
            self.write(url)
            address = ""
        hidden = [word for word in (address, title) if word and word != label]
        if hidden:
            self.write(f" ({' '.join(hidden)})")

    def open_quote(self) -> None:
        """Begin a quote."""
        self.new_block()
        self._quotes.append(self._begin())

    def close_quote(self) -> None:
        """End the innermost quote; the outermost is what Telegram shows."""
        start = self._quotes.pop()
        if not self._quotes:
            self._mark("blockquote", start)
        self.new_block()

    def _begin(self) -> int:
        """Write the line breaks that are due and return the offset of what comes now."""
        if self._wanted_breaks:
            self._parts.append("\n" * self._wanted_breaks)
            self._units += self._wanted_breaks
            self._breaks += self._wanted_breaks
            self._wanted_breaks = 0
        self._after_marker = False
        return self._units

    def _mark(self, kind: str, start: int, *, language: str | None = None) -> None:
        length = self._units - start
        if length > 0:
            self.entities.append(Entity(type=kind, offset=start, length=length, language=language))
