"""Lanes beside those of conversations: tasks and webhooks keep nobody waiting, and are stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assurebot.demo.model import Turn
from assurebot.demo.telegram_people import Person
from assurebot.values import Page
from tests.obeying import Pages, with_pages
from tests.posting import HOOKS, push
from tests.scheduling import REMINDER, fires, pressed, runs
from tests.scripts import LIMIT_SECONDS, Gate, by_words
from tests.world import USER, World, running

STOPPED = "⏹ Stopped."
SLOW_MODEL = by_words({"hello": Turn(text="Hi."), "webhook": Turn(delay_seconds=60)})


class SlowPages(Pages):
    """Pages that come when they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self._reads = asyncio.Semaphore(0)

    async def read(self, url: str, chars: int) -> Page:
        """Wait, then give the page."""
        page = await super().read(url, chars)
        self._reads.release()
        await self.let_go.wait()
        return page

    async def asked(self, count: int) -> None:
        """Wait until so many more have been asked for."""
        async with asyncio.timeout(LIMIT_SECONDS):
            for _ in range(count):
                await self._reads.acquire()


async def watches(world: World, count: int, by: Person | None = None) -> None:
    """Have pages watched of which words are wanted that are there."""
    for number in range(count):
        await world.ask(
            f"/schedule every: 1h | watch: https://a.example/{number} contains PAGE",
            f"Task {number + 1}",
            by=by,
        )


async def test_people_wait_for_neither_pages_nor_webhooks(tmp_path: Path) -> None:
    """With one slot, three slow pages and a slow summary, an answer and a reminder come at once."""
    pages, gate = SlowPages(), Gate(SLOW_MODEL)
    parts = with_pages(pages, grace_seconds=0.2)
    async with running(tmp_path, gate, parts=parts, MAX_TURNS="1", **HOOKS) as world:
        await watches(world, 3, by=world.user)
        await world.ask("/remind 20m call Bob", "Task 1")
        await fires(world)
        await pages.asked(2)
        assert await push(world) == 202
        await gate.wait()
        await world.ask("hello", "Hi.")
        await world.answer(contains=REMINDER)
        assert len(pages.fetched) == 2
        pages.let_go.set()
        await pages.asked(1)


@pytest.mark.parametrize("fallen", [False, True])
async def test_stop_ends_what_tasks_and_webhooks_do_here(tmp_path: Path, *, fallen: bool) -> None:
    """All that was begun says so, also after a restart; what was not, and what is others', is done.

    Two pages are looked at, a third one and the user's wait; as after a kill, all were begun.
    """
    pages, gate = SlowPages(), Gate(SLOW_MODEL)
    parts = with_pages(pages, grace_seconds=0.2)
    async with running(tmp_path, gate, parts=parts, **HOOKS) as world:
        await watches(world, 3)
        await watches(world, 1, by=world.user)
        await fires(world)
        await pages.asked(2)
        assert await push(world) == 202
        await gate.wait()
        if fallen:
            await world.fall()
            world.rows("UPDATE inbox SET starts = 1 WHERE state = 'open'")
        world.owner.say("/stop")
        if fallen:
            await world.start(polls=False)
        await world.answer(contains="🪝")
        pages.let_go.set()
        await world.answer(USER, "🔔")
        await runs(world, 4)
        await world.ask("hello", "Hi.")  # all that was to be said before has been
        texts = world.texts()
        assert [f"⚠️ {STOPPED}" in text for text in texts if "🪝" in text] == [True]
        assert sum(text == STOPPED for text in texts) == (3 if fallen else 2)
        assert sum("🔔" in text for text in texts) == (0 if fallen else 1)
        assert not [text for text in texts if "Nothing is running" in text]


@pytest.mark.parametrize("way", ["command", "button"])
async def test_a_deleted_task_says_nothing_more(tmp_path: Path, way: str) -> None:
    """Its run is ended with it, and the command tells so."""
    pages = SlowPages()
    async with running(tmp_path, parts=with_pages(pages, grace_seconds=0.2)) as world:
        await watches(world, 1)
        await fires(world)
        await pages.asked(1)
        if way == "command":
            await world.ask("/deltask 1", "Task 1 is deleted. It was at work, which was ended.")
        else:
            assert await pressed(world, "🗑 Delete 1") == "Task 1 is deleted."
        said = len(world.texts())
        pages.let_go.set()
        await world.ask("next", "next")
        await world.stop()
        assert world.texts()[said:] == ["next"]
        assert world.rows("SELECT count(*) FROM inbox WHERE state = 'open'") == [(0,)]
