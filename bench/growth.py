"""Whether a message costs the same however much is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    case,
    cast,
    create_engine,
    insert,
    select,
    true,
)

from assurebot.ports import Ending, Incoming
from assurebot.store.database import SqlStore
from assurebot.store.schema import history, inbox, outbox, spend
from assurebot.values import (
    AssistantMessage,
    Event,
    Exchange,
    ModelRef,
    ModelReply,
    ModelStep,
    Person,
    Piece,
    Place,
    TextPart,
    Trace,
    Usage,
    UserMessage,
)
from bench.bots import Bot, running
from bench.speed import HISTORY, PAUSE_SECONDS
from bench.stage import FIRST_USER
from bench.table import milliseconds, percentile, ratio, show

SIZES = (10, 1_000, 100_000)
AIM = "flat: about 1x"

COPY = Table("copy", MetaData(), Column("i", Integer, primary_key=True), prefixes=["TEMPORARY"])
"""Numbers of the copies to be made."""


class _Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


async def _fill(folder: Path, size: int) -> float:
    """Make data in which so many messages were received, answered and sent; return the MiB."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    path = folder / "assurebot.db"
    async with SqlStore(path, _Now()) as store:
        await _one_message(store)
    return await asyncio.to_thread(_copy, path, size)


def _copy(path: Path, size: int) -> float:
    """Copy the one message: every second one into its chat, the others into a thousand chats."""
    number, same = COPY.c.i, COPY.c.i % 2 == 0
    other = number % 1000
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        COPY.create(connection)
        connection.execute(insert(COPY), [{"i": i} for i in range(2, size + 1)])
        copy = partial(_copy_row, connection)
        copy(inbox.c.id, {"id": number, "key": cast(number, String)})
        copy(history.c.id, {"id": number, "place": case((same, history.c.place), else_=other)})
        copy(outbox.c.id, {"id": number, "chat_id": case((same, outbox.c.chat_id), else_=other)})
        copy(spend.c.event_id, {"event_id": number})
        COPY.drop(connection)
    engine.dispose()
    return path.stat().st_size / 2**20


def _copy_row(
    connection: Connection, key: Column[int], changed: Mapping[str, ColumnElement[Any]]
) -> None:
    table = key.table
    assert isinstance(table, Table)
    values = [changed.get(column.name, column) for column in table.c]
    names = [column.name for column in table.c]
    rows = select(*values).select_from(table.join(COPY, true())).where(key == 1)
    connection.execute(insert(table).from_select(names, rows))


async def _one_message(store: SqlStore) -> None:
    now = _Now().now()
    place = Place(chat_id=FIRST_USER)
    parts = (TextPart(text="What is the boiling point of water on a high mountain? " * 3),)
    said = AssistantMessage(text="About 70 degrees Celsius on the highest one. " * 6)
    event = Event(
        source="telegram",
        key="stored",
        kind="message",
        actor=Person(user_id=FIRST_USER, name="Owner"),
        place=place,
        received_at=now,
        parts=parts,
    )
    raw = f'{{"update_id": 1, "message": {{"text": "{event.text}"}}}}'
    [stored] = await store.add(
        [Incoming(source="telegram", key="stored", event=event, raw=raw, received_at=now)]
    )
    model = ModelRef(provider="anthropic", name="claude-sonnet-5-5")
    usage = Usage(input_tokens=900, output_tokens=80, cost_usd=Decimal("0.004"))
    reply = ModelReply(message=said, stop="end", model=model, usage=usage)
    exchange = Exchange(id=stored.id, at=now, messages=(UserMessage(parts=parts), said))
    ending = Ending(
        place=place,
        trace=Trace(event="stored", turn=stored.id),
        pieces=(Piece(text=said.text),),
        exchange=exchange,
        steps=(ModelStep(n=0, reply=reply),),
    )
    await store.begin(stored.id, ModelStep(n=0))
    [row] = await store.finish(stored.id, ending)
    await store.sent(row.id, 1)


async def growth(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure the time per message with 10, 1,000 and 100,000 stored ones."""
    rounds = 30 if quick else 200
    bots: dict[int, Bot] = {}
    mebibytes: dict[int, float] = {}
    times: dict[int, list[float]] = {size: [] for size in SIZES}
    async with AsyncExitStack() as stack:
        for size in SIZES:
            home = folder / str(size)
            mebibytes[size] = await _fill(home / "data", size)
            bots[size] = await stack.enter_async_context(running("ours", home, model_url))
            for _ in range(HISTORY):
                await bots[size].stage.ask()
        for _ in range(rounds):
            for size, bot in bots.items():
                await asyncio.sleep(PAUSE_SECONDS)
                times[size].append(await bot.stage.ask())
    base = times[SIZES[0]]
    rows = [
        (
            f"{size:,}",
            f"{mebibytes[size]:.0f}",
            f"{bots[size].ready_seconds:.2f}",
            milliseconds(percentile(taken, 0.5)),
            milliseconds(percentile(taken, 0.99)),
            ratio(percentile(taken, 0.5), percentile(base, 0.5)),
            ratio(percentile(taken, 0.99), percentile(base, 0.99)),
            AIM if size == SIZES[-1] else "",
        )
        for size, taken in times.items()
    ]
    show(
        f"Growth: own time per message by what is stored (ms; ratio to {SIZES[0]} stored)",
        ("stored", "MiB", "ready s", "p50", "p99", "p50 ratio", "p99 ratio", "aim"),
        rows,
    )
