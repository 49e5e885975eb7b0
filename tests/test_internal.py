"""Events that no person sent, as schedules and webhooks will make them: the same one path."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assurebot.app import SystemClock
from assurebot.demo.model import Ask, Script, Turn
from assurebot.ports import Incoming
from assurebot.store.database import SqlStore
from assurebot.turns.model_turns import TAINTED
from assurebot.values import Event, Person, Place, TextPart, untrusted
from tests.obeying import ASKS, do, frames, obeying, outcome
from tests.world import OWNER, World, running

WORDS = "BODY-OF-A-TEST"
PARTS = (
    TextPart(text="What is this about?"),
    TextPart(text=WORDS, label=untrusted("test event")),
)


async def put(world: World, *parts: TextPart) -> None:
    """Put an event for the owner's private chat into the inbox of a program that does not run."""
    now = datetime.now(UTC)
    event = Event(
        source="internal",
        key="test:1",
        kind="message",
        actor=Person(user_id=OWNER, name="Ann"),
        place=Place(chat_id=OWNER),
        received_at=now,
        parts=parts or PARTS,
    )
    incoming = Incoming(source="internal", key=event.key, event=event, raw="{}", received_at=now)
    world.folder.mkdir(exist_ok=True)
    async with SqlStore(world.database, SystemClock()) as store:
        assert len(await store.add([incoming, incoming])) == 1


async def test_an_internal_event_is_worked_once_and_tainted_by_its_labels(tmp_path: Path) -> None:
    """It is answered in its chat; what its labels call untrusted is framed and taints."""
    async with running(tmp_path, obeying, started=False) as world:
        await put(world)
        await world.start()
        assert (await world.answer()).text == f"Noted.\n\n{TAINTED}"
        assert frames(world) == [("test event", WORDS)]
        assert world.model.requests[-1].last_user_text.startswith("What is this about?\n<<<")
        await world.restart()
        assert await outcome(world, world.owner.say(do("remember", text="milk"))) == ASKS
        await world.stop()
        (line,) = world.audit(type="message")
        assert (line["event"], line["actor"], line["result"]) == ("test:1", "owner:42", "done")
        assert world.rows("SELECT state FROM inbox WHERE source = 'internal'") == [("done",)]


async def test_an_internal_event_cannot_act_without_a_press(tmp_path: Path) -> None:
    """Calls that its untrusted part asks for wait for its person."""
    async with running(tmp_path, obeying, started=False) as world:
        text = do("remember", text="evil")
        await put(world, TextPart(text=text, label=untrusted("test event")))
        await world.start()
        assert await outcome(world, 0) == ASKS
        assert world.rows("SELECT * FROM memory") == []


async def test_an_internal_event_waits_while_all_is_held(tmp_path: Path) -> None:
    """/panic holds it, over restarts; its chat is told so once, and /resume lets it go on."""
    async with running(tmp_path) as world:
        await world.ask("/panic", "Everything is held")
        await world.stop()
        await put(world)
        await world.start()
        held = await world.answer(contains="Your message waits for /resume.")
        await world.restart()
        await world.ask("/status", "Held: by Ann")
        assert (len(world.model.requests), world.rows("SELECT state FROM inbox ORDER BY id")) == (
            0,
            [("done",), ("open",), ("done",)],
        )
        await world.ask("/resume", "Going on.")
        assert WORDS in (await world.answer(contains=TAINTED)).text
        assert world.texts().count(held.text) == 1


async def test_the_model_call_of_an_internal_event_is_reserved(tmp_path: Path) -> None:
    """The most that it can cost is set aside before the model is asked, and settled after."""
    seen: list[list[tuple[Any, ...]]] = []

    def watching(rest: Script) -> Script:
        def script(ask: Ask) -> Turn:
            seen.append(world.rows("SELECT event_id, user_id, kind, cost_nano_usd FROM spend"))
            return rest(ask)

        return script

    script = watching(lambda _: Turn(text="Noted.", output_tokens=7))
    async with running(
        tmp_path, script, started=False, AI_PRICE="0,1000", MAX_OUTPUT_TOKENS="2000"
    ) as world:
        await put(world)
        await world.start()
        await world.answer(contains="Noted.")
        assert seen == [[(1, OWNER, "model", 2_000_000_000)]]
        assert world.rows("SELECT event_id, output_tokens, cost_nano_usd FROM spend") == [
            (1, 7, 7_000_000)
        ]


async def test_an_internal_event_does_not_pass_the_budget(tmp_path: Path) -> None:
    """Where nothing is left the model is not asked, and its chat reads why."""
    async with running(tmp_path, started=False, AI_PRICE="0,1000", BUDGET_DAILY_USD="1") as world:
        await put(world)
        await world.start()
        await world.answer(contains="⏱ I stopped at the budget of $1 a day for all")
        assert len(world.model.requests) == 0
