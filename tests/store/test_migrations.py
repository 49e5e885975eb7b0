"""Databases of earlier versions are led over whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

from assurebot.ports import Counts, Reserved, Spent, UsageRow
from assurebot.store import schema
from assurebot.values import (
    Attachment,
    BoxFile,
    ModelStep,
    OutboxRow,
    Piece,
    Step,
    StoredEvent,
    ToolCall,
    ToolStep,
)
from tests.store.making import (
    HERE,
    NOW,
    THERE,
    chat_file,
    event,
    exchange,
    paid,
    sleep,
    store,
)
from tests.store.test_spend import charge

HELLO = OutboxRow(id=1, place=HERE, piece=Piece(text="hello yourself"))
PICTURE = Piece(text="notice", media=(Attachment(blob=1, name="x", size=2),))
NOTICE = OutboxRow(id=2, place=THERE, piece=PICTURE)


def lay(folder: Path, version: int) -> None:
    """Put a database of an earlier version into a folder."""
    folder.mkdir()
    old = Path(__file__).with_name(f"version-{version}.sql").read_text()
    with closing(sqlite3.connect(folder / "test.db")) as connection:
        connection.executescript(old)


async def check(folder: Path, unsent: OutboxRow, steps: tuple[Step, ...], spent: Spent) -> None:
    """See that all rows of an earlier database are there, and that it takes what is new."""
    async with store(folder) as opened:
        assert await opened.fact("schema") == str(schema.VERSION)
        assert await opened.offset() == 7
        assert await opened.unfinished() == (
            StoredEvent(id=2, event=event("two", THERE), starts=1),
        )
        assert await opened.exchanges(HERE, 9) == (exchange(1),)
        assert await opened.unsent() == (unsent,)
        assert await opened.counts() == Counts(waiting=1, dead=0, quarantined=1, unsent=1)
        assert await opened.spent(NOW) == await opened.spent(NOW, 42) == spent
        assert await opened.begin(2) == steps
        (blob,) = await opened.keep(2, [BoxFile(name="x", data=b"new")])
        await opened.sleep(2, sleep(2, 1))
        await opened.remember(42, "x", "owner", 1)
        assert await opened.reserve(charge("1"), []) == Reserved(id=spent.calls + 1)
    async with store(folder) as opened:
        assert await opened.blobs([blob]) == (b"new",)


async def test_database_of_version_1_is_led_over(tmp_path: Path) -> None:
    """All rows of a database of the first version are there."""
    lay(tmp_path / "old", 1)
    spent = Spent(calls=1, input_tokens=10, output_tokens=5, cost_usd="0.2500")
    await check(tmp_path / "old", HELLO, (ModelStep(n=0),), spent)


async def test_database_of_version_2_is_led_over(tmp_path: Path) -> None:
    """All rows are there, files and money too; a step that was paid is not paid again."""
    lay(tmp_path / "old", 2)
    async with store(tmp_path / "old") as opened:
        assert await opened.blobs([1]) == (b"\x02\x02",)
        assert await opened.replied(HERE, 77) == exchange(1)
        await opened.note(2, [paid(0, "0.5")])
        assert await opened.usage(NOW) == (
            UsageRow(
                day=date(2026, 5, 6),
                kind="model",
                model="anthropic:claude",
                calls=3,
                input_tokens=30,
                output_tokens=15,
                cost_usd=Decimal("0.875"),
            ),
        )
    spent = Spent(calls=3, input_tokens=30, output_tokens=15, cost_usd="0.8750")
    steps = (paid(0, "0.5"), ToolStep(n=1, call=ToolCall(id="c", name="act", arguments="{}")))
    await check(tmp_path / "old", NOTICE, steps, spent)


async def test_database_of_version_3_is_led_over(tmp_path: Path) -> None:
    """All rows are there, and it takes files."""
    lay(tmp_path / "old", 3)
    spent = Spent(calls=3, input_tokens=30, output_tokens=15, cost_usd="0.8750")
    async with store(tmp_path / "old") as opened:
        assert [note.text for note in await opened.memories(42)] == ["I live in Ulm"]
        await opened.note(2, [paid(0, "0.5")])
        assert await opened.files(42) == ()
        kept = await opened.add_file(42, chat_file(2), b"x", ["words"])
    steps = (paid(0, "0.5"), ToolStep(n=1, call=ToolCall(id="c", name="act", arguments="{}")))
    await check(tmp_path / "old", NOTICE, steps, spent)
    async with store(tmp_path / "old") as opened:
        assert await opened.files(42) == (kept,)


async def test_old_and_new_databases_have_the_same_tables(tmp_path: Path) -> None:
    """What the migrations make is what a new database has."""
    found = []
    for version in (None, 1, 2, 3):
        folder = tmp_path / str(version)
        if version is None:
            folder.mkdir()
        else:
            lay(folder, version)
        async with store(folder):
            pass
        with closing(sqlite3.connect(folder / "test.db")) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            found.append({name: "".join(str(sql).split()) for name, sql in rows})
    assert all(each == found[0] for each in found)
