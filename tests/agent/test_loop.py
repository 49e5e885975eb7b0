"""One turn, step by step: what is stored, recorded and sent to the model, and what is not run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assurebot.agent.history import INTERRUPTED
from assurebot.agent.loop import Agent, Limits, Outcome, Turn
from assurebot.errors import AuditError, LimitReached, ProviderUnavailable, ToolError
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRef,
    ModelReply,
    ModelStep,
    NativeContent,
    Step,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolStep,
    Trace,
    Usage,
    UserMessage,
    is_untrusted,
)
from tests.doubles import CallingTool, ListAudit, ListJournal, ScriptedProvider
from tests.store.making import SetClock, event

MODEL = ModelRef(provider="anthropic", name="claude")
TRACE = Trace(event="message:42:1", turn=1, actor="owner:42", user=42)


def call(name: str = "act", number: int = 0) -> ToolCall:
    """A call."""
    return ToolCall(id=f"c{number}", name=name, arguments='{"x": 1}')


def reply(text: str = "", *calls: ToolCall, **fields: Any) -> ModelReply:
    """An answer of the model."""
    stop = "tools" if calls else "end"
    message = AssistantMessage(text=text, calls=calls)
    return ModelReply(**{"message": message, "stop": stop, "model": MODEL, **fields})


def done(text: str = "acted", number: int = 0, **fields: Any) -> ToolResult:
    """A result."""
    return ToolResult(**{"call_id": f"c{number}", "name": "act", "text": text, **fields})


async def acted(_arguments: str) -> str:
    """Act."""
    return "acted"


class Stage:
    """An agent with everything around it."""

    def __init__(self, *replies: ModelReply | Exception, **given: Any) -> None:
        self.provider = ScriptedProvider(*replies)
        self.audit = ListAudit()
        self.journal = ListJournal()
        self.shown: list[str] = []
        self.tool = given.pop("tool", None) or CallingTool(acted)
        self.agent = Agent(
            provider=self.provider,
            tools=[self.tool],
            audit=self.audit,
            clock=SetClock(),
            redact=lambda text: text.replace("SECRET", "[gone]"),
            limits=given.pop("limits", Limits()),
        )
        self.given = given

    async def run(self, *steps: Step, past: tuple[Message, ...] = ()) -> Outcome:
        """Run a turn that has these steps already."""
        turn = Turn(
            id=1, event=event("a", **self.given), model=MODEL, past=past, steps=steps, trace=TRACE
        )
        return await self.agent.run(turn, self.journal, self.shown.append)


HELLO = UserMessage(parts=(TextPart(text="hello"),))


async def test_plain_answer_is_one_step() -> None:
    """The answer's step is left for the commit of the ending."""
    stage = Stage(reply("Hi."))
    assert await stage.run(ModelStep(n=0)) == Outcome(
        text="Hi.",
        messages=(HELLO, AssistantMessage(text="Hi.")),
        steps=(ModelStep(n=0, reply=reply("Hi.")),),
    )
    assert (stage.journal.commits, stage.shown) == ([], ["Hi."])


async def test_each_call_is_stored_before_and_after_it_runs() -> None:
    """Answer and intent are one commit before the tool runs; its result goes with what follows."""
    stage = Stage(reply("Let me.", call()), reply("There."))
    outcome = await stage.run(ModelStep(n=0))
    first = ModelStep(n=0, reply=reply("Let me.", call()))
    assert stage.journal.commits == [
        (first, ToolStep(n=1, call=call())),
        (ToolStep(n=1, call=call(), result=done()), ModelStep(n=2)),
    ]
    assert outcome.text == "Let me.\n\nThere."
    assert outcome.messages == (
        HELLO,
        first.reply.message if first.reply else None,
        ToolMessage(results=(done(),)),
        AssistantMessage(text="There."),
    )
    assert stage.shown == ["Let me.", "Let me.\n\nThere."]
    recorded = [(each.type, each.phase, each.result, each.closes) for each in stage.audit.entries]
    assert recorded == [("tool", None, None, None), ("tool", "result", "ok", 1)]


async def test_no_line_no_effect() -> None:
    """A tool whose intent cannot be recorded does not run."""
    stage = Stage(reply("", call()))
    stage.audit.broken = True
    with pytest.raises(AuditError):
        await stage.run()
    assert stage.tool.calls == []


async def test_turn_goes_on_from_its_last_step() -> None:
    """Stored answers are not asked for again, and stored results are not made again."""
    stage = Stage(reply("There."))
    outcome = await stage.run(
        ModelStep(n=0, reply=reply("Let me.", call())),
        ToolStep(n=1, call=call(), result=done("before")),
        ModelStep(n=2),
    )
    assert (outcome.text, stage.tool.calls) == ("Let me.\n\nThere.", [])
    (asked,) = stage.provider.asked
    assert asked.messages[-1] == ToolMessage(results=(done("before"),))


@pytest.mark.parametrize("repeatable", [True, False])
async def test_call_without_a_result_is_run_again_only_if_it_may(*, repeatable: bool) -> None:
    """Else it is closed as unknown, told to the model and to the user."""
    stage = Stage(reply("There."), tool=CallingTool(acted, repeatable=repeatable))
    outcome = await stage.run(ModelStep(n=0, reply=reply("", call())), ToolStep(n=1, call=call()))
    (asked,) = stage.provider.asked
    expected = done() if repeatable else done(INTERRUPTED, failed=True)
    assert asked.messages[-1] == ToolMessage(results=(expected,))
    assert (len(stage.tool.calls), "`act` was interrupted" in outcome.text) == (
        int(repeatable),
        not repeatable,
    )


@pytest.mark.parametrize(
    ("name", "effect", "words"),
    [
        ("launch", "pure", "Refused by policy (not-registered): there is no tool named 'launch'"),
        ("act", "destructive", "Refused by policy (class:destructive)"),
    ],
)
async def test_refused_call_does_not_run(name: str, effect: str, words: str) -> None:
    """Policy stands before the tool; the refusal has one line and reaches the model."""
    stage = Stage(reply("", call(name)), reply("Sorry."), tool=CallingTool(acted, effect=effect))
    await stage.run()
    told = stage.provider.asked[1].messages[-1]
    assert isinstance(told, ToolMessage)
    assert told.results[0].text.startswith(words)
    assert (told.results[0].failed, stage.tool.calls) == (True, [])
    assert [(each.decision, each.result) for each in stage.audit.entries] == [
        ("deny" if name == "launch" else "ask", "refused")
    ]


async def test_tool_error_is_told_and_the_turn_goes_on() -> None:
    """A tool that cannot do it fails in words; the words are redacted."""

    async def fail(_arguments: str) -> str:
        raise ToolError("no SECRET today")

    stage = Stage(reply("", call()), reply("Well."), tool=CallingTool(fail))
    assert (await stage.run()).text == "Well."
    assert stage.provider.asked[1].messages[-1] == ToolMessage(
        results=(done("no [gone] today", failed=True),)
    )
    assert stage.audit.entries[1].result == "failed"


async def test_long_result_is_cut_and_says_so() -> None:
    """A result is cut at the tool's limit, with the number of what is missing."""

    async def long(_arguments: str) -> str:
        return "x" * 50

    stage = Stage(reply("", call()), reply("."), tool=CallingTool(long, result_chars=10))
    await stage.run()
    assert stage.provider.asked[1].messages[-1] == ToolMessage(
        results=(done("x" * 10 + "\n[cut: 40 more characters]"),)
    )


async def test_answer_is_redacted_before_it_is_kept() -> None:
    """Text, arguments and the provider's own form are clean before anything is stored."""
    native = NativeContent(provider="anthropic", content='["SECRET"]')
    calls = (ToolCall(id="c0", name="act", arguments='{"k": "SECRET"}'),)
    message = AssistantMessage(text="It is SECRET.", calls=calls, native=native)
    stage = Stage(reply(message=message, stop="tools"), reply("SECRET"))
    outcome = await stage.run()
    assert "SECRET" not in str((stage.journal.commits, outcome, stage.tool.calls))
    assert stage.tool.calls == ['{"k": "[gone]"}']


async def test_answer_is_labelled_by_what_it_was_made_from() -> None:
    """Under untrusted content in the past, or from a tool, what follows is untrusted."""
    evil = UserMessage(parts=(TextPart(text="evil", label="untrusted:page"),))
    from_past = await Stage(reply("Hi.")).run(past=(evil, AssistantMessage(text="ok")))
    tool = CallingTool(acted, result_label="untrusted:page")
    stage = Stage(reply("", call()), reply("Hi."), tool=tool)
    from_tool = await stage.run()
    labels = [
        [message.label for message in outcome.messages if isinstance(message, AssistantMessage)]
        for outcome in (from_past, from_tool)
    ]
    assert [[is_untrusted(label) for label in each] for each in labels] == [[True], [False, True]]


async def test_key_of_the_frame_is_new_in_each_turn() -> None:
    """Nothing outside can know the key, for it is made with the turn and kept within it."""
    evil = UserMessage(parts=(TextPart(text="evil", label="untrusted:page"),))
    keys = []
    for _ in range(2):
        stage = Stage(reply("", call()), reply("."))
        await stage.run(past=(evil,))
        texts = [str(asked.messages[0]) for asked in stage.provider.asked]
        assert texts[0] == texts[1]
        keys.append(texts[0].split("<<<untrusted ")[1].split()[0])
    assert (keys[0] != keys[1], len(keys[0])) == (True, 16)


async def test_steps_are_limited() -> None:
    """Model and tool calls together end at the limit."""
    stage = Stage(*[reply("", call())] * 9, limits=Limits(steps=4))
    with pytest.raises(LimitReached, match="4 steps"):
        await stage.run()
    assert (len(stage.provider.asked), len(stage.tool.calls)) == (2, 2)


async def test_tokens_are_limited() -> None:
    """A turn that used up its tokens asks no more."""
    dear = reply("", call(), usage=Usage(input_tokens=600, output_tokens=500))
    stage = Stage(dear, reply("."), limits=Limits(tokens=1_000))
    with pytest.raises(LimitReached, match="1,000 tokens"):
        await stage.run()
    assert len(stage.provider.asked) == 1


@pytest.mark.parametrize(
    ("stop", "text", "shown"),
    [
        ("max_tokens", "Hi", "Hi\n\n✂️ The answer was cut at its length limit (MAX_OUTPUT_TOKENS)."),
        ("refusal", "", "The model declined to answer this."),
        ("refusal", "I will not.", "I will not."),
    ],
)
async def test_odd_ends_are_told(stop: str, text: str, shown: str) -> None:
    """A cut or declined answer says so."""
    assert (await Stage(reply(text, stop=stop)).run()).text == shown


async def test_failure_of_the_model_ends_the_turn() -> None:
    """The error goes to the caller; the steps so far are stored."""
    stage = Stage(reply("", call()), ProviderUnavailable("down"))
    with pytest.raises(ProviderUnavailable):
        await stage.run()
    assert stage.journal.steps[-1] == ModelStep(n=2)


async def test_stopped_turn_does_nothing_after_a_tool_that_kept_the_stop_to_itself() -> None:
    """A swallowed cancel takes effect as soon as the tool returns: nothing is asked or run."""
    release = asyncio.Event()

    async def stubborn(_arguments: str) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    tool = CallingTool(stubborn)
    stage = Stage(reply("", call(), call(number=1)), reply("There."), tool=tool)
    turn = asyncio.create_task(stage.run())
    async with asyncio.timeout(5):
        await tool.begun.wait()
        turn.cancel()
        await asyncio.sleep(0)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await turn
    assert (len(tool.calls), len(stage.provider.asked)) == (1, 1)
