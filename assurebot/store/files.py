"""Files that were sent to a chat, and the text that can be read in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select, update

from assurebot.store import facts
from assurebot.store.codec import FILE, dump, readable
from assurebot.store.schema import UNENDED, files, inbox, pages
from assurebot.values import ChatFile

MAX_FILES, MAX_BYTES = 200, 256 << 20
"""So many files of a chat, and so much of them and of their text, are kept."""

UNLISTED = 0
"""The number of a transcript, and of a file that is gone whose turn may still go on."""


def add(
    connection: Connection, chat_id: int, file: ChatFile, data: bytes, texts: Sequence[str]
) -> ChatFile:
    """Insert a file under the next number of its chat, if its turn has not brought it already.

    What came before, with a turn that is over, is not kept twice: it is that of this turn now.
    """
    same = (files.c.event_id == file.event_id) & (files.c.n == file.n)
    if known := _found(connection, same):
        return known[0]
    size = file.size + sum(map(len, texts))  # a little file may hold much text
    if before := _before(connection, chat_id, replace(file, pages=len(texts)), size, data):
        now = {"event_id": file.event_id, "n": file.n}
        connection.execute(update(files).where(files.c.id == before.id).values(**now))
        return replace(before, event_id=file.event_id, n=file.n)
    number = UNLISTED
    if file.kind != "voice":
        # Kept apart from the files: a number stays that of one file, even when that is gone.
        number = int(facts.get(connection, f"files:{chat_id}") or 0) + 1
        facts.put(connection, f"files:{chat_id}", str(number))
    file = replace(file, number=number, pages=len(texts))
    about = {"chat_id": chat_id, "number": number, "event_id": file.event_id, "n": file.n}
    row = insert(files).values(**about, size=size, body=dump(FILE, file), data=data)
    file = replace(file, id=connection.execute(row.returning(files.c.id)).scalar_one())
    rows = [{"file_id": file.id, "n": n, "text": text} for n, text in enumerate(texts, start=1)]
    if rows:
        connection.execute(insert(pages), rows)
    _make_room(connection, chat_id)
    return file


def _before(
    connection: Connection, chat_id: int, file: ChatFile, size: int, data: bytes
) -> ChatFile | None:
    """Find the same file, by name, content and what was read in it, of a turn that is over."""
    over = ~exists().where(inbox.c.id == files.c.event_id, inbox.c.state.in_(UNENDED))
    other = (files.c.event_id != file.event_id) & (files.c.size == size) & over
    found = _found(connection, *_listed(chat_id), other, files.c.data == data)
    wanted = (file.name, file.pages, file.note)
    return next((one for one in found if (one.name, one.pages, one.note) == wanted), None)


def _make_room(connection: Connection, chat_id: int) -> None:
    query = select(files.c.id, files.c.size).where(*_listed(chat_id)).order_by(files.c.id.desc())
    rows = connection.execute(query).all()
    sums = accumulate(row.size for row in rows)
    full = (n for n, size in enumerate(sums) if n >= MAX_FILES or size > MAX_BYTES)
    _drop(connection, files.c.id.in_([row.id for row in rows[next(full, len(rows)) :]]))


def _drop(connection: Connection, which: ColumnElement[bool]) -> int:
    """Empty files; that they were there is known until their turns are long over."""
    its_pages = pages.c.file_id.in_(select(files.c.id).where(which))
    connection.execute(delete(pages).where(its_pages))
    nameless = func.json_set(files.c.body, "$.name", "")
    gone = update(files).where(which).values(number=UNLISTED, size=0, data=b"", body=nameless)
    return connection.execute(gone).rowcount


def _listed(chat_id: int) -> tuple[ColumnElement[bool], ...]:
    return files.c.chat_id == chat_id, files.c.number != UNLISTED


def _found(connection: Connection, *which: ColumnElement[bool]) -> tuple[ChatFile, ...]:
    columns = (files.c.id, files.c.number, files.c.event_id, files.c.n)
    query = select(files.c.body, *columns).where(*which).order_by(files.c.event_id, files.c.n)
    return readable(
        connection.execute(query).mappings(),
        lambda row: replace(FILE.validate_json(row["body"]), **{c.name: row[c] for c in columns}),
    )


def of_event(connection: Connection, event_id: int) -> tuple[ChatFile, ...]:
    """Return what came with a turn; what is gone meanwhile has the number 0."""
    return _found(connection, files.c.event_id == event_id)


def of_chat(connection: Connection, chat_id: int) -> tuple[ChatFile, ...]:
    """Return the files of a chat."""
    return tuple(sorted(_found(connection, *_listed(chat_id)), key=lambda file: file.number))


def texts(connection: Connection, file_id: int, first: int, count: int) -> tuple[str, ...]:
    """Return pages of a file."""
    its_pages = (pages.c.file_id == file_id) & (pages.c.n >= first)
    query = select(pages.c.text).where(its_pages).order_by(pages.c.n).limit(count)
    return tuple(connection.execute(query).scalars())


def find(
    connection: Connection, chat_id: int, words: str, number: int | None, limit: int
) -> tuple[tuple[int, int, str], ...]:
    """Return the first pages with all the words.

    They are read one by one: SQLite's own comparison knows the case of ASCII alone.
    """
    wanted = words.casefold().split()
    which = (*_listed(chat_id), *([] if number is None else [files.c.number == number]))
    query = (
        select(files.c.number, pages.c.n, pages.c.text)
        .join(files, files.c.id == pages.c.file_id)
        .where(*which)
        .order_by(files.c.number, pages.c.n)
    )
    found: list[tuple[int, int, str]] = []
    for row in connection.execute(query.execution_options(yield_per=50)):
        folded = row.text.casefold()
        if wanted and all(word in folded for word in wanted):
            found.append((row.number, row.n, row.text))
            if len(found) == limit:
                break
    return tuple(found)


def data(connection: Connection, ids: Sequence[int]) -> Mapping[int, bytes]:
    """Return the bytes of files that are there."""
    query = select(files.c.id, files.c.data).where(files.c.id.in_(ids), files.c.number != UNLISTED)
    return {row.id: row.data for row in connection.execute(query)}


def remove(connection: Connection, chat_id: int, number: int) -> bool:
    """Drop a file of this chat."""
    return bool(_drop(connection, and_(*_listed(chat_id), files.c.number == number)))


def follow(connection: Connection, former: int, event_id: int) -> None:
    """Give what came with a turn to the one that is worked in its place."""
    connection.execute(update(files).where(files.c.event_id == former).values(event_id=event_id))


def expire(connection: Connection, before: datetime) -> None:
    """Forget transcripts, and what is left of files that are gone, of old turns that are over."""
    open_turn = exists().where(inbox.c.id == files.c.event_id, inbox.c.state.in_(UNENDED))
    old = exists().where(inbox.c.id == files.c.event_id, inbox.c.received_at < before)
    query = select(files.c.id).where(files.c.number == UNLISTED, old, ~open_turn)
    ids = connection.execute(query).scalars().all()
    connection.execute(delete(pages).where(pages.c.file_id.in_(ids)))
    connection.execute(delete(files).where(files.c.id.in_(ids)))
    for each in ids:
        facts.put(connection, f"heard:{each}", None)
