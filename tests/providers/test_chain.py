"""Retries, fallback and the audit of every attempt, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from assurebot.demo.model import Ask, ModelServer, Script, Turn, always, sequence
from assurebot.errors import (
    AuditError,
    BudgetSpent,
    ProviderError,
    ProviderGarbled,
    ProviderRejected,
    ProviderUnavailable,
)
from assurebot.providers.attempts import Attempts
from assurebot.providers.chain import ModelChain
from assurebot.values import AuditEntry, ModelRef, ModelRequest, Trace, Usage
from tests.doubles import ListAudit
from tests.providers.wires import ignore, provider, question

CLAUDE = ModelRef(provider="anthropic", name="claude-sonnet-5-5")
HAIKU = ModelRef(provider="anthropic", name="claude-haiku-5-5")
GPT = ModelRef(provider="openai", name="gpt-6.1-sol")

GOOD = Turn(text="Here I am.")
DOWN = Turn(status=529, error_type="overloaded_error")
REFUSED = Turn(status=401, error_type="authentication_error", error_code="invalid_api_key")
CUT = Turn(text="Here I", fault="cut")
ASKED = question("anthropic")


class ListBudget:
    """Sets money aside for so many calls, and keeps what becomes of it.

    Attributes:
        states: Of each reservation; its id is its place in the list, from 1.
        usages: What was told of answered calls.
    """

    def __init__(self, calls: int = 1000, output_tokens: int = 100) -> None:
        self.states: list[str] = []
        self.usages: list[Usage] = []
        self._calls = calls
        self._output_tokens = output_tokens

    async def reserve(self, request: ModelRequest) -> tuple[int, ModelRequest]:
        """Set aside, and shrink the output to what is allowed."""
        if len(self.states) == self._calls:
            raise BudgetSpent("the budget")
        self.states.append("held")
        return len(self.states), replace(request, max_output_tokens=self._output_tokens)

    async def reserve_other(self, kind: str, model: str, cost_usd: Decimal, trace: Trace) -> int:
        """Set nothing aside: no sound is asked about here."""
        raise NotImplementedError

    async def settle(self, reservation: int, usage: Usage) -> None:
        """Settle nothing."""
        raise NotImplementedError

    async def release(self, reservation: int) -> None:
        """Note that it was given back."""
        self.states[reservation - 1] = "released"

    async def settled(self, reservation: int, request: ModelRequest, usage: Usage) -> None:
        """Note what was told."""
        self.states[reservation - 1] = f"settled for {request.max_output_tokens}"
        self.usages.append(usage)


@asynccontextmanager
async def chain(
    server: ModelServer,
    audit: ListAudit,
    *,
    fallback: ModelRef | None = None,
    patience_seconds: float = 5.0,
    budget: ListBudget | None = None,
    read_seconds: float = 5.0,
) -> AsyncIterator[ModelChain]:
    """A chain over both providers, loaded already, with short pauses."""
    async with (
        provider("anthropic", server.url, warm=True, read_seconds=read_seconds) as anthropic,
        provider("responses", server.url, warm=True, read_seconds=read_seconds) as openai,
    ):
        attempts = Attempts(
            budget=budget or ListBudget(),
            audit=audit,
            redact=lambda text: text.replace("anthropic", "[gone]"),
            patience_seconds=patience_seconds,
            pause_seconds=(0.02, 0.05),
        )
        made = ModelChain(
            providers={"anthropic": anthropic, "openai": openai},
            attempts=attempts,
            fallback=fallback,
        )
        yield made
        await made.aclose()


def by_model(**turns: Script) -> Script:
    """Answer by the beginning of the model's name."""
    return lambda ask: next(turns[name](ask) for name in turns if ask.model.startswith(name))


def asked(server: ModelServer) -> list[str]:
    """Which models were asked, in order."""
    return [ask.model for ask in server.requests]


def results(audit: ListAudit) -> list[str | None]:
    """What the results in the audit say."""
    return [entry.result for entry in audit.entries if entry.phase == "result"]


def pairs(audit: ListAudit) -> list[int | None]:
    """Which intent each result closes."""
    return [entry.closes for entry in audit.entries if entry.phase == "result"]


async def test_each_attempt_has_an_intent_and_a_result() -> None:
    """Before every attempt stands an intent, after it a result that closes it, errors redacted."""
    audit = ListAudit()
    trace = Trace(event="telegram:1", turn=1, step=2, actor="user", user=42)
    request = replace(ASKED, trace=trace)
    async with ModelServer(sequence([DOWN, GOOD])) as server, chain(server, audit) as model:
        reply = await model.ask(request, ignore)
    intent = AuditEntry(
        type="model",
        phase="intent",
        action="ask",
        target="anthropic:claude-sonnet-5-5",
        model="claude-sonnet-5-5",
        trace=trace,
    )
    durations = [entry.duration_ms for entry in audit.entries]
    assert audit.entries == [
        intent,
        replace(
            intent,
            phase="result",
            closes=1,
            result="ProviderUnavailable",
            error="[gone]: HTTP 529 overloaded_error",
            duration_ms=durations[1],
        ),
        intent,
        replace(
            intent,
            phase="result",
            closes=3,
            result="ok",
            tokens=15,
            cost_usd="0.00002",
            duration_ms=durations[3],
        ),
    ]
    assert all(isinstance(durations[i], int) for i in (1, 3))
    assert (reply.message.text, reply.usage.cost_usd) == ("Here I am.", Decimal("0.00002"))


async def test_unavailable_falls_back_at_once() -> None:
    """An unavailable model is not waited for while the fallback can answer."""
    audit = ListAudit()
    script = by_model(claude=always(replace(DOWN, retry_after="3")), gpt=always(GOOD))
    async with ModelServer(script) as server, chain(server, audit, fallback=GPT) as model:
        began = time.monotonic()
        reply = await model.ask(ASKED, ignore)
        took = time.monotonic() - began
        assert asked(server) == ["claude-sonnet-5-5", "gpt-6.1-sol"]
    assert (reply.model, results(audit), took < 2) == (GPT, ["ProviderUnavailable", "ok"], True)


async def test_both_down_are_asked_in_turns_until_one_is_back() -> None:
    """After a pause the wanted model has its turn first again."""
    audit = ListAudit()
    script = by_model(claude=sequence([DOWN, GOOD]), gpt=always(DOWN))
    async with ModelServer(script) as server, chain(server, audit, fallback=GPT) as model:
        reply = await model.ask(ASKED, ignore)
        assert asked(server) == ["claude-sonnet-5-5", "gpt-6.1-sol", "claude-sonnet-5-5"]
    assert (reply.model, pairs(audit)) == (CLAUDE, [1, 3, 5])


async def test_patience_has_an_end() -> None:
    """A model that stays down is asked again and again, but no longer than the patience lasts."""
    audit = ListAudit()
    async with (
        ModelServer(always(DOWN)) as server,
        chain(server, audit, patience_seconds=0.3) as model,
    ):
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            await model.ask(ASKED, ignore)
        took = time.monotonic() - began
        tries = len(server.requests)
    assert (took < 1, 2 <= tries <= 30) == (True, True)
    assert results(audit) == ["ProviderUnavailable"] * tries


async def test_demanded_wait_is_kept() -> None:
    """No new request goes out before the demanded wait is over."""
    turns = sequence([replace(DOWN, retry_after="0.4"), GOOD])
    async with ModelServer(turns) as server, chain(server, ListAudit()) as model:
        began = time.monotonic()
        await model.ask(ASKED, ignore)
        assert (time.monotonic() - began >= 0.4, len(server.requests)) == (True, 2)


async def test_wait_beyond_the_patience_is_not_begun() -> None:
    """A demanded wait that is too long ends the question at once and is passed on."""
    turn = replace(DOWN, retry_after="1000000")
    async with ModelServer(always(turn)) as server, chain(server, ListAudit()) as model:
        with pytest.raises(ProviderUnavailable) as caught:
            await model.ask(ASKED, ignore)
        assert (caught.value.retry_after, len(server.requests)) == (1_000_000.0, 1)


async def test_demand_of_no_wait_is_no_licence_to_hammer() -> None:
    """A demanded wait of zero still leaves our own pause."""
    turn = replace(DOWN, retry_after="0")
    async with (
        ModelServer(always(turn)) as server,
        chain(server, ListAudit(), patience_seconds=0.3) as model,
    ):
        with pytest.raises(ProviderUnavailable):
            await model.ask(ASKED, ignore)
        assert len(server.requests) <= 30


@pytest.mark.parametrize(
    ("turns", "error", "outcomes"),
    [
        ([CUT, GOOD], None, ["ProviderGarbled", "ok"]),
        ([CUT, CUT, GOOD], ProviderGarbled, ["ProviderGarbled", "ProviderGarbled"]),
    ],
)
async def test_garbled_is_asked_once_more(
    turns: list[Turn], error: type[ProviderError] | None, outcomes: list[str]
) -> None:
    """A garbled answer is asked for once more; garbled again it is raised, fallback or not."""
    audit = ListAudit()
    async with (
        ModelServer(sequence(turns)) as server,
        chain(server, audit, fallback=GPT) as model,
    ):
        if error is None:
            await model.ask(ASKED, ignore)
        else:
            with pytest.raises(error):
                await model.ask(ASKED, ignore)
        assert asked(server) == ["claude-sonnet-5-5"] * 2
    assert results(audit) == outcomes


async def test_text_starts_from_empty_at_each_attempt() -> None:
    """What an attempt showed is taken back before the next one."""
    shown: list[str] = []
    async with ModelServer(sequence([CUT, GOOD])) as server, chain(server, ListAudit()) as model:
        await model.ask(ASKED, shown.append)
    assert shown == ["Here I", "", "Here I am."]


async def test_rejected_goes_to_the_fallback_once() -> None:
    """A refused request goes to the fallback, of the same account too."""
    audit = ListAudit()
    turns = sequence([REFUSED, GOOD])
    async with ModelServer(turns) as server, chain(server, audit, fallback=HAIKU) as model:
        reply = await model.ask(ASKED, ignore)
        assert asked(server) == ["claude-sonnet-5-5", "claude-haiku-5-5"]
    assert (reply.model, results(audit)) == (HAIKU, ["ProviderRejected", "ok"])


@pytest.mark.parametrize("fallback", [None, CLAUDE, HAIKU])
async def test_rejected_everywhere_is_raised(fallback: ModelRef | None) -> None:
    """A request that every model refuses is refused, each asked once."""
    async with (
        ModelServer(always(REFUSED)) as server,
        chain(server, ListAudit(), fallback=fallback) as model,
    ):
        with pytest.raises(ProviderRejected):
            await model.ask(ASKED, ignore)
        assert len(server.requests) == (2 if fallback == HAIKU else 1)


async def test_refusing_fallback_is_not_asked_again() -> None:
    """While the wanted model is waited for, a fallback that refused stays out."""
    script = by_model(claude=sequence([DOWN, DOWN, GOOD]), gpt=always(REFUSED))
    async with ModelServer(script) as server, chain(server, ListAudit(), fallback=GPT) as model:
        reply = await model.ask(ASKED, ignore)
        assert asked(server) == ["claude-sonnet-5-5", "gpt-6.1-sol", *["claude-sonnet-5-5"] * 2]
    assert reply.model == CLAUDE


async def test_no_account_is_a_refusal_without_an_attempt() -> None:
    """A provider that is not configured is neither asked, paid for, nor audited as asked."""
    audit, budget = ListAudit(), ListBudget()
    attempts = Attempts(budget=budget, audit=audit, redact=str)
    model = ModelChain(providers={}, attempts=attempts)
    with pytest.raises(ProviderRejected, match="no account for anthropic"):
        await model.ask(ASKED, ignore)
    await model.aclose()
    assert (audit.entries, budget.states) == ([], [])


async def test_nothing_is_sent_without_an_intent() -> None:
    """If the intent cannot be recorded, nothing leaves or costs, to the fallback neither."""
    budget = ListBudget()
    async with (
        ModelServer(always(GOOD)) as server,
        chain(server, ListAudit(broken=True), fallback=GPT, budget=budget) as model,
    ):
        with pytest.raises(AuditError):
            await model.ask(ASKED, ignore)
        assert asked(server) == []
    assert budget.states == ["released"]


async def test_cancelled_attempt_is_recorded() -> None:
    """A cancelled attempt has its result line and stays paid for; the request is aborted."""
    audit, budget = ListAudit(), ListBudget()
    begun = asyncio.Event()
    turn = Turn(text="So far", fault="stall")
    async with ModelServer(always(turn)) as server, chain(server, audit, budget=budget) as model:
        task = asyncio.create_task(model.ask(ASKED, lambda _text: begun.set()))
        async with asyncio.timeout(5):
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.gone.wait()
    assert (results(audit), pairs(audit), budget.states) == (["cancelled"], [1], ["held"])


class SlowAudit(ListAudit):
    """Takes its time with results, as a busy disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = asyncio.Event()

    async def record(self, entry: AuditEntry) -> int:
        """Keep an entry, results after a while."""
        if entry.phase == "result":
            self.busy.set()
            await asyncio.sleep(0.1)
        return await super().record(entry)


async def test_result_is_recorded_though_cancelled_meanwhile() -> None:
    """Cancelling while the result is being recorded does not lose the result."""
    audit = SlowAudit()
    async with ModelServer(always(GOOD)) as server, chain(server, audit) as model:
        task = asyncio.create_task(model.ask(ASKED, ignore))
        async with asyncio.timeout(5):
            await audit.busy.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (results(audit), pairs(audit)) == (["ok"], [1])


class RacingAudit(ListAudit):
    """Has a task cancelled just as a result is recorded."""

    task: asyncio.Task[object]

    async def record(self, entry: AuditEntry) -> int:
        """Keep an entry."""
        if entry.phase == "result":
            asyncio.get_running_loop().call_soon(self.task.cancel)
        return await super().record(entry)


async def test_a_cancel_is_not_lost_while_a_result_is_recorded() -> None:
    """A stop that comes as the result is there still stops: the turn asks for nothing more."""
    audit = RacingAudit()
    async with ModelServer(always(GOOD)) as server, chain(server, audit) as model:
        audit.task = asyncio.create_task(model.ask(ASKED, ignore))
        await asyncio.wait({audit.task})
    assert (audit.task.cancelled(), results(audit)) == (True, ["ok"])


async def test_cancelling_wins_over_a_broken_audit() -> None:
    """A cancelled question ends as cancelled though its result cannot be recorded."""
    audit = ListAudit()
    begun = asyncio.Event()
    turn = Turn(text="So far", fault="stall")
    async with ModelServer(always(turn)) as server, chain(server, audit) as model:
        task = asyncio.create_task(model.ask(ASKED, lambda _text: begun.set()))
        async with asyncio.timeout(5):
            await begun.wait()
        audit.broken = True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_unrecorded_result_is_an_error() -> None:
    """An answer whose result cannot be recorded is not handed out."""
    audit = ListAudit()

    def breaking(_ask: Ask) -> Turn:
        audit.broken = True
        return GOOD

    async with ModelServer(breaking) as server, chain(server, audit) as model:
        with pytest.raises(AuditError):
            await model.ask(ASKED, ignore)


@pytest.mark.parametrize(
    ("turn", "state"),
    [
        (DOWN, "released"),
        (REFUSED, "released"),
        (Turn(status=502, html=True), "released"),
        (CUT, "held"),
        (Turn(text="Here I", fault="drop"), "held"),
        (Turn(text="Here I", fault="error_event"), "held"),
        (Turn(text="Here I", fault="nonsense"), "held"),
        (Turn(text="Here I", fault="stall"), "held"),
        (Turn(text="late", delay_seconds=30), "held"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_money_is_given_back_only_for_what_was_not_begun(
    turn: Turn, state: str, model: ModelRef
) -> None:
    """What failed before an answer costs nothing; what broke in it counts at its most."""
    budget = ListBudget()
    async with (
        ModelServer(sequence([turn, GOOD])) as server,
        chain(server, ListAudit(), fallback=HAIKU, budget=budget, read_seconds=0.3) as asking,
    ):
        await asking.ask(replace(ASKED, model=model), ignore)
    assert budget.states == [state, "settled for 100"]


async def test_nothing_is_held_for_a_server_that_is_not_there() -> None:
    """A connection that cannot be made costs nothing, however often it is tried."""
    budget = ListBudget()
    async with ModelServer(always(GOOD)) as server:
        gone = server
    async with chain(gone, ListAudit(), patience_seconds=0.2, budget=budget) as model:
        with pytest.raises(ProviderUnavailable):
            await model.ask(ASKED, ignore)
    assert set(budget.states) == {"released"}


async def test_what_is_sent_is_what_was_paid_for() -> None:
    """The request leaves as the budget shrunk it, and the reply names its reservation."""
    budget = ListBudget(output_tokens=50)
    turns = sequence([DOWN, GOOD])
    async with ModelServer(turns) as server, chain(server, ListAudit(), budget=budget) as model:
        reply = await model.ask(ASKED, ignore)
        assert [ask.raw["max_tokens"] for ask in server.requests] == [50, 50]
    assert budget.states == ["released", "settled for 50"]
    assert budget.usages == [reply.usage]
    assert reply.usage.reservation == 2


async def test_spent_budget_ends_the_question() -> None:
    """Without money nothing is sent, audited or tried again, at a cheaper model neither."""
    audit, budget = ListAudit(), ListBudget(calls=1)
    script = by_model(claude=always(DOWN), gpt=always(GOOD))
    async with (
        ModelServer(script) as server,
        chain(server, audit, fallback=GPT, budget=budget) as model,
    ):
        with pytest.raises(BudgetSpent):
            await model.ask(ASKED, ignore)
        assert asked(server) == ["claude-sonnet-5-5"]
    assert (results(audit), budget.states) == (["ProviderUnavailable"], ["released"])
