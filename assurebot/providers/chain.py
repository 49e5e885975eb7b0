"""Retries, the fallback model, and for every single attempt: money set aside, two audit lines."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from assurebot.errors import (
    AuditError,
    ProviderError,
    ProviderGarbled,
    ProviderRejected,
    ProviderUnavailable,
)
from assurebot.ports import AuditLog, Budget, OnText, Provider, Redact
from assurebot.values import AuditEntry, ModelRef, ModelReply, ModelRequest

RECORD_SECONDS = 5.0
"""How long the end of an attempt may take to be recorded; it goes on in the background then."""

ERROR_CHARS = 300


class ModelChain:
    """Asks the wanted model, else the fallback, patiently but not for ever.

    Unavailable: the fallback at once, then a wait and a new round, until `patience_seconds` since
    the first attempt would be over. Garbled: the same model once more. Rejected: that model is out
    for this request. What the last attempt raised is raised. One complete answer comes back;
    what a failed attempt showed is taken back.

    Before an attempt the most that it can cost is set aside. That stays so unless the answer tells
    the real cost, or the attempt came to nothing before an answer had begun.

    Args:
        providers: By provider name; one without an account is not in it.
        fallback: Asked when the wanted model is unavailable or refuses.
        budget: Has the money; where it has none left, no other model is tried.
        audit: Takes an intent before anything is sent, and the result of each attempt.
        redact: For error texts in the audit.
        patience_seconds: How long to go on after the first attempt began.
        pause_seconds: First and longest wait between rounds, where the provider names none.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        budget: Budget,
        audit: AuditLog,
        redact: Redact,
        fallback: ModelRef | None = None,
        patience_seconds: float = 60.0,
        pause_seconds: tuple[float, float] = (0.5, 8.0),
    ) -> None:
        self._providers = providers
        self._budget = budget
        self._audit = audit
        self._redact = redact
        self._fallback = fallback
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._recording: set[asyncio.Task[int]] = set()

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask until there is an answer or no hope; see the port for the contract.

        Raises:
            AuditError: An attempt could not be recorded. Before an attempt: nothing was sent.
            BudgetSpent, StoreError: No money could be set aside, so nothing more was sent.
        """
        deadline = time.monotonic() + self._patience_seconds
        pause, longest = self._pause_seconds
        refs = list(dict.fromkeys(ref for ref in (request.model, self._fallback) if ref))
        while True:
            errors: dict[ModelRef, ProviderError] = {}
            for ref in refs:
                try:
                    return await self._answer(replace(request, model=ref), on_text)
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

    async def aclose(self) -> None:
        """Finish what is being recorded and close all providers."""
        if self._recording:
            await asyncio.wait(self._recording, timeout=RECORD_SECONDS)
        for provider in self._providers.values():
            await provider.aclose()

    async def _answer(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        try:
            return await self._attempt(request, on_text)
        except ProviderGarbled:
            return await self._attempt(request, on_text)

    async def _attempt(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        ref = request.model
        provider = self._providers.get(ref.provider)
        if provider is None:
            raise ProviderRejected(f"no account for {ref.provider}")
        intent = AuditEntry(
            type="model",
            phase="intent",
            action="ask",
            target=str(ref),
            model=ref.name,
            trace=request.trace,
        )
        reservation, request = await self._budget.reserve(request)
        try:
            seq = await self._audit.intent(intent)
        except BaseException:
            await self._budget.release(reservation)
            raise
        end = replace(intent, phase="result", closes=seq)
        began = time.monotonic()
        try:
            reply = await provider.ask(request, on_text)
        except asyncio.CancelledError:
            with suppress(AuditError):
                await self._record(replace(end, result="cancelled"), began)
            raise
        except Exception as error:
            on_text("")
            words = self._redact(str(error))[:ERROR_CHARS]
            try:
                await self._record(replace(end, result=type(error).__name__, error=words), began)
            finally:
                if _costs_nothing(error):
                    await self._budget.release(reservation)
            raise
        await self._record(_answered(end, reply), began)
        usage = replace(reply.usage, reservation=reservation)
        await self._budget.settled(reservation, request, usage)
        return replace(reply, usage=usage)

    async def _record(self, entry: AuditEntry, began: float) -> None:
        """Record the end of an attempt in a task of its own: cancelling us does not undo it."""
        took = round((time.monotonic() - began) * 1000)
        task = asyncio.create_task(self._audit.record(replace(entry, duration_ms=took)))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        try:
            await asyncio.wait_for(asyncio.shield(task), RECORD_SECONDS)
        except TimeoutError:
            raise AuditError("the result of a model call is not recorded yet") from None


def _costs_nothing(error: Exception) -> bool:
    """Tell whether an attempt failed before there was an answer; else its price is not known."""
    if isinstance(error, ProviderGarbled):
        return False
    return isinstance(error, ProviderError) and not error.begun


def _answered(end: AuditEntry, reply: ModelReply) -> AuditEntry:
    return replace(
        end,
        result="ok",
        model=reply.model.name,
        tokens=reply.usage.input_tokens + reply.usage.output_tokens,
        cost_usd=str(reply.usage.cost_usd),
    )
