"""The one gate: whatever arrives is refused on ids alone, or stored before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import structlog

from assurebot.errors import ChatError, ChatUnavailable
from assurebot.guard.access import SHARED_USERS, Access, Verdict
from assurebot.ports import AuditLog, Chat, Incoming, Redact, Store
from assurebot.turns.effects import effect
from assurebot.turns.outbox import Outbox
from assurebot.values import AuditEntry, Event, Place, StoredEvent, Trace

log = structlog.get_logger(__name__)

MINUTE, HOUR = 60.0, 3600.0

NOTICES_PER_HOUR = 10
"""More strangers than this in an hour go to the audit only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Something that came in at an edge, not yet read.

    Attributes:
        key: Unique per source.
        what: The kind of update, for the record.
        raw: The original as JSON text.
        user_id, chat_id: Who and where by number; `None` where there is none.
        name: What the sender calls themselves.
        read: Makes the event, or `None` when it asks for nothing. Called for accepted ones only;
            what it raises puts the arrival into quarantine.
    """

    source: Literal["telegram"]
    key: str
    what: str
    raw: str
    received_at: datetime
    user_id: int | None
    chat_id: int | None
    chat_kind: Literal["private", "group", "channel", "none"]
    name: str
    read: Callable[[], Event | None]


class Intake:
    """Takes arrivals from every edge."""

    def __init__(
        self,
        *,
        access: Access,
        store: Store,
        audit: AuditLog,
        chat: Chat,
        outbox: Outbox,
        owner: Place,
        redact: Redact,
        submit: Callable[[StoredEvent], None],
    ) -> None:
        self._access = access
        self._store = store
        self._audit = audit
        self._chat = chat
        self._outbox = outbox
        self._owner = owner
        self._redact = redact
        self._submit = submit
        self._told: list[float] = []
        self._known: set[str] = set()
        self._left: dict[int, float] = {}
        self._stuck: set[int] = set()

    async def take(self, arrivals: Sequence[Arrival], *, offset: int | None = None) -> None:
        """Refuse or store what arrived, in one commit with the edge's new offset, then start it.

        Raises:
            StoreError, AuditError: Nothing was taken; the edge must deliver it again.
        """
        accepted: list[Incoming] = []
        refused: list[tuple[Arrival, Verdict]] = []
        for arrival in arrivals:
            verdict = self._access.decide(arrival.user_id, arrival.chat_id, arrival.chat_kind)
            if not verdict.allowed:
                refused.append((arrival, verdict))
                await self._audit.record(_denied(arrival, verdict))
                continue
            incoming = self._read(arrival)
            if incoming is not None:
                accepted.append(incoming)
        for stored in await self._store.add(accepted, offset=offset):
            self._submit(stored)
        for item in accepted:
            if item.event is None:
                await self._tell_owner("⚠️ An update could not be read and was set aside.", item.key)
        for arrival, verdict in refused:
            await self._knocked(arrival, verdict)

    def _read(self, arrival: Arrival) -> Incoming | None:
        event: Event | None = None
        try:
            event = arrival.read()
        except Exception:
            log.exception("an update could not be read", key=arrival.key, what=arrival.what)
        else:
            if event is None:
                return None
            parts = (replace(part, text=self._redact(part.text)) for part in event.parts)
            files = (replace(file, name=self._redact(file.name)) for file in event.enclosures)
            event = replace(event, parts=tuple(parts), enclosures=tuple(files))
        return Incoming(
            source=arrival.source,
            key=arrival.key,
            event=event,
            raw=self._redact(arrival.raw),
            received_at=arrival.received_at,
        )

    async def _knocked(self, arrival: Arrival, verdict: Verdict) -> None:
        """Tell the owner, once, and leave a group that is not on the list."""
        name = self._redact(" ".join(arrival.name.split()))[:64] or "without a name"
        who = f"{name}, id {arrival.user_id} ({arrival.what})"
        known = self._access.users | SHARED_USERS
        stranger = arrival.user_id is not None and arrival.user_id not in known
        if verdict.leave and arrival.chat_id is not None:
            await self._leave(arrival.chat_id)
            did = "could not leave" if arrival.chat_id in self._stuck else "left"
            await self._tell_owner(
                f"🚪 I {did} chat {arrival.chat_id}, where I met {who}: "
                "it is not in ALLOWED_CHATS.",
                f"user {arrival.user_id}" if stranger else f"chat {arrival.chat_id}",
            )
        elif stranger:
            await self._tell_owner(
                f"🚪 A stranger knocked: {who}. They got no answer. "
                "To let them in, add the id to ALLOWED_USERS and restart.",
                f"user {arrival.user_id}",
            )

    async def _tell_owner(self, text: str, about: str) -> None:
        now = asyncio.get_running_loop().time()
        self._told = [at for at in self._told if now - at < HOUR]
        if about in self._known or len(self._told) >= NOTICES_PER_HOUR:
            return
        pieces = self._outbox.notice(text)
        rows = await self._store.say(self._owner, pieces, Trace(), once=f"notice:{about}")
        self._known.add(about)
        if rows:
            self._told.append(now)
            self._outbox.push(rows)

    async def _leave(self, chat_id: int) -> None:
        """Leave a chat; tried at most once a minute, since any next update tries again."""
        now = asyncio.get_running_loop().time()
        if now - self._left.get(chat_id, -MINUTE) < MINUTE:
            return
        self._left = {chat: at for chat, at in self._left.items() if now - at < MINUTE}
        self._left[chat_id] = now
        self._stuck.discard(chat_id)
        leaving = AuditEntry(type="send", action="leave", target=f"chat:{chat_id}")
        try:
            async with effect(self._audit, leaving):
                await self._chat.leave(chat_id)
        except ChatUnavailable:
            self._stuck.add(chat_id)
        except ChatError as error:  # it is in there no more
            log.info("a chat was not left", reason=str(error))


def _denied(arrival: Arrival, verdict: Verdict) -> AuditEntry:
    return AuditEntry(
        type="denied",
        trace=Trace(event=arrival.key, actor="stranger", user=arrival.user_id),
        action=arrival.what,
        target=None if arrival.chat_id is None else f"chat:{arrival.chat_id}",
        decision="deny",
        rule=verdict.rule,
    )
