"""Committed messages out, in order, paced, again until they arrive or are refused for good."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import structlog

from assurebot.errors import AuditError, BlobLost, ChatRejected, ChatUnavailable, StoreError
from assurebot.ports import AuditLog, Chat, Clock, Store
from assurebot.turns.pace import Pace
from assurebot.values import AuditEntry, OutboxRow, Piece, Place, Trace

log = structlog.get_logger(__name__)

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
LONGEST_BAN_SECONDS = 86_400.0
"""No `retry_after` is obeyed for longer than this; the longest seen in the field was 3.9 h."""


class Plain(Protocol):
    """Text as it stands to messages; `guarded`, nothing in them may be a link."""

    def __call__(self, text: str, *, guarded: bool = False) -> tuple[Piece, ...]:
        """Return the messages."""
        ...


class Outbox:
    """One queue a chat; a chat that has to wait does not hold up the others."""

    def __init__(
        self,
        *,
        store: Store,
        chat: Chat,
        audit: AuditLog,
        clock: Clock,
        pace: Pace,
        plain: Plain,
        owner: Place,
        disk_seconds: float,
    ) -> None:
        self._store = store
        self._chat = chat
        self._audit = audit
        self._clock = clock
        self._pace = pace
        self._plain = plain
        self._owner = owner
        self._disk_seconds = disk_seconds
        self._queues: dict[int, deque[OutboxRow]] = {}
        self._drafts: dict[int, int] = {}
        self._frozen: dict[int, float] = {}
        self._senders: asyncio.TaskGroup | None = None
        self._early: list[OutboxRow] = []
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Send what is unsent, and then whatever is pushed, until cancelled."""
        rows = await self._store.unsent()
        async with asyncio.TaskGroup() as senders:
            self._senders = senders
            self.push(rows)
            newest = rows[-1].id if rows else 0
            self.push([row for row in self._early if row.id > newest])
            try:
                await asyncio.Event().wait()
            finally:
                self._senders = None  # what comes now is committed, and goes out at the next start

    def push(self, rows: Sequence[OutboxRow], drafts: int = 0) -> None:
        """Take rows that are committed; `drafts` were shown before them, for the record."""
        if self._senders is None:
            self._early.extend(rows)
            return
        for row in rows:
            if drafts:
                self._drafts[row.id] = drafts
            queue = self._queues.get(row.place.chat_id)
            if queue is not None:
                queue.append(row)
                continue
            self._queues[row.place.chat_id] = deque([row])
            self._idle.clear()
            name = f"outbox {row.place.key}"
            self._senders.create_task(self._drain(row.place.chat_id), name=name)

    def notice(self, text: str) -> tuple[Piece, ...]:
        """Make messages of a text that may hold words of others: nothing in it is a link."""
        return self._plain(text, guarded=True)

    def frozen(self, chat_id: int) -> bool:
        """Tell whether the chat service told us to be quiet in this chat, or messages wait."""
        now = asyncio.get_running_loop().time()
        return self._frozen.get(chat_id, 0.0) > now or chat_id in self._queues

    def freeze(self, chat_id: int, seconds: float) -> None:
        """Send nothing to a chat for a while."""
        until = asyncio.get_running_loop().time() + min(seconds, LONGEST_BAN_SECONDS)
        self._frozen[chat_id] = max(until, self._frozen.get(chat_id, 0.0))

    async def wait_idle(self) -> None:
        """Return when nothing waits to be sent."""
        await self._idle.wait()

    async def _drain(self, chat_id: int) -> None:
        queue = self._queues[chat_id]
        while queue:
            try:
                await self._deliver(queue)
            except (AuditError, StoreError) as error:
                # Nothing left, or nothing is known of it: the disk has to recover first.
                log.warning("a message waits for the disk", error=str(error))
                await asyncio.sleep(self._disk_seconds)
        del self._queues[chat_id]
        if not self._queues:
            self._idle.set()

    async def _deliver(self, queue: deque[OutboxRow]) -> None:
        row = queue[0]
        try:
            await self._wait(row)
            await self._send(queue, await self._media(row.piece))
        except BlobLost as error:
            await self._give_up(queue, str(error))
        except (AuditError, StoreError):
            raise
        except Exception:
            log.exception("a message could not be handled", row=row.id)
            if queue and queue[0] is row:
                await self._give_up(queue, "internal error")

    async def _wait(self, row: OutboxRow) -> None:
        """Wait for flood control, an earlier failure's delay, and the pace."""
        if row.not_before is not None:
            self.freeze(row.place.chat_id, (row.not_before - self._clock.now()).total_seconds())
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._frozen.pop(row.place.chat_id, 0.0) - now))
        await asyncio.sleep(self._pace.take(row.place.chat_id, private=row.place.private))

    async def _media(self, piece: Piece) -> tuple[bytes, ...]:
        return await self._store.blobs([each.blob for each in piece.media]) if piece.media else ()

    async def _send(self, queue: deque[OutboxRow], media: Sequence[bytes]) -> None:
        row = queue[0]
        target = f"chat:{row.place.key}"
        said = "\n".join(filter(None, [row.piece.text, _listed(row.piece)]))
        seq = await self._audit.intent(
            AuditEntry(type="send", trace=row.trace, action="message", target=target, text=said)
        )
        message_id: int | None = None
        outcome = "error"
        failure: str | None = "cancelled"
        try:
            message_id = await self._chat.send(row.place, row.piece, media)
            queue.popleft()  # it has left: from here on nothing may send it again
            outcome, failure = "ok", None
            await self._mark_sent(row.id, message_id)
        except ChatUnavailable as error:
            outcome, failure = "unknown" if error.maybe_delivered else "failed", str(error)
            not_before = self._clock.now() + timedelta(seconds=_pause(row, error))
            queue[0] = replace(row, tries=row.tries + 1, not_before=not_before)
            await self._store.postpone(row.id, tries=row.tries + 1, not_before=not_before)
        except ChatRejected as error:
            outcome, failure = "refused", str(error)
            await self._refused(queue, str(error))
        finally:
            await self._audit.record(
                AuditEntry(
                    type="send",
                    phase="result",
                    closes=seq,
                    trace=row.trace,
                    target=target,
                    result=outcome,
                    evidence=self._evidence(row, message_id),
                    error=failure,
                )
            )

    async def _mark_sent(self, row_id: int, message_id: int) -> None:
        """Note that a row has left, however long the disk takes: it must not leave again."""
        while True:
            try:
                return await self._store.sent(row_id, message_id)
            except StoreError as error:
                log.warning("a sent message waits to be marked", error=str(error))
                await asyncio.sleep(self._disk_seconds)

    def _evidence(self, row: OutboxRow, message_id: int | None) -> str | None:
        drafts = self._drafts.pop(row.id, 0) if message_id else self._drafts.get(row.id, 0)
        parts = [] if message_id is None else [f"message:{message_id}"]
        return " ".join([*parts, f"drafts:{drafts}"] if drafts else parts) or None

    async def _refused(self, queue: deque[OutboxRow], reason: str) -> None:
        """Try once more as plain text, or photos as documents; then give up and say so."""
        row = queue[0]
        pieces = self._plainer(row.piece)
        if not pieces:
            await self._give_up(queue, reason)
            return
        rewritten = await self._store.rewrite(row.id, pieces)
        queue.popleft()
        queue.extendleft(reversed(rewritten))

    def _plainer(self, piece: Piece) -> list[Piece]:
        """Return what may be taken where the piece was not; nothing, if that is all there is."""
        if piece.fallback:
            return []
        if not piece.media:
            plain = self._plain(piece.text, guarded=piece.guarded)
            return [replace(each, buttons=piece.buttons, fallback=True) for each in plain]
        documents = tuple(replace(each, kind="document") for each in piece.media)
        changed = documents != piece.media
        return [replace(piece, media=documents, fallback=True)] if changed else []

    async def _give_up(self, queue: deque[OutboxRow], reason: str) -> None:
        row = queue[0]
        await self._store.drop(row.id, reason)
        queue.popleft()
        log.error("a message could not be delivered", row=row.id, reason=reason)
        notices = []
        if row.piece.media:  # where its text arrived, nobody would miss it
            listed = _listed(row.piece)
            notices.append((row.place, f"⚠️ These files could not be sent: {reason}\n{listed}"))
        if row.place != self._owner:
            text = f"⚠️ A message to chat {row.place.key} could not be delivered: {reason}"
            notices.append((self._owner, text))
        trace = Trace(event=row.trace.event, turn=row.trace.turn)
        for place, text in notices:
            self.push(await self._store.say(place, self.notice(text), trace))


def _listed(piece: Piece) -> str:
    return "\n".join(f"{each.name} ({each.size} bytes)" for each in piece.media)


def _pause(row: OutboxRow, error: ChatUnavailable) -> float:
    wait = error.retry_after
    if wait is None:
        wait = BACKOFF_SECONDS[min(row.tries, len(BACKOFF_SECONDS) - 1)]
    wait = min(max(wait, 1.0), LONGEST_BAN_SECONDS)
    if wait > BACKOFF_SECONDS[-1]:
        log.warning("told to be quiet in a chat", seconds=wait)
    return wait
