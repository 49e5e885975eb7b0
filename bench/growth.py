"""Whether a message costs the same however much is stored."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from assurebot.ports import Ending, Incoming
from assurebot.store.database import SqlStore
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

# Every second copy stands in the chat that is measured, the others in a thousand other ones.
COPIES = """
CREATE TEMP TABLE copy AS
WITH RECURSIVE numbers(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM numbers WHERE i < {size})
SELECT i, i % 2 = 0 AS same FROM numbers;

INSERT INTO inbox (id, source, key, state, event, raw, received_at, starts, errors)
SELECT i, source, key || ':' || i, state, event, raw, received_at, starts, errors
FROM inbox, copy WHERE id = 1;

INSERT INTO history (place, id, body)
SELECT CASE WHEN same THEN place ELSE i % 1000 END, i, body FROM history, copy WHERE id = 1;

INSERT INTO outbox (id, chat_id, thread_id, private, piece, trace, state, tries, message_id)
SELECT i, CASE WHEN same THEN chat_id ELSE i % 1000 END, thread_id, private, piece, trace, state,
    tries, message_id
FROM outbox, copy WHERE id = 1;

INSERT INTO spend (event_id, n, at, user_id, model, input_tokens, output_tokens, cost_nano_usd)
SELECT i, n, at, user_id, model, input_tokens, output_tokens, cost_nano_usd
FROM spend, copy WHERE event_id = 1;
"""


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
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"BEGIN; {COPIES.format(size=size)} COMMIT;")
        stored = connection.execute("SELECT count(*) FROM inbox").fetchone()[0]
        assert stored == size
    return path.stat().st_size / 2**20


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
