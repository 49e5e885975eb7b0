"""How paid calls are made: retries, and for every single attempt money set aside, two lines."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from assurebot.errors import (
    AuditError,
    ProviderError,
    ProviderGarbled,
    ProviderRejected,
    ProviderUnavailable,
)
from assurebot.ports import AuditLog, Budget, Redact
from assurebot.values import AuditEntry, ModelRef, Trace

T = TypeVar("T")

RECORD_SECONDS = 5.0
"""How long the end of an attempt may take to be recorded; it goes on in the background then."""

ERROR_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Makes attempts at models, patiently but not for ever.

    What was set aside for an attempt stays so unless the answer tells the real cost, or the attempt
    came to nothing before an answer had begun.

    Attributes:
        budget: Has the money; where it has none left, no other model is tried.
        audit: Takes an intent before anything is sent, and the result of each attempt.
        redact: For error texts in the audit.
        patience_seconds: How long to go on after the first attempt began.
        pause_seconds: First and longest wait between rounds, where the provider names none.
    """

    budget: Budget
    audit: AuditLog
    redact: Redact
    patience_seconds: float = 60.0
    pause_seconds: tuple[float, float] = (0.5, 8.0)
    _recording: set[asyncio.Task[int]] = field(default_factory=set, init=False)

    async def until(
        self, refs: Sequence[ModelRef], attempt: Callable[[ModelRef], Awaitable[T]]
    ) -> T:
        """Try one model after the other until there is an answer or no hope.

        Unavailable: the next model at once, then a wait and a new round, until the patience would
        be over. Garbled: the same model once more. Rejected: that model is out. What the last
        attempt raised is raised.
        """
        deadline = time.monotonic() + self.patience_seconds
        pause, longest = self.pause_seconds
        while True:
            errors: dict[ModelRef, ProviderError] = {}
            for ref in refs:
                try:
                    return await _twice(ref, attempt)
                except (ProviderUnavailable, ProviderRejected) as error:
                    errors[ref] = error
            refs = [ref for ref, error in errors.items() if isinstance(error, ProviderUnavailable)]
            if not refs:
                raise next(reversed(errors.values()))
            demanded = min(errors[ref].retry_after or 0.0 for ref in refs)
            wait = max(demanded, pause * random.uniform(0.5, 1.0))  # noqa: S311 - mere jitter
            if time.monotonic() + wait > deadline:
                raise errors[refs[0]]
            await asyncio.sleep(wait)
            pause = min(2 * pause, longest)

    async def one(
        self,
        reservation: int,
        line: AuditEntry,
        call: Callable[[], Awaitable[T]],
        answered: Callable[[AuditEntry, T], AuditEntry],
    ) -> T:
        """Make one attempt between its two lines.

        Args:
            reservation: What was set aside for it.
            line: The first one.
            call: What is to be done.
            answered: Makes the second one, from its beginning and the answer.
        """
        try:
            seq = await self.audit.intent(line)
        except BaseException:
            await self.budget.release(reservation)
            raise
        end = replace(line, phase="result", closes=seq, text=None)
        began = time.monotonic()
        try:
            answer = await call()
        except asyncio.CancelledError:
            with suppress(AuditError):
                await self._record(replace(end, result="cancelled"), began)
            raise
        except Exception as error:
            words = self.redact(str(error))[:ERROR_CHARS]
            try:
                await self._record(replace(end, result=type(error).__name__, error=words), began)
            finally:
                if _costs_nothing(error):
                    await self.budget.release(reservation)
            raise
        await self._record(answered(end, answer), began)
        return answer

    async def aclose(self) -> None:
        """Finish what is being recorded."""
        if self._recording:
            await asyncio.wait(self._recording, timeout=RECORD_SECONDS)

    async def _record(self, entry: AuditEntry, began: float) -> None:
        """Record the end of an attempt in a task of its own: cancelling us does not undo it."""
        took = round((time.monotonic() - began) * 1000)
        task = asyncio.create_task(self.audit.record(replace(entry, duration_ms=took)))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        done, _ = await asyncio.wait({task}, timeout=RECORD_SECONDS)
        if not done:
            raise AuditError("the result of a model call is not recorded yet")
        task.result()


def intent(action: str, ref: ModelRef, trace: Trace, text: str | None = None) -> AuditEntry:
    """Make the line before an attempt; `text` is what leaves, where no other line has it."""
    line = AuditEntry(type="model", phase="intent", action=action, trace=trace, text=text)
    return replace(line, target=str(ref), model=ref.name)


async def _twice(ref: ModelRef, attempt: Callable[[ModelRef], Awaitable[T]]) -> T:
    try:
        return await attempt(ref)
    except ProviderGarbled:
        return await attempt(ref)


def _costs_nothing(error: Exception) -> bool:
    """Tell whether an attempt failed before there was an answer; else its price is not known."""
    return isinstance(error, ProviderUnavailable | ProviderRejected) and not error.begun
