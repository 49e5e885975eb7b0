"""What is asked again after a press: the rules, the people and the groups of by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_people import Person
from tests.asking import (
    APPROVE,
    DENY,
    STORED,
    asked,
    becomes,
    lapse,
    poster,
    press,
    question,
    told,
    wanting,
)
from tests.world import GROUP, OWNER, USER, World, quick, running

NOT_ASKED = "Only those who were asked may decide this."
CHANGE = """UPDATE approvals SET body = json_set(body, '$.arguments', '{"url":"x"}')"""


async def test_press_after_the_arguments_changed_is_refused(tmp_path: Path) -> None:
    """A press means the bytes that were shown, and no others."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        world.rows(CHANGE)
        note = "Its arguments have changed since it was asked. It is not done."
        assert (await press(world, shown, APPROVE), tool.calls) == (note, [])
        await world.stop()
        assert told(world, "refused") == [("#1.1 post", None)]


async def _approved_and_held(world: World, presser: int) -> SentMessage:
    """Have a call approved by somebody while everything is held; stop the program."""
    shown = await asked(world)
    people = {OWNER: world.owner, USER: world.user}
    await world.ask("/panic", "Everything is held")
    if presser != OWNER:
        shown = await question(world, presser)
    assert await press(world, shown, APPROVE, people[presser]) == "Approved."
    await world.stop()
    return shown


async def test_approval_by_somebody_who_was_removed_is_none(tmp_path: Path) -> None:
    """Off the list before the call was done: it is not done, and the turn still answers."""
    tool = poster()
    async with running(
        tmp_path, wanting(), parts=quick(tools=[tool]), APPROVERS=str(USER)
    ) as world:
        await _approved_and_held(world, USER)
        del world.environ["APPROVERS"]
        world.environ["ALLOWED_USERS"] = str(OWNER)
        await world.start()
        await world.ask("/resume", "Going on.")
        await world.answer(contains="Refused by policy (approval:denied)")
        assert tool.calls == []


async def test_call_of_somebody_who_was_removed_is_not_done(tmp_path: Path) -> None:
    """The owner approves what a person wanted who is on the list no more: nothing happens."""
    tool = poster()
    async with running(
        tmp_path, wanting(), parts=quick(tools=[tool]), APPROVERS=str(OWNER)
    ) as world:
        await asked(world, world.user)
        shown = await question(world)
        await world.stop()
        world.environ["ALLOWED_USERS"] = str(OWNER)
        await world.start()
        assert await press(world, shown, APPROVE) == "Approved."
        await world.ask("next", "Echo: next")
        await world.stop()
        assert tool.calls == []
        assert world.rows("SELECT state, error FROM inbox WHERE id = 1") == [
            ("dead", "its sender is not allowed any more")
        ]
        assert [line["rule"] for line in world.audit(type="denied")] == ["user:not-listed"]


async def test_deny_rule_counts_after_the_press(tmp_path: Path) -> None:
    """What POLICY_DENY names by the time of its execution is not done, approved or not."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await _approved_and_held(world, OWNER)
        world.environ["POLICY_DENY"] = "post"
        await world.start()
        await world.ask("/resume", "Going on.")
        await world.answer(contains="It gave: Refused by policy (deny:post)")
        await becomes(world, shown, "It was not done: a rule refused it.")
        assert tool.calls == []


async def test_allow_rule_does_not_undo_a_denial(tmp_path: Path) -> None:
    """What a person denied stays denied under settings that would have let it pass."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await world.ask("/panic", "Everything is held")
        assert await press(world, shown, DENY) == "Denied."
        await world.stop()
        world.environ["POLICY_ALLOW"] = "post"
        await world.start()
        await world.ask("/resume", "Going on.")
        await world.answer(contains="Refused by policy (approval:denied)")
        assert tool.calls == []


async def test_arguments_that_changed_after_the_press_are_not_executed(tmp_path: Path) -> None:
    """What was approved are the bytes that were shown; others are refused by a rule of its own."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await _approved_and_held(world, OWNER)
        world.rows(CHANGE)
        await world.start()
        await world.ask("/resume", "Going on.")
        await world.answer(contains="It gave: Refused by policy (approval:changed): its arguments")
        await becomes(world, shown, "It was not done: a rule refused it.")
        assert tool.calls == []
        await world.stop()
        assert [line["rule"] for line in world.audit(type="tool")] == ["approval:changed"]


async def test_approver_who_was_removed_cannot_press(tmp_path: Path) -> None:
    """Still an allowed user, but asked no more: the old button is refused; the others work."""
    tool = poster()
    parts = quick(tools=[tool])
    async with running(tmp_path, wanting(), parts=parts, APPROVERS=f"{OWNER},{USER}") as world:
        shown = await asked(world)
        copy = await question(world, USER)
        await world.stop()
        world.environ["APPROVERS"] = str(OWNER)
        await world.start()
        for label in (APPROVE, DENY):
            assert await press(world, copy, label, world.user) == NOT_ASKED
        await world.ask("/approvals", "Nothing waits for a press.", by=world.user)
        assert world.rows("SELECT state FROM approvals") == [("pending",)]
        assert await press(world, shown, APPROVE) == "Approved."
        await world.answer(contains="It gave: posted")
        await world.stop()
        refused = world.audit(type="approval", action="refused")
        assert ([line["user"] for line in refused], tool.calls) == ([USER] * 2, [STORED])


async def test_call_of_a_group_that_was_removed_is_not_done(tmp_path: Path) -> None:
    """Approved before its group was taken off the list: nothing happens, and nothing is said."""
    tool = poster()
    parts = quick(tools=[tool])
    async with running(tmp_path, wanting(), parts=parts, ALLOWED_CHATS=str(GROUP)) as world:
        shown = await _asked_in_group(world)
        await world.ask("/panic", "Everything is held")
        assert await press(world, shown, APPROVE) == "Approved."
        await world.stop()
        before = len(world.telegram.requests)
        del world.environ["ALLOWED_CHATS"]
        await world.start()
        await world.ask("/resume", "Going on.")
        await world.ask("next", "Echo: next")
        await world.stop()
        assert (tool.calls, _calls_about_group(world, before)) == ([], [])
        assert world.rows("SELECT state, error FROM inbox WHERE id = 1") == [
            ("dead", "its sender is not allowed any more")
        ]


@pytest.mark.parametrize("way", ["approved", "expired"])
async def test_question_in_a_group_that_was_removed_stays_as_it_is(
    tmp_path: Path, way: str
) -> None:
    """Decided in private, or not in time, after its group left the list: nobody is told there."""
    tool = poster()
    parts = quick(tools=[tool])
    async with running(
        tmp_path, wanting(), parts=parts, ALLOWED_CHATS=str(GROUP), APPROVERS=str(OWNER)
    ) as world:
        await _asked_in_group(world, world.user)
        copy = await question(world)
        await world.stop()
        before = len(world.telegram.requests)
        del world.environ["ALLOWED_CHATS"]
        if way == "expired":
            lapse(world)
        await world.start()
        if way == "approved":
            assert await press(world, copy, APPROVE) == "Approved."
        await becomes(world, copy, "⌛ #1.1" if way == "expired" else "✅ #1.1")
        await world.ask("next", "Echo: next")
        await world.stop()
        assert (tool.calls, _calls_about_group(world, before)) == ([], [])


async def _asked_in_group(world: World, by: Person | None = None) -> SentMessage:
    world.telegram.group(GROUP)
    sent = (by or world.owner).forward("@stand_in_bot please", GROUP)
    return await question(world, GROUP, after=sent)


def _calls_about_group(world: World, after: int) -> list[str]:
    calls = list(world.telegram.requests)[after:]
    return [call.method for call in calls if call.chat_id == GROUP]
