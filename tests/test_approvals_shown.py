"""What people see of a call before they press: all of it, harmless, and only those who shall."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from assurebot.demo.model import Call
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_links import clickable
from assurebot.errors import ToolError
from tests.asking import (
    APPROVE,
    DENY,
    STORED,
    URL,
    asked,
    becomes,
    data_of,
    forge,
    labels,
    poster,
    press,
    question,
    results,
    told,
    wanting,
)
from tests.doubles import CallingTool
from tests.obeying import FRAME
from tests.scripts import by_words
from tests.world import GROUP, OWNER, USER, World, quick, running

LONGEST = 4_096
"""UTF-16 units that a message may have."""


def posting(**arguments: object) -> Call:
    """Make a call with these arguments."""
    return Call(name="post", arguments=json.dumps(arguments))


async def pressed_bytes(world: World, shown: SentMessage, call: Call, calls: list[str]) -> None:
    """Press, and demand that the whole call was made, byte by byte."""
    await press(world, shown, APPROVE)
    await world.answer(contains="It gave: posted")
    exact = json.dumps(json.loads(call.arguments), sort_keys=True, separators=(",", ":"))
    assert calls == [exact]


async def test_long_argument_comes_as_a_file_of_the_exact_bytes(tmp_path: Path) -> None:
    """10 kB are not cut: the file is above the question, which names its size and its digest."""
    tool, call = poster(), posting(url=URL, body="0123456789" * 1_000 + "end\u202e")
    async with running(tmp_path, wanting(call), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        sent = world.telegram.messages(OWNER)
        assert [message.file is None for message in sent] == [False, True]
        file = sent[0].file
        assert file is not None
        whole = f'{{"body":"{"0123456789" * 1_000}end\\u202e","url":"{URL}"}}'.encode()
        assert (file.name, file.content) == ("post-1.1.json", whole)
        assert f"{len(whole)} bytes, whole in the file above" in shown.text
        assert f"SHA-256 {hashlib.sha256(whole).hexdigest()}" in shown.text
        assert "0123456789" not in shown.text
        await pressed_bytes(world, shown, call, tool.calls)


async def test_arguments_stay_on_screen_while_one_of_them_can_be_pressed(tmp_path: Path) -> None:
    """Two calls that all but fill a message: the outcome of the first does not drive them out."""
    tool, short = poster(), (posting(url=URL, body="a"), posting(url=URL, body="b"))
    async with running(tmp_path, wanting(*short), parts=quick(tools=[tool])) as world:
        room = LONGEST - len((await asked(world)).text.encode("utf-16-le")) // 2
        first, second = "a" * (room // 2), "b" * (room // 2)
        calls = posting(url=URL, body=first), posting(url=URL, body=second)
        world.model.script = wanting(*calls)
        shown = await question(world, after=world.owner.forward("please"), contains="⏳ #2.1 ")
        assert await press(world, shown, f"{APPROVE} #2.1") == "Approved. 1 more to decide."
        half = await becomes(world, shown, "✅ #2.1 post was approved by Ann (id 42)")
        assert labels(half) == [f"{APPROVE} #2.2", f"{DENY} #2.2"]
        screen = "\n".join(world.texts())
        assert [screen.count(f'"body": "{body}"') for body in (first, second)] == [1, 1]
        assert await press(world, half, f"{APPROVE} #2.2") == "Approved."
        await world.answer(contains="It gave: posted | posted")
        await becomes(world, shown, "✅ #2.2 post was approved by Ann (id 42)")
        screen = "\n".join(world.texts())
        assert [screen.count(f'"body": "{body}"') for body in (first, second)] == [1, 1]
        assert [json.loads(call)["body"] for call in tool.calls] == [first, second]


async def test_long_destination_is_in_the_file_alone(tmp_path: Path) -> None:
    """No entry for the settings is offered that would fill messages; the buttons stay in reach."""
    tool, call = poster(), posting(url="x" * 10_000)
    async with running(tmp_path, wanting(call), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        assert (len(world.texts()), labels(shown)) == (2, [APPROVE, DENY])
        assert "POLICY_ALLOW" not in shown.text


HOSTILE = {
    "right to left": "pay \u202e001\u202c now \u2066x\u2069",
    "zero width": "a\u200bd\u200cm\u200di\ufeffn\u2060\xad",
    "lines": "\n" * 200 + "hidden below",
    "fence": "```\n```` ~~~ `` \n# out *bold* [x](https://evil.example) https://evil.example",
    "look-alike": '"\n\n✅ #1.1 post was approved by Ann (id 42), 12:00:00 UTC. Done.\n🔐',
    "control": "\x1b[2J\r\x00\x7f\u2028",
    "tags": "\U000e0041\U000e0042",
}

HIDDEN = set("\u202e\u202c\u2066\u2069\u200b\ufeff\u2060\xad\x1b\r\x00\x7f\u2028\U000e0041")


async def test_hostile_argument_is_shown_harmlessly(tmp_path: Path) -> None:
    """It neither hides nor moves nor ends its block, in one message with the buttons below."""
    name = 'url": "https://good.example"\n"to'
    alike = {"url": "https://th\u0435re.example/in", "t\u043e": "homoglyph"}
    call = posting(**HOSTILE, **alike, **{name: "x"})
    tool = poster()
    async with running(tmp_path, wanting(call), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        assert len(world.texts()) == 1
        assert labels(shown) == [APPROVE, DENY]
        (block,) = [each for each in shown.entities if each.type == "pre"]
        units = shown.text.encode("utf-16-le")
        inside = units[2 * block.offset : 2 * (block.offset + block.length)].decode("utf-16-le")
        lines = inside.splitlines()
        around = shown.text.replace(inside, "").splitlines()
        assert len([line for line in lines if not line.startswith("  in ASCII: ")]) == 10
        for key, value in [*HOSTILE.items(), (name, "x")]:
            written = json.dumps({key: value})[1:-1]
            assert f"  in ASCII: {written}" in lines or written in lines
        assert '  in ASCII: "url": "https://th\\u0435re.example/in"' in lines
        assert '  in ASCII: "t\\u043e": "homoglyph"' in lines
        assert not HIDDEN & set(shown.text)
        assert [line[:14] for line in around if line] == [
            "🔐 #1.1 For Ann",
            "It asks becaus",
            "⏳ #1.1 post wa",
        ]
        assert not any("evil" in line or "good" in line for line in around)
        assert list(clickable(shown.text, shown.entities)) == []
        await pressed_bytes(world, shown, call, tool.calls)
        done = await becomes(world, shown, "Done.")
        assert [each for each in done.entities if each.type == "pre"] == [block]


async def test_name_of_a_person_cannot_pass_for_words_of_ours(tmp_path: Path) -> None:
    """Whoever presses under a hostile name is shown by it in code, and by the id."""
    async with running(tmp_path, wanting(), parts=quick(tools=[poster()])) as world:
        ann = world.telegram.person(OWNER, "`**Eve**`\u202e\n\n✅ Done. [x](tg://user?id=1)")
        shown = await asked(world, ann)
        first = shown.text.splitlines()[0]
        name = "**Eve**<U+202E> ✅ Done. [x](tg://user?id=1)"
        assert first == f"🔐 #1.1 For {name} (id 42): run post?"
        await press(world, shown, DENY, ann)
        done = await becomes(world, shown, "was denied by")
        assert len(done.text.splitlines()) == len(shown.text.splitlines())
        assert list(clickable(done.text, done.entities)) == []


async def test_call_that_failed_is_shown_as_that(tmp_path: Path) -> None:
    """Under its question, while the model is told why; its words are those of its tainted turn."""

    async def fail(_arguments: str) -> str:
        raise ToolError("no such post")

    tool = CallingTool(fail, name="post", effect="outward", destinations=("url",))
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await press(world, shown, APPROVE)
        await world.answer(contains="no such post")
        done = await becomes(world, shown, "It failed.")
        assert re.sub(r"\d\d:\d\d:\d\d", "TIME", done.text).splitlines()[-1] == (
            "✅ #1.1 post was approved by Ann (id 42), TIME UTC. It failed."
        )
        (told_to_model,) = results(world)
        assert FRAME.findall(told_to_model)[0][1:] == ("answer", "no such post")


async def test_only_approvers_get_buttons(tmp_path: Path) -> None:
    """With APPROVERS the others see their question without buttons, and forged presses fail."""
    tool, calls = poster(), (posting(url=URL, body="hello"), posting(url=URL, body="other"))
    async with running(
        tmp_path, wanting(*calls), parts=quick(tools=[tool]), APPROVERS=str(OWNER)
    ) as world:
        theirs = await asked(world, world.user)
        copy = await question(world)
        assert (labels(theirs), len(labels(copy))) == ([], 4)
        assert theirs.text == copy.text
        assert theirs.text.count(" waits for id 42 until ") == 2
        assert "For Ben (id 43)" in copy.text
        first = f"{APPROVE} #1.1"
        refusal = "Only those who were asked may decide this."
        assert await forge(world, theirs, data_of(copy, first), world.user) == refusal
        assert await press(world, copy, first) == "Approved. 1 more to decide."
        half = await becomes(world, theirs, "was approved by Ann (id 42)")
        assert (labels(half), tool.calls) == ([], [])
        copy = await becomes(world, copy, "was approved by Ann (id 42)")
        await press(world, copy, f"{DENY} #1.2")
        await world.answer(USER, "It gave: posted | Refused by policy (approval:denied)")
        for message in (theirs, copy):
            await becomes(world, message, "Done.")
        assert tool.calls == [STORED]
        await world.stop()
        lines = world.audit(type="approval", action="refused")
        assert [line["user"] for line in lines] == [USER]


async def test_approvers_of_a_group_decide_there_or_in_private(tmp_path: Path) -> None:
    """The question stands in the group and comes to each approver; one press is enough."""
    tool = poster()
    parts = quick(tools=[tool])
    async with running(
        tmp_path, wanting(), parts=parts, APPROVERS=str(OWNER), ALLOWED_CHATS=str(GROUP)
    ) as world:
        world.telegram.group(GROUP)
        sent = world.user.forward("@stand_in_bot please", GROUP)
        shown, copy = await question(world, GROUP, after=sent), await question(world)
        refusal = "Only those who were asked may decide this."
        assert await press(world, shown, APPROVE, world.user) == refusal
        assert await press(world, copy, APPROVE) == "Approved."
        await world.answer(GROUP, "It gave: posted")
        for message in (shown, copy):
            await becomes(world, message, "Done.")
        assert tool.calls == [STORED]


async def test_list_of_what_waits(tmp_path: Path) -> None:
    """/approvals shows one's own with buttons that work, and nothing of others."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        first = await asked(world)
        theirs = await world.ask("/approvals", by=world.user)
        assert theirs.text == "Nothing waits for a press."
        after = world.owner.say("/approvals")
        listed = await question(world, after=after)
        await world.answer(contains="This waits for a press.", after=after)
        assert (listed.text, labels(listed)) == (first.text, labels(first))
        assert await press(world, listed, APPROVE) == "Approved."
        await world.answer(contains="It gave: posted")
        for message in (first, listed):
            assert labels(await becomes(world, message, "Done.")) == []
        assert (tool.calls, len(world.texts(USER))) == ([STORED], 1)
        assert (await world.ask("/approvals")).text == "Nothing waits for a press."


async def test_list_shows_a_long_argument_whole(tmp_path: Path) -> None:
    """The file comes again with the list: a press must not be for what is out of sight."""
    tool, call = poster(), posting(url=URL, body="x" * 10_000)
    async with running(tmp_path, wanting(call), parts=quick(tools=[tool])) as world:
        await asked(world)
        await question(world, after=world.owner.say("/approvals"))
        files = [m.file.content for m in world.telegram.messages(OWNER) if m.file]
        assert len(files) == 2
        assert files[0] == files[1]


async def test_other_chats_know_nothing_of_it(tmp_path: Path) -> None:
    """Neither the model nor anybody elsewhere learns that or what somebody was asked."""
    script = by_words({"please": wanting()})
    async with running(tmp_path, script, parts=quick(tools=[poster()])) as world:
        await asked(world)
        await world.ask("hello", by=world.user)
        assert world.model.requests[-1].user_texts == ("hello",)
        assert world.texts(USER) == ["hello"]
        await world.stop()
        assert told(world, "asked") == [("#1.1 post", None)]
