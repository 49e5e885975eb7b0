"""`/usage`: who sees what, and the chart as a picture or as text."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from assurebot.agent.jobs import Jobs
from assurebot.ports import Charge
from assurebot.store.database import SqlStore
from assurebot.telegram.usage import CHART, DAYS, UsageCommand
from assurebot.values import (
    BoxFile,
    BoxLimits,
    BoxStanding,
    Person,
    Place,
    Program,
    RunResult,
    StoredEvent,
    Usage,
)
from tests.doubles import FakeSandbox, ListAudit
from tests.store.making import HERE, NOW, THERE, SetClock, event, store

OWNER, OTHER = 42, 7
PNG = BoxFile(name="usage.png", data=b"\x89PNG\r\n\x1a\n")
DRAWN = RunResult(outcome="ok", exit_code=0, grade="A", files=(PNG,))
CLOSED = FakeSandbox(standing=BoxStanding(reason="no engine"))


def jobs(sandbox: FakeSandbox) -> Jobs:
    """Run programs in this box."""
    return Jobs(
        sandbox=sandbox,
        audit=ListAudit(),
        redact=str,
        redact_cut=str,
        limits=BoxLimits(),
        network=False,
    )


def command(kept: SqlStore, sandbox: FakeSandbox = CLOSED, cap: str | None = None) -> UsageCommand:
    """Make the command."""
    return UsageCommand(
        store=kept,
        clock=SetClock(),
        jobs=jobs(sandbox),
        held=lambda: False,
        owner=OWNER,
        daily_usd=Decimal(5),
        user_daily_usd=None if cap is None else Decimal(cap),
    )


def asked_by(user: int, place: Place = HERE) -> StoredEvent:
    """Make the message."""
    return StoredEvent(id=1, event=replace(event("u", place), actor=Person(user_id=user)))


async def spend(
    kept: SqlStore, user: int, cost: str, *, model: str = "m1", ago: int = 0, search: bool = False
) -> None:
    """Book a call of so many days ago."""
    charge = Charge(
        at=NOW - timedelta(days=ago),
        turn=None,
        user=user,
        kind="search" if search else "model",
        model=model,
        cost_usd=Decimal(9),
    )
    made = await kept.reserve(charge, ())
    usage = Usage(input_tokens=1000, output_tokens=20, cost_usd=Decimal(cost))
    await kept.settle(made.id or 0, usage)


async def spend_all(kept: SqlStore) -> None:
    """Book what both have done."""
    await spend(kept, OWNER, "0.5")
    await spend(kept, OWNER, "0.25")
    await spend(kept, OWNER, "0.02", search=True)
    await spend(kept, OWNER, "1", ago=2)
    await spend(kept, OWNER, "2", ago=8)  # last month
    await spend(kept, OWNER, "64", ago=30)  # beyond the chart
    await spend(kept, OTHER, "0.125", model="m2")
    await spend(kept, OTHER, "0.25", model="m2", ago=3)


OWN = """\
**You**
Today: $0.7700
• model `m1`: calls 2, tokens 2,000 in, 40 out, $0.7500
• search `m1`: calls 1, tokens 1,000 in, 20 out, $0.0200
This month: $1.7700
• model `m1`: calls 3, tokens 3,000 in, 60 out, $1.7500
• search `m1`: calls 1, tokens 1,000 in, 20 out, $0.0200"""

OTHERS = """\
**You**
Today: $0.1250
• model `m2`: calls 1, tokens 1,000 in, 20 out, $0.1250
This month: $0.3750
• model `m2`: calls 2, tokens 2,000 in, 40 out, $0.3750"""

ALL = """\
**All together**
Today: $0.8950
• model `m1`: calls 2, tokens 2,000 in, 40 out, $0.7500
• model `m2`: calls 1, tokens 1,000 in, 20 out, $0.1250
• search `m1`: calls 1, tokens 1,000 in, 20 out, $0.0200
This month: $2.1450
• model `m1`: calls 3, tokens 3,000 in, 60 out, $1.7500
• model `m2`: calls 2, tokens 2,000 in, 40 out, $0.3750
• search `m1`: calls 1, tokens 1,000 in, 20 out, $0.0200
Left today: $4.1050 of $5; a new day begins at 00:00 UTC."""

CAP = "All together may spend $5 a day."


async def test_sound_has_no_tokens(tmp_path: Path) -> None:
    """What is paid by seconds or characters is a line of its kind, without tokens."""
    async with store(tmp_path) as kept:
        charge = Charge(
            at=NOW,
            turn=None,
            user=OTHER,
            kind="transcription",
            model="openai:whisper-1",
            cost_usd=Decimal("0.006"),
        )
        await kept.reserve(charge, ())
        text, _ = await command(kept).answer(asked_by(OTHER))
    line = "• transcription `openai:whisper-1`: calls 1, $0.0060"
    assert text.startswith(f"**You**\nToday: $0.0060\n{line}\nThis month: $0.0060\n{line}\n\n{CAP}")


async def test_owner_sees_own_use_and_that_of_all(tmp_path: Path) -> None:
    """In private the owner sees both, by kind and model, and what is left."""
    async with store(tmp_path) as kept:
        await spend_all(kept)
        answer = await command(kept).answer(asked_by(OWNER))
    bars = """\
The last 30 days; the highest bar is $2.0000.

```
04-28 ████████████████████ $2.0000
05-03 ██ $0.2500
05-04 ██████████ $1.0000
05-06 ████████ $0.8950
```"""
    assert answer == (f"{OWN}\n\n{ALL}\n\n{bars}", ())


@pytest.mark.parametrize(("place", "user"), [(HERE, OTHER), (THERE, OTHER)])
async def test_others_see_nothing_but_their_own(tmp_path: Path, place: Place, user: int) -> None:
    """No figure of anybody else, nor of the sum, can be seen or worked out."""
    async with store(tmp_path) as kept:
        await spend_all(kept)
        answer = await command(kept, cap="1").answer(asked_by(user, place))
    left = "Left today: $0.8750 of $1; a new day begins at 00:00 UTC."
    bars = """\
The last 30 days; the highest bar is $0.2500.

```
05-03 ████████████████████ $0.2500
05-06 ██████████ $0.1250
```"""
    assert answer == (f"{OTHERS}\n{left}\n\n{CAP}\n\n{bars}", ())


async def test_owner_shows_no_sums_in_a_group(tmp_path: Path) -> None:
    """Where others read along the owner too sees only their own use."""
    async with store(tmp_path) as kept:
        await spend_all(kept)
        text, _ = await command(kept).answer(asked_by(OWNER, THERE))
    assert text.startswith(f"{OWN}\n\n{CAP}\n\n")


async def test_no_use_has_no_chart(tmp_path: Path) -> None:
    """Where nothing was spent there is nothing to draw."""
    async with store(tmp_path) as kept:
        answer = await command(kept, FakeSandbox()).answer(asked_by(OTHER))
    none = "**You**\nToday: $0.0000\nThis month: $0.0000"
    assert answer == (f"{none}\n\n{CAP}", ())


async def test_overdraft_leaves_nothing(tmp_path: Path) -> None:
    """What is left is never below zero."""
    async with store(tmp_path) as kept:
        await spend(kept, OTHER, "3")
        text, _ = await command(kept, cap="1").answer(asked_by(OTHER))
    assert "Left today: $0.0000 of $1;" in text


async def test_text_shows_a_fortnight_of_use(tmp_path: Path) -> None:
    """At most fourteen days stand in the text, the latest ones."""
    async with store(tmp_path) as kept:
        for ago in range(DAYS):
            await spend(kept, OTHER, "1", ago=ago)
        text, _ = await command(kept).answer(asked_by(OTHER))
    days = [line[:5] for line in text.splitlines() if "█" in line]
    assert days == [f"{date(2026, 5, 6) - timedelta(days=n):%m-%d}" for n in reversed(range(14))]


async def test_chart_is_drawn_in_the_box(tmp_path: Path) -> None:
    """With a box the chart is a file; its program holds numbers and nothing else of ours."""
    box = FakeSandbox(lambda _: DRAWN)
    async with store(tmp_path) as kept:
        await spend_all(kept)
        text, files = await command(kept, box).answer(asked_by(OWNER))
    bars = [0] * 21 + [220, 0, 0, 0, 0, 27, 110, 0, 98]
    program = Program(language="python", source=f"BARS = {bars}\n{CHART}", limits=BoxLimits())
    assert (files, box.programs) == ((PNG,), [program])
    assert text == f"{OWN}\n\n{ALL}\n\nThe last 30 days; the highest bar is $2.0000."


@pytest.mark.parametrize(
    "result",
    [
        RunResult(outcome="failed", exit_code=1, grade="A", files=(PNG,)),
        RunResult(outcome="ok", exit_code=0, grade="A"),
    ],
)
async def test_chart_that_failed_is_text(tmp_path: Path, result: RunResult) -> None:
    """A box that draws nothing whole leaves the answer with text bars."""
    async with store(tmp_path) as kept:
        await spend_all(kept)
        text, files = await command(kept, FakeSandbox(lambda _: result)).answer(asked_by(OTHER))
    assert (files, "05-06 ██████████ $0.1250" in text) == ((), True)


async def test_chart_needs_no_box_at_all(tmp_path: Path) -> None:
    """Where programs are switched off the chart is text."""
    async with store(tmp_path) as kept:
        await spend_all(kept)
        text, files = await replace(command(kept), jobs=None).answer(asked_by(OTHER))
    assert (files, "05-06 ██████████ $0.1250" in text) == ((), True)


def test_chart_program_draws_a_png(tmp_path: Path) -> None:
    """A bare Python draws it: 30 bars of two colours, each as high as its number and its base."""
    bars = [0, 1, 220, *[100] * 27]
    source = f"BARS = {bars}\n{CHART}"
    run = [sys.executable, "-I", "-S", "-c", source]
    subprocess.run(run, cwd=tmp_path, check=True, timeout=60)
    data = (tmp_path / "usage.png").read_bytes()
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        (check,) = struct.unpack(">I", data[at + 8 + size : at + 12 + size])
        assert check == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    width, height = 20 * len(bars), 240
    assert (data[:8], list(chunks)) == (PNG.data, [b"IHDR", b"PLTE", b"IDAT", b"IEND"])
    assert chunks[b"IHDR"] == struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == (width + 1) * height
    columns = [rows[1 + 20 * n + 10 :: width + 1] for n in range(len(bars))]
    assert [sum(column) for column in columns] == [bar + 2 for bar in bars]
    assert all(column == bytes(240 - sum(column)) + b"\1" * sum(column) for column in columns)
