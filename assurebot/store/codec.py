"""Values to JSON text and back, for the columns that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from assurebot.values import Approval, ChatFile, Event, Exchange, Job, Piece, Step, Trace

R = TypeVar("R")
T = TypeVar("T")

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
STEP: TypeAdapter[Step] = TypeAdapter(Step)
EXCHANGE: TypeAdapter[Exchange] = TypeAdapter(Exchange)
PIECE: TypeAdapter[Piece] = TypeAdapter(Piece)
APPROVAL: TypeAdapter[Approval] = TypeAdapter(Approval)
JOB: TypeAdapter[Job] = TypeAdapter(Job)
FILE: TypeAdapter[ChatFile] = TypeAdapter(ChatFile)
TRACE: TypeAdapter[Trace] = TypeAdapter(Trace)


def dump(adapter: TypeAdapter[T], value: T) -> str:
    """Return compact JSON text without empty fields."""
    return adapter.dump_json(value, exclude_none=True).decode()


def readable(
    rows: Iterable[R], read: Callable[[R], T], otherwise: Callable[[R], None] = lambda _row: None
) -> tuple[T, ...]:
    """Read rows; one that was damaged is given to `otherwise` and does not hold up the others."""
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except ValidationError:
            otherwise(row)
    return tuple(found)
