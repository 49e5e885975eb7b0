"""The wanted model, the fallback model, and the money for every single attempt at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from assurebot.errors import ProviderRejected
from assurebot.ports import OnText, Provider
from assurebot.providers.attempts import Attempts, intent
from assurebot.values import AuditEntry, ModelRef, ModelReply, ModelRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChain:
    """Asks the wanted model, else the fallback.

    One complete answer comes back; what a failed attempt showed is taken back. Before an attempt
    the most that it can cost is set aside.

    Attributes:
        providers: By provider name; one without an account is not in it.
        attempts: How they are asked, and again.
        fallback: Asked when the wanted model is unavailable or refuses.
    """

    providers: Mapping[str, Provider]
    attempts: Attempts
    fallback: ModelRef | None = None

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask until there is an answer or no hope; see the port for the contract.

        Raises:
            AuditError: An attempt could not be recorded. Before an attempt: nothing was sent.
            BudgetSpent, StoreError: No money could be set aside, so nothing more was sent.
        """
        refs = list(dict.fromkeys(ref for ref in (request.model, self.fallback) if ref))
        return await self.attempts.until(
            refs, lambda ref: self._attempt(replace(request, model=ref), on_text)
        )

    async def aclose(self) -> None:
        """Finish what is being recorded and close all providers."""
        await self.attempts.aclose()
        for provider in self.providers.values():
            await provider.aclose()

    async def _attempt(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        ref = request.model
        if (provider := self.providers.get(ref.provider)) is None:
            raise ProviderRejected(f"no account for {ref.provider}")
        reservation, sent = await self.attempts.budget.reserve(request)

        async def ask() -> ModelReply:
            try:
                return await provider.ask(sent, on_text)
            except Exception:
                on_text("")
                raise

        reply = await self.attempts.one(
            reservation, intent("ask", ref, request.trace), ask, _answered
        )
        usage = replace(reply.usage, reservation=reservation)
        await self.attempts.budget.settled(reservation, sent, usage)
        return replace(reply, usage=usage)


def _answered(end: AuditEntry, reply: ModelReply) -> AuditEntry:
    return replace(
        end,
        result="ok",
        model=reply.model.name,
        tokens=reply.usage.input_tokens + reply.usage.output_tokens,
        cost_usd=str(reply.usage.cost_usd),
    )
