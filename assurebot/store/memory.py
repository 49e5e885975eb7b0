"""Notes of the model for the people of a chat."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from assurebot.store.schema import memory
from assurebot.values import Memory, is_untrusted

COLUMNS = (memory.c.id, memory.c.text, memory.c.label, memory.c.at)


def remember(
    connection: Connection, chat_id: int, text: str, label: str, *, limit: int, now: datetime
) -> tuple[Memory, bool] | None:
    """Insert a note; return it, or false with the one that says the same, or `None` when full.

    What an untrusted note says becomes trusted, in the new words, when the owner says it too.
    """
    folded = " ".join(text.casefold().split())
    same = (memory.c.chat_id == chat_id) & (memory.c.folded == folded)
    if not is_untrusted(label):
        vouched = update(memory).where(same, memory.c.label != label)
        connection.execute(vouched.values(text=text, label=label))
    found = connection.execute(select(*COLUMNS).where(same)).mappings().one_or_none()
    if found is not None:
        return Memory(**found), False
    if len(memories(connection, chat_id)) >= limit:
        return None
    row = insert(memory).values(chat_id=chat_id, text=text, folded=folded, label=label, at=now)
    return Memory(**connection.execute(row.returning(*COLUMNS)).mappings().one()), True


def memories(connection: Connection, chat_id: int) -> tuple[Memory, ...]:
    """Return the notes for a chat, oldest first."""
    query = select(*COLUMNS).where(memory.c.chat_id == chat_id).order_by(memory.c.id)
    return tuple(Memory(**row) for row in connection.execute(query).mappings())


def forget(connection: Connection, chat_id: int, memory_id: int) -> bool:
    """Delete a note of this chat."""
    its_row = (memory.c.chat_id == chat_id) & (memory.c.id == memory_id)
    return bool(connection.execute(delete(memory).where(its_row)).rowcount)
