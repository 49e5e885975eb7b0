"""`/memory` and `/forget`: people see and delete what was noted for them."""

from __future__ import annotations

from collections.abc import Sequence

from assurebot.agent.prompt import one_line
from assurebot.ports import Store
from assurebot.values import Memory, StoredEvent, is_untrusted

NOTHING = "Nothing is noted here. Ask me to remember something."
HOW_TO_FORGET = "`/forget 3` deletes note 3; /memory shows the numbers."


class MemoryCommand:
    """Answers the two commands in Markdown; each chat has only its own notes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def memory(self, stored: StoredEvent) -> str:
        """List the notes."""
        notes = await self._store.memories(stored.event.place.chat_id)
        return listed(notes) if notes else NOTHING

    async def forget(self, stored: StoredEvent) -> str:
        """Delete the note whose number stands behind the command."""
        number = stored.event.text.strip()
        if not number.isdecimal():
            return HOW_TO_FORGET
        known = len(number) < len(str(2**63)) and await self._store.forget(
            stored.event.place.chat_id, int(number)
        )
        return f"Note {number} is deleted." if known else f"There is no note {number} here."


def listed(notes: Sequence[Memory]) -> str:
    """Show notes in one code block: no line of it can end it, for our words begin each."""
    lines = [
        f"[{note.id}] {note.at:%Y-%m-%d}{' ⚠ from outside' * is_untrusted(note.label)}: "
        f"{one_line(note.text)}"
        for note in notes
    ]
    return "\n".join((f"{len(notes)} noted here:\n```", *lines, f"```\n{HOW_TO_FORGET}"))
