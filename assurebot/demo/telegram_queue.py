"""The queue of updates, with the true semantics of `getUpdates`."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from itertools import islice

from assurebot.demo.telegram_rules import Refused
from assurebot.demo.telegram_watch import Watch
from assurebot.demo.telegram_wire import Json

OTHER_POLL = (
    "terminated by other getUpdates request; make sure that only one bot instance is running"
)
WEBHOOK_ACTIVE = (
    "can't use getUpdates method while webhook is active; "
    "use deleteWebhook to delete the webhook first"
)
WEBHOOK_SET = "terminated by setWebhook request"

# The three kinds that an empty `allowed_updates` leaves out.
_ON_REQUEST = frozenset(("chat_member", "message_reaction", "message_reaction_count"))


class UpdateQueue:
    """Updates wait here until a poll with a higher offset confirms them.

    Attributes:
        allowed: Kinds asked for last; empty means all but three.
        confirmed_offset: Every update with a lower id was acknowledged.
        last_id: Id of the newest update.
        webhook_url: Where updates go instead; polls are refused then.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._again: deque[bytes] = deque()
        self._poll: asyncio.Future[str | None] | None = None
        self.allowed: tuple[str, ...] = ()
        self.last_id = 700_000_000
        self.confirmed_offset = self.last_id + 1
        self.confirmations: Watch[int] = Watch()
        self.webhook_url = ""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    def put(self, update: Json, *, unasked: bool = False) -> int | None:
        """Queue an update under the next id and return that; `None` if nobody asked for it."""
        kind = next((name for name in update if name != "update_id"), "")
        wanted = kind in self.allowed if self.allowed else kind not in _ON_REQUEST
        if not wanted and not unasked:
            return None
        self.last_id += 1
        body = json.dumps({**update, "update_id": self.last_id}).encode()
        self._waiting.append((self.last_id, body))
        self._wake(None)
        return self.last_id

    def repeat(self, update: Json) -> None:
        """Hand out an update as it stands once more, whatever was confirmed: a server's mistake."""
        self._again.append(json.dumps(update).encode())
        self._wake(None)

    def confirm(self, offset: int) -> None:
        """Forget what lies below `offset`; a negative one keeps that many of the newest."""
        if offset < 0:
            offset = self._waiting[offset][0] if -offset <= len(self._waiting) else 0
        while self._waiting and self._waiting[0][0] < offset:
            self._waiting.popleft()
        offset = min(offset, self.last_id + 1)
        if offset > self.confirmed_offset:
            self.confirmed_offset = offset
            self.confirmations.tell(offset)

    def clear(self) -> None:
        """Forget everything that waits."""
        self._again.clear()
        self.confirm(self.last_id + 1)

    def interrupt(self, reason: str) -> None:
        """End a running poll with a conflict."""
        self._wake(reason)

    async def poll(
        self, offset: int, limit: int, timeout_seconds: float, begun: Callable[[], None]
    ) -> bytes:
        """Confirm, then return up to `limit` updates as JSON, waiting for the first one.

        Raises:
            Refused: 409, when a webhook is set or another poll begins.
        """
        if self.webhook_url:
            raise Refused(WEBHOOK_ACTIVE, 409)
        self.interrupt(OTHER_POLL)
        self.confirm(offset)
        begun()
        if not len(self) and timeout_seconds > 0:
            await self._wait(timeout_seconds)
        return self._take(min(max(limit, 1), 100))

    async def _wait(self, timeout_seconds: float) -> None:
        self._poll = poll = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_seconds):
                reason = await poll
        except TimeoutError:
            return
        finally:
            if self._poll is poll:
                self._poll = None
        if reason is not None:
            raise Refused(reason, 409)

    def _wake(self, reason: str | None) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(reason)
        self._poll = None

    def _take(self, limit: int) -> bytes:
        batch: list[bytes] = []
        while self._again and len(batch) < limit:
            batch.append(self._again.popleft())
        batch += [body for _, body in islice(self._waiting, limit - len(batch))]
        return b"[" + b",".join(batch) + b"]"
