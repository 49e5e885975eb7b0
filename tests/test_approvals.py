"""Approvals from the outside: what asks waits, what is pressed is done once, the rest is not."""

from __future__ import annotations

import re
from pathlib import Path

from assurebot.demo.model import Ask, Call, Turn
from tests.asking import (
    AFRESH,
    APPROVE,
    DENY,
    POST,
    STORED,
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
    results,
    toast,
    told,
    wanting,
)
from tests.doubles import CallingTool
from tests.world import GROUP, OWNER, USER, quick, running


async def test_pressed_call_is_done_once_with_the_stored_bytes(tmp_path: Path) -> None:
    """It waits, holds up nobody, runs once after the press, and all of it is on record."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        await read_news(world)
        shown = await question(world, after=world.owner.say("now please"))
        assert re.sub(r"\d\d:\d\d:\d\d", "TIME", shown.text) == (
            "🔐 #2.1 For Ann (id 42): run post?\n\n"
            f'"body": "hello"\n"url": "{URL}"\n\n'
            "It asks because 'post' is outward, which needs a press while content from outside is "
            "in view (rule class:outward:tainted). With post:https://there.example/* in "
            "POLICY_ALLOW it would pass without asking.\n\n"
            "⏳ #2.1 post waits until TIME UTC."
        )
        assert labels(shown) == [APPROVE, DENY, AFRESH]
        await world.ask("meanwhile", "Echo: meanwhile")
        seen = str(world.model.requests[-1].raw["messages"])
        assert "now please" in seen
        assert "(This waits for approval #2.1.)" in seen
        assert tool.calls == []
        assert await press(world, shown, APPROVE) == "Approved."
        await world.answer(contains="It gave: posted")
        done = await becomes(world, shown, "Done.")
        assert re.sub(r"\d\d:\d\d:\d\d", "TIME", done.text).splitlines()[-1] == (
            "✅ #2.1 post was approved by Ann (id 42), TIME UTC. Done."
        )
        assert (tool.calls, labels(done)) == ([STORED], [])
        await world.ask("and then?", "Echo: and then?")
        after = world.model.requests[-1].raw["messages"]
        assert [m["role"] for m in after[-5:]] == ["user", "assistant", "user", "assistant", "user"]
        assert str(after).count("now please") == 1
        assert "waits for approval" not in str(after)
        await world.stop()
        assert world.rows("SELECT id FROM history ORDER BY id") == [(1,), (2,), (3,), (5,)]
        assert told(world, "asked") == [("#2.1 post", None)]
        assert told(world, "approved") == [("#2.1 post", OWNER)]
        assert ends(world, "approved") == [("approval", "ok")]
        (intent,) = world.audit(type="tool", phase="intent")
        wanted = {"decision": "ask", "approval_required": True, "approved_by": OWNER, "turn": 2}
        assert {name: intent[name] for name in wanted} == wanted
        assert (intent["rule"], intent["command"]) == ("class:outward:tainted", STORED)


async def test_denied_call_is_not_done_and_the_turn_still_answers(tmp_path: Path) -> None:
    """The model is told that the person said no."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        assert await press(world, shown, DENY) == "Denied."
        await world.answer(contains="It gave: Refused by policy (approval:denied): the person said")
        done = await becomes(world, shown, "was denied by Ann (id 42)")
        assert (labels(done), tool.calls) == ([], [])
        await world.stop()
        assert told(world, "denied") == [("#1.1 post", None)]
        assert ends(world, "denied") == [("approval", "ok")]
        assert [line["rule"] for line in world.audit(type="tool")] == ["approval:denied"]


async def test_second_press_is_refused(tmp_path: Path) -> None:
    """Whatever it says, it changes nothing, and the record tells of it."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await press(world, shown, APPROVE)
        await world.answer(contains="It gave: posted")
        for label in (APPROVE, DENY):
            again = await forge(world, shown, data_of(shown, label), world.owner)
            assert again == "It was executed before by Ann (id 42)."
        assert tool.calls == [STORED]
        await world.stop()
        assert told(world, "refused") == [("#1.1 post", None)] * 2


async def test_two_presses_at_once_count_as_one(tmp_path: Path) -> None:
    """Of Approve and Deny in the same moment one holds; the call is done once or not at all."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await world.stop()
        queries = [world.owner.press(shown.message_id, label) for label in (APPROVE, DENY, APPROVE)]
        await world.start()
        toasts = [await toast(world, query) for query in queries]
        await world.answer(contains="It gave")
        assert len([each for each in toasts if each in {"Approved.", "Denied."}]) == 1
        assert len(tool.calls) == toasts.count("Approved.")
        await world.stop()
        lines = [end for action in ("approved", "denied") for _, end in ends(world, action)]
        lines += ["refused" for _ in told(world, "refused")]
        assert (len(lines), lines.count("ok")) == (3, 1)


async def test_press_of_another_person_is_refused(tmp_path: Path) -> None:
    """In a group, and forged from another chat: only the one who asked decides."""
    tool = poster()
    async with running(
        tmp_path, wanting(), parts=quick(tools=[tool]), ALLOWED_CHATS=str(GROUP)
    ) as world:
        world.telegram.group(GROUP)
        sent = world.owner.forward("@stand_in_bot please", GROUP)
        shown = await question(world, GROUP, after=sent)
        refusal = "Only those who were asked may decide this."
        for label in (APPROVE, DENY):
            assert await press(world, shown, label, world.user) == refusal
            assert await forge(world, shown, data_of(shown, label), world.user) == refusal
        assert await forge(world, shown, "made-up", world.user) == (
            "This button is no longer in use."
        )
        assert (tool.calls, labels(shown)) == ([], [APPROVE, DENY])
        await press(world, shown, APPROVE)
        await world.answer(GROUP, "It gave: posted")
        await world.stop()
        lines = world.audit(type="approval", action="refused")
        assert [line["user"] for line in lines] == [USER] * 4


async def test_calls_of_one_answer_are_decided_each_alone(tmp_path: Path) -> None:
    """What needs no press runs first; one question holds the rest, and all of it goes on."""
    reader, tool = CallingTool(_read, name="read", result_label="owner"), poster()
    other = Call(name="post", arguments=f'{{"url": "{URL}", "body": "other"}}')
    script = wanting(POST, Call(name="read"), other)
    async with running(tmp_path, script, parts=quick(tools=[reader, tool])) as world:
        shown = await asked(world)
        assert (reader.calls, tool.calls) == (["{}"], [])
        first, second = f"{APPROVE} #1.1", f"{DENY} #1.3"
        assert labels(shown) == [first, f"{DENY} #1.1", f"{APPROVE} #1.3", second]
        assert await press(world, shown, second) == "Denied. 1 more to decide."
        half = await becomes(world, shown, "❌ #1.3 post was denied by Ann (id 42)")
        assert labels(half) == [first, f"{DENY} #1.1"]
        assert (len(world.model.requests), tool.calls) == (1, [])
        assert await press(world, half, first) == "Approved."
        answer = await world.answer(
            contains="It gave: posted | a page | Refused by policy (approval:"
        )
        assert "(approval:denied)" in answer.text
        done = await becomes(world, shown, "Done.")
        assert [line[:10] for line in done.text.splitlines()[-2:]] == ["✅ #1.1 pos", "❌ #1.3 pos"]
        assert (reader.calls, tool.calls) == (["{}"], [STORED])
        keyboards = [
            [len(row) for row in call.params["reply_markup"]["inline_keyboard"]]
            for call in world.telegram.requests
            if call.params.get("reply_markup")
        ]
        assert keyboards == [[2, 2], [2]]


async def test_words_before_the_question_are_sent_once(tmp_path: Path) -> None:
    """They stand above the question, and not again in the answer."""
    tool, script = poster(), wanting(said="Let me post it.")
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await press(world, shown, APPROVE)
        await world.answer(contains="It gave: posted")
        assert [text.split("\n")[0] for text in world.texts()] == [
            "Let me post it.",
            "🔐 #1.1 For Ann (id 42): run post?",
            "It gave: posted",
        ]


async def test_turn_may_ask_many_times(tmp_path: Path) -> None:
    """Six questions one after the other do not count as starts that never ended."""
    tool = poster()

    def script(ask: Ask) -> Turn:
        made = len(ask.tool_results)
        arguments = f'{{"url": "{URL}", "body": "{made}"}}'
        return Turn(calls=(Call(name="post", arguments=arguments),) if made < 6 else (), text="…")

    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        last, shown = world.owner.forward("please"), []
        for n in range(6):
            shown.append(await question(world, after=last, contains=f"⏳ #1.{2 * n + 1} "))
            last = shown[-1].message_id
            assert world.rows("SELECT starts FROM inbox WHERE id = 1") == [(0,)]
            await press(world, shown[-1], APPROVE)
        for n, message in enumerate(shown):
            done = await becomes(world, message, "Done.")
            assert (done.text.count("🔐"), f'"body": "{n}"' in done.text) == (1, True)
        assert tool.calls == [f'{{"body":"{n}","url":"{URL}"}}' for n in range(6)]
        await world.stop()
        assert world.rows("SELECT state FROM inbox WHERE id = 1") == [("done",)]


async def test_entry_that_a_question_names_frees_the_call(tmp_path: Path) -> None:
    """Put into POLICY_ALLOW as it stands, it lets the same call pass without a press."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        entry = shown.text.partition("With ")[2].partition(" in POLICY_ALLOW")[0]
        await world.stop()
        world.environ["POLICY_ALLOW"] = entry
        await world.start()
        world.owner.forward("please")
        await world.answer(contains="It gave: posted")
        assert (entry, tool.calls) == ("post:https://there.example/*", [STORED])
        assert results(world)[-1] == "posted"


async def _read(_arguments: str) -> str:
    return "a page"
