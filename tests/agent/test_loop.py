"""One turn, step by step: what is stored, shown and sent to the model, and where it ends."""

from __future__ import annotations

import pytest

from assurebot.agent.loop import Limits, Outcome
from assurebot.errors import LimitReached, ProviderUnavailable
from assurebot.values import (
    AssistantMessage,
    ModelStep,
    NativeContent,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolStep,
    Usage,
    UserMessage,
    is_untrusted,
)
from tests.agent.stage import HELLO, Stage, acted, call, done, reply
from tests.doubles import CallingTool


async def test_plain_answer_is_one_step() -> None:
    """The answer's step is left for the commit of the ending."""
    stage = Stage(reply("Hi."))
    assert await stage.run(ModelStep(n=0)) == Outcome(
        text="Hi.",
        messages=(HELLO, AssistantMessage(text="Hi.")),
        steps=(ModelStep(n=0, reply=reply("Hi.")),),
    )
    assert (stage.journal.commits, stage.shown) == ([], ["Hi."])


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


async def test_answer_is_redacted_before_it_is_kept() -> None:
    """Text, arguments and the provider's own form are clean before anything is stored."""
    native = NativeContent(provider="anthropic", content='["SECRET"]')
    calls = (ToolCall(id="c0", name="act", arguments='{"k": "SECRET"}'),)
    message = AssistantMessage(text="It is SECRET.", calls=calls, native=native)
    stage = Stage(reply(message=message, stop="tools"), reply("SECRET"))
    outcome = await stage.run()
    assert "SECRET" not in str((stage.journal.commits, outcome, stage.tool.calls))
    assert stage.tool.calls == ['{"k":"[gone]"}']


async def test_answer_is_labelled_by_what_it_was_made_from() -> None:
    """Under untrusted content in the past, or from a tool, what follows is untrusted.

    Of what follows only what was typed in this turn may be a link, in its making as at its end.
    """
    evil = UserMessage(parts=(TextPart(text="evil", label="untrusted:page"),))
    past = Stage(reply("Hi."))
    from_past = await past.run(past=(evil, AssistantMessage(text="ok")))
    tool = CallingTool(acted, result_label="untrusted:page")
    stage = Stage(reply("", call()), reply("Hi."), tool=tool)
    from_tool = await stage.run()
    labels = [
        [message.label for message in outcome.messages if isinstance(message, AssistantMessage)]
        for outcome in (from_past, from_tool)
    ]
    assert [[is_untrusted(label) for label in each] for each in labels] == [[True], [False, True]]
    typed = frozenset({"hello"})
    assert (from_past.links, from_tool.links) == (typed, typed)
    assert (past.links, stage.links) == ([typed], [None, typed])


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


CUT = "✂️ The answer was cut at its length limit (MAX_OUTPUT_TOKENS, or what is left of the budget)."


@pytest.mark.parametrize(
    ("stop", "text", "shown"),
    [
        ("max_tokens", "Hi", f"Hi\n\n{CUT}"),
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
