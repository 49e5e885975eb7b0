"""What the store tests share: a clock, a store in a folder, events and pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from assurebot.ports import Ending, Incoming, Sleep
from assurebot.store.database import SqlStore
from assurebot.values import (
    Approval,
    AssistantMessage,
    ChatFile,
    Event,
    Exchange,
    ModelRef,
    ModelReply,
    ModelStep,
    Person,
    Piece,
    Place,
    StoredEvent,
    TextPart,
    ToolCall,
    ToolResult,
    ToolStep,
    Trace,
    Usage,
    UserMessage,
)

NOW = datetime(2026, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
HERE, THERE = Place(chat_id=42), Place(chat_id=-1001, thread_id=7, private=False)


@dataclass(slots=True)
class SetClock:
    """A clock that stands still until it is set."""

    at: datetime = NOW

    def now(self) -> datetime:
        """Return the moment."""
        return self.at


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[SqlStore]:
    """Open the store of a folder."""
    async with SqlStore(folder / "test.db", SetClock()) as opened:
        yield opened


def event(key: str, place: Place = HERE, text: str = "hello") -> Event:
    """Make a message."""
    return Event(
        source="telegram",
        key=key,
        kind="message",
        actor=Person(user_id=42, name="Ann"),
        place=place,
        received_at=NOW,
        parts=(TextPart(text=text),),
    )


def incoming(key: str, place: Place = HERE, *, readable: bool = True) -> Incoming:
    """Make something that arrives."""
    made = event(key, place) if readable else None
    return Incoming(source="telegram", key=key, event=made, raw="{}", received_at=NOW)


async def added(to: SqlStore, key: str, place: Place = HERE) -> StoredEvent:
    """Add an event."""
    (stored,) = await to.add([incoming(key, place)])
    return stored


def exchange(turn: int, text: str = "hello") -> Exchange:
    """Make a finished turn."""
    said = UserMessage(parts=(TextPart(text=text),))
    return Exchange(id=turn, at=NOW, messages=(said, AssistantMessage(text=f"{text} yourself")))


def ending(place: Place = HERE, *texts: str, kept: Exchange | None = None) -> Ending:
    """Make an ending that says these texts."""
    pieces = tuple(Piece(text=text) for text in texts)
    return Ending(place=place, trace=Trace(), pieces=pieces, exchange=kept)


def paid(n: int, cost: str) -> ModelStep:
    """Make an answered model step."""
    reply = ModelReply(
        message=AssistantMessage(text="fine"),
        stop="end",
        model=ModelRef(provider="anthropic", name="claude"),
        usage=Usage(input_tokens=10, output_tokens=5, cost_usd=Decimal(cost)),
    )
    return ModelStep(n=n, reply=reply)


def acted(n: int, *, known: bool = True) -> ToolStep:
    """Make a tool step; `known` tells whether it has its result."""
    call = ToolCall(id=f"c{n}", name="act", arguments="{}")
    result = ToolResult(call_id=f"c{n}", name="act", text="acted", label="untrusted:page")
    return ToolStep(n=n, call=call, result=result if known else None)


def asked(turn: int, n: int, place: Place = HERE, *, minutes: int = 10) -> Approval:
    """Make an approval that is pending for so long."""
    return Approval(
        event_id=turn,
        n=n,
        place=place,
        requester=Person(user_id=42, name="Ann"),
        approvers=(42, 43),
        tool="act",
        arguments='{"to":"x"}',
        digest="d" * 64,
        rule="table",
        frees="act:x",
        expires_at=NOW + timedelta(minutes=minutes),
    )


def sleep(turn: int, *calls: int, place: Place = HERE, minutes: int = 10) -> Sleep:
    """Make the sleep of a turn that waits for a press on each of these calls."""
    return Sleep(
        place=place,
        trace=Trace(turn=turn),
        approvals=tuple(asked(turn, n, place, minutes=minutes) for n in calls),
    )


def chat_file(turn: int, n: int = 0, **fields: Any) -> ChatFile:
    """Make a text that came with a turn."""
    given = {"kind": "text", "name": "a.txt", "mime": "text/plain", "size": 1, **fields}
    return ChatFile(event_id=turn, n=n, label="untrusted:document", at=NOW, **given)
