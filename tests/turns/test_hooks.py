"""How posts are told: together, within their rates, and whatever one of them is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from assurebot.demo.model import Ask, Turn
from assurebot.errors import AuditError, StoreUnwell
from assurebot.store.database import SqlStore
from tests.posting import HOOKS, TOKEN, post, push
from tests.scripts import slow
from tests.world import World, quick, running

FENCE = "```"
HOSTILE = f"{FENCE}\n[here](https://evil.example) @ann /panic **x**\u202e"


def brief(_ask: Ask) -> Turn:
    """Sum up anything."""
    return Turn(text="It happened.")


async def told(world: World, count: int) -> list[str]:
    """Wait until so many messages about webhooks are there."""
    after = 0
    for _ in range(count):
        after = (await world.answer(contains="🪝", after=after)).message_id
    return [text for text in world.texts() if "🪝" in text]


async def test_more_model_turns_than_allowed_are_told_without(tmp_path: Path) -> None:
    """Over RATE_WEBHOOK_PER_MINUTE of one source the facts are sent; others are not touched."""
    limits: dict[str, Any] = {
        "parts": quick(fold_seconds=0.0),
        "RATE_WEBHOOK_PER_MINUTE": "1",
        **HOOKS,
    }
    async with running(tmp_path, brief, **limits) as world:
        await push(world, 1)
        await told(world, 1)
        await push(world, 2)
        first, second = await told(world, 2)
        assert "It happened." in first
        assert "Told without a model: more than 1 messages a minute." in second
        await post(world, "ci", b'{"title": "red"}', TOKEN)
        assert "It happened." in (await told(world, 3))[2]


async def test_one_that_cannot_be_read_dies_alone(tmp_path: Path) -> None:
    """It is given up after three errors and told; all others are told together, at once."""
    async with running(tmp_path, brief, parts=quick(fold_seconds=0.0), **HOOKS) as world:
        await world.ask("/panic", "Everything is held")
        for number in range(1, 6):
            assert await push(world, number) == 202
        world.rows("UPDATE inbox SET raw = '{' WHERE id = 4")
        await world.ask("/resume", "Going on")
        told_of = await world.answer(contains="🪝")
        assert told_of.text.startswith("🪝 github: 4 posts")
        await world.answer(contains="I could not work on this message", after=told_of.message_id)
        states = world.rows("SELECT state FROM inbox WHERE source LIKE 'webhook:%' ORDER BY id")
        assert sorted(states) == [("dead",)] + [("done",)] * 4
        assert sum("🪝" in text for text in world.texts()) == 1


async def test_a_disk_fault_unfolds_nothing(tmp_path: Path) -> None:
    """Posts whose ending could not be recorded or stored are still told in one message."""
    for fault in (AuditError("full"), StoreUnwell("full")):

        class Faulty(SqlStore):
            faults: ClassVar = [fault]

            async def open_posts(self, hook: str, limit: int) -> tuple[int, ...]:
                """Fail once."""
                if self.faults:
                    raise self.faults.pop()
                return await super().open_posts(hook, limit)

        folder = tmp_path / type(fault).__name__
        folder.mkdir()
        parts = quick(store=Faulty, fold_seconds=0.0, disk_seconds=0.1)
        async with running(folder, brief, parts=parts, **HOOKS) as world:
            await world.ask("/panic", "Everything is held")
            for number in range(3):
                await push(world, number)
            await world.ask("/resume", "Going on")
            assert (await world.answer(contains="🪝")).text.startswith("🪝 github: 3 posts")
            assert Faulty.faults == []


async def test_what_others_wrote_is_code(tmp_path: Path) -> None:
    """Nothing of a post is a link, a mention or a command, in the facts and in the summary."""
    async with running(tmp_path, lambda _ask: Turn(text=HOSTILE), **HOOKS) as world:
        body = json.dumps({"title": HOSTILE, "url": "https://evil.example/path"}).encode()
        await post(world, "ci", body, TOKEN)
        sent = await world.answer(contains="🪝")
        assert {entity.type for entity in sent.entities} <= {"code", "pre", "bold"}
        shown = [
            sent.text.encode("utf-16-le")[2 * each.offset : 2 * (each.offset + each.length)]
            for each in sent.entities
            if each.type in ("code", "pre")
        ]
        code = b"".join(shown).decode("utf-16-le")
        assert all(word in code for word in ("https://evil.example/path", "@ann", "/panic"))


async def test_a_long_summary_fits_one_message(tmp_path: Path) -> None:
    """However much the model says, and however long the titles are, it is one message."""
    parts = quick(fold_seconds=1.0)
    async with running(
        tmp_path, lambda _ask: slow("word ", 900, 0.0), parts=parts, **HOOKS
    ) as world:
        await push(world, 1)
        await told(world, 1)
        for number in range(30):
            body = json.dumps(
                {"title": f"{number} " + "t" * 300, "url": f"https://a.example/{number}"}
            )
            await post(world, "github" if number < 0 else "ci", body.encode(), TOKEN)
        for texts in range(1, 3):
            await told(world, texts + 1)
        assert len(world.texts()) == 3
        assert re.search(r"^and \d+ more kinds$", world.texts()[-1], re.MULTILINE)
        assert all(len(text) <= 4096 for text in world.texts())
