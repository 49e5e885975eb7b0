"""A real client library for the stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telegram import Bot
from telegram.request import HTTPXRequest

from assurebot.demo.telegram import TelegramServer


@asynccontextmanager
async def open_bot(
    server: TelegramServer, *, token: str | None = None, read_timeout_seconds: float = 5.0
) -> AsyncIterator[Bot]:
    """Yield a bot that is initialised against the stand-in."""
    bot = Bot(
        token or server.token,
        base_url=server.base_url,
        base_file_url=server.base_file_url,
        request=HTTPXRequest(read_timeout=read_timeout_seconds),
        get_updates_request=HTTPXRequest(read_timeout=read_timeout_seconds),
    )
    async with bot:
        yield bot
