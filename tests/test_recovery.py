"""What cannot be worked is set aside and told, and the next one runs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.model import Ask, Call, Turn
from assurebot.store.database import SqlStore
from assurebot.values import StoredEvent
from tests.doubles import CallingTool, FakeSandbox
from tests.scripts import by_words
from tests.world import OWNER, USER, quick, running


def acting(ask: Ask) -> Turn:
    """Call the tool `act`, then report what it gave."""
    if ask.tool_results:
        return Turn(text=f"It gave: {ask.tool_results[-1]}")
    return Turn(calls=(Call(name="act"),))


def update(person: int, **fields: Any) -> dict[str, Any]:
    """An update of a person that is odd in some way."""
    chat = {"id": person, "type": "private", "first_name": "Ann"}
    sender = {"id": person, "is_bot": False, "first_name": "Ann"}
    message = {"message_id": 900, "date": 1, "chat": chat, "from": sender, "text": "odd", **fields}
    return {"message": message}


@pytest.mark.parametrize(
    "odd",
    [
        update(OWNER, forward_origin={"type": "user", "date": 10**30}),
        update(
            OWNER,
            text="/py \N{GRINNING FACE}",
            entities=[
                {"type": "bot_command", "offset": 0, "length": 3},
                {"type": "pre", "offset": 5, "length": 1},
            ],
        ),
    ],
    ids=["forward", "entity"],
)
async def test_update_that_cannot_be_read_is_quarantined(
    tmp_path: Path, odd: dict[str, Any]
) -> None:
    """It is kept whole and told to the owner, and the update behind it is worked."""
    async with running(tmp_path) as world:
        world.telegram.raw_update(odd)
        await world.ask("next", "next")
        await world.answer(contains="An update could not be read and was set aside.")
        await world.stop()
        rows = world.rows("SELECT state, event, key FROM inbox ORDER BY id")
        assert [row[0] for row in rows] == ["quarantined", "done"]
        assert (rows[0][1], rows[0][2]) == (None, "message:42:900")


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"message": None},
        {"message": []},
        {"message": {"from": {"id": OWNER}}},
        {"callback_query": {"from": {"id": OWNER}, "id": 7}},
        {"kind_of_the_future": {"from": {"id": OWNER}, "chat": {"id": OWNER, "type": "private"}}},
        {"message": {"from": {"id": True}, "chat": "x", "text": "\ud800"}},
        {"message": {"from": {"id": 2**80}, "chat": {"id": 2**80, "type": "private"}}},
        update(OWNER, text="\ud800 half"),
        update(OWNER, text="x" * 100_000),
        update(OWNER, message_id=2**80),
        update(OWNER, text=None),
    ],
    ids=[f"odd{number}" for number in range(12)],
)
async def test_odd_updates_never_stop_the_next_one(tmp_path: Path, odd: dict[str, Any]) -> None:
    """Whatever shape an update has, the one behind it is worked."""
    async with running(tmp_path) as world:
        world.telegram.raw_update(odd, unasked=True)
        await world.ask("next", "next")
        assert world.app is not None
        assert not world.app.done()


async def test_event_that_raises_each_time_is_dead_after_three_errors(tmp_path: Path) -> None:
    """User and owner are told, the next message is worked, and a restart changes nothing."""

    async def fail(_arguments: str) -> str:
        raise LookupError("unexpected")

    tool = CallingTool(fail, repeatable=True)
    script = by_words({"act": acting})
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        await world.ask("act", "I could not work on this message and gave it up.", by=world.user)
        notice = await world.answer(contains="is dead")
        assert notice.text == "⚠️ Event 1 of chat 43 is dead: 3 errors, 0 starts"
        assert (await world.ask("next", "next", by=world.user)).text == "next"
        await world.restart()
        await world.ask("after", "after", by=world.user)
        assert (len(tool.calls), len(world.texts(USER)), len(world.texts())) == (3, 3, 1)
        await world.stop()
        assert world.rows("SELECT state, errors, error FROM inbox WHERE id = 1") == [
            ("dead", 3, "3 errors, 0 starts")
        ]
        ends = [line for line in world.audit(type="tool") if line.get("phase") == "result"]
        assert [line["result"] for line in ends] == ["error"] * 3


async def test_tool_that_raises_is_not_run_again(tmp_path: Path) -> None:
    """A call that broke off with an unexpected error is closed as unknown, and the turn goes on."""

    async def fail(_arguments: str) -> str:
        raise LookupError("unexpected")

    tool = CallingTool(fail)
    script = by_words({"act": acting})
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        await world.ask("act", "the outcome is unknown")
        assert len(tool.calls) == 1


async def test_event_that_kills_the_program_is_dead_after_five_starts(tmp_path: Path) -> None:
    """Five starts without an end, as of a turn that brings the process down, are enough."""
    async with running(tmp_path, by_words({"kill": Turn(delay_seconds=60)})) as world:
        world.parts = quick(grace_seconds=0.05)
        await world.stop()
        await world.start()
        world.owner.say("kill")
        await world.taken()
        await world.stop()
        world.rows("UPDATE inbox SET starts = 5")
        await world.start()
        await world.answer(contains="I could not work on this message and gave it up.")
        assert (await world.ask("next", "next")).text == "next"


async def test_answer_that_was_committed_is_sent_after_a_crash(tmp_path: Path) -> None:
    """What was in the outbox at the end goes out at the next start, once."""
    async with running(tmp_path) as world:
        await world.ask("one")
        await world.stop()
        world.rows("UPDATE outbox SET state = 'open', message_id = NULL")
        await world.start()
        await world.ask("two", "two")
        assert world.texts() == ["one", "one", "two"]


class _TwiceTold(SqlStore):
    """Names what is unfinished twice, as if two hands had taken it up."""

    async def unfinished(self) -> tuple[StoredEvent, ...]:
        """Return each event two times."""
        left = await super().unfinished()
        return (*left, *left)


HEARD = ("hello", "print(6)", "Last poll: ", "last")


async def test_event_that_was_taken_up_twice_is_worked_once(tmp_path: Path) -> None:
    """Whoever comes second finds it ended: nothing is asked, run or said again."""
    box = FakeSandbox()
    parts = quick(store=_TwiceTold, box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, parts=parts) as world:
        await world.ask("hello", "hello")
        await world.ask("/python print(6)", "print(6)")
        await world.ask("/status", "Last poll: ")
        await world.stop()
        world.rows("UPDATE inbox SET state = 'open', starts = 1")
        world.rows("DELETE FROM history")
        await world.start()
        await world.ask("last", "last")
        await world.ask("/whoami", "You are Ann")
        await world.stop()
        assert (len(world.model.requests), len(box.programs)) == (3, 2)
        assert [sum(words in text for text in world.texts()) for words in HEARD] == [2, 2, 2, 1]
        assert world.rows("SELECT DISTINCT state, errors FROM inbox") == [("done", 0)]
