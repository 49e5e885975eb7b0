"""Messages that are one: albums, bursts of forwards with the words before them, cut pastes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf

import structlog

from assurebot.errors import AlreadyEnded
from assurebot.ports import Clock, Redact, Store
from assurebot.turns.commits import patiently
from assurebot.turns.lanes import Lane
from assurebot.values import Event, Part, StoredEvent

log = structlog.get_logger(__name__)

MAX_SECONDS = 10.0
"""So long at most a turn is put off for what may belong to it."""

MAX_MESSAGES, MAX_FILES = 100, 30
"""What one turn takes; the rest is the next one."""

CUT_UNITS = 4_000
"""A text of so many UTF-16 units may be the first piece of a longer one: clients cut at 4,096."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Makes one event of the head of a lane and all that belongs to it, in the store too.

    Attributes:
        seconds: How long the next message is waited for.
        since: The program's start: what came before it counts as if it had come then, since the
            program may have missed the rest.
        lock: Held while events are changed that no lane has taken yet.
    """

    store: Store
    clock: Clock
    redact: Redact
    seconds: float
    disk_seconds: float
    since: datetime
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def complete(self, lane: Lane) -> tuple[StoredEvent, ...]:
        """Let the head of a lane grow as long as it may; return the messages that it is made of."""
        hurry = lane.gathering = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_SECONDS):
                while (wait := self._wait_seconds(lane)) > 0 and not hurry.is_set():
                    with suppress(TimeoutError):  # `wait_for` may lose a cancel in Python 3.11
                        async with asyncio.timeout(wait):
                            await hurry.wait()
        members = await patiently(lambda: self._merge(lane), self.disk_seconds)
        lane.gathering, lane.stopped_at = None, inf
        return members

    def members(self, lane: Lane) -> tuple[StoredEvent, ...]:
        """Return the head of a lane and what belongs to it so far."""
        before = (each for each in lane.queue if each.id < lane.stopped_at)
        return gathered(before, self.seconds, self.since)

    def _wait_seconds(self, lane: Lane) -> float:
        members = self.members(lane)
        if not may_grow(members):
            return 0.0
        newest = max(self.since, *(each.event.received_at for each in members))
        return min(self.seconds, self.seconds - (self.clock.now() - newest).total_seconds())

    async def _merge(self, lane: Lane) -> tuple[StoredEvent, ...]:
        async with self.lock:
            members = self.members(lane)
            if len(members) == 1:
                return members
            event = merged([each.event for each in members])
            # What was cut in two was not known for what it is when it came.
            parts = (replace(part, text=self.redact(part.text)) for part in event.parts)
            whole = replace(members[0], event=replace(event, parts=tuple(parts)))
            taken = {each.id for each in members}
            try:
                await self.store.merge(whole, sorted(taken - {whole.id}))
            except AlreadyEnded as error:
                log.warning("messages were not joined", turn=whole.id, reason=str(error))
                return members[:1]
            rest = (each for each in lane.queue if each.id not in taken)
            lane.queue = deque([whole, *rest])
            return members


def gathered(
    queue: Iterable[StoredEvent], seconds: float, since: datetime
) -> tuple[StoredEvent, ...]:
    """Return the first of a queue and what belongs to it, in the order of the queue.

    What arrived before `since` counts as if it had arrived then.
    """
    waiting = iter(queue)
    members = [next(waiting)]
    head = members[0].event
    files, gap = len(head.enclosures), False
    if _is_alone(members[0]):
        return tuple(members)
    for each in waiting:
        event, last = each.event, members[-1].event
        if (event.actor.user_id, event.place) != (head.actor.user_id, head.place):
            continue
        pause = max(event.received_at, since) - max(last.received_at, since)
        follows = not gap and pause.total_seconds() <= seconds and _continues(last, event)
        if _is_alone(each) or not (follows or (event.album and event.album == last.album)):
            gap = True  # of an album, items are found behind something else too
            continue
        files += len(event.enclosures)
        if len(members) == MAX_MESSAGES or files > MAX_FILES:
            break
        members.append(each)
    return tuple(members)


def may_grow(members: Sequence[StoredEvent]) -> bool:
    """Tell whether more may come that belongs to these messages."""
    last = members[-1].event
    files = sum(len(each.event.enclosures) for each in members)
    if len(members) == MAX_MESSAGES or files >= MAX_FILES or _is_alone(members[0]):
        return False
    return bool(last.album) or last.passed_on or _is_cut(last)


def merged(events: Sequence[Event]) -> Event:
    """Make one event of several, in the order of their messages; cut texts are whole again."""
    ordered = sorted(events, key=lambda each: each.message_id or 0)
    parts: list[Part] = []
    for n, event in enumerate(ordered):
        new = list(event.parts)
        if n and _continues_text(ordered[n - 1], event):
            parts[-1] = replace(parts[-1], text=parts[-1].text + new.pop(0).text)
        parts += new
    head = events[0]
    return replace(
        head,
        key=f"gathered:{head.key.removeprefix('gathered:')}",
        parts=tuple(parts),
        enclosures=tuple(file for event in ordered for file in event.enclosures),
        message_id=next((each.message_id for each in ordered if each.message_id), None),
        reply_to=next((each.reply_to for each in ordered if each.reply_to), None),
        album=next((each.album for each in ordered if each.album), ""),
        passed_on=events[-1].passed_on,
    )


def _is_alone(stored: StoredEvent) -> bool:
    """Tell whether an event is none that others may belong to."""
    event = stored.event
    begun = stored.starts or stored.errors or stored.cut is not None
    return bool(begun) or event.kind != "message" or event.afresh or event.key.startswith("again:")


def _continues(former: Event, later: Event) -> bool:
    """Tell whether a message goes with the one just before it."""
    if former.passed_on:
        return later.passed_on
    if later.passed_on or later.album:
        return not former.album  # what was typed before what it is about
    return _continues_text(former, later)


def _is_cut(event: Event) -> bool:
    text = event.parts[-1].text if event.parts and not event.enclosures else ""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2 >= CUT_UNITS


def _continues_text(former: Event, later: Event) -> bool:
    """Tell whether a text is the next piece of one that a client has cut."""
    if not _is_cut(former) or later.enclosures or len(later.parts) != 1:
        return False
    return former.parts[-1] == replace(later.parts[0], text=former.parts[-1].text)
