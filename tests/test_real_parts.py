"""The real reader of files and the real ears and voice, in one program between the stand-ins."""

from __future__ import annotations

import asyncio
from pathlib import Path

from assurebot.demo.model import Ask, Turn
from assurebot.demo.model_media import ogg_opus
from assurebot.documents.worker import LimitedReader
from assurebot.parts import Parts
from tests.documents import making
from tests.obeying import do, obeying, outcome, seen
from tests.scripts import LIMIT_SECONDS
from tests.world import API_KEY, OWNER, World, quick, running


def real() -> Parts:
    """Return the quick parts, but with what reads files in the product."""
    return quick(reader=LimitedReader)


async def set_up(world: World, **settings: str) -> None:
    """Start the program with a server of one's own to listen and speak."""
    url = world.model.openai_url
    world.environ |= {"OPENAI_API_KEY": API_KEY, "OPENAI_BASE_URL": url, "TRANSCRIBE_PRICE": "0.36"}
    world.environ |= {"TRANSCRIBE_BASE_URL": url, "TRANSCRIBE_MODEL": "whisper-1"}
    world.environ |= {"SPEECH_MODEL": "tts-1", "SPEECH_PRICE": "15", **settings}
    await world.start()


async def test_documents_of_every_kind_are_asked_over(tmp_path: Path) -> None:
    """A PDF goes as it is, the others as their words; a search finds words in all of them."""
    async with running(tmp_path, obeying, parts=real()) as world:
        good = making.good()
        for kind in ("pdf", "docx", "xlsx"):
            said = world.owner.attach("document", good[kind], name=f"a.{kind}")
            await world.answer(contains="Noted.", after=said)
        assert [shown.data for shown in world.model.requests[-1].files] == [good["pdf"]]
        assert "--- page 2\nA footnote" in seen(world)
        assert "Sheet Sums\nAnn\t1\t2.5" in seen(world)
        found = await outcome(world, world.owner.say(do("read_document", search="hello")))
        assert "--- file 1, page 1\nHello\nWorld" in found


async def test_a_server_of_ones_own_reads_the_text_of_a_pdf(tmp_path: Path) -> None:
    """Where the model takes no PDF, its words are there."""
    async with running(tmp_path, obeying, parts=real(), started=False) as world:
        del world.environ["ANTHROPIC_API_KEY"]
        await set_up(world, AI_MODEL="own")
        world.owner.attach("document", making.good()["pdf"], name="a.pdf")
        await world.answer(contains="Noted.")
        assert world.model.requests[-1].files == ()
        assert (
            "--- page 1\nHello\nWorld\n--- page 2\nFlat" in world.model.requests[-1].last_user_text
        )


async def test_ten_voices_over_a_crash_are_heard_once_in_order(tmp_path: Path) -> None:
    """Each is heard, shown and answered before the next; what was shown is not paid again."""
    heard: list[int] = []
    third = asyncio.Event()

    def hear(ask: Ask) -> Turn:
        heard.append(len(ask.files[0].data))
        if len(heard) == 3:
            third.set()
        return Turn(text=f"words {heard[-1]}")

    async with running(tmp_path, parts=real(), started=False) as world:
        world.model.hearing = hear
        await set_up(world)
        sizes = range(len(ogg_opus()), len(ogg_opus()) + 10)
        for n in range(10):
            world.owner.attach("voice", ogg_opus() + bytes(n))
        await world.taken()
        async with asyncio.timeout(LIMIT_SECONDS):
            await third.wait()
        await world.fall()
        await world.start()
        last = f"words {sizes[-1]}"
        await world.meanwhile(
            world.telegram.wait_for_message(
                OWNER, lambda sent: sent.text == last, timeout_seconds=LIMIT_SECONDS
            )
        )
        shown = (text for size in sizes for text in (f"🎧 “words {size}”", f"words {size}"))
        assert list(dict.fromkeys(world.texts())) == list(shown)
        # What was on its way when it fell is heard again: nobody knows what it was.
        assert list(dict.fromkeys(heard)) == list(sizes)
        assert len(heard) <= len(sizes) + 1


async def test_what_was_heard_and_spoken_stands_in_the_usage(tmp_path: Path) -> None:
    """A voice message in, a spoken answer out, and both with what they cost."""
    async with running(tmp_path, parts=real(), started=False) as world:
        await set_up(world)
        await world.ask("/voice on", "spoken too")
        said = world.owner.attach("voice", ogg_opus(1_000))
        spoken = await world.meanwhile(
            world.telegram.wait_for_message(
                OWNER, lambda sent: sent.file is not None, after=said, timeout_seconds=LIMIT_SECONDS
            )
        )
        assert spoken.file is not None
        assert (spoken.file.kind, spoken.file.content) == ("voice", ogg_opus())
        used = (await world.ask("/usage", "This month")).text
        assert "• transcription openai:whisper-1: calls 1, $" in used
        assert "• speech openai:tts-1: calls 1, $" in used
