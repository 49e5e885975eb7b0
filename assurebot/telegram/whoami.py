"""`assurebot whoami`: who writes to the bot, so that a newcomer can fill `ALLOWED_USERS`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from assurebot.errors import ChatConflict, ChatError, ChatTokenRefused, ConfigError
from assurebot.telegram.client import TelegramClient


async def listen(
    token: str, api_url: str | None, seconds: float, say: Callable[[str], None]
) -> int:
    """Say name and id of each person who writes, until the time is over; return the exit code.

    Nothing is confirmed: the bot finds the same messages when it starts.

    Raises:
        ConfigError: The token is not accepted.
    """
    seen: set[int] = set()
    async with TelegramClient(token, api_url) as client:
        try:
            _, username = await client.identify()
        except ChatTokenRefused as error:
            raise ConfigError(
                "TELEGRAM_BOT_TOKEN is not accepted by Telegram; copy it from @BotFather again"
            ) from error
        except ChatError as error:
            raise ConfigError(f"TELEGRAM_API_URL: Telegram cannot be reached: {error}") from error
        say(f"Write anything to @{username} on Telegram; listening for {seconds:g} seconds.")
        try:
            async with asyncio.timeout(seconds):
                await _watch(client, seen, say)
        except TimeoutError:
            pass
        except ChatConflict:
            say(
                "Another program listens with this token, perhaps the bot itself or a webhook; "
                "end it and run this again."
            )
            return 1
    if not seen:
        say("Nobody wrote. Is it the right bot? Open its chat, press Start, and run this again.")
        return 1
    say(f"Put the id into ALLOWED_USERS, for example ALLOWED_USERS={next(iter(seen))}")
    return 0


async def _watch(client: TelegramClient, seen: set[int], say: Callable[[str], None]) -> None:
    while True:
        try:
            batch = await client.updates(None, 10 if not seen else 0, ["message"])
        except ChatConflict:
            raise
        except ChatError as error:
            say(f"Telegram: {error}; trying again.")
            await asyncio.sleep(3)
            continue
        for update in batch:
            person = update.get("message", {}).get("from", {})
            if isinstance(person.get("id"), int) and person["id"] not in seen:
                seen.add(person["id"])
                name = " ".join(filter(None, (person.get("first_name"), person.get("last_name"))))
                say(f"{name or 'nameless'}: id {person['id']}")
        # Unconfirmed updates come back at once, so the next question must wait a little.
        await asyncio.sleep(1 if batch else 0)
