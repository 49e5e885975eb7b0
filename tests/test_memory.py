"""Memory: what was noted comes back in later conversations, and stays what it was."""

from __future__ import annotations

from pathlib import Path

from tests.obeying import ASKS, do, obeying, outcome, question, seen
from tests.world import GROUP, OWNER, World, running

NOTE = "the cat is called Mia"
HEADING = "What you were asked to remember:"


def noted(world: World) -> list[str]:
    """Return the notes in the system prompt that the model was given last."""
    _, _, after = world.model.requests[-1].system.partition(f"{HEADING}\n")
    return after.partition("\n\n")[0].splitlines()


async def test_what_is_noted_is_known_in_later_conversations(tmp_path: Path) -> None:
    """A note of an untainted turn is in the system prompt from the next turn on, until deleted."""
    async with running(tmp_path, obeying) as world:
        assert await outcome(world, world.owner.say(do("remember", text=NOTE))) == "noted as 1"
        assert noted(world) == []
        await world.ask("/new", "A fresh start")
        await world.restart()
        await world.ask("What is she called?", "Noted.")
        assert (noted(world), NOTE in seen(world)) == ([f"- [1] {NOTE}"], False)
        await world.ask("/memory", NOTE)
        await world.ask("/forget 1", "Note 1 is deleted.")
        await world.ask("/memory", "Nothing is noted here.")
        await world.ask("And now?", "Noted.")
        assert noted(world) == []


async def test_a_private_note_is_not_known_in_a_group_nor_the_other_way(tmp_path: Path) -> None:
    """What was noted in private is not loaded in a group, and a group's note not in private."""
    async with running(tmp_path, obeying, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        await outcome(world, world.owner.say(do("remember", text=NOTE)))
        said = world.owner.say(f"@stand_in_bot {do('remember', text='tea at four')}", GROUP)
        assert await outcome(world, said, GROUP) == "noted as 2"
        said = world.owner.say("@stand_in_bot what do you know?", GROUP)
        await world.answer(GROUP, "Noted.", after=said)
        assert noted(world) == ["- [2] tea at four"]
        said = world.owner.say(f"@stand_in_bot {do('recall', note=1)}", GROUP)
        assert await outcome(world, said, GROUP) == "there is no note 1"
        await world.ask("/memory@stand_in_bot", NOTE)
        await world.ask("And here?", "Noted.")
        assert noted(world) == [f"- [1] {NOTE}"]


async def test_a_note_of_a_tainted_turn_is_from_outside(tmp_path: Path) -> None:
    """A press lets it be noted, but its words are in no system prompt, and to read them taints."""
    async with running(tmp_path, obeying) as world:
        said = world.owner.forward(do("remember", text=NOTE))
        asked = await question(world, said)
        world.owner.press(asked.message_id, "✅ Approve")
        await world.answer(contains="It gave: noted as 1", after=said)
        await world.ask("/new", "A fresh start")
        listed = await world.ask("/memory", "1 noted here")
        assert f"⚠ from outside: {NOTE}" in listed.text
        await world.ask("What do you know?", "Noted.")
        (line,) = noted(world)
        assert line.startswith("- [1] a note from outside (")
        assert line.endswith("): recall with note=1")
        assert NOTE not in str(world.model.requests[-1].raw)
        note = do("recall", note=1)
        said = world.owner.say(f"{note} then {do('remember', text='milk')}")
        assert await outcome(world, said) == ASKS
        assert f" note>>>\nNote 1 of {listed.at:%Y-%m-%d}: {NOTE}\n<<<end " in seen(world)


async def test_only_a_press_forgets(tmp_path: Path) -> None:
    """`forget` asks in every turn, and the note is there until somebody approves."""
    async with running(tmp_path, obeying) as world:
        await outcome(world, world.owner.say(do("remember", text=NOTE)))
        said = world.owner.say(do("forget", id=1))
        asked = await question(world, said)
        assert "(rule class:destructive)." in asked.text
        assert world.rows("SELECT chat_id, text FROM memory") == [(OWNER, NOTE)]
        world.owner.press(asked.message_id, "✅ Approve")
        answer = await world.answer(contains="It gave", after=said)
        assert answer.text == "It gave: note 1 is deleted"
        assert world.rows("SELECT chat_id, text FROM memory") == []
