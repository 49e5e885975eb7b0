"""The model fails, breaks off, or talks nonsense: no tool runs by halves, and the user hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.agent.history import INTERRUPTED
from assurebot.demo.model import Ask, Call, Turn, always, sequence
from assurebot.ports import Incoming
from assurebot.store.codec import EXCHANGE, dump
from assurebot.store.database import SqlStore
from assurebot.values import (
    AssistantMessage,
    Exchange,
    Message,
    StoredEvent,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolResult,
    UserMessage,
)
from tests.asking import toast
from tests.doubles import CallingTool
from tests.scripts import by_words, steps
from tests.world import World, quick, running

ACT = Call(name="act", arguments='{"x": 1}')
ACTED = '{"x":1}'
"""What the tool is given: the arguments in their canonical form."""
DOWN = Turn(status=529, error_type="overloaded_error", retry_after="120")
"""Longer than anybody is asked to wait: the turn ends at once."""


def acts(*numbers: int) -> Turn:
    """Calls of the tool that differ by these numbers."""
    return Turn(calls=tuple(Call(name="act", arguments=f'{{"x": {n}}}') for n in numbers))


def acting() -> CallingTool:
    """A tool that does what it is asked for."""

    async def act(_arguments: str) -> str:
        return "acted"

    return CallingTool(act)


def results(world: World, kind: str) -> list[str]:
    """The results of one kind in the audit."""
    return [line["result"] for line in world.audit(type=kind, phase="result")]


@pytest.mark.parametrize("fault", ["cut", "drop", "nonsense", "error_event", "half_call"])
async def test_stream_that_breaks_in_a_tool_call_runs_nothing(tmp_path: Path, fault: str) -> None:
    """A call of a broken answer is not run; the model is asked again, and there is one answer."""
    tool = acting()
    broken = Turn(text="I will", calls=(ACT,), fault=fault)  # type: ignore[arg-type] # from above
    script = sequence([broken, Turn(text="Done without.")])
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        answer = await world.ask("act")
        await world.stop()
        if fault == "half_call":  # a proper end at the token limit: what there is, is said
            assert answer.text.startswith("I will\n\n✂️ The answer was cut at its length limit")
        else:
            assert answer.text == "Done without."
            assert len(world.model.requests) == 2
        assert (tool.calls, world.audit(type="tool"), len(world.texts())) == ([], [], 1)


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error")]
)
async def test_passing_errors_are_waited_out(tmp_path: Path, status: int, kind: str) -> None:
    """A model that is down for a moment costs a moment; each attempt is recorded."""
    down = Turn(status=status, error_type=kind)
    async with running(tmp_path, sequence([down, Turn(text="fine")])) as world:
        assert (await world.ask("hello")).text == "fine"
        await world.stop()
        assert results(world, "model") == ["ProviderUnavailable", "ok"]


async def test_model_that_stays_down_is_told_and_can_be_tried_again(tmp_path: Path) -> None:
    """The turn ends with a message and a button; pressing it works the same words once more."""
    async with running(tmp_path, always(DOWN)) as world:
        answer = await world.ask("hello")
        assert answer.text.startswith("⚠️ The model cannot be reached")
        assert [button.label for button in answer.buttons] == ["🔁 Try again"]
        await world.stop()
        assert world.rows("SELECT state, errors FROM inbox") == [("done", 0)]
        world.model.script = by_words({})
        await world.start()
        query = world.owner.press(answer.message_id, "🔁 Try again")
        again = await world.answer(contains="hello")
        second = world.owner.press(answer.message_id, "🔁 Try again")
        await world.ask("more", "more")
        assert await toast(world, query) == "Running it again."
        assert await toast(world, second) == "It was run again already."
        assert world.texts() == [answer.text, again.text, "more"]
        await world.stop()
        notes = [line["phase"] for line in world.audit(type="send", action="acknowledge")]
        assert notes == ["intent", "result", "intent", "result"]


async def test_trying_again_repeats_no_effect(tmp_path: Path) -> None:
    """What a tool did before the model failed is gone on from, after a restart too."""
    tool = acting()
    script = sequence([Turn(calls=(ACT,)), DOWN, Turn(text="It acted.")])
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        answer = await world.ask("do it")
        await world.restart()
        world.owner.press(answer.message_id, "🔁 Try again")
        await world.answer(contains="It acted.")
        assert tool.calls == [ACTED]
        assert world.model.requests[-1].tool_results == ("acted",)


async def test_an_old_button_begins_nothing_anew(tmp_path: Path) -> None:
    """After a week the steps of the turn are gone, and the button with them: no effect again."""
    tool = acting()
    script = sequence([Turn(calls=(ACT,)), DOWN, Turn(text="It acted.")])
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        answer = await world.ask("do it")
        await world.stop()
        world.rows("UPDATE inbox SET received_at = datetime(received_at, '-8 days')")
        await world.start()
        query = world.owner.press(answer.message_id, "🔁 Try again")
        assert await toast(world, query) == "This button is no longer in use."
        await world.stop()
        assert tool.calls == [ACTED]
        assert world.rows("SELECT count(*) FROM steps") == [(0,)]


class _SlowPress(SqlStore):
    """Takes its time to tell that a pressed button was taken in."""

    pressed: ClassVar[asyncio.Event]

    async def add(
        self, batch: Sequence[Incoming], *, offset: int | None = None
    ) -> tuple[StoredEvent, ...]:
        """Commit, then wait."""
        added = await super().add(batch, offset=offset)
        if any(item.continues for item in batch):
            self.pressed.set()
            await asyncio.sleep(0.5)
        return added


async def test_stop_beside_a_press_loses_and_remembers_nothing(tmp_path: Path) -> None:
    """What a press has begun is worked, stop or not; a press leaves no words in the history."""
    _SlowPress.pressed = asyncio.Event()
    async with running(tmp_path, always(DOWN), parts=quick(store=_SlowPress)) as world:
        answer = await world.ask("hello")
        world.model.script = by_words({})
        world.owner.press(answer.message_id, "🔁 Try again")
        await world.meanwhile(_SlowPress.pressed.wait())
        world.owner.say("/stop")
        await world.answer(contains="hello")
        await world.stop()
        worked = world.rows("SELECT state, source, id FROM inbox WHERE key LIKE 'again:%'")
        assert worked == [("done", "telegram", 3)]
        assert world.rows("SELECT id FROM history") == [(3,)]


async def test_button_is_for_the_one_who_asked(tmp_path: Path) -> None:
    """Nobody else in the group can use it; whoever asked can, even under a new name."""
    async with running(tmp_path, always(DOWN), ALLOWED_CHATS="-1001") as world:
        world.telegram.group(-1001)
        world.user.say("@stand_in_bot hello", -1001)
        answer = await world.answer(-1001, "cannot be reached")
        world.model.script = by_words({})
        theirs = world.owner.press(answer.message_id, "🔁 Try again", -1001)
        assert await toast(world, theirs) == "This button is no longer in use."
        world.user.wire["first_name"] = "Benjamin"
        world.user.press(answer.message_id, "🔁 Try again", -1001)
        await world.answer(-1001, "hello", after=answer.message_id)


async def test_rejected_key_is_told(tmp_path: Path) -> None:
    """An error that no retry mends is asked for once, and said without the words of the server."""
    refused = Turn(status=401, error_type="authentication_error")
    async with running(tmp_path, always(refused)) as world:
        answer = await world.ask("hello")
        assert answer.text == (
            "⚠️ The model did not answer: anthropic: HTTP 401 authentication_error."
        )
        assert len(world.model.requests) == 1


async def test_empty_answer_is_not_silence(tmp_path: Path) -> None:
    """An answer without text or call is told to the user, and the next turn works."""
    async with running(tmp_path, sequence([Turn(), Turn(), Turn(text="fine")])) as world:
        first = await world.ask("hello")
        assert first.text
        assert (await world.ask("again", "fine")).text == "fine"


NO_OBJECT = "Refused by policy (arguments): the arguments are not one JSON object"
NEEDS = 'recall needs {"id": <number of the exchange>} or {"note": <number of the note>}'


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"x": ', NO_OBJECT),
        ("[1, 2]", NO_OBJECT),
        ("nonsense", NO_OBJECT),
        ('"text"', NO_OBJECT),
        ('{"id": 1, "id": 2}', NO_OBJECT),
        ("", NEEDS),
        ('{"x": 1}', NEEDS),
        ('{"id": "one"}', NEEDS),
    ],
)
async def test_invalid_arguments_are_told_to_the_model(
    tmp_path: Path, arguments: str, told: str
) -> None:
    """What no policy can judge, or the tool does not take, fails in words; the turn goes on."""

    def script(ask: Ask) -> Turn:
        if ask.tool_results:
            return Turn(text=f"It said: {ask.tool_results[-1]}")
        return Turn(calls=(Call(name="recall", arguments=arguments),))

    async with running(tmp_path, script) as world:
        answer = await world.ask("hello")
        assert answer.text == f"It said: {told}"
        assert len(world.model.requests) == 2


async def test_endless_tool_calls_meet_the_limit_of_steps(tmp_path: Path) -> None:
    """A model that calls tools for ever is ended at MAX_STEPS, and the user is told which limit."""
    tool = acting()
    parts = quick(tools=[tool])
    async with running(tmp_path, lambda ask: acts(ask.n), parts=parts, MAX_STEPS="7") as world:
        answer = await world.ask("act")
        assert answer.text == "⏱ I stopped at the limit of 7 steps (MAX_STEPS)."
        assert (len(world.model.requests), len(tool.calls)) == (4, 3)


async def test_the_same_call_for_ever_runs_twice(tmp_path: Path) -> None:
    """From the third time on it is refused as a loop; the steps end the turn all the same."""
    tool = acting()
    parts = quick(tools=[tool])
    async with running(tmp_path, always(acts(1)), parts=parts, MAX_STEPS="9") as world:
        answer = await world.ask("act")
        assert answer.text == "⏱ I stopped at the limit of 9 steps (MAX_STEPS)."
        assert (len(world.model.requests), tool.calls) == (5, [ACTED, ACTED])
        await world.stop()
        refused = [(line["rule"], line["command"]) for line in world.audit(result="refused")]
        assert refused == [("loop", ACTED), ("loop", ACTED), ("steps", ACTED)]


async def test_many_calls_at_once_meet_the_limit_of_steps(tmp_path: Path) -> None:
    """Calls beyond the limit in one answer are not run."""
    tool = acting()
    script = always(acts(*range(50)))
    async with running(tmp_path, script, parts=quick(tools=[tool]), MAX_STEPS="5") as world:
        await world.ask("act", "the limit of 5 steps (MAX_STEPS)")
        assert (len(world.model.requests), len(tool.calls)) == (1, 4)


@pytest.mark.parametrize(
    "turn",
    [Turn(delay_seconds=60), Turn(chunks=("x ",) * 600, chunk_seconds=0.1)],
    ids=["silent", "drip"],
)
async def test_turn_that_takes_too_long_is_ended(tmp_path: Path, turn: Turn) -> None:
    """TURN_TIMEOUT ends a turn whether the model is silent or drips; the limit is named."""
    async with running(tmp_path, always(turn), TURN_TIMEOUT="1") as world:
        answer = await world.ask("hello")
        assert answer.text.endswith("⏱ I stopped at the limit of 1 s (TURN_TIMEOUT).")
        async with asyncio.timeout(2):
            await world.model.gone.wait()


async def test_tool_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """A tool that takes too long is ended at its own limit, and the turn goes on."""

    async def sleep(_arguments: str) -> str:
        await asyncio.sleep(60)
        return "never"

    def script(ask: Ask) -> Turn:
        return Turn(text=ask.tool_results[-1]) if ask.tool_results else Turn(calls=(ACT,))

    tool = CallingTool(sleep, timeout_seconds=0.1)
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        assert (await world.ask("act")).text == "no end after 0.1 s"
        await world.stop()
        assert results(world, "tool") == ["timeout"]


CALL = ToolCall(id="c1", name="act", arguments="{}")
RESULT = ToolMessage(results=(ToolResult(call_id="c1", name="act", text="acted"),))
SAID = UserMessage(parts=(TextPart(text="words"),))
CALLING = AssistantMessage(text="", calls=(CALL,))
DONE = AssistantMessage(text="done")


async def remember(world: World, *messages: Message) -> None:
    """Put messages in the place of those of the first turn."""
    await world.ask("hello")
    await world.stop()
    exchange = Exchange(id=1, at=datetime.now(UTC), messages=messages)
    world.rows("UPDATE history SET body = ?", dump(EXCHANGE, exchange))
    await world.start()


@pytest.mark.parametrize(
    "messages",
    [
        (RESULT, SAID, DONE),
        (CALLING, SAID, DONE),
        (CALLING, RESULT, SAID, DONE),
        (SAID, CALLING, SAID, DONE),
        (SAID, RESULT, CALLING, RESULT, DONE),
        (SAID, CALLING, RESULT, RESULT, DONE),
        (SAID, CALLING),
        (SAID, CALLING, RESULT),
        (SAID, AssistantMessage(text="")),
        (SAID, CALLING, CALLING, RESULT, DONE),
    ],
)
async def test_broken_history_is_mended(tmp_path: Path, messages: tuple[Message, ...]) -> None:
    """Orphans of calls and results at any place of the history do not stop the next turn."""
    async with running(tmp_path) as world:
        await remember(world, *messages)
        await world.ask("and now?", "and now?")
        check_pairs(world.model.requests[-1].raw["messages"])


def check_pairs(messages: list[dict[str, object]]) -> None:
    """See that a conversation is one that the API accepts."""
    assert messages[0]["role"] == "user"
    open_calls: list[object] = []
    for message in messages:
        content = message["content"]
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        assert blocks
        assert all(block["text"] for block in blocks if block["type"] == "text")
        found = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert found == open_calls, json.dumps(messages)
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert open_calls == []


async def test_missing_result_is_told_as_unknown(tmp_path: Path) -> None:
    """A stored call without a result comes to the model as interrupted, outcome unknown."""
    async with running(tmp_path) as world:
        await remember(world, SAID, CALLING, DONE)
        await world.ask("and now?", "and now?")
        assert INTERRUPTED in str(world.model.requests[-1].raw["messages"])


async def test_fallback_answers_once(tmp_path: Path) -> None:
    """When the model is down its fallback answers, as one answer."""

    def script(ask: Ask) -> Turn:
        return DOWN if "sonnet" in ask.model else Turn(text="from the other")

    async with running(tmp_path, script, AI_FALLBACK_MODEL="claude-haiku-5-5") as world:
        assert (await world.ask("hello")).text == "from the other"
        assert len(world.texts()) == 1


async def test_texts_between_calls_are_all_said(tmp_path: Path) -> None:
    """What the model says before and after its calls comes as one answer, in order."""
    tool = acting()

    def turns() -> Iterator[Turn]:
        yield Turn(text="Let me see.", calls=(ACT,))
        yield Turn(text="Once more.", calls=(ACT,))
        yield Turn(text="There.")

    async with running(tmp_path, steps(turns), parts=quick(tools=[tool])) as world:
        assert (await world.ask("act")).text == "Let me see.\n\nOnce more.\n\nThere."
        assert tool.calls == [ACTED, ACTED]
