"""Edited messages: what waits gets the new words; what was worked may be worked anew."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from assurebot.turns.endings import EDITED, Endings
from assurebot.values import Button, Enclosure, Event, StoredEvent

NOT_AGAIN = "✏️ Edits of commands are not carried out: send it again."
WORKED = "✏️ You edited a message that I had already taken up."
UNKNOWN = "✏️ You edited a message that I do not know."

KEPT = 1_000
"""Of so many edited messages the last form is kept in mind."""

_Content = tuple[str, tuple[str, ...], tuple[Enclosure, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Works the events of edited messages; `amend` is as `Store.amend`, where none has begun."""

    endings: Endings
    amend: Callable[[Event], Awaitable[tuple[StoredEvent | None, bool]]]
    _last: dict[str, _Content] = field(default_factory=dict)
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def work(self, stored: StoredEvent) -> None:
        """Put the new form in the place of the former, or offer to run it; end the event."""
        async with self._one_by_one:  # each is told from the one before it
            new, key = edited(stored.event), stored.event.press
            former, amended = await self.amend(replace(new, key=key))
            old = None if former is None else former.event
            content = _content(new)
            text, buttons = _said(new, old)
            if amended or content == self._last.get(key, old and _content(old)):
                text, buttons = "", ()
            action = "edit: in time" if amended else "edit"
            await self.endings.end(stored, text, buttons=buttons, action=action)
            # Not before: until then it may have to be worked again.
            self._last[key] = content
            if len(self._last) > KEPT:
                del self._last[next(iter(self._last))]


def _said(new: Event, former: Event | None) -> tuple[str, tuple[tuple[Button, str], ...]]:
    """Return what is said of an edit that came too late, and its buttons."""
    if "command" in {new.kind, former and former.kind}:
        return NOT_AGAIN, ()
    button = Button(label="🔁 Run again with the edit", id=secrets.token_urlsafe(12))
    return UNKNOWN if former is None else WORKED, ((button, EDITED),)


def edited(edit: Event) -> Event:
    """Make the message that an edit is the new form of."""
    return replace(edit, kind="command" if edit.command else "message", press="")


def _content(event: Event) -> _Content:
    """Return what a person sees of a message; a file's id may change without that."""
    words = tuple(part.text for part in event.parts if not part.quoted)
    return event.command, words, tuple(replace(file, file_id="") for file in event.enclosures)
