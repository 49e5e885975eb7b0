"""Values to JSON text and back, for the columns that hold them."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter

from assurebot.values import Event, Exchange, Piece, Step, Trace

T = TypeVar("T")

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
STEP: TypeAdapter[Step] = TypeAdapter(Step)
EXCHANGE: TypeAdapter[Exchange] = TypeAdapter(Exchange)
PIECE: TypeAdapter[Piece] = TypeAdapter(Piece)
TRACE: TypeAdapter[Trace] = TypeAdapter(Trace)


def dump(adapter: TypeAdapter[T], value: T) -> str:
    """Return compact JSON text without empty fields."""
    return adapter.dump_json(value, exclude_none=True).decode()
