"""The stand-in for Telegram fails on demand, and the client library sees it as in real life."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
from telegram import Bot
from telegram.error import NetworkError, RetryAfter, TelegramError, TimedOut

from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_faults import (
    BAD_GATEWAY,
    EMPTY,
    MALFORMED,
    Answer,
    Delay,
    Drop,
    Fault,
    FloodLimits,
    Hang,
    Refuse,
)
from assurebot.demo.telegram_wire import Received
from tests.demo.clients import open_bot

OWNER = 11


@pytest.fixture(autouse=True)
def _durations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this setting the library warns at each 429."""
    monkeypatch.setenv("PTB_TIMEDELTA", "true")


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    """A stand-in with two people."""
    async with TelegramServer() as server:
        server.person(OWNER)
        server.person(OWNER + 1)
        yield server


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[Bot]:
    """A client that waits 0.3 s for an answer."""
    async with open_bot(server, read_timeout_seconds=0.3) as bot:
        yield bot


def texts(server: TelegramServer, chat_id: int = OWNER) -> list[str]:
    """What was delivered."""
    return [message.text for message in server.messages(chat_id)]


async def test_a_429_names_the_wait_and_hits_one_chat_only(
    server: TelegramServer, bot: Bot
) -> None:
    """A fault for one chat leaves the others alone and is used up."""
    fault = Refuse(status=429, description="Too Many Requests: retry after 7", retry_after=7)
    server.faults.add("sendMessage", 1, fault, chat_id=OWNER)
    await bot.send_message(OWNER + 1, "other")
    with pytest.raises(RetryAfter) as caught:
        await bot.send_message(OWNER, "first")
    assert caught.value.retry_after == timedelta(seconds=7)
    await bot.send_message(OWNER, "again")
    assert (texts(server), texts(server, OWNER + 1)) == (["again"], ["other"])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refuse(status=500, description="Internal Server Error"), NetworkError),
        (BAD_GATEWAY, NetworkError),
        (MALFORMED, TelegramError),
        (EMPTY, TelegramError),
        (Drop(), NetworkError),
        (Hang(), TimedOut),
        (Delay(seconds=0.6), TimedOut),
    ],
)
async def test_a_fault_before_the_effect_delivers_nothing_at_first(
    server: TelegramServer, bot: Bot, fault: Fault, error: type[TelegramError]
) -> None:
    """The client sees an error and nothing was delivered; the next call works."""
    server.faults.add("sendMessage", 1, fault)
    with pytest.raises(error):
        await bot.send_message(OWNER, "lost")
    assert texts(server) == []
    await bot.send_message(OWNER, "works")
    assert texts(server)[-1] == "works"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Drop(after_effect=True), NetworkError),
        (Hang(after_effect=True), TimedOut),
        (Delay(seconds=0.6, after_effect=True), TimedOut),
        (Answer(status=502, body=b"<html>", after_effect=True), NetworkError),
    ],
)
async def test_a_fault_after_the_effect_delivers_what_the_client_thinks_lost(
    server: TelegramServer, bot: Bot, fault: Fault, error: type[TelegramError]
) -> None:
    """The message is there although the call failed."""
    server.faults.add("*", 1, fault)
    with pytest.raises(error):
        await bot.send_message(OWNER, "delivered")
    assert texts(server) == ["delivered"]


async def test_a_delayed_call_takes_effect_although_the_client_left(
    server: TelegramServer, bot: Bot
) -> None:
    """The request had arrived: it is worked after the client gave up."""
    server.faults.add("sendMessage", 1, Delay(seconds=0.5))
    with pytest.raises(TimedOut):
        await bot.send_message(OWNER, "late")
    message = await server.wait_for_message(OWNER, contains="late")
    assert message.text == "late"


async def test_faults_stay_until_cleared_when_not_counted(server: TelegramServer, bot: Bot) -> None:
    """A count of `None` hits every call until `clear`."""
    server.faults.add("*", None, BAD_GATEWAY)
    for _ in range(3):
        with pytest.raises(NetworkError):
            await bot.get_me()
    server.faults.clear()
    await bot.get_me()
    assert server.statuses["getMe", 502] == 3


async def test_a_hook_meets_each_call_and_may_inject_a_fault(
    server: TelegramServer, bot: Bot
) -> None:
    """Before the effect nothing is delivered, after it all is; the hook decides what follows."""
    seen: list[tuple[str, int]] = []

    async def before(call: Received) -> Fault | None:
        seen.append((f"before {call.params['text']}", len(server.messages(OWNER))))
        return Drop() if call.params["text"] == "bad" else None

    async def after(call: Received) -> Fault | None:
        seen.append((f"after {call.params['text']}", len(server.messages(OWNER))))
        return None

    remove = server.on_call("sendMessage", before)
    server.on_call("sendMessage", after, "after")
    await bot.send_message(OWNER, "good")
    with pytest.raises(NetworkError):
        await bot.send_message(OWNER, "bad")
    remove()
    await bot.send_message(OWNER, "bad")
    assert seen == [("before good", 0), ("after good", 1), ("before bad", 1), ("after bad", 2)]


async def test_a_poll_may_fail_too_and_loses_nothing(server: TelegramServer, bot: Bot) -> None:
    """An answer to getUpdates that never arrives leaves the updates where they are."""
    server.person(OWNER).say("kept")
    server.faults.add("getUpdates", 1, Drop(after_effect=True))
    with pytest.raises(NetworkError):
        await bot.get_updates()
    (update,) = await bot.get_updates()
    assert update.message is not None
    assert update.message.text == "kept"


async def test_the_server_can_go_away_and_come_back(server: TelegramServer, bot: Bot) -> None:
    """Connections are refused in between; updates and messages stay, and so does the port."""
    server.person(OWNER).say("kept")
    await bot.send_message(OWNER, "before")
    poll = asyncio.create_task(bot.get_updates(offset=server.last_update_id + 9, timeout=30))
    await server.wait_for("getUpdates")
    await server.go_away()
    with pytest.raises(NetworkError):
        await poll
    with pytest.raises(NetworkError):
        await bot.send_message(OWNER, "x")
    server.person(OWNER).say("meanwhile")
    await server.come_back()
    assert len(await bot.get_updates()) == 1
    assert texts(server) == ["before"]


async def test_flood_control_closes_a_chat_until_the_stated_time() -> None:
    """A burst passes, then 429 with the wait; calls before its end are noted as violations."""
    limits = FloodLimits(chat_seconds=0.2, chat_burst=2)
    async with TelegramServer(flood=limits) as server, open_bot(server) as bot:
        server.person(OWNER)
        server.person(OWNER + 1)
        await bot.send_message(OWNER, "1")
        await bot.send_message(OWNER, "2")
        for _ in range(2):
            with pytest.raises(RetryAfter) as caught:
                await bot.send_message(OWNER, "3")
            assert caught.value.retry_after == timedelta(seconds=1)
        await bot.send_message(OWNER + 1, "other")
        await bot.send_message_draft(OWNER, 1, "drafts are not counted")
        await asyncio.sleep(1.02)
        await bot.send_message(OWNER, "3")
        assert texts(server) == ["1", "2", "3"]
        assert [v.rule for v in server.violations] == ["called before retry_after"]


async def test_flood_control_counts_groups_by_the_minute_and_all_by_the_second() -> None:
    """The limit of a group and the limit of all chats together hold besides that of a chat."""
    limits = FloodLimits(chat_seconds=0.0, chat_burst=100, group_per_minute=2, overall_per_second=4)
    async with TelegramServer(flood=limits) as server, open_bot(server) as bot:
        server.person(OWNER)
        server.group(-5)
        await bot.send_message(-5, "1")
        await bot.send_message(-5, "2")
        with pytest.raises(RetryAfter) as caught:
            await bot.send_message(-5, "3")
        assert caught.value.retry_after == timedelta(seconds=60)
        await bot.send_message(OWNER, "3")
        await bot.send_message(OWNER, "4")
        with pytest.raises(RetryAfter) as caught:
            await bot.send_message(OWNER, "5")
        assert caught.value.retry_after == timedelta(seconds=1)


async def test_it_remembers_only_as_many_requests_as_told_but_counts_all() -> None:
    """Raw requests are trimmed; statuses and messages are not."""
    async with TelegramServer(keep_requests=5) as server, aiohttp.ClientSession() as session:
        server.person(OWNER)
        url = f"{server.base_url}{server.token}/sendMessage"

        async def send(text: str) -> None:
            async with session.post(url, data={"chat_id": OWNER, "text": text}) as answer:
                await answer.read()

        began = time.perf_counter()
        for start in range(0, 500, 50):
            await asyncio.gather(*(send(f"{n}") for n in range(start, start + 50)))
        assert time.perf_counter() - began < 5
        assert [call.serial for call in server.requests] == [496, 497, 498, 499, 500]
        assert server.statuses["sendMessage", 200] == len(server.messages(OWNER)) == 500
