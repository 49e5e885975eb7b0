"""Spoken answers: after the text, once, where a conversation wants them, and never in its way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.demo.model import Turn
from assurebot.demo.telegram_chats import SentFile
from assurebot.demo.telegram_faults import Refuse
from assurebot.errors import AuditError, BudgetSpent, ProviderUnavailable
from assurebot.turns.speech import SPOKEN_CHARS, spoken
from assurebot.values import Trace
from tests.doubles import FakeTranscriber
from tests.scripts import COLD_SECONDS, Gate, by_words
from tests.world import OWNER, USER, World, quick, running

ON = "Answers here are spoken too"


def voiced(speaker: FakeTranscriber, **fields: Any) -> Any:
    """The parts of a program that can speak."""
    return quick(transcriber=lambda *_: speaker, **fields)


def voice(text: str) -> SentFile:
    """What the fake makes of a text."""
    return SentFile(kind="voice", name="answer.ogg", content=f"OggS {text}".encode())


async def voices(world: World, count: int, chat_id: int = OWNER) -> list[SentFile]:
    """Wait until so many files are there; return them."""
    found: list[SentFile] = []

    async def wait() -> None:
        while len(found) < count:
            await asyncio.sleep(0.02)
            messages = world.telegram.messages(chat_id)
            found[:] = [message.file for message in messages if message.file is not None]

    async with asyncio.timeout(COLD_SECONDS):
        await world.meanwhile(wait())
    return found


async def test_answer_is_spoken_after_its_text(tmp_path: Path) -> None:
    """With /voice on a voice message follows each answer, over restarts; /voice off ends that."""
    speaker = FakeTranscriber()
    async with running(tmp_path, parts=voiced(speaker)) as world:
        await world.ask("/voice", "Answers here are not spoken")
        await world.ask("quiet", "quiet")
        await world.ask("/voice on", ON)
        await world.ask("**Hello** there", "Hello there")
        assert await voices(world, 1) == [voice("Hello there")]
        await world.restart()
        await world.ask("again", "again")
        assert await voices(world, 2) == [voice("Hello there"), voice("again")]
        await world.ask("theirs", "theirs", by=world.user)
        await world.ask("/python print(1)", "exit 0")
        await world.ask("/voice off", "Answers here are not spoken")
        await world.ask("silence", "silence")
        await world.stop()
        assert speaker.spoken == ["Hello there", "again"]
        assert [message.text for message in world.telegram.messages(OWNER)][3:5] == [
            "Hello there",
            "",
        ]
        assert world.rows("SELECT count(*) FROM blobs") == [(0,)]
        assert [call.method for call in world.telegram.calls("sendVoice")] == ["sendVoice"] * 2
        assert world.telegram.violations == []


async def test_speech_holds_up_nothing(tmp_path: Path) -> None:
    """While one answer is being spoken the text is there and the next message is answered."""
    speaker = FakeTranscriber()
    async with running(tmp_path, parts=voiced(speaker)) as world:
        await world.ask("/voice on", ON)
        speaker.release.clear()
        await world.ask("one", "one")
        await world.ask("two", "two")
        assert "Nothing is running here." in (await world.ask("/stop", "Nothing")).text
        speaker.release.set()
        assert await voices(world, 2) == [voice("one"), voice("two")]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ProviderUnavailable("the speech server is down"), "the speech server is down"),
        (BudgetSpent("the budget is spent"), "the budget is spent"),
        (AuditError("the disk is full"), "the disk is full"),
    ],
)
async def test_failure_is_told_once_and_harms_nothing(
    tmp_path: Path, failure: Exception, words: str
) -> None:
    """An answer that cannot be spoken stands; a day has one note of that, and no error."""
    speaker = FakeTranscriber()
    async with running(tmp_path, parts=voiced(speaker)) as world:
        await world.ask("/voice on", ON)
        speaker.failure = failure
        await world.ask("one", "one")
        note = await world.answer(contains="🔇")
        assert note.text == f"🔇 I cannot speak this: {words}."
        await world.ask("two", "two")
        async with asyncio.timeout(COLD_SECONDS):
            while len(speaker.spoken) < 2:  # noqa: ASYNC110 - both are counted, each is begun
                await asyncio.sleep(0.02)
        speaker.failure = None
        await world.ask("three", "three")
        assert await voices(world, 1) == [voice("three")]
        assert sum("🔇" in text for text in world.texts()) == 1
        assert world.rows("SELECT DISTINCT errors, state FROM inbox") == [(0, "done")]


async def test_crash_does_not_repeat_speech(tmp_path: Path) -> None:
    """What was being spoken when the program went down is not spoken later; the text is there."""
    speaker = FakeTranscriber()
    async with running(tmp_path, parts=voiced(speaker)) as world:
        await world.ask("/voice on", ON)
        speaker.release.clear()
        await world.ask("one", "one")
        async with asyncio.timeout(COLD_SECONDS):
            await speaker.begun.wait()
        await world.fall()
        speaker.release.set()
        await world.start()
        await world.ask("two", "two")
        assert await voices(world, 1) == [voice("two")]
        assert speaker.spoken == ["one", "two"]


async def test_voice_that_telegram_refuses_goes_as_a_file(tmp_path: Path) -> None:
    """Whoever forbids voice messages gets the speech as a document."""
    async with running(tmp_path, parts=voiced(FakeTranscriber())) as world:
        await world.ask("/voice on", ON)
        refusal = Refuse(status=400, description="Bad Request: VOICE_MESSAGES_FORBIDDEN")
        world.telegram.faults.add("sendVoice", 1, refusal)
        await world.ask("one", "one")
        (file,) = await voices(world, 1)
        assert (file.kind, file.name) == ("document", "answer.ogg")


async def test_panic_holds_speech_too(tmp_path: Path) -> None:
    """While everything is held nothing is paid for."""
    speaker = FakeTranscriber()
    gate = Gate(by_words({"one": Turn(text="one")}))
    async with running(tmp_path, gate, parts=voiced(speaker)) as world:
        await world.ask("/voice on", ON)
        speaker.release.clear()
        await world.ask("one", "one")
        await world.ask("two", "two")
        await world.ask("/panic", "Everything is held")
        speaker.release.set()
        assert await voices(world, 1) == [voice("one")]
        await world.ask("/resume", "Going on.")
        await world.ask("three", "three")
        assert await voices(world, 2) == [voice("one"), voice("three")]


async def test_without_a_speaker_it_says_how_to_get_one(tmp_path: Path) -> None:
    """/voice on is refused with what it takes, and answers stay as they are."""
    async with running(tmp_path) as world:
        await world.ask("/voice on", "I have no voice here: set OPENAI_API_KEY, and")
        await world.ask("one", "one")
        await world.ask("/voice", "not spoken", by=world.user)
        assert world.telegram.messages(USER)[0].file is None


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("", ""),
        ("```py\ncode\n```", ""),
        ("Look:\n\n```py\nx = 1\n```\nDone.", "Look:\nDone."),
        ("~~~\nnever closed", ""),
        ("# Title\n\n- **one**\n- *two* `three`\n> four", "Title\none\ntwo three\nfour"),
        (
            "See [the page](https://e.com/x 'title') or https://e.com/y?z=1 now",
            "See the page or now",
        ),
        ("![a cat](https://e.com/x.png)", "a cat"),
        ("<https://e.com>", ""),
        ("|a|b|\n|-|:-:|\n|1|2|\n\n---\nend", "a b\n1 2\nend"),
        ("snake_case stays, __bold__ not", "snake_case stays, bold not"),
        ("2 * 3 ~~no~~ 1. yes", "2 3 no 1. yes"),
    ],
)
def test_only_words_are_spoken(markdown: str, words: str) -> None:
    """Signs, code and addresses are left out."""
    assert spoken(markdown) == words


def test_long_answers_end_with_a_sentence() -> None:
    """So much is spoken at most, up to the last whole sentence, or else word."""
    text = spoken("This is a sentence of some words. " * 100)
    assert len(text) <= SPOKEN_CHARS
    assert text.endswith("words.")
    assert spoken("word " * 1_000) == ("word " * 300).strip()
    assert len(spoken("x" * 5_000)) == SPOKEN_CHARS
    assert spoken("Short. " + "word " * 1_000).endswith("word")


@given(st.text() | st.text("[]()`~*_|-# \nhtp:/x.", max_size=400), st.sampled_from([1, 300]))
def test_any_text_is_made_to_words_in_time(text: str, times: int) -> None:
    """No text takes long, or comes out too long."""
    began = time.process_time()
    assert len(spoken(text * times)) <= SPOKEN_CHARS
    assert time.process_time() - began < 5


class _Unrecorded(FakeTranscriber):
    """Cannot even record that it was cut off."""

    async def speak(self, text: str, trace: Trace) -> bytes:
        """Give nothing."""
        try:
            return await super().speak(text, trace)
        except asyncio.CancelledError:
            raise AuditError("the disk is full") from None


async def test_a_stop_is_obeyed_even_where_it_cannot_be_recorded(tmp_path: Path) -> None:
    """An error of the audit that hides the end of the program does not keep it from ending."""
    speaker = _Unrecorded()
    async with running(tmp_path, parts=voiced(speaker)) as world:
        await world.ask("/voice on", ON)
        speaker.release.clear()
        await world.ask("one", "one")
        await speaker.begun.wait()
        await world.stop()
        assert world.texts()[-1] == "one"
