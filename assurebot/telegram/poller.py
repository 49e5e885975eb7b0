"""Updates in: stored first, acknowledged after; no failure of Telegram's ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog

from assurebot.errors import (
    AssureBotError,
    AuditError,
    ChatConflict,
    ChatError,
    ChatTokenRefused,
    ChatUnavailable,
    StoreError,
)
from assurebot.ports import Clock, Store
from assurebot.telegram.updates import ALLOWED_UPDATES, Self, arrival
from assurebot.turns.intake import Intake

log = structlog.get_logger(__name__)

WAIT_SECONDS = 30
"""How long Telegram may hold a poll open when there is nothing."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
CONFLICT_SECONDS = 5.0
TOKEN_SECONDS = 300.0
STALE_SECONDS = 90.0
"""Older than this, the last good poll no longer counts as being in touch."""

HUNG_SECONDS = 300.0


class PollHung(AssureBotError):
    """A poll neither returned nor raised: only a new process helps."""


class UpdateSource(Protocol):
    """Where updates come from; see `telegram.client.TelegramClient` for the errors."""

    async def identify(self) -> tuple[int, str]:
        """Return the bot's user id and username."""
        ...

    async def prepare(self, commands: Sequence[tuple[str, str]]) -> None:
        """Get ready for polling."""
        ...

    async def updates(
        self, offset: int | None, wait_seconds: int, kinds: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Wait for updates."""
        ...


class Poller:
    """Polls, and says how long ago that last worked."""

    def __init__(
        self,
        *,
        source: UpdateSource,
        intake: Intake,
        store: Store,
        clock: Clock,
        commands: Sequence[tuple[str, str]],
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        self._source = source
        self._intake = intake
        self._store = store
        self._clock = clock
        self._commands = commands
        self._hung_seconds = hung_seconds
        self._me: Self | None = None
        self._prepared = False
        self._failures = 0
        self._trouble: str | None = "no poll yet"
        self._last_good: datetime | None = None

    def problem(self) -> str | None:
        """Say why updates do not come in, or `None`."""
        if self._trouble is not None:
            return self._trouble
        age = self.age_seconds()
        return None if age is not None and age < STALE_SECONDS else "no good poll for too long"

    def age_seconds(self) -> float | None:
        """Return how long ago the last poll succeeded."""
        if self._last_good is None:
            return None
        return (self._clock.now() - self._last_good).total_seconds()

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            PollHung: A poll did not even obey its own limit.
        """
        offset: int | None = None
        known = False
        while True:
            try:
                if not known:
                    offset, known = await self._store.offset(), True
                offset = await self._watched(offset)
            except (ChatError, StoreError, AuditError) as error:
                await asyncio.sleep(self._pause(error))

    async def _watched(self, offset: int | None) -> int | None:
        """Poll once, in a task of its own whose end is not taken for granted."""
        poll = asyncio.create_task(self._poll(offset), name="poll")
        try:
            done, _ = await asyncio.wait({poll}, timeout=self._hung_seconds)
        finally:
            if not poll.done():
                poll.cancel()
                await asyncio.wait({poll}, timeout=1)
        if not done:
            raise PollHung(f"a poll has not come back for {self._hung_seconds:g} s")
        return poll.result()

    async def _poll(self, offset: int | None) -> int | None:
        if self._me is None:
            user_id, username = await self._source.identify()
            self._me = Self(user_id=user_id, username=username)
        if not self._prepared:
            await self._source.prepare(self._commands)
            self._prepared = True
        # The first poll asks for an answer at once, so that readiness does not wait for a message.
        wait = WAIT_SECONDS if self._trouble is None else 0
        try:
            async with asyncio.timeout(wait + 2 * WAIT_SECONDS):
                batch = await self._source.updates(offset, wait, ALLOWED_UPDATES)
        except TimeoutError as error:
            raise ChatUnavailable("a poll hung") from error
        now = self._clock.now()
        if batch:
            numbers = [item["update_id"] for item in batch if _numbered(item)]
            following = max(numbers, default=(offset or 0) - 1) + 1
            arrivals = [arrival(item, self._me, now) for item in batch]
            await self._intake.take(arrivals, offset=following)
            offset = following
        self._last_good, self._trouble, self._failures = now, None, 0
        return offset

    def _pause(self, error: AssureBotError) -> float:
        """Note what went wrong and return how long to wait before the next poll."""
        self._failures += 1
        backoff = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS)) - 1]
        match error:
            case ChatTokenRefused():
                trouble, pause = "Telegram does not accept TELEGRAM_BOT_TOKEN", TOKEN_SECONDS
            case ChatConflict():
                trouble, pause = "another process polls with the same token", CONFLICT_SECONDS
            case ChatUnavailable(retry_after=float(seconds)):
                trouble, pause = "Telegram asked us to wait", min(max(seconds, 1.0), 86_400.0)
            case StoreError() | AuditError():
                trouble, pause = "updates cannot be stored", backoff
            case _:
                trouble, pause = "Telegram cannot be reached", backoff
        if trouble != self._trouble:
            log.warning("polling fails", trouble=trouble, error=str(error))
        self._trouble = trouble
        return pause


def _numbered(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("update_id"), int)
