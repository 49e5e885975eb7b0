"""What tests of schedules share: having a task be due, pressing its buttons, awaiting its runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from assurebot.demo.telegram_people import Person
from tests.asking import press
from tests.scripts import LIMIT_SECONDS
from tests.world import OWNER, World

REMINDER = "⏰ call Bob"


def stored(moment: datetime) -> str:
    """Write a moment as the database does."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def due(world: World, seconds_ago: float = 0.0, where: str = "1") -> None:
    """Have jobs be due so many seconds ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    change = "next_at = ?, body = json_set(body, '$.anchor', ?)"
    update = f"UPDATE jobs SET {change} WHERE {where}"  # noqa: S608 - all words are ours
    world.rows(update, stored(moment), moment.isoformat())


def reminders(world: World, chat_id: int = OWNER) -> list[str]:
    """Return what was reminded of in a chat."""
    return [text for text in world.texts(chat_id) if text.startswith(REMINDER)]


async def fires(world: World, *, late: float = 0.0, where: str = "1") -> None:
    """Have jobs be due while the program is down, and start it again."""
    await world.stop()
    due(world, late, where)
    await world.start()


async def pressed(world: World, label: str, by: Person | None = None) -> str | None:
    """Press a button of a new list of tasks; return the note that answers it."""
    listed = await world.ask("/tasks", "[", by=by)
    return await press(world, listed, label, by)


async def runs(world: World, count: int) -> list[str]:
    """Wait until so many runs have ended; return what came of them, the oldest first."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            states = [state for (state,) in world.rows("SELECT state FROM runs ORDER BY id")]
            if len(states) == count and "running" not in states:
                return states
            await asyncio.sleep(0.02)
