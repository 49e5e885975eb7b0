"""What goes on shows while a turn is silent, and can be stopped; none of it is in the answer."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assurebot.demo.model import Ask, Call, Turn
from assurebot.demo.telegram_faults import Refuse
from assurebot.values import Button
from tests.doubles import CallingTool
from tests.scripts import COLD_SECONDS, by_words
from tests.world import GROUP, OWNER, QUICK_PREVIEW, World, quick, running

SEEN = replace(QUICK_PREVIEW, status=0.2, elapsed=0.3)
SLOW = replace(SEEN, elapsed=600.0)
STOP = Button(label="⏹ Stop", id="stop")
NAME = "@stand_in_bot "


def acting(ask: Ask) -> Turn:
    """Say something, call the tool `act` with a link in its arguments, then report."""
    if ask.tool_results:
        return Turn(text=f"It gave: {ask.tool_results[-1]}")
    call = Call(name="act", arguments='{"url": "https://evil.example/secret"}')
    return Turn(text="I look.", calls=(call,))


class Held:
    """A tool that comes back when it is told to."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.tool = CallingTool(self._run)

    async def _run(self, _arguments: str) -> str:
        await self.release.wait()
        return "done"


async def draft(world: World, contains: str) -> str:
    """Wait for a draft with these words; return its text."""
    shown = await world.meanwhile(
        world.telegram.wait_for_draft(OWNER, contains=contains, timeout_seconds=COLD_SECONDS)
    )
    return shown.text


def group(world: World) -> None:
    """Open the group with the owner, the user and the stranger in it."""
    room = world.telegram.group(GROUP)
    for person in (world.owner, world.user, world.stranger):
        room.add(person)


async def test_tool_that_takes_its_time_is_named_with_its_time(tmp_path: Path) -> None:
    """Under the text so far stands which tool runs and how long: never what it was called with."""
    held = Held()
    parts = quick(tools=[held.tool], preview=SEEN)
    async with running(tmp_path, by_words({"go": acting}), parts=parts) as world:
        world.owner.say("go")
        assert re.fullmatch(r"I look\.\n\n⚙️ act, \d+ s", await draft(world, "act, 0 s"))
        await draft(world, "act, 2 s")
        held.release.set()
        answer = await world.answer(contains="It gave: done")
        assert answer.text == "I look.\n\nIt gave: done"
        await world.ask("next", "next")
        await world.stop()
        assert "act, 0 s" not in str(world.model.requests[-1].raw)
        assert not any("evil" in each.text for each in world.telegram.drafts(OWNER))
        assert b"act, 0 s" not in world.stored_bytes()


async def test_silent_model_is_thinking(tmp_path: Path) -> None:
    """Before the first word, and where words stop coming, it is told that the model thinks."""
    turn = Turn(chunks=("word " * 100, "end"), chunk_seconds=1.5, delay_seconds=1.5)
    async with running(tmp_path, by_words({"go": turn}), parts=quick(preview=SEEN)) as world:
        world.owner.say("go")
        assert re.fullmatch(r"💭 thinking, \d s", await draft(world, "thinking"))
        assert re.fullmatch(r"(word ?)+\n\n💭 thinking, \d s", await draft(world, "\n\n💭"))
        assert (await world.answer(contains="end")).text == "word " * 100 + "end"


async def test_quick_turn_has_no_status(tmp_path: Path) -> None:
    """What comes in time shows itself alone."""
    turn = Turn(chunks=tuple(f"{n} " for n in range(20)), chunk_seconds=0.02)
    preview = replace(SEEN, status=60.0)
    async with running(tmp_path, by_words({"go": turn}), parts=quick(preview=preview)) as world:
        await world.ask("go", "19")
        assert [each.text for each in world.telegram.drafts(OWNER) if " s" in each.text] == []


async def test_stopped_turn_keeps_its_words_and_not_its_status(tmp_path: Path) -> None:
    """What is sent and remembered of a stopped turn is what the model said."""
    held = Held()
    parts = quick(tools=[held.tool], preview=SEEN)
    async with running(tmp_path, by_words({"go": acting}), parts=parts) as world:
        world.owner.say("go")
        await draft(world, "act, 0 s")
        answer = await world.ask("/stop", "⏹ Stopped.")
        assert answer.text == "I look.\n\n⏹ Stopped."


async def test_group_sees_one_message_that_becomes_the_answer(tmp_path: Path) -> None:
    """In a group the status is written into the message that the answer replaces."""
    held = Held()
    parts = quick(tools=[held.tool], preview=SEEN)
    script = by_words({"go": acting})
    async with running(tmp_path, script, parts=parts, ALLOWED_CHATS=f"{GROUP}") as world:
        group(world)
        world.owner.say(f"{NAME}go", GROUP)
        shown = await world.answer(GROUP, "act, 0 s")
        assert shown.buttons == (STOP,)
        assert re.fullmatch(r"I look\.\n\n⚙️ act, \d+ s", shown.text)
        await world.answer(GROUP, "act, 2 s")
        held.release.set()
        answer = await world.answer(GROUP, "It gave: done")
        assert (answer.message_id, answer.buttons) == (shown.message_id, ())
        assert world.texts(GROUP) == ["I look.\n\nIt gave: done"]


async def test_group_is_not_edited_for_the_time_alone(tmp_path: Path) -> None:
    """Edits count as messages, so what is only later is written at most now and then."""
    held = Held()
    parts = quick(tools=[held.tool], preview=SLOW)
    script = by_words({"go": acting})
    async with running(tmp_path, script, parts=parts, ALLOWED_CHATS=f"{GROUP}") as world:
        group(world)
        world.owner.say(f"{NAME}go", GROUP)
        await world.answer(GROUP, "act, 0 s")
        edits = world.telegram.messages(GROUP)[0].edits
        await world.ask("meanwhile", "meanwhile")
        await asyncio.sleep(1.2)  # long enough for another second to show
        assert world.telegram.messages(GROUP)[0].edits == edits
        held.release.set()
        await world.answer(GROUP, "It gave: done")


async def test_stop_button_of_a_group(tmp_path: Path) -> None:
    """A press of anyone on the list ends the turn within 2 s; a stranger's does nothing."""
    held = Held()
    parts = quick(tools=[held.tool], preview=SEEN)
    script = by_words({"go": acting})
    async with running(tmp_path, script, parts=parts, ALLOWED_CHATS=f"{GROUP}") as world:
        group(world)
        world.owner.say(f"{NAME}go", GROUP)
        shown = await world.answer(GROUP, "act, 0 s")
        asked = world.stranger.press(shown.message_id, STOP.label, GROUP)
        await world.answer(GROUP, "act, 1 s")
        assert asked not in world.telegram.world.toasts
        began = time.monotonic()
        pressed = world.user.press(shown.message_id, STOP.label, GROUP)
        answer = await world.answer(GROUP, "⏹ Stopped.")
        assert time.monotonic() - began < 2
        assert (answer.text, answer.buttons) == ("I look.\n\n⏹ Stopped.", ())
        assert answer.message_id == shown.message_id
        late = world.user.press_data(shown.message_id, STOP.id, GROUP)
        async with asyncio.timeout(COLD_SECONDS):
            while None in map(world.telegram.toast, (pressed, late)):
                await world.meanwhile(world.telegram.wait_for("answerCallbackQuery"))
                await asyncio.sleep(0.02)
        await world.stop()
        assert world.telegram.world.toasts == {
            pressed: "⏹ Stopped.",
            late: "Nothing is running here.",
        }
        assert [line["rule"] for line in world.audit(type="denied", action="callback_query")] == [
            "user:not-listed"
        ]
        assert world.texts(GROUP) == ["I look.\n\n⏹ Stopped."]


async def test_preview_without_an_answer_loses_its_button(tmp_path: Path) -> None:
    """A turn that says nothing before it waits for a press leaves no status and no button."""

    async def page(_arguments: str) -> str:
        return "words of others"

    read = CallingTool(page, name="read", result_label="untrusted:page")
    act = CallingTool(page, name="act", effect="outward")

    def script(ask: Ask) -> Turn:
        name = "act" if ask.tool_results else "read"
        return Turn(calls=(Call(name=name),), delay_seconds=1.0)

    parts = quick(tools=[read, act], preview=SEEN)
    async with running(tmp_path, script, parts=parts, ALLOWED_CHATS=f"{GROUP}") as world:
        group(world)
        world.owner.say(f"{NAME}go", GROUP)
        shown = await world.answer(GROUP, "thinking")
        assert shown.buttons == (STOP,)
        answer = await world.answer(GROUP, "☑️")
        assert (answer.message_id, answer.text, answer.buttons) == (shown.message_id, "☑️", ())
        assert act.calls == []


@pytest.mark.parametrize("refusals", [1, 2])
async def test_drafts_go_on_where_their_button_is_refused(tmp_path: Path, refusals: int) -> None:
    """A server that does not know the button gets drafts without it, and is not asked again.

    Where the draft itself is refused, there is none, and the answer comes all the same.
    """
    turn = Turn(chunks=tuple(f"w{n} " for n in range(60)), chunk_seconds=0.02)
    async with running(tmp_path, by_words({"go": turn}), started=False) as world:
        for _ in range(refusals):
            refusal = Refuse(status=400, description="Bad Request: unknown field")
            world.telegram.faults.add("sendMessageDraft", 1, refusal)
        await world.start()
        await world.ask("go", "w59")
        drafts = world.telegram.drafts(OWNER)
        calls = world.telegram.calls("sendMessageDraft")
        asked = [bool(call.params.get("can_stop")) for call in calls]
        assert asked[:2] == [True, False]
        assert True not in asked[1:]
        assert bool(drafts) == (refusals == 1)
