"""Telegram fails in every way it can: nothing is lost, nothing spins, and the health says why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.model import Turn
from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_faults import (
    BAD_GATEWAY,
    EMPTY,
    MALFORMED,
    Answer,
    Drop,
    Fault,
    Hang,
    Refuse,
)
from assurebot.telegram.client import TelegramClient
from assurebot.telegram.poller import PollHung, PollTimes
from tests.scripts import Gate, by_words, slow
from tests.world import OWNER, USER, World, quick, running

INTERNAL = Refuse(status=500, description="Internal Server Error")
CONFLICT = Refuse(
    status=409, description="Conflict: terminated by other getUpdates request; make sure that only"
)
UNAUTHORIZED = Refuse(status=401, description="Unauthorized")
NOT_FOUND = Refuse(status=404, description="Not Found")
LIST_OF_NONSENSE = Answer(body=b'{"ok":true,"result":[1,"two",null]}')


def flood(seconds: float | None) -> Refuse:
    """Flood control that demands a wait."""
    return Refuse(status=429, description="Too Many Requests: retry later", retry_after=seconds)


def polls(world: World) -> int:
    """How often it has polled."""
    return len(world.telegram.calls("getUpdates"))


@pytest.mark.parametrize(
    "fault",
    [INTERNAL, BAD_GATEWAY, MALFORMED, EMPTY, LIST_OF_NONSENSE, Drop()],
    ids=["500", "502 html", "malformed", "empty", "nonsense", "reset"],
)
async def test_polls_that_fail_for_a_while_lose_nothing(tmp_path: Path, fault: Fault) -> None:
    """Updates of the bad time arrive once it is over; meanwhile the health is bad."""
    async with running(tmp_path) as world:
        world.telegram.faults.add("getUpdates", None, fault)
        world.owner.say("one")  # ends the poll that is under way
        await world.wait_health(503, "Telegram cannot be reached")
        world.owner.say("two")
        world.telegram.faults.clear()
        await world.answer(contains="two")
        await world.wait_health(200)
        assert world.texts() == ["one", "two"]


@pytest.mark.parametrize("method", ["getMe", "deleteWebhook", "setMyCommands"])
async def test_start_does_not_need_telegram(tmp_path: Path, method: str) -> None:
    """A start while Telegram is away ends in health 503, not in a crash, and gets over it."""
    async with running(tmp_path, started=False) as world:
        world.telegram.faults.add(method, None, BAD_GATEWAY)
        world.owner.say("hello")
        await world.start(polls=False)
        await world.wait_health(503, "Telegram cannot be reached")
        world.telegram.faults.clear()
        await world.answer(contains="hello")
        await world.wait_health(200)


async def test_other_poller_is_named_and_outlived(tmp_path: Path) -> None:
    """While another process polls the health says so; there is no crash loop; then it goes on."""
    async with running(tmp_path) as world:
        world.telegram.faults.add("getUpdates", None, CONFLICT)
        world.owner.say("hello")
        body = await world.wait_health(503, "another process polls with the same token")
        assert list(body["problems"]) == ["telegram"]
        world.telegram.faults.clear()
        await world.answer(contains="hello")
        await world.wait_health(200)


@pytest.mark.parametrize("fault", [UNAUTHORIZED, NOT_FOUND], ids=["401", "404"])
async def test_refused_token_is_named_and_not_tried_again_at_once(
    tmp_path: Path, fault: Fault
) -> None:
    """The health names the variable, and Telegram is left in peace."""
    async with running(tmp_path, started=False) as world:
        world.telegram.faults.add("*", None, fault)
        await world.start(polls=False)
        await world.wait_health(503, "TELEGRAM_BOT_TOKEN")
        await asyncio.sleep(0.3)  # the usual pause is 0.05 s here
        assert [call.method for call in world.telegram.requests] == ["getMe"]


async def test_poll_that_never_comes_back_is_given_up(tmp_path: Path) -> None:
    """A poll without an answer ends at our own limit, and the next one works."""
    times = PollTimes(wait=1, slack=0.2, forgiven=0, backoff=(0.05,))
    async with running(tmp_path, parts=quick(poll=times)) as world:
        world.telegram.faults.add("getUpdates", 1, Hang())
        world.owner.say("one")
        await world.answer(contains="one")
        world.owner.say("two")
        began = time.monotonic()
        await world.answer(contains="two")
        assert time.monotonic() - began < 3
        assert world.telegram.statuses["getUpdates", 0] <= 1


class _Deaf(TelegramClient):
    """Its second poll does not even obey a cancel."""

    polls = 0

    async def updates(
        self, offset: int | None, wait_seconds: int, kinds: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Poll, or hang."""
        self.polls += 1
        if self.polls == 1:
            return await super().updates(offset, wait_seconds, kinds)
        end = asyncio.get_running_loop().time() + 1.5
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return []


async def test_poll_that_ignores_its_limit_ends_the_program(tmp_path: Path) -> None:
    """The watchdog crashes the program, so that a new process takes over."""
    times = PollTimes(wait=0, slack=0.1, forgiven=0, hung=0.3)
    async with running(tmp_path, parts=quick(chat=_Deaf, poll=times)) as world:
        assert world.app is not None
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(10):
                await world.app
        assert caught.group_contains(PollHung)
        world.parts = quick()
        await world.start()
        assert (await world.ask("anew")).text == "anew"


async def test_other_bot_on_the_same_data_is_not_deaf(tmp_path: Path) -> None:
    """Its updates and messages are counted anew, and none passes for one of the former bot."""
    async with running(tmp_path) as world:
        for words in ("one", "two", "three"):
            await world.ask(words, words)
        await world.stop()
        for token in (f"7{world.telegram.token}", world.telegram.token):
            async with TelegramServer(token=token) as telegram:
                other = World(tmp_path, telegram, world.model, quick(), {})
                other.owner.say("first words")
                await other.start()
                assert (await other.answer()).text == "first words"
                await other.restart()
                await other.ask("more", "more")
                assert other.texts() == ["first words", "more"]
                await other.stop()


async def test_flood_control_freezes_a_chat_for_as_long_as_demanded(tmp_path: Path) -> None:
    """The row waits for its moment, over a restart too; other chats go on, drafts stop."""
    async with running(tmp_path, parts=quick(grace_seconds=0.2), ALLOWED_USERS="42,43,44") as world:
        other = world.telegram.person(44)
        serial = 0
        for person, seconds in ((world.owner, 13_938), (world.user, 149)):
            fault = flood(seconds)
            world.telegram.faults.add("sendMessage", 1, fault, chat_id=person.user_id)
            person.say("hello")
            call = await world.meanwhile(world.telegram.wait_for("sendMessage", after=serial))
            serial = call.serial
        await world.ask("hi", "hi", by=other)
        world.model.script = by_words({"talk": slow("word-", count=40, seconds=0.01)})
        world.owner.say("talk")
        await world.taken()
        await world.ask("hi again", "hi again", by=other)
        await world.stop()
        rows = world.rows("SELECT state, tries, not_before FROM outbox WHERE tries ORDER BY id")
        waits = [datetime.fromisoformat(row[2]).replace(tzinfo=UTC) for row in rows]
        left = [(wait - datetime.now(UTC)).total_seconds() for wait in waits]
        assert [row[:2] for row in rows] == [("open", 1), ("open", 1)]
        assert (13_918 < left[0] <= 13_938, 129 < left[1] <= 149) == (True, True)
        await world.start()
        await world.ask("hi once more", "hi once more", by=other)
        assert {ask.last_user_text for ask in world.model.requests} >= {"talk", "hi once more"}
        since = [call for call in world.telegram.requests if call.serial > serial]
        assert [call.method for call in since if call.chat_id in (OWNER, USER)] == []


@pytest.mark.parametrize("seconds", [0.0, None, 1.0])
async def test_flood_control_without_a_sound_wait_is_retried_soon(
    tmp_path: Path, seconds: float | None
) -> None:
    """A wait of 0 or none does not make it spin: one second passes, then the message arrives."""
    async with running(tmp_path) as world:
        world.telegram.faults.add("sendMessage", 1, flood(seconds))
        began = time.monotonic()
        await world.ask("hello", "hello")
        assert 1.0 <= time.monotonic() - began < 4
        assert len(world.telegram.calls("sendMessage")) == 2


async def test_absurd_flood_control_is_bounded(tmp_path: Path) -> None:
    """No wait is longer than a day, whatever is demanded."""
    async with running(tmp_path, parts=quick(grace_seconds=0.2)) as world:
        world.telegram.faults.add("sendMessage", 1, flood(10**6))
        world.owner.say("hello")
        await world.meanwhile(world.telegram.wait_for("sendMessage"))
        await world.stop()
        ((not_before,),) = world.rows("SELECT not_before FROM outbox")
        wait = datetime.fromisoformat(not_before).replace(tzinfo=UTC) - datetime.now(UTC)
        assert 86_000 < wait.total_seconds() <= 86_400


async def test_flood_control_on_drafts_ends_the_drafts_only(tmp_path: Path) -> None:
    """A draft that is refused for a while is not repeated; the answer still arrives."""
    gate = Gate(by_words({"": slow("word-", count=60, seconds=0.01)}))
    async with running(tmp_path, gate) as world:
        world.telegram.faults.add("sendMessageDraft", None, flood(1))
        await world.ask("talk", "word-59")
        assert len(world.telegram.calls("sendMessageDraft")) == 1


async def test_refused_message_is_sent_as_plain_text_once(tmp_path: Path) -> None:
    """A 400 leads to one plain message; nothing is lost and the dead are not counted."""
    script = by_words({"": Turn(text="**bold** words")})
    async with running(tmp_path, script) as world:
        refusal = Refuse(status=400, description="Bad Request: can't parse entities")
        world.telegram.faults.add("sendMessage", 1, refusal)
        answer = await world.ask("format")
        assert (answer.text, answer.entities) == ("bold words", ())
        await world.stop()
        assert world.rows("SELECT state, error FROM outbox") == [("sent", None)]


async def test_message_that_is_refused_for_good_is_given_up_and_told(tmp_path: Path) -> None:
    """After the plain form is refused too, the row is dead, and the owner reads of it."""
    async with running(tmp_path) as world:
        refusal = Refuse(status=400, description="Bad Request: something new")
        world.telegram.faults.add("sendMessage", None, refusal, chat_id=USER)
        world.user.say("hello")
        notice = await world.answer(contains="could not be delivered")
        assert notice.text == "⚠️ A message to chat 43 could not be delivered: Something new"
        world.telegram.faults.clear()
        assert (await world.ask("and now?", by=world.user)).text == "and now?"
        await world.stop()
        rows = world.rows("SELECT state, error FROM outbox WHERE chat_id = 43")
        assert rows == [("dead", "Something new"), ("sent", None)]
        sends = world.audit(type="send", phase="result", target="chat:43")
        assert [line["result"] for line in sends] == ["refused", "refused", "ok"]


async def test_blocked_bot_gives_up_and_tells_the_owner(tmp_path: Path) -> None:
    """A user who blocked the bot does not hold anything up."""
    gate = Gate(by_words({"hello": Turn(text="hi", delay_seconds=0.2)}))
    async with running(tmp_path, gate) as world:
        world.user.say("hello")
        await gate.wait()
        world.user.block()
        notice = await world.answer(contains="could not be delivered")
        assert "bot was blocked by the user" in notice.text
        world.user.unblock()
        assert (await world.ask("back", by=world.user)).text == "back"


async def test_queued_answers_arrive_after_telegram_was_away(tmp_path: Path) -> None:
    """Answers that were made while Telegram was away arrive in order, each once."""
    gate = Gate(by_words({"slow": Turn(text="slow one", delay_seconds=0.3)}))
    async with running(tmp_path, gate) as world:
        world.owner.say("slow")
        await gate.wait()
        world.owner.say("two")
        world.user.say("three")
        await world.taken()
        await world.telegram.go_away()
        await gate.wait()
        await world.wait_health(503, "Telegram cannot be reached")
        await world.telegram.come_back()
        await world.answer(contains="two")
        await world.answer(USER, "three")
        await world.wait_health(200)
        assert (world.texts(), world.texts(USER)) == (["slow one", "two"], ["three"])
