"""The tool calls of a turn: what is decided, recorded, stored and run, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from assurebot.agent.history import DERIVED, INTERRUPTED
from assurebot.agent.loop import Ask, Asleep
from assurebot.errors import AuditError, ToolError
from assurebot.guard.rules import Rules
from assurebot.values import (
    AssistantMessage,
    Decision,
    ModelStep,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolStep,
)
from tests.agent.stage import HELLO, Stage, acted, call, done, reply
from tests.doubles import CallingTool

REFUSAL = "Refused by policy (not-registered): there is no such tool"


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
    ("asked", "rule", "words"),
    [
        (call("launch"), "not-registered", "there is no such tool"),
        (call(), "deny:act", "POLICY_DENY rules this call out"),
        (call(arguments="[1]"), "arguments", "the arguments are not one JSON object"),
        (call(arguments='{"x":1,"x":2}'), "arguments", "the arguments are not one JSON object"),
        (call(arguments='{"x":'), "arguments", "the arguments are not one JSON object"),
        (call(arguments='{"x":NaN}'), "arguments", "the arguments are not one JSON object"),
        (call(arguments='{"x":1e999}'), "arguments", "the arguments are not one JSON object"),
    ],
)
async def test_refused_call_does_not_run(asked: ToolCall, rule: str, words: str) -> None:
    """Policy stands before the tool; the refusal has one line and reaches the model."""
    rules = Rules.of(deny=["act"]) if rule == "deny:act" else Rules()
    stage = Stage(reply("", asked), reply("Sorry."), rules=rules)
    await stage.run()
    text = f"Refused by policy ({rule}): {words}"
    told = ToolResult(call_id="c0", name=asked.name, text=text, failed=True)
    assert stage.provider.asked[1].messages[-1] == ToolMessage(results=(told,))
    assert stage.tool.calls == []
    assert [
        (each.decision, each.rule, each.result, each.command) for each in stage.audit.entries
    ] == [("deny", rule, "refused", asked.arguments)]


async def test_call_that_needs_a_press_does_not_run() -> None:
    """The turn goes to sleep with what it has said, and names the call and why it asks."""
    calls = (call(), call("launch", number=1))
    stage = Stage(reply("Let me.", *calls), tool=CallingTool(acted, effect="destructive"))
    asleep = await stage.go()
    reason = "'act' is destructive, which needs a press"
    refused = ToolResult(call_id="c1", name="launch", text=REFUSAL, failed=True)
    assert asleep == Asleep(
        text="Let me.",
        links=None,
        steps=(
            ModelStep(n=0, reply=reply("Let me.", *calls)),
            ToolStep(n=2, call=calls[1], result=refused),
        ),
        asks=(
            Ask(
                n=1,
                call=call(),
                decision=Decision(verdict="ask", rule="class:destructive", reason=reason),
            ),
        ),
        by_history=False,
    )
    assert (stage.tool.calls, len(stage.provider.asked)) == ([], 1)
    assert [(each.action, each.decision) for each in stage.audit.entries] == [("launch", "deny")]


async def test_arguments_are_decided_on_kept_and_run_in_one_form() -> None:
    """However the model writes them, what is stored, recorded and run are the same bytes."""
    stage = Stage(reply("", call(arguments='{"b": "\u00e9",\n "a": 1.0}')), reply("."))
    await stage.run()
    form = '{"a":1.0,"b":"\\u00e9"}'
    (first, begun), _ = stage.journal.commits
    assert begun == ToolStep(n=1, call=call(arguments=form))
    assert isinstance(first, ModelStep)
    assert first.reply == reply("", call(arguments=form))
    assert (stage.tool.calls, stage.audit.entries[0].command) == ([form], form)


async def test_the_same_call_a_third_time_is_refused() -> None:
    """It is a loop, however its arguments are written; another call may still run."""
    written = ('{"x":1}', '{ "x": 1 }', '{"x": 1}', '{"x":2}')
    replies = [
        reply("", call(number=n, arguments=arguments)) for n, arguments in enumerate(written)
    ]
    stage = Stage(*replies, reply("."))
    await stage.run()
    assert stage.tool.calls == ['{"x":1}', '{"x":1}', '{"x":2}']
    words = "Refused by policy (loop): the same call was made twice already: use what it gave"
    told = stage.provider.asked[3].messages[-1]
    assert told == ToolMessage(results=(done(words, number=2, failed=True),))


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


@pytest.mark.parametrize("tainted", [False, True])
async def test_what_failed_is_labelled_as_its_turn(*, tainted: bool) -> None:
    """A tool's words may be those of the call; why one was refused or cut off we say ourselves."""

    async def fail(_arguments: str) -> str:
        raise ToolError("no")

    page = AssistantMessage(text="a page", label="untrusted:answer")
    calls = (call(), call("launch", 1), call("act", 2))
    known = (ModelStep(n=0, reply=reply("", *calls)), ToolStep(n=3, call=calls[2]))
    stage = Stage(reply("Well."), tool=CallingTool(fail))
    outcome = await stage.run(*known, past=(HELLO, page) if tainted else ())
    assert outcome.messages[2] == ToolMessage(
        results=(
            done("no", failed=True, label=DERIVED if tainted else "owner"),
            done(REFUSAL, 1, name="launch", failed=True),
            done(INTERRUPTED, 2, failed=True),
        )
    )


async def test_long_result_is_cut_and_says_so() -> None:
    """A result is cut at the tool's limit, with the number of what is missing."""

    async def long(_arguments: str) -> str:
        return "x" * 50

    stage = Stage(reply("", call()), reply("."), tool=CallingTool(long, result_chars=10))
    await stage.run()
    assert stage.provider.asked[1].messages[-1] == ToolMessage(
        results=(done("x" * 10 + "\n[cut: 40 more characters]"),)
    )


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
