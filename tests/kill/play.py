"""One run: people write, the program is killed and started again, until all is answered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from assurebot.demo.model import ModelServer
from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_faults import Drop, Fault
from assurebot.demo.telegram_wire import Received
from tests.kill.daemon import EFFECTS, MARKED
from tests.kill.lives import Life, Program, start
from tests.kill.points import ANY, SEND, START, Kill, as_environment
from tests.kill.story import CHATS, Message, done_number, script

AUDIT_KEY = "the kill harness knows this key, 0123456789"

PAUSE_SECONDS = 0.03
"""Between two messages of the steady stream."""
START_SECONDS = 0.5
"""Kills `while starting` come within this after the process was made."""
HIT_SECONDS = 10.0
"""A named point that is not passed so long after the last message is missed."""
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one run left behind.

    Attributes:
        hits: Kills by the point where they struck.
        odd_exits: Exit codes of lives that ended otherwise than by our kill or our stop.
        answers: All messages of the bot, chat by chat in the order of sending.
        folder: Holds the data, the counting file and the list of sends marked as sent.
    """

    messages: Sequence[Message]
    hits: Mapping[str, int]
    restarts: int
    odd_exits: Sequence[int]
    answers: Mapping[int, Sequence[SentMessage]]
    seconds: float
    folder: Path

    @property
    def data(self) -> Path:
        """The data folder of the program."""
        return self.folder / "data"

    @property
    def effects(self) -> Path:
        """The counting file."""
        return self.folder / "effects"

    @property
    def marked(self) -> Path:
        """The list of sends marked as sent."""
        return self.folder / "marked"


class Play:
    """Plays one run."""

    def __init__(self, program: Program, folder: Path, messages: Sequence[Message]) -> None:
        self._program = program
        self._folder = folder
        self._messages = messages
        self._telegram = TelegramServer(keep_requests=100)
        self._model = ModelServer(script(), keep=100)
        self._to_say = list(reversed(messages))
        self._unanswered = {message.number for message in messages}
        self._progress = asyncio.Event()
        self._life: Life | None = None
        self._hits: Counter[str] = Counter()
        self._odd_exits: list[int] = []

    async def run(self, kills: Sequence[Kill]) -> Played:
        """Play to the end; every wait in it has a limit."""
        began = time.monotonic()
        for chat_id in CHATS:
            self._telegram.person(chat_id, f"Person {chat_id}")
        self._telegram.on_call("getUpdates", self._on_poll)
        self._telegram.on_call("sendMessage", self._before_send)
        self._telegram.on_call("sendMessage", self._after_send, "after")
        async with self._telegram, self._model:
            try:
                for left, kill in zip(range(len(kills), 0, -1), kills, strict=True):
                    await self._one_life(kill, len(self._to_say) // (left + 1))
                await self._last_life()
            finally:
                if self._life is not None:
                    self._life.end()
            answers = {chat_id: self._telegram.messages(chat_id) for chat_id in CHATS}
        return Played(
            messages=self._messages,
            hits=self._hits,
            restarts=len(kills),
            odd_exits=self._odd_exits,
            answers=answers,
            seconds=time.monotonic() - began,
            folder=self._folder,
        )

    # --- lives

    async def _one_life(self, kill: Kill, share: int) -> None:
        """Start the program, let people write, and see it die; what was not said then is said."""
        until = len(self._to_say) - share
        life = self._start(kill)
        tasks = [asyncio.create_task(self._write_to(life, until))]
        if kill.point in (ANY, START):
            tasks.append(asyncio.create_task(_end_later(life, kill, share)))
        else:
            tasks.append(asyncio.create_task(_end_if_missed(life, tasks[0])))
        code = await life.wait()
        await _cancelled(tasks)
        if code != -signal.SIGKILL:
            self._odd_exits.append(code)
        elif life.missed:
            self._hits[f"missed: {kill.point}"] += 1
        else:
            self._hits[kill.point] += 1
        # People go on writing while it is down.
        while len(self._to_say) > until:
            self._say_next()

    async def _last_life(self) -> None:
        life = self._start(None)
        try:
            await self._write_to(life, 0)
            while self._unanswered and life.alive:
                self._progress.clear()
                async with asyncio.timeout(self._program.idle_seconds):
                    await self._progress.wait()
        except TimeoutError:
            pass  # what is unanswered now counts as lost
        life.stop()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                code = await life.wait()
        except TimeoutError:
            life.end()
            code = await life.wait()
        if code:
            self._odd_exits.append(code)

    def _start(self, kill: Kill | None) -> Life:
        output = self._folder / "output"
        self._life = start(self._program, self._environment(kill), output, kill)
        return self._life

    def _environment(self, kill: Kill | None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return (
            kept
            | as_environment(kill)
            | {
                "TELEGRAM_BOT_TOKEN": self._telegram.token,
                "TELEGRAM_API_URL": self._telegram.api_url,
                "SANDBOX_ENABLED": "false",  # its lives are too short for a self-test
                "ALLOWED_USERS": ",".join(map(str, CHATS)),
                "ANTHROPIC_API_KEY": "sk-no-key-at-all-123456",
                "ANTHROPIC_BASE_URL": self._model.url,
                "AI_PRICE": "0,0",
                "RATE_USER_PER_MINUTE": "1000",  # what waits for a minute would count as lost
                "AUDIT_KEY": AUDIT_KEY,
                "DATA_DIR": str(self._folder / "data"),
                "PORT": "0",
                EFFECTS: str(self._folder / "effects"),
                MARKED: str(self._folder / "marked"),
            }
        )

    # --- people

    async def _write_to(self, life: Life, until: int) -> None:
        """Say one message after the other, from the first poll on, until so many are left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await life.polled.wait()
        while len(self._to_say) > until:
            self._say_next()
            await asyncio.sleep(PAUSE_SECONDS)

    def _say_next(self) -> None:
        message = self._to_say.pop()
        self._telegram.person(message.chat_id).say(message.text)

    # --- what the stand-in for Telegram sees

    async def _on_poll(self, _received: Received) -> Fault | None:
        if self._life is not None:
            self._life.polled.set()
        return None

    async def _before_send(self, _received: Received) -> Fault | None:
        if not self._is_killing_send(late=False):
            return None
        return Drop()  # the request is lost together with its sender

    async def _after_send(self, received: Received) -> Fault | None:
        number = done_number(str(received.params.get("text", "")))
        if number is not None:
            self._unanswered.discard(number)
            self._progress.set()
        self._is_killing_send(late=True)
        return None

    def _is_killing_send(self, *, late: bool) -> bool:
        life = self._life
        if life is None or life.kill is None:
            return False
        if life.kill.point != SEND or life.kill.late != late:
            return False
        life.sends += 1
        if life.sends == life.kill.at:
            life.end()
        return life.sends == life.kill.at


async def _end_later(life: Life, kill: Kill, share: int) -> None:
    """Kill at a moment that was drawn, whatever the program is at."""
    if kill.point == START:
        await asyncio.sleep(kill.fraction * START_SECONDS)
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await life.polled.wait()
        await asyncio.sleep(kill.fraction * share * PAUSE_SECONDS)
    life.end()


async def _end_if_missed(life: Life, writing: asyncio.Task[None]) -> None:
    """Kill a program that does not come to its point."""
    await asyncio.wait({writing})
    await asyncio.sleep(HIT_SECONDS)
    life.missed = True
    life.end()


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def play(
    program: Program,
    folder: Path,
    messages: Sequence[Message],
    kills: Sequence[Kill],
) -> Played:
    """Play one run in a new folder."""
    await asyncio.to_thread(folder.mkdir)
    return await Play(program, folder, messages).run(kills)
