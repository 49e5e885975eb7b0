"""`/usage`: what was spent today and this month, with a chart of the last thirty days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby

from assurebot.agent.jobs import Jobs
from assurebot.agent.report import code_block
from assurebot.errors import SandboxError
from assurebot.ports import Clock, Store, UsageRow
from assurebot.turns.endings import trace_of
from assurebot.values import BoxFile, Program, StoredEvent

DAYS = 30
BAR_PIXELS, BAR_CHARS, BAR_LINES = 220, 20, 14

CHART_SECONDS = 10.0
"""A chart that takes longer, behind other programs for instance, is shown as text."""

CHART = """\
import struct, zlib
rows = b""
for y in range(240, 0, -1):
    rows += bytes(1) + b"".join(bytes(4) + bytes([y < bar + 3]) * 16 for bar in BARS)
def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
with open("usage.png", "wb") as file:
    file.write(bytes.fromhex("89504e470d0a1a0a"))
    file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", 20 * len(BARS), 240, 8, 3, 0, 0, 0)))
    file.write(chunk(b"PLTE", bytes.fromhex("ffffff2f6fde")))
    file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
"""
"""Draws `BARS`, heights in pixels, as a PNG: any Python can, for it needs nothing but its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageCommand:
    """Answers `/usage`: each person sees their own use; the owner, in private, that of all too.

    Attributes:
        jobs: Draws the chart in the box; without a box it is text.
        held: Tells whether `/panic` is in force: then no program is run, not even that.
        daily_usd, user_daily_usd: The caps for all and for each person.
    """

    store: Store
    clock: Clock
    jobs: Jobs | None
    held: Callable[[], bool]
    owner: int
    daily_usd: Decimal
    user_daily_usd: Decimal | None

    async def answer(self, stored: StoredEvent) -> tuple[str, tuple[BoxFile, ...]]:
        """Return Markdown, and the chart if it is a file."""
        today, user = self.clock.now().date(), stored.event.actor.user_id
        first = min(today.replace(day=1), today - timedelta(days=DAYS - 1))
        since = datetime.combine(first, time(), UTC)
        rows = await self.store.usage(since, user)
        texts = [_section("You", rows, today, self.user_daily_usd)]
        if user == self.owner and stored.event.place.private:
            rows = await self.store.usage(since)
            texts.append(_section("All together", rows, today, self.daily_usd))
        else:
            texts.append(f"All together may spend ${self.daily_usd} a day.")
        days = {today - timedelta(days=n): Decimal(0) for n in reversed(range(DAYS))}
        for row in rows:
            if row.day in days:
                days[row.day] += row.cost_usd
        top = max(days.values())
        if not top:
            return "\n\n".join(texts), ()
        files = await self._drawn(stored, [_bar(day, top, BAR_PIXELS) for day in days.values()])
        texts.append(f"The last {DAYS} days; the highest bar is ${top:.4f}.")
        return "\n\n".join(texts if files else [*texts, _bars(days, top)]), files

    async def _drawn(self, stored: StoredEvent, bars: Sequence[int]) -> tuple[BoxFile, ...]:
        if self.jobs is None or self.jobs.standing.grade is None or self.held():
            return ()
        program = Program(language="python", source=f"BARS = {[*bars]}\n{CHART}")
        try:
            async with asyncio.timeout(CHART_SECONDS):
                result = await self.jobs.run(program, trace_of(stored, self.owner))
        except (SandboxError, TimeoutError):
            return ()
        return result.files[:1] if result.outcome == "ok" else ()


def _section(who: str, rows: Sequence[UsageRow], today: date, cap_usd: Decimal | None) -> str:
    day = [row for row in rows if row.day == today]
    month = [row for row in rows if row.day >= today.replace(day=1)]
    lines = [f"**{who}**", *_period("Today", day), *_period("This month", month)]
    if cap_usd is not None:
        left = max(Decimal(0), cap_usd - sum(row.cost_usd for row in day))
        lines.append(f"Left today: ${left:.4f} of ${cap_usd}; a new day begins at 00:00 UTC.")
    return "\n".join(lines)


def _period(name: str, rows: Sequence[UsageRow]) -> list[str]:
    lines = [f"{name}: ${sum(row.cost_usd for row in rows):.4f}"]
    for (kind, model), group in groupby(sorted(rows, key=_what), key=_what):
        some = list(group)
        calls = sum(row.calls for row in some)
        given = sum(row.input_tokens for row in some)
        made = sum(row.output_tokens for row in some)
        cost = sum(row.cost_usd for row in some)
        tokens = f", tokens {given:,} in, {made:,} out" if given or made else ""
        lines.append(f"• {kind} `{model}`: calls {calls:,}{tokens}, ${cost:.4f}")
    return lines


def _what(row: UsageRow) -> tuple[str, str]:
    return row.kind, row.model


def _bar(cost: Decimal, top: Decimal, length: int) -> int:
    """Return the length of a bar; what cost anything is seen."""
    return max(1, int(length * cost / top)) if cost else 0


def _bars(days: Mapping[date, Decimal], top: Decimal) -> str:
    used = [(day, cost) for day, cost in days.items() if cost][-BAR_LINES:]
    lines = (f"{day:%m-%d} {'█' * _bar(cost, top, BAR_CHARS)} ${cost:.4f}" for day, cost in used)
    return code_block("\n".join(lines))
