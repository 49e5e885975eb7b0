"""The whole program between stand-ins for Telegram and the model, for tests from the outside."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from assurebot.app import Parts, serve
from assurebot.demo.model import ModelServer, Script, echo
from assurebot.demo.telegram import TOKEN, TelegramServer
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_people import Person
from assurebot.settings import Settings, load_settings
from assurebot.telegram.poller import PollTimes
from assurebot.turns.pace import Rate, Rates
from assurebot.turns.preview import PreviewTimes
from tests.doubles import FakeReader, FakeSandbox
from tests.scripts import COLD_SECONDS, LIMIT_SECONDS

T = TypeVar("T")
Line = dict[str, Any]

OWNER, USER, STRANGER = 42, 43, 666
GROUP, OTHER_GROUP = -1001, -1002

API_KEY = "sk-made-up-for-tests-0123456789"

FREE = Rate(seconds=0.0, burst=1_000)
UNLIMITED = Rates(private=FREE, group=FREE, overall=FREE)
QUICK_PREVIEW = PreviewTimes(first=0.01, drafts=0.02, edits=0.05, typing=0.2, renewal=0.5)
QUICK_POLL = PollTimes(wait=5, forgiven=0, backoff=(0.05, 0.1), conflict=0.1)


def quick(**fields: Any) -> Parts:
    """The product's parts, without the pauses that courtesy to Telegram demands."""
    given: dict[str, Any] = {
        "rates": UNLIMITED,
        "preview": QUICK_PREVIEW,
        "poll": QUICK_POLL,
        "disk_seconds": 0.2,
        "gather_seconds": 0.1,
        "box": lambda *_, **__: nullcontext(FakeSandbox()),
        "reader": FakeReader,
    }
    return Parts(**{**given, **fields})


class World:
    """A running program and everything around it.

    Attributes:
        telegram, model: The stand-ins; they outlive the program.
        owner, user, stranger: People; the first two are on the list.
        parts: What the next start is made of.
    """

    def __init__(
        self,
        folder: Path,
        telegram: TelegramServer,
        model: ModelServer,
        parts: Parts,
        environ: dict[str, str],
    ) -> None:
        self.telegram = telegram
        self.model = model
        self.parts = parts
        self.port = _free_port()
        self.environ = {
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram.api_url,
            "ALLOWED_USERS": f"{OWNER},{USER}",
            "ANTHROPIC_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": model.url,
            "AI_PRICE": "1,2",
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            **environ,
        }
        self.owner = telegram.person(OWNER, "Ann")
        self.user = telegram.person(USER, "Ben")
        self.stranger = telegram.person(STRANGER, "Eve")
        self._stop = asyncio.Event()
        self.app: asyncio.Task[None] | None = None

    # --- the program

    @property
    def settings(self) -> Settings:
        """What the program is started with."""
        return load_settings(self.environ)

    @property
    def folder(self) -> Path:
        """Its data folder."""
        return Path(self.environ["DATA_DIR"])

    @property
    def database(self) -> Path:
        """Its database file."""
        return self.folder / "assurebot.db"

    async def start(self, *, polls: bool = True) -> None:
        """Start it, and wait until it polls."""
        serial = self.telegram.requests[-1].serial if self.telegram.requests else 0
        self._stop = asyncio.Event()
        self.app = asyncio.create_task(serve(self.settings, self._stop, self.parts), name="app")
        if polls:
            await self.meanwhile(
                self.telegram.wait_for("getUpdates", after=serial, timeout_seconds=LIMIT_SECONDS)
            )

    async def stop(self) -> float:
        """Stop it as SIGTERM does; return how many seconds that took."""
        began = asyncio.get_running_loop().time()
        app, self.app = self.app, None
        if app is not None:
            self._stop.set()
            try:
                async with asyncio.timeout(LIMIT_SECONDS + 5):
                    await app
            except TimeoutError as error:
                raise AssertionError("the program does not stop") from error
        return asyncio.get_running_loop().time() - began

    async def restart(self) -> None:
        """Stop it and start it on the same data."""
        await self.stop()
        await self.start()

    async def fall(self) -> None:
        """Cancel it in the midst of whatever it does, and wait for the end."""
        app, self.app = self.app, None
        if app is not None:
            app.cancel()
            await asyncio.wait({app}, timeout=LIMIT_SECONDS)

    async def meanwhile(self, wait: Awaitable[T]) -> T:
        """Wait for something, but no longer than the program lives."""
        waiting = asyncio.ensure_future(wait)
        running = {self.app} if self.app is not None else set()
        await asyncio.wait({waiting, *running}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and self.app is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
            self.app.result()
            raise AssertionError("the program ended")
        return await waiting

    # --- what goes in and out

    async def answer(
        self,
        chat_id: int = OWNER,
        contains: str = "",
        *,
        after: int = 0,
        timeout_seconds: float = COLD_SECONDS,
    ) -> SentMessage:
        """Wait for a message of the bot."""
        return await self.meanwhile(
            self.telegram.wait_for_message(
                chat_id, contains=contains, after=after, timeout_seconds=timeout_seconds
            )
        )

    async def ask(self, text: str, contains: str = "", *, by: Person | None = None) -> SentMessage:
        """Say something in private and wait for what is answered after it."""
        person = by or self.owner
        said = person.say(text)
        return await self.answer(person.user_id, contains, after=said)

    async def taken(self) -> None:
        """Wait until every update so far was acknowledged."""
        await self.meanwhile(self.telegram.wait_confirmed(timeout_seconds=LIMIT_SECONDS))

    def texts(self, chat_id: int = OWNER) -> list[str]:
        """All messages of the bot in a chat."""
        return [message.text for message in self.telegram.messages(chat_id)]

    def calls_about(self, *chat_ids: int) -> list[str]:
        """Methods that were called about these chats."""
        return [call.method for call in self.telegram.requests if call.chat_id in chat_ids]

    # --- what it shows and leaves

    async def health(self) -> tuple[int, Line]:
        """Ask for its health."""
        limit = aiohttp.ClientTimeout(total=LIMIT_SECONDS)
        url = f"http://127.0.0.1:{self.port}/health"
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as response:
            return response.status, await response.json()

    async def wait_health(self, status: int, contains: str = "") -> Line:
        """Ask until the health is such; nothing tells of it by itself."""
        found: tuple[int, Line] = (0, {})
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while True:
                    with suppress(aiohttp.ClientConnectionError):
                        found = await self.meanwhile(self.health())
                    if found[0] == status and contains in json.dumps(found[1]):
                        return found[1]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimeoutError(f"the health stays {found}") from None

    def audit(self, **fields: Any) -> list[Line]:
        """Read the lines of the audit that have these fields; all are there after a stop."""
        lines = (json.loads(raw) for raw in self.settings.audit_log_path.read_bytes().splitlines())
        return [line for line in lines if fields.items() <= line.items()]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database from the outside."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(query, values).fetchall()

    def stored_bytes(self) -> bytes:
        """Everything in the data folder."""
        return b"\n".join(
            path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.name.endswith(".reserve")
        )


@asynccontextmanager
async def running(
    folder: Path,
    script: Script | None = None,
    *,
    parts: Parts | None = None,
    started: bool = True,
    token: str = TOKEN,
    **environ: str,
) -> AsyncIterator[World]:
    """Run the program between stand-ins, by default an echo, for the length of the block.

    Args:
        folder: Where its data folder is made.
        script: What the model answers.
        parts: By default `quick()`.
        started: Start it at once.
        token: The bot's token.
        environ: More settings, by their names.
    """
    async with TelegramServer(token=token) as telegram, ModelServer(script or echo()) as model:
        world = World(folder, telegram, model, parts or quick(), environ)
        if started:
            await world.start()
        try:
            yield world
        finally:
            if world.app is not None and world.app.done() and not world.app.cancelled():
                world.app.exception()
                world.app = None
            await world.stop()


def _free_port() -> int:
    """Pick a port outside of the range that the kernel gives away."""
    while True:
        port = random.randint(20_000, 30_000)  # noqa: S311 - no secret
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
