"""One bot's side of the measurement: a stand-in for Telegram that takes times."""

from __future__ import annotations

import asyncio
import itertools
import time
from types import TracebackType
from typing import Self

from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_faults import Fault
from assurebot.demo.telegram_wire import Received

FIRST_USER = 1001
CHATS = 33
"""People who write to the bots; each has a private chat."""

ANSWER_SECONDS = 60.0


class Stage:
    """Says things to one bot and waits for its answers.

    Attributes:
        polled: When the bot polled first (`time.perf_counter`), `None` before.
    """

    def __init__(self) -> None:
        self.telegram = TelegramServer(keep_requests=1)
        self.polled: float | None = None
        self._numbers = itertools.count(1)
        self._handouts: list[float] = []
        self._answers: dict[str, asyncio.Future[float]] = {}

    async def __aenter__(self) -> Self:
        await self.telegram.__aenter__()
        self.telegram.on_call("getUpdates", self._poll_begins)
        self.telegram.on_call("getUpdates", self._poll_ends, "after")
        self.telegram.on_call("sendMessage", self._sent)
        self._people = [self.telegram.person(FIRST_USER + n) for n in range(CHATS)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.telegram.__aexit__(kind, error, trace)

    async def _poll_begins(self, _call: Received) -> Fault | None:
        if self.polled is None:
            self.polled = time.perf_counter()
        return None

    async def _poll_ends(self, _call: Received) -> Fault | None:
        self._handouts.append(time.perf_counter())
        return None

    async def _sent(self, call: Received) -> Fault | None:
        answer = self._answers.pop(str(call.params.get("text")), None)
        if answer is not None and not answer.done():
            answer.set_result(time.perf_counter())
        return None

    async def ask(self, chat: int = 0) -> float:
        """Say something while nothing else is asked; return the seconds from its hand-out.

        Raises:
            TimeoutError: No answer came.
        """
        self._handouts.clear()
        arrived = await self._answer(chat)
        return arrived - self._handouts[0]

    async def _answer(self, chat: int) -> float:
        """Say something and return when the answer to it arrived."""
        text = f"message {next(self._numbers)}"
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._answers[text] = answer
        self._people[chat].say(text)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer

    async def ask_many(self, count: int, chats: int) -> float:
        """Have `count` messages answered, one waiting in each of `chats` chats; return seconds."""
        left = itertools.repeat(None, count)

        async def talk(chat: int) -> None:
            for _ in left:
                await self._answer(chat)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for chat in range(chats):
                group.create_task(talk(chat))
        return time.perf_counter() - began
