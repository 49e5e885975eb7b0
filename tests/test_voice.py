"""Voice messages: heard once, shown to who sent them, and then words like typed ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.model import Turn
from assurebot.demo.telegram_faults import Drop, Refuse
from assurebot.errors import BudgetSpent, ProviderError, ProviderRejected, ProviderUnavailable
from assurebot.turns.receiving import CHECK_EARS, CUT, HEARD_CHARS, NO_EARS
from tests.doubles import FakeTranscriber
from tests.obeying import ASKS, do, frames, obeying, outcome, question, seen
from tests.scripts import LIMIT_SECONDS, Gate, by_words
from tests.sending import calls, hearing
from tests.world import GROUP, OWNER, USER, running

REMEMBER = do("remember", text="milk")
REFUSED = Turn(status=400, error_type="invalid_request_error")


async def test_it_is_echoed_and_then_answered(tmp_path: Path) -> None:
    """The words come back in reply to the message, without a link, and the answer after them."""
    ears = FakeTranscriber()
    async with running(tmp_path, parts=hearing(ears)) as world:
        said = world.owner.attach("voice", b"see https://evil.example/x now")
        answer = await world.answer(contains="see https://evil.example/x now", after=said + 1)
        echoed, answered = world.telegram.messages(OWNER)
        assert (echoed.text, echoed.reply_to) == ("🎧 “see https://evil.example/x now”", said)
        assert {entity.type for entity in echoed.entities} == {"code"}
        assert (answered, answered.reply_to) == (answer, None)
        assert ears.heard == [(b"see https://evil.example/x now", "voice.ogg", 1)]


async def test_a_recording_that_lasts_longer_than_it_says_is_cut(tmp_path: Path) -> None:
    """How long sound lasts comes from its sender: no flood of words comes of a lie about that."""
    async with running(tmp_path, parts=hearing()) as world:
        world.owner.attach("audio", b"word " * HEARD_CHARS)
        await world.answer(contains=CUT)
        await world.answer(contains="word")
        assert len(world.model.requests[0].last_user_text) < HEARD_CHARS + 1_000


async def test_in_a_group_the_echo_comes_first_too(tmp_path: Path) -> None:
    """However long the hearing takes, no message stands there that the answer would come into."""
    shown = asyncio.Event()

    class Slow(FakeTranscriber):
        async def transcribe(self, *heard: Any) -> str:
            await shown.wait()
            return await super().transcribe(*heard)

    async with running(tmp_path, parts=hearing(Slow()), ALLOWED_CHATS=f"{GROUP}") as world:
        world.telegram.group(GROUP)
        world.owner.attach("voice", b"hello", GROUP, caption="@stand_in_bot hear")
        typing = world.telegram.wait_for("sendChatAction", timeout_seconds=LIMIT_SECONDS)
        await world.meanwhile(typing)
        shown.set()
        await world.answer(GROUP, "hear\nhello")
        assert world.texts(GROUP) == ["🎧 “hello”", "hear\nhello"]


async def test_own_words_are_trusted(tmp_path: Path) -> None:
    """What somebody says themselves may change things as what they type may."""
    async with running(tmp_path, obeying, parts=hearing()) as world:
        said = world.owner.attach("voice", REMEMBER.encode())
        assert await outcome(world, said) == "noted as 1"
        assert frames(world) == []


async def test_forwarded_words_are_not(tmp_path: Path) -> None:
    """A voice message of somebody else taints the turn."""
    async with running(tmp_path, obeying, parts=hearing()) as world:
        origin = {"date": 1, "type": "hidden_user", "sender_user_name": "Eve"}
        said = world.owner.attach("voice", REMEMBER.encode(), forward_origin=origin)
        assert await outcome(world, said) == ASKS
        source = "(Forwarded from user Eve, 1970-01-01 00:00 UTC)"
        assert frames(world) == [("forwarded message", text) for text in (source, REMEMBER)]


async def test_a_spoken_command_is_only_words(tmp_path: Path) -> None:
    """Nobody can be made to say a command by a recording."""
    async with running(tmp_path, parts=hearing()) as world:
        world.owner.attach("voice", b"/panic")
        await world.answer(contains="/panic", after=2)
        assert len(world.model.requests) == 1
        assert (await world.wait_health(200))["status"] == "ok"


async def test_ten_at_once_are_answered_in_order(tmp_path: Path) -> None:
    """Each is echoed and answered before the next."""
    ears = FakeTranscriber()
    async with running(tmp_path, parts=hearing(ears)) as world:
        words = [f"words {n}" for n in range(10)]
        for each in words:
            world.owner.attach("voice", each.encode())
        await world.answer(contains="words 9", after=29)
        shown = [text for each in words for text in (f"🎧 “{each}”", each)]
        assert world.texts() == shown
        assert [each.decode() for each, _, _ in ears.heard] == words


async def test_after_a_restart_it_is_not_heard_again(tmp_path: Path) -> None:
    """A turn that is cut off behind the transcription goes on without a second one, or echo."""
    ears, gate = FakeTranscriber(), Gate(lambda _: Turn(text="late", delay_seconds=60))
    async with running(tmp_path, gate, parts=hearing(ears)) as world:
        world.owner.attach("voice", b"hello")
        await world.answer(contains="🎧")
        await world.meanwhile(gate.wait())
        await world.fall()
        world.model.script = by_words({})
        await world.start()
        await world.answer(contains="hello", after=2)
        assert world.texts() == ["🎧 “hello”", "hello"]
        assert len(ears.heard) == 1
        assert calls(world, "getFile") == 1
    assert world.rows("SELECT name FROM facts WHERE name LIKE 'heard:%'") == [("heard:1",)]


@pytest.mark.parametrize(
    "failure",
    [
        BudgetSpent("today's limit of $5.00"),
        ProviderUnavailable("no answer"),
        ProviderRejected("unknown model"),
    ],
)
async def test_what_was_not_heard_can_be_tried_again(
    tmp_path: Path, failure: BudgetSpent | ProviderError
) -> None:
    """The reason is told, and the button has it heard and answered."""
    async with running(tmp_path, parts=hearing(FakeTranscriber(failure))) as world:
        world.owner.attach("voice", b"hello")
        told = await world.answer()
        check = CHECK_EARS if isinstance(failure, ProviderRejected) else ""
        assert told.text == f"⚠️ I could not listen to it: {failure}.{check}"
        assert world.model.requests.maxlen is not None
        assert len(world.model.requests) == 0
        world.owner.press(told.message_id, "🔁 Try again")
        await world.answer(contains="hello", after=told.message_id + 1)
        assert world.texts()[1:] == ["🎧 “hello”", "hello"]


async def test_a_second_try_of_the_model_is_not_a_second_hearing(tmp_path: Path) -> None:
    """What was heard before the model failed is kept for the next try."""
    ears = FakeTranscriber()
    async with running(tmp_path, lambda _: REFUSED, parts=hearing(ears)) as world:
        world.owner.attach("voice", b"hello")
        failed = await world.answer(contains="The model did not answer")
        world.model.script = by_words({})
        world.owner.press(failed.message_id, "🔁 Try again")
        await world.answer(contains="hello", after=failed.message_id)
        assert len(ears.heard) == 1
        assert sum(text.startswith("🎧") for text in world.texts()) == 1


async def test_without_anything_to_listen_with(tmp_path: Path) -> None:
    """It is said how to get it, and nothing is fetched."""
    async with running(tmp_path) as world:
        world.owner.attach("voice", b"hello")
        assert (await world.answer()).text == f"🎧 Voice message of 1 s: {NO_EARS}."
        assert (calls(world, "getFile"), len(world.model.requests)) == (0, 0)
        assert [line["text"] for line in world.audit(type="message")] == [""]


async def test_words_beside_it_are_answered(tmp_path: Path) -> None:
    """The model is told what it lacks; that it is told does not taint."""
    async with running(tmp_path, obeying) as world:
        said = world.owner.attach("voice", b"hello", caption=REMEMBER)
        assert await outcome(world, said) == "noted as 1"
        assert f"[voice message of 1 s: {NO_EARS}]" in seen(world)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"duration": 1201}, "it is longer than 20 minutes: send it in parts"),
        (
            {"file_size": (20 << 20) + 1},
            "it is larger than 20.0 MB, and bots are given no more: send it in parts",
        ),
    ],
)
async def test_what_is_too_long_is_not_fetched(
    tmp_path: Path, fields: dict[str, int], why: str
) -> None:
    """By what the message says of itself, before anything is spent."""
    async with running(tmp_path, parts=hearing()) as world:
        voice = {"file_id": "file-1", "file_unique_id": "u", "duration": 5, **fields}
        world.owner.attach("voice", b"hello", voice=voice)
        assert (await world.answer()).text == f"🎧 Voice message of {voice['duration']} s: {why}."
        assert calls(world, "getFile") == 0


async def test_how_long_it_is_is_not_believed(tmp_path: Path) -> None:
    """A recording tells its length itself; one that says less in the message is not heard."""
    ears = FakeTranscriber()
    page = b"OggS\0\4" + (1201 * 48_000).to_bytes(8, "little")
    async with running(tmp_path, parts=hearing(ears)) as world:
        world.owner.attach("voice", b"OggS" + bytes(24) + b"OpusHead" + page)
        assert "it is longer than 20 minutes" in (await world.answer()).text
        assert ears.heard == []


async def test_one_without_words(tmp_path: Path) -> None:
    """Silence is told and not answered."""
    async with running(tmp_path, parts=hearing()) as world:
        world.owner.attach("voice", b"  ")
        assert (await world.answer()).text == "🎧 I heard no words in the recording."
        assert len(world.model.requests) == 0


async def test_what_telegram_does_not_give(tmp_path: Path) -> None:
    """A file that is gone is told, and there is nothing to be tried again."""
    async with running(tmp_path, parts=hearing()) as world:
        world.telegram.faults.add("getFile", 1, Refuse(status=400, description="wrong file_id"))
        world.owner.attach("voice", b"hello")
        told = await world.answer()
        assert told.text.startswith("🎧 Voice message of 1 s: Telegram does not give it to me (")
        assert told.buttons == ()


async def test_a_broken_line_to_telegram(tmp_path: Path) -> None:
    """Nothing is lost: the button fetches it."""
    async with running(tmp_path, parts=hearing()) as world:
        world.telegram.faults.add("getFile", 1, Drop())
        world.owner.attach("voice", b"hello")
        told = await world.answer(contains="Telegram did not give me the file")
        world.owner.press(told.message_id, "🔁 Try again")
        assert (await world.answer(contains="🎧")).text == "🎧 “hello”"


async def test_a_stranger_causes_no_request(tmp_path: Path) -> None:
    """Nothing is fetched or heard for somebody who is not on the list."""
    ears = FakeTranscriber()
    async with running(tmp_path, parts=hearing(ears)) as world:
        world.stranger.attach("voice", b"hello")
        await world.taken()
        world.user.attach("voice", b"listed")
        await world.answer(USER, "🎧")
        assert [audio for audio, _, _ in ears.heard] == [b"listed"]
        assert calls(world, "getFile") == 1


async def test_a_stop_while_it_is_heard(tmp_path: Path) -> None:
    """Of the words that show progress none is taken for an answer, or remembered."""
    hangs = asyncio.Event()

    class Deaf(FakeTranscriber):
        async def transcribe(self, *_: object) -> str:
            hangs.set()
            await asyncio.sleep(60)
            return ""

    async with running(tmp_path, parts=hearing(Deaf())) as world:
        world.owner.attach("voice", b"hello")
        async with asyncio.timeout(LIMIT_SECONDS):
            await hangs.wait()
            await world.meanwhile(
                world.telegram.wait_for("sendMessageDraft", timeout_seconds=LIMIT_SECONDS)
            )
        (draft, *_) = world.telegram.drafts(OWNER)
        assert draft.text == "🎧 Listening…"
        stopped = await world.ask("/stop")
        assert stopped.text == "⏹ Stopped."


async def test_what_was_heard_outlives_a_stop(tmp_path: Path) -> None:
    """The history has the words of a turn that was stopped while the model answered."""
    gate = Gate(lambda _: Turn(text="late", delay_seconds=60))
    async with running(tmp_path, gate, parts=hearing()) as world:
        world.owner.attach("voice", b"hello there")
        await world.meanwhile(gate.wait())
        await world.ask("/stop", "Stopped")
        world.model.script = by_words({})
        await world.ask("And?", "And?")
        assert world.model.requests[-1].user_texts == ("hello there", "And?")


async def test_one_that_waits_is_seen_by_others(tmp_path: Path) -> None:
    """While a turn waits for a press, the next one sees what was said in it; no second hearing."""
    ears = FakeTranscriber()
    async with running(tmp_path, obeying, parts=hearing(ears)) as world:
        origin = {"date": 1, "type": "hidden_user", "sender_user_name": "Eve"}
        said = world.owner.attach("voice", REMEMBER.encode(), forward_origin=origin)
        asked = await question(world, said)
        await world.ask("And now?")
        assert REMEMBER in seen(world)
        world.owner.press(asked.message_id, "✅ Approve")
        assert await outcome(world, asked.message_id + 2) == "noted as 1\n\n🌐"
        assert len(ears.heard) == 1
