"""A turn run again without earlier content: offered where it helps, and instead of the first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.demo.model import Ask, Call, Turn
from assurebot.ports import Decided, Incoming
from assurebot.store.database import SqlStore
from assurebot.values import ApprovalState, Person, Place, StoredEvent
from tests.asking import (
    AFRESH,
    APPROVE,
    DENY,
    POST,
    STORED,
    TOLD_AFRESH,
    URL,
    asked,
    becomes,
    data_of,
    ends,
    forge,
    labels,
    poster,
    press,
    question,
    read_news,
    toast,
    wanting,
)
from tests.doubles import CallingTool
from tests.scripts import COLD_SECONDS
from tests.world import OWNER, USER, quick, running


async def test_turn_can_run_again_without_earlier_content(tmp_path: Path) -> None:
    """Where only history taints, a button leaves it out; then nothing needs a press."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        await read_news(world)
        shown = await question(world, after=world.owner.say("now please"))
        assert await press(world, shown, AFRESH) == TOLD_AFRESH
        await world.answer(contains="It gave: posted")
        given_up = "🧹 Given up, to be run again without earlier content."
        assert [text.split("\n")[0] for text in world.texts()[-2:]] == [given_up, "It gave: posted"]
        await becomes(world, shown, "⌛ #2.1 post was not approved")
        assert tool.calls == [STORED]
        assert "news from outside" not in str(world.model.requests[-1].raw)
        assert "waits for approval" not in str(world.model.requests[-1].raw)
        again = await forge(world, shown, data_of(shown, AFRESH), world.owner)
        assert (again, tool.calls) == ("It was decided before.", [STORED])
        await world.stop()
        assert world.audit(type="tool", phase="intent", rule="class:outward") != []


async def test_content_of_the_turn_itself_cannot_be_left_out(tmp_path: Path) -> None:
    """A forward that asks is not offered to be run without itself."""
    async with running(tmp_path, wanting(), parts=quick(tools=[poster()])) as world:
        assert labels(await asked(world)) == [APPROVE, DENY]


async def test_who_may_not_press_can_leave_earlier_content_out(tmp_path: Path) -> None:
    """The requester reads for whom it waits, and keeps the one button that needs no approver."""
    tool = poster()
    parts = quick(tools=[tool])
    async with running(tmp_path, wanting(), parts=parts, APPROVERS=str(OWNER)) as world:
        world.user.forward("news from outside")
        await world.answer(USER, "Echo")
        shown = await question(world, USER, after=world.user.say("now please"))
        copy = await question(world)
        assert (labels(shown), labels(copy)) == ([AFRESH], [APPROVE, DENY])
        for message in (shown, copy):
            assert "⏳ #2.1 post waits for id 42 until " in message.text
        assert await press(world, shown, AFRESH, world.user) == TOLD_AFRESH
        await world.answer(USER, "It gave: posted")
        for message in (shown, copy):
            assert labels(await becomes(world, message, "⌛ #2.1 post was not approved")) == []
        assert tool.calls == [STORED]


async def test_not_offered_once_a_call_was_run(tmp_path: Path) -> None:
    """What the turn has done would be done again: in the same answer, or in one before."""
    reader, tool = CallingTool(_read, name="read", result_label="owner"), poster()

    def script(ask: Ask) -> Turn:
        read, first = Call(name="read"), "first" in ask.last_user_text
        if "please" not in ask.last_user_text:
            return Turn(text="Echo")
        return Turn(calls=(read,) if first and not ask.tool_results else (read, POST)[first:])

    async with running(tmp_path, script, parts=quick(tools=[reader, tool])) as world:
        await read_news(world)
        for words in ("now please", "first please"):
            shown = await question(world, after=world.owner.say(words))
            assert labels(shown) == [APPROVE, DENY]
        assert reader.calls == ["{}"] * 2


async def test_nothing_is_done_twice_where_a_part_was_approved(tmp_path: Path) -> None:
    """What was approved of the first turn is left to the second one, which does each call once."""
    tool, other = poster(), Call(name="post", arguments=f'{{"url": "{URL}", "body": "other"}}')
    async with running(tmp_path, wanting(POST, other), parts=quick(tools=[tool])) as world:
        await read_news(world)
        shown = await question(world, after=world.owner.say("now please"))
        assert await press(world, shown, f"{APPROVE} #2.1") == "Approved. 1 more to decide."
        assert await press(world, shown, AFRESH) == TOLD_AFRESH
        await world.answer(contains="It gave: posted | posted")
        await becomes(world, shown, "⌛ #2.1 post was not approved")
        await world.ask("next", "Echo: next")
        assert tool.calls == [STORED, STORED.replace("hello", "other")]


class _Ordered(SqlStore):
    """Lets one of two decisions, `decide` or `withdraw`, be the first to be committed."""

    first: ClassVar[str]
    done: ClassVar[asyncio.Event]

    async def decide(
        self,
        event_id: int,
        steps: Sequence[int],
        state: ApprovalState,
        by: Person | None,
        press: str = "",
    ) -> Decided:
        """Decide."""
        if not press:
            return await super().decide(event_id, steps, state, by, press)
        await self._before("decide")
        decided = await super().decide(event_id, steps, state, by, press)
        self._after("decide")
        return decided

    async def withdraw(
        self,
        place: Place,
        note: str,
        *,
        before: int | None = None,
        turn: int | None = None,
        again: Incoming | None = None,
    ) -> tuple[tuple[Decided, ...], StoredEvent | None]:
        """Withdraw."""
        await self._before("withdraw")
        found = await super().withdraw(place, note, before=before, turn=turn, again=again)
        self._after("withdraw")
        return found

    async def _before(self, what: str) -> None:
        if what != self.first:
            await asyncio.wait_for(self.done.wait(), COLD_SECONDS)

    def _after(self, what: str) -> None:
        if what == self.first:
            self.done.set()


@pytest.mark.parametrize("order", [(APPROVE, AFRESH), (AFRESH, APPROVE)])
@pytest.mark.parametrize("first", ["decide", "withdraw"])
async def test_approve_and_afresh_together_count_as_one(
    tmp_path: Path, order: tuple[str, str], first: str
) -> None:
    """Of both in one batch the first to be committed holds; the call is done once in any case."""
    _Ordered.first, _Ordered.done, tool = first, asyncio.Event(), poster()
    parts = quick(tools=[tool], store=_Ordered)
    async with running(tmp_path, wanting(), parts=parts) as world:
        await read_news(world)
        shown = await question(world, after=world.owner.say("now please"))
        await world.stop()
        queries = {label: world.owner.press(shown.message_id, label) for label in order}
        await world.start()
        toasts = [await toast(world, queries[label]) for label in (APPROVE, AFRESH)]
        approved = first == "decide"
        assert toasts == (
            ["Approved.", "It was decided before."]
            if approved
            else ["That was decided before.", TOLD_AFRESH]
        )
        await world.answer(contains="It gave: posted")
        await becomes(world, shown, "Done." if approved else "⌛ #2.1 post was not approved")
        await world.ask("next", "Echo: next")
        assert tool.calls == [STORED]
        await world.stop()
        result = "ok" if approved else "decided before"
        assert ends(world, "approved") == [("approval", result)]


async def _read(_arguments: str) -> str:
    return "a page"
