"""A lane: what waits in one conversation, and what runs there."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from math import inf

from assurebot.values import Event, StoredEvent


@dataclass(slots=True, kw_only=True)
class Lane:
    """One conversation.

    Attributes:
        task: Serves the queue.
        note: Why the running turn was cancelled, to be told; `None` when the program stops.
        left_behind: Set when a cancelled turn does not end.
        gathering: There while more that belongs to the first of the queue may come; set when no
            more is to be waited for.
        stopped_at: What came from this id on, after a /stop, belongs to the first no more.
    """

    queue: deque[StoredEvent] = field(default_factory=deque)
    current: StoredEvent | None = None
    turn: asyncio.Task[None] | None = None
    task: asyncio.Task[None] | None = None
    note: str | None = None
    left_behind: asyncio.Event = field(default_factory=asyncio.Event)
    gathering: asyncio.Event | None = None
    stopped_at: float = inf


def lane_of(event: Event) -> str:
    """Name the lane of an event: its conversation's, unless it neither reads nor waits for that."""
    if event.hook:
        return f"hook:{event.hook}"
    if event.kind == "job" and event.command != "brief":
        return f"job:{event.job}"
    return event.place.key
