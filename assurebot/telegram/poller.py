"""Updates in: stored first, acknowledged after; no failure of Telegram's ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from assurebot.ports import AuditLog, Clock, Store
from assurebot.telegram.reading import Albums, Self
from assurebot.telegram.updates import ALLOWED_UPDATES, arrival
from assurebot.turns.effects import effect
from assurebot.turns.intake import Intake
from assurebot.turns.outbox import LONGEST_BAN_SECONDS
from assurebot.values import AuditEntry

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollTimes:
    """Seconds of all that a poll waits for.

    Attributes:
        wait: How long Telegram may hold a poll open when there is nothing.
        slack: How much longer than that a poll may take before it is given up.
        hung: After this a poll that was given up and does not end ends the program.
        stale: Older than this, the last good poll no longer counts as being in touch.
        forgiven: So long after a good poll, failures do not count yet.
        backoff: Pauses after failures in a row; the last one again and again.
        conflict: Pause while another process polls.
        token: Pause while the token is refused.
    """

    wait: int = 30
    slack: float = 60.0
    hung: float = 300.0
    stale: float = 90.0
    forgiven: float = 60.0
    backoff: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    conflict: float = 5.0
    token: float = 300.0


class PollHung(AssureBotError):
    """A poll neither returned nor raised: only a new process helps."""


class UpdateSource(Protocol):
    """Where updates come from; see `telegram.client.TelegramClient` for the errors."""

    async def identify(self) -> tuple[int, str]:
        """Return the bot's user id and username."""
        ...

    async def prepare(self, commands: Sequence[tuple[str, str]]) -> None:
        """Take a webhook away, which would keep updates from us, and register the commands."""
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
        audit: AuditLog,
        clock: Clock,
        commands: Sequence[tuple[str, str]],
        times: PollTimes,
    ) -> None:
        self._source = source
        self._intake = intake
        self._store = store
        self._audit = audit
        self._clock = clock
        self._commands = commands
        self._times = times
        self._me: Self | None = None
        self._albums = Albums(maxlen=20)
        self._offset: int | None = None
        self._failures = 0
        self._trouble: str | None = "no poll yet"
        self._last_good: float | None = None

    def problem(self) -> str | None:
        """Say why updates do not come in, or `None`."""
        age = self.age_seconds()
        limit = self._times.stale if self._trouble is None else self._times.forgiven
        if age is not None and age < limit:
            return None
        return self._trouble or "no good poll for too long"

    def age_seconds(self) -> float | None:
        """Return how long ago the last poll succeeded."""
        if self._last_good is None:
            return None
        return time.monotonic() - self._last_good

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            PollHung: A poll did not even obey its own limit.
        """
        while True:
            try:
                await self._watched()
            except (ChatError, StoreError, AuditError) as error:
                await asyncio.sleep(self._pause(error))

    async def _watched(self) -> None:
        """Poll once, in a task of its own whose end is not taken for granted."""
        poll = asyncio.create_task(self._poll(), name="poll")
        try:
            done, _ = await asyncio.wait({poll}, timeout=self._times.hung)
        finally:
            if not poll.done():
                poll.cancel()
                await asyncio.wait({poll}, timeout=1)
        if not done:
            raise PollHung(f"a poll has not come back for {self._times.hung:g} s")
        poll.result()

    async def _poll(self) -> None:
        if self._me is None:
            self._offset = await self._store.offset()
            # The rest of an album may come now; only the part that is here told that it is for us.
            known = (each.event for each in await self._store.unfinished() if each.event.album)
            self._albums.extend(f"{each.place.chat_id}:{each.album}" for each in known)
            user_id, username = await self._source.identify()
            preparing = AuditEntry(type="send", action="prepare", target="telegram")
            async with effect(self._audit, preparing):
                await self._source.prepare(self._commands)
            self._me = Self(user_id=user_id, username=username)
        # The first poll asks for an answer at once, so that readiness does not wait for a message.
        wait = self._times.wait if self._trouble is None else 0
        try:
            async with asyncio.timeout(wait + self._times.slack):
                batch = await self._source.updates(self._offset, wait, ALLOWED_UPDATES)
        except TimeoutError as error:
            raise ChatUnavailable("a poll hung") from error
        now = self._clock.now()
        if batch:
            numbers = [n for item in batch if isinstance(n := item.get("update_id"), int)]
            following = max(numbers) + 1 if numbers else self._offset
            arrivals = [arrival(item, self._me, now, self._albums) for item in batch]
            await self._intake.take(arrivals, offset=following)
            self._offset = following
        if self._trouble is not None:
            log.info("polling", bot=self._me.username)
        self._last_good, self._trouble, self._failures = time.monotonic(), None, 0

    def _pause(self, error: AssureBotError) -> float:
        """Note what went wrong and return how long to wait before the next poll."""
        self._failures += 1
        times = self._times
        backoff = times.backoff[min(self._failures, len(times.backoff)) - 1]
        match error:
            case ChatTokenRefused():
                trouble, pause = "Telegram does not accept TELEGRAM_BOT_TOKEN", times.token
            case ChatConflict():
                trouble, pause = "another process polls with the same token", times.conflict
            case ChatUnavailable(retry_after=float(seconds)):
                trouble = "Telegram asked us to wait"
                pause = min(max(seconds, 1.0), LONGEST_BAN_SECONDS)
            case StoreError() | AuditError():
                trouble, pause = "updates cannot be stored", backoff
            case _:
                trouble, pause = "Telegram cannot be reached", backoff
        if trouble != self._trouble:
            log.warning("polling fails", trouble=trouble, error=str(error))
        self._trouble = trouble
        return pause
