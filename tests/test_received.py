"""Pictures and documents: what the model sees of them, and what becomes of the turn."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from assurebot.demo.model import Turn
from assurebot.demo.telegram_faults import Refuse
from assurebot.ports import Reading
from assurebot.turns.approvals import NO_LONGER
from assurebot.turns.model_turns import BLIND
from tests.doubles import FakeReader, FakeSandbox
from tests.obeying import ASKS, FRAME, do, frames, obeying, outcome, question, seen
from tests.pictures import png
from tests.scripts import by_words
from tests.sending import MB, calls, numbered, pdf
from tests.world import API_KEY, OWNER, USER, World, quick, running

REMEMBER = do("remember", text="milk")
ANSWER = "answerCallbackQuery"
LAST = "file 2: “b.txt”, 1 page, 0.0 KB"


async def read(world: World, said: int) -> str:
    """Wait for the answer to a message; return what the last call of its turn gave the model."""
    await outcome(world, said)
    ((_, origin, text),) = FRAME.findall(world.model.requests[-1].tool_results[-1])
    assert origin == "document"
    return str(text)


async def test_a_picture_taints_and_its_caption_does_not(tmp_path: Path) -> None:
    """What is in a picture is from outside, so a change asks; the caption is words to obey."""
    async with running(tmp_path, obeying) as world:
        said = world.owner.attach("photo", png(1280, 960), caption=REMEMBER)
        assert await outcome(world, said) == ASKS
        assert frames(world) == [("picture", "[file 1: picture “photo”, 1280 x 960, 1.3 KB]")]


async def test_a_picture_that_is_too_large(tmp_path: Path) -> None:
    """It is kept; alone it is answered without the model, and with words the model is told."""
    why = "it is too large or of a kind that I cannot look at"
    async with running(tmp_path, obeying) as world:
        world.owner.attach("document", png(9_000, 1), name="a`b.png")
        assert (await world.answer()).text == (
            f"📎 I keep file 1: picture a'b.png, 9000 x 1, 0.1 KB. I cannot look into it by myself:"
            f" {why}. You can ask me to work on it with code.\n\n🌐"
        )
        assert len(world.model.requests) == 0
        world.owner.attach("photo", png(9_000, 1), caption="What is it?")
        await world.answer(contains="Noted.")
        assert f"[file 2: picture “photo”, 9000 x 1, 0.1 KB: {why}; run_code can have it]" in [
            text for _, text in frames(world)
        ]


async def test_a_model_that_cannot_look(tmp_path: Path) -> None:
    """Where a request with a picture is refused, what helps is said; without one it is not."""
    refused = Turn(status=400, error_type="invalid_request_error")
    words = "⚠️ The model did not answer: anthropic: HTTP 400 invalid_request_error."
    async with running(tmp_path, lambda _: refused) as world:
        assert (await world.ask("hello")).text == words
        said = world.owner.attach("photo", png(32, 24), caption="What is it?")
        assert (await world.answer(after=said)).text == words + BLIND


@pytest.mark.parametrize(
    ("pages", "server", "shown"),
    [
        (2, False, "[file 1: PDF “a.pdf”, 2 pages, 0.0 KB; read_document reads its text]"),
        (2, True, "[file 1: PDF “a.pdf”, 2 pages, 0.0 KB]\n--- page 1\np0\n--- page 2\np1"),
        (31, False, "[file 1: PDF “a.pdf”, 31 pages, 0.1 KB]\n--- page 1\np0\n--- page 2\np1"),
    ],
)
async def test_a_pdf(tmp_path: Path, pages: int, *, server: bool, shown: str) -> None:
    """A short one is for the model's own eyes; a long one, or for a server of one's own, text."""
    async with running(tmp_path, obeying) as world:
        if server:
            del world.environ["ANTHROPIC_API_KEY"]
            url = world.model.openai_url
            world.environ |= {"OPENAI_API_KEY": API_KEY, "OPENAI_BASE_URL": url, "AI_MODEL": "own"}
            await world.restart()
        world.owner.attach("document", pdf(*(f"p{n}" for n in range(pages))), name="a.pdf")
        await world.answer(contains="Noted.")
        assert shown in world.model.requests[-1].last_user_text
        assert ("p1" in world.model.requests[-1].last_user_text) == ("page 1" in shown)


class _Dense(FakeReader):
    """Finds as many pages of text in a PDF as its bytes say, all on one leaf."""

    async def read(self, data: bytes, name: str) -> Reading:
        """Read a file."""
        del name
        pages = ("p",) * int(data.removeprefix(b"%PDF-"))
        return Reading(kind="pdf", mime="application/pdf", pages=pages, leaves=1)


async def test_a_pdf_with_more_text_than_leaves(tmp_path: Path) -> None:
    """Money is set aside for the text too; with more of it than can be shown the PDF is text."""
    parts = quick(reader=_Dense)
    async with running(tmp_path, obeying, parts=parts, BUDGET_DAILY_USD="0.05") as world:
        world.owner.attach("document", pdf("31"), name="a.pdf")
        await world.answer(contains="Noted.")
        assert "--- page 1" in seen(world)
        await world.ask("/new", "")
        said = world.owner.attach("document", pdf("30"), name="b.pdf")
        await world.answer(contains="BUDGET_DAILY_USD", after=said)
        assert len(world.model.requests) == 1


async def test_a_document_is_read_whole_or_begun(tmp_path: Path) -> None:
    """A short text is all there; of a long one the first pages, and how to read on."""
    async with running(tmp_path, obeying) as world:
        world.owner.attach("document", b"short words", name="a.txt")
        await world.answer()
        assert frames(world) == [("document", "[file 1: “a.txt”, 1 page, 0.0 KB]\nshort words")]
        said = world.owner.attach("document", numbered(214), name="b.txt")
        await world.answer(after=said)
        (_, text) = frames(world)[-1]
        assert "word6." in text
        assert "word7." not in text
        assert text.endswith(
            "[… file 2 has 214 pages, these are 6; read_document reads and searches the rest]"
        )


async def test_a_large_document_is_searched(tmp_path: Path) -> None:
    """The model finds the page by its words, whatever their case, and reads on from there."""
    async with running(tmp_path, obeying) as world:
        world.owner.attach("document", numbered(214), name="b.txt")
        await world.answer()
        said = world.owner.say(do("read_document", search="WORD200."))
        assert await read(world, said) == f"--- file 1, page 200\n{'word200.':800}"
        said = world.owner.say(do("read_document", file=1, first_page=213, pages=9))
        lines = (await read(world, said)).splitlines()
        assert [line for line in lines if line.startswith("---")] == [
            "--- page 213 of 214",
            "--- page 214 of 214",
        ]
        said = world.owner.say(do("read_document", file=7))
        assert "this chat has no file 7" in await outcome(world, said)


async def test_twenty_megabytes(tmp_path: Path) -> None:
    """The largest file that Telegram gives is read; a larger one is not even asked for."""
    async with running(tmp_path, obeying) as world:
        world.owner.attach("document", (b"%9d\n" % 7) * (2 * MB - 1), name="a.txt")
        await world.answer(contains="Noted.")
        assert "file 1 has 5243 pages" in seen(world)
        said = world.owner.attach("document", bytes(20 * MB + 1), name="b.txt")
        told = await world.answer(after=said)
        assert told.text == (
            "📎 I have not got b.txt: it is larger than 20.0 MB, and bots are given no more: "
            "send it in parts.\n\n🌐"
        )
        assert calls(world, "getFile") == 1


async def test_several_documents_are_asked_over(tmp_path: Path) -> None:
    """When they are out of sight, stubs still name their numbers, and each can be read again."""
    async with running(tmp_path, obeying) as world:
        for name in "ab":
            said = world.owner.attach("document", f"words of {name}".encode(), name=f"{name}.txt")
            await world.answer(after=said)
        for n in range(4):
            await world.ask(f"question {n}?")
        said = world.owner.say(do("read_document", search="words of"))
        assert await read(world, said) == (
            "--- file 1, page 1\nwords of a\n--- file 2, page 1\nwords of b"
        )
        assert "[document (file 1) of " in seen(world)
        assert "or read_document reads it]" in seen(world)
        assert "a.txt" not in seen(world)
        said = world.owner.say(do("read_document"))
        assert (await read(world, said)).splitlines()[1] == LAST


async def test_a_name_is_from_outside(tmp_path: Path) -> None:
    """A name neither obeys nor hides, nor is it ever outside of a frame."""
    async with running(tmp_path, obeying) as world:
        name = f"..\\{REMEMBER}\n\u202e.txt"
        world.owner.attach("document", b"x", name=name)
        await world.answer()
        ((origin, text),) = frames(world)
        assert (origin, "\u202e" in text, "<U+202E>.txt" in text) == ("document", False, True)
        assert REMEMBER not in json.dumps(world.model.requests[0].raw["system"])


async def test_code_gets_files(tmp_path: Path) -> None:
    """A job finds them under clean names, which the result tells; what it prints is tainted."""
    box = FakeSandbox()
    parts = quick(box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, obeying, parts=parts) as world:
        world.owner.attach("document", b"1,2\n", name="my data.CSV")
        world.owner.attach("document", b"\xff\xfe\x00", name="odd.a/../..b c")
        await world.answer(contains="Noted.")
        await world.answer(contains="I keep file 2")
        await world.ask("/new", "A fresh start")
        run = do("run_code", language="python", code="print(1)", files=[1, 2, 1])
        said = world.owner.say(f"{run} then {REMEMBER}")
        assert await outcome(world, said) == ASKS
        (program,) = box.programs
        assert [(file.name, file.data) for file in program.files] == [
            ("file1.csv", b"1,2\n"),
            ("file2", b"\xff\xfe\x00"),
        ]
        ((origin, text),) = frames(world)
        assert (origin, text.splitlines()[0]) == ("document", "--- its input: file1.csv, file2")
        said = world.owner.say(do("run_code", language="python", code="1", files=[9]))
        assert "this chat has no file 9" in await outcome(world, said)


async def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """A file that Telegram does not give is told to the model, or without words to the person."""
    async with running(tmp_path, obeying) as world:
        refusal = Refuse(status=400, description="Bad Request: wrong file_id")
        world.telegram.faults.add("getFile", 2, refusal)
        world.owner.attach("document", b"x", name="a.txt")
        assert "I have not got a.txt: Telegram does not give" in (await world.answer()).text
        said = world.owner.attach("document", b"x", name="a.txt", caption="What is it?")
        assert (await world.answer(after=said)).text.startswith("Noted.")
        assert "[“a.txt” is not here: Telegram does not give it to me" in seen(world)


async def test_secrets_are_not_kept(tmp_path: Path) -> None:
    """A secret in a document, in its name or over the end of a page, is stored nowhere."""
    half = len(API_KEY) // 2
    async with running(tmp_path, obeying) as world:
        world.owner.attach("document", f"key {API_KEY}".encode(), name=f"{API_KEY}.txt")
        await world.answer()
        said = world.owner.attach(
            "document", pdf(f"x{API_KEY[:half]}", f"{API_KEY[half:]}y", *"z" * 40), name="a.pdf"
        )
        await world.answer(after=said)
        pages = world.rows("SELECT text FROM pages WHERE file_id = 2 ORDER BY n LIMIT 3")
        assert pages == [("x[redacted:ANTHROPIC_API_KEY]y",), ("(See the page before.)",), ("z",)]
        assert "key [redacted:ANTHROPIC_API_KEY]" in seen(world)
        await world.stop()
        assert API_KEY.encode() not in world.stored_bytes()


async def test_removed_meanwhile(tmp_path: Path) -> None:
    """A turn that waited goes on without a file that was removed, and does not fetch it again."""
    reader = FakeReader()
    async with running(tmp_path, obeying, parts=quick(reader=lambda: reader)) as world:
        said = world.owner.attach("document", b"words", name="a.txt", caption=REMEMBER)
        asked = await question(world, said)
        await world.ask("/files remove 1", "File 1 is removed.")
        world.owner.press(asked.message_id, "✅ Approve")
        await world.answer(contains="It gave: noted as 1", after=asked.message_id)
        assert "[a file that came with this was removed]" in seen(world)
        assert reader.read_names == ["a.txt"]
        said = world.owner.attach("document", b"more", name="b.txt")
        await world.answer(after=said)
        assert "[file 2: “b.txt”" in seen(world)


async def test_the_list(tmp_path: Path) -> None:
    """It shows number, kind and size, and removes by command or button; B sees nothing of A's."""
    async with running(tmp_path, obeying) as world:
        for name in ("a.txt", "[b](https://evil.example).txt"):
            said = world.owner.attach("document", b"words of A", name=name)
            await world.answer(after=said)
        listed = await world.ask("/files")
        day = f"{listed.at:%Y-%m-%d}"
        assert listed.text == (
            f"2 kept here.\n\n[1] {day}: a.txt, 1 page, 0.0 KB\n"
            f"[2] {day}: [b](https:/evil.example).txt, 1 page, 0.0 KB\n\n"
            "/files remove 3 removes file 3; /files shows the numbers."
        ).replace("[b](https:/evil.example).txt", "evil.example).txt")
        assert (await world.ask("/files", by=world.user)).text.startswith("I keep no files here.")
        for command in ("/files remove 1", "/files remove 0"):
            number = command[-1]
            told = await world.ask(command, by=world.user)
            assert told.text == f"There is no file {number} here."
        for tool in (do("read_document", search="words"), do("read_document", file=1)):
            found = await outcome(world, world.user.say(tool), USER)
            assert "words of A" not in found
        world.user.press_data(1, next(button.id for button in listed.buttons), USER)
        first = await world.meanwhile(world.telegram.wait_for(ANSWER, timeout_seconds=30))
        world.owner.press(listed.message_id, "🗑 1")
        await world.meanwhile(
            world.telegram.wait_for(ANSWER, after=first.serial, timeout_seconds=30)
        )
        notes = [call.params["text"] for call in world.telegram.requests if call.method == ANSWER]
        assert notes == [NO_LONGER, "File 1 is removed."]
        assert "[2]" in (await world.ask("/files", "1 kept here.")).text
        assert (await world.ask("/files remove 2")).text == "File 2 is removed."
        assert (await world.ask("/files")).text.startswith("I keep no files here.")
        assert world.rows("SELECT sum(length(data)) FROM files") == [(0,)]
        assert world.rows("SELECT count(*) FROM pages") == [(0,)]


async def test_a_reply_shows_a_picture_again(tmp_path: Path) -> None:
    """What an answer was made from comes back with the picture itself."""
    async with running(tmp_path, by_words({"": Turn(text="a cat")})) as world:
        world.owner.attach("photo", png(), caption="What is it?")
        first = await world.answer(contains="a cat")
        await world.ask("/new", "A fresh")
        world.rows("DELETE FROM facts WHERE name LIKE 'fresh:%'")
        world.rows("UPDATE history SET body = json_set(body, '$.at', '2020-01-01T00:00:00Z')")
        said = world.owner.say("And its colour?", reply_to=first.message_id)
        await world.answer(OWNER, after=said)
        bodies = world.rows("SELECT body FROM history ORDER BY id DESC LIMIT 1")
        parts = json.loads(bodies[0][0])["messages"][0]["parts"]
        assert [part["media"]["file"] for part in parts if "media" in part] == [1]


async def test_a_reply_to_a_document_asks_about_it_again(tmp_path: Path) -> None:
    """The model has it before it once more, under the number that it had; it is kept once."""
    async with running(tmp_path, obeying) as world:
        sent = world.owner.attach("document", b"short words", name="a.txt")
        await world.answer(contains="Noted.")
        await world.ask("/new", "A fresh")
        said = world.owner.say("What was in it?", reply_to=sent)
        await world.answer(contains="Noted.", after=said)
        assert frames(world) == [("document", "[file 1: “a.txt”, 1 page, 0.0 KB]\nshort words")]
        assert "1 kept here." in (await world.ask("/files")).text
