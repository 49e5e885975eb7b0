"""Bytes on their way to a chat, for as long as something may still need them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, exists, insert, select

from assurebot.errors import BlobLost
from assurebot.store.codec import PIECE, readable
from assurebot.store.schema import UNENDED, blobs, inbox, outbox, steps
from assurebot.values import BoxFile


def keep(connection: Connection, event_id: int, files: Sequence[BoxFile]) -> tuple[int, ...]:
    """Insert the bytes of files; return their ids in order."""
    statement = insert(blobs).returning(blobs.c.id)
    rows = ({"event_id": event_id, "data": file.data} for file in files)
    return tuple(connection.execute(statement, row).scalar_one() for row in rows)


def read(connection: Connection, ids: Sequence[int]) -> tuple[bytes, ...]:
    """Return stored bytes, in this order.

    Raises:
        BlobLost: One is not there any more.
    """
    query = select(blobs.c.id, blobs.c.data).where(blobs.c.id.in_(ids))
    found = {row.id: row.data for row in connection.execute(query)}
    if lost := [blob for blob in ids if blob not in found]:
        raise BlobLost(f"{len(lost)} of {len(ids)} files are not stored any more")
    return tuple(found[blob] for blob in ids)


def forget(connection: Connection) -> None:
    """Delete what nothing needs: the event is over without steps, and no open message names it.

    An event that waits for approvals is not over.
    """
    query = select(blobs.c.id).where(
        ~exists().where(inbox.c.id == blobs.c.event_id, inbox.c.state.in_(UNENDED)),
        ~exists().where(steps.c.event_id == blobs.c.event_id),
    )
    unneeded = set(connection.execute(query).scalars())
    if not unneeded:
        return
    unsent = connection.execute(select(outbox.c.piece).where(outbox.c.state == "open"))
    for piece in readable(unsent.scalars(), PIECE.validate_json):
        unneeded -= {each.blob for each in piece.media}
    connection.execute(delete(blobs).where(blobs.c.id.in_(unneeded)))
