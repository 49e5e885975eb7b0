"""An effect between its two audit lines, for effects that have no more to record than their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from assurebot.errors import ChatError
from assurebot.ports import AuditLog
from assurebot.values import AuditEntry


@asynccontextmanager
async def effect(audit: AuditLog, entry: AuditEntry) -> AsyncIterator[None]:
    """Record the intent, let the block bring the effect about, and record how it ended.

    Raises:
        AuditError: The intent could not be recorded; the block was not entered.
    """
    seq = await audit.intent(entry)
    outcome, failure = "error", None
    try:
        yield
        outcome = "ok"
    except ChatError as error:
        outcome, failure = "failed", str(error)
        raise
    finally:
        result = replace(entry, phase="result", closes=seq, result=outcome, error=failure)
        await audit.record(replace(result, text=None))
