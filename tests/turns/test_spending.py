"""The daily caps hold, with the real chain and the real store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from assurebot.errors import BudgetSpent, ProviderGarbled, ProviderRejected, StoreError
from assurebot.guard.budget import MIN_OUTPUT_TOKENS, input_bound
from assurebot.ports import OnText, UsageRow
from assurebot.providers.attempts import Attempts
from assurebot.providers.chain import ModelChain
from assurebot.providers.pricing import Prices
from assurebot.store.database import SqlStore
from assurebot.turns.spending import Spending
from assurebot.values import (
    SEARCH_FEE_USD,
    WEBHOOKS,
    AssistantMessage,
    AuditEntry,
    ModelRef,
    ModelReply,
    ModelRequest,
    ModelStep,
    TextPart,
    Trace,
    Usage,
    UserMessage,
)
from tests.doubles import ListAudit, ScriptedProvider
from tests.store.making import NOW, SetClock, added, store

CLAUDE = ModelRef(provider="anthropic", name="claude-sonnet-5-5")
UNKNOWN = ModelRef(provider="openai", name="my-own-model")
PRICES = Prices({"anthropic": (Decimal(1), Decimal(10))})
DAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
QUESTION = ModelRequest(
    model=CLAUDE,
    system="",
    messages=(UserMessage(parts=(TextPart(text="hello"),)),),
    trace=Trace(event="telegram:1", turn=1, actor="user:42", user=42),
)
INPUT_USD = Decimal(input_bound(QUESTION)) / 1_000_000
MOST_USD = INPUT_USD + Decimal("0.08192")
REFUSAL = (
    "the budget of $0.09 a day for all (BUDGET_DAILY_USD);"
    " it lifts at 00:00 UTC, or when BUDGET_DAILY_USD is raised"
)


def reply(cost: str = "0.01", output: int = 5) -> ModelReply:
    """Make an answer of this cost."""
    usage = Usage(input_tokens=10, output_tokens=output, cost_usd=Decimal(cost))
    message = AssistantMessage(text="fine")
    return ModelReply(message=message, stop="end", model=CLAUDE, usage=usage)


def ignore(_text: str) -> None:
    """Take no notice of the text."""


@dataclass(slots=True, kw_only=True)
class World:
    """A store with caps before it, and what was recorded and told."""

    kept: SqlStore
    daily_usd: str = "0.09"
    user_daily_usd: str | None = None
    prices: Prices = PRICES
    clock: SetClock = field(default_factory=SetClock)
    audit: ListAudit = field(default_factory=ListAudit)
    told: dict[str, str] = field(default_factory=dict)

    async def tell(self, text: str, once: str) -> None:
        """Keep a text for the owner, as the store does: the first of its name."""
        self.told.setdefault(once, text)

    def spending(self) -> Spending:
        """Make the budget."""
        user = None if self.user_daily_usd is None else Decimal(self.user_daily_usd)
        return Spending(
            store=self.kept,
            clock=self.clock,
            most=self.prices.most,
            daily_usd=Decimal(self.daily_usd),
            user_daily_usd=user,
            audit=self.audit,
            tell=self.tell,
        )

    def chain(self, *replies: ModelReply | Exception) -> tuple[ModelChain, ScriptedProvider]:
        """Make a chain over a model that answers so."""
        model = ScriptedProvider(*replies)
        return self.chain_of(model), model

    def chain_of(self, model: ScriptedProvider) -> ModelChain:
        """Make a chain over a model."""
        attempts = Attempts(budget=self.spending(), audit=self.audit, redact=str)
        return ModelChain(providers={"anthropic": model}, attempts=attempts)

    async def spent(self, user: int | None = None) -> Decimal:
        """Sum up the day, reservations counted."""
        return sum((row.cost_usd for row in await self.kept.usage(DAY, user)), Decimal(0))

    @property
    def lines(self) -> list[AuditEntry]:
        """What the audit says of money."""
        return [entry for entry in self.audit.entries if entry.type == "budget"]


@asynccontextmanager
async def world(folder: Path, **settings: object) -> AsyncIterator[World]:
    """Open a store with one event in it."""
    async with store(folder) as kept:
        await added(kept, "telegram:1")
        yield World(kept=kept, **settings)  # type: ignore[arg-type]  # each test knows its own


def line(result: str, cost: Decimal, action: str = "reserve") -> AuditEntry:
    """What the audit says of a call of the question's turn."""
    return AuditEntry(
        type="budget",
        action=action,
        result=result,
        target=str(CLAUDE),
        cost_usd=str(cost),
        trace=QUESTION.trace,
    )


async def test_answer_costs_what_it_cost(tmp_path: Path) -> None:
    """The most is held until the answer's step is stored, then what it took; nothing is said."""
    async with world(tmp_path) as here:
        chain, model = here.chain(reply())
        answer = await chain.ask(QUESTION, ignore)
        held = await here.spent()
        await here.kept.note(1, [ModelStep(n=0, reply=answer)])
        rows = await here.kept.usage(DAY, 42)
    assert (model.asked, held) == ([QUESTION], MOST_USD)
    row = UsageRow(
        day=NOW.date(),
        kind="model",
        model=str(CLAUDE),
        calls=1,
        input_tokens=10,
        output_tokens=5,
        cost_usd=Decimal("0.01"),
    )
    assert (rows, here.lines, here.told) == ((row,), [], {})


async def test_cap_holds_in_the_middle_of_a_turn(tmp_path: Path) -> None:
    """Answers get shorter as the money runs out, then the turn ends; the cap is never passed."""
    async with world(tmp_path) as here:
        chain, model = here.chain(*[reply("0.02")] * 9)

        async def turn() -> None:
            for n in range(9):
                answer = await chain.ask(QUESTION, ignore)
                await here.kept.note(1, [ModelStep(n=n, reply=answer)])
                assert await here.spent() <= Decimal("0.09")

        with pytest.raises(BudgetSpent) as caught:
            await turn()
        outputs = [asked.max_output_tokens for asked in model.asked]
        assert await here.spent() == Decimal("0.08")
    fits = [int((Decimal(left) - INPUT_USD) * 100_000) for left in ("0.07", "0.05", "0.03")]
    assert (outputs, str(caught.value)) == ([8192, *fits], REFUSAL)
    costs = [INPUT_USD + tokens * Decimal("0.00001") for tokens in (*fits, 8192)]
    results = ["shrunk", "shrunk", "shrunk", "refused"]
    assert [(entry.result, Decimal(entry.cost_usd or 0)) for entry in here.lines] == [
        *zip(results, costs, strict=True)
    ]
    assert here.told == {
        "budget:shrunk:None:2026-05-06": (
            f"💸 All together are near {REFUSAL}. Until then answers may be cut shorter."
        ),
        "budget:refused:None:2026-05-06": f"💸 All together have met {REFUSAL}.",
    }


async def test_refusal_sends_nothing(tmp_path: Path) -> None:
    """Where not even a short answer fits the model is not asked, and nothing is held."""
    async with world(tmp_path, daily_usd="0.012") as here:
        chain, model = here.chain(reply())
        with pytest.raises(BudgetSpent):
            await chain.ask(QUESTION, ignore)
        assert (await here.spent(), model.asked) == (Decimal(0), [])
    assert here.audit.entries == [line("refused", MOST_USD)]


async def test_answer_is_shrunk_to_the_minimum_at_most(tmp_path: Path) -> None:
    """The least that is sent are 1,024 tokens, and a cap that has room for no more is used up."""
    least = INPUT_USD + MIN_OUTPUT_TOKENS * Decimal("0.00001")
    async with world(tmp_path, daily_usd=str(least)) as here:
        chain, model = here.chain(reply())
        await chain.ask(QUESTION, ignore)
        assert await here.spent() == least
    assert model.asked == [replace(QUESTION, max_output_tokens=1024)]
    assert here.lines == [line("shrunk", least)]


async def test_short_answers_that_were_wanted_are_not_refused(tmp_path: Path) -> None:
    """The minimum is for shrinking: an operator's own lower limit is asked for as it is."""
    short = replace(QUESTION, max_output_tokens=100)
    async with world(tmp_path, daily_usd="0.005") as here:
        chain, model = here.chain(reply("0.001"))
        await chain.ask(short, ignore)
    assert (model.asked, here.lines) == ([short], [])


async def test_what_a_killed_process_held_counts(tmp_path: Path) -> None:
    """A reservation without an end is spent, after a restart too: nobody knows what it cost."""
    async with world(tmp_path) as here:
        await here.spending().reserve(QUESTION)
    async with store(tmp_path) as kept:
        again = World(kept=kept)
        chain, model = again.chain(reply())
        with pytest.raises(BudgetSpent):
            await chain.ask(QUESTION, ignore)
        assert (await again.spent(), model.asked) == (MOST_USD, [])


async def test_sound_is_under_the_same_caps(tmp_path: Path) -> None:
    """What it costs is set aside beside the models, settled or given back, and shown."""
    async with world(tmp_path) as here:
        budget, trace = here.spending(), QUESTION.trace
        first = await budget.reserve_other(
            "transcription", "openai:whisper-1", Decimal("0.05"), trace
        )
        held = await here.spent()
        await budget.settle(first, Usage(cost_usd=Decimal("0.01")))
        await budget.reserve_other("speech", "openai:tts-1", Decimal("0.08"), trace)
        with pytest.raises(BudgetSpent) as caught:
            await budget.reserve_other("transcription", "openai:whisper-1", Decimal("0.02"), trace)
        with pytest.raises(BudgetSpent):
            await budget.reserve(QUESTION)
        free = await budget.reserve_other("transcription", "openai:own", Decimal(0), trace)
        rows = await here.kept.usage(DAY, 42)
        await budget.release(first)
        assert (held, free, await here.spent()) == (Decimal("0.05"), 3, Decimal("0.08"))
    assert [(row.kind, row.model, row.calls, row.cost_usd) for row in rows] == [
        ("speech", "openai:tts-1", 1, Decimal("0.08")),
        ("transcription", "openai:whisper-1", 1, Decimal("0.01")),
    ]
    assert str(caught.value) == REFUSAL
    assert here.told == {"budget:refused:None:2026-05-06": f"💸 All together have met {REFUSAL}."}
    assert here.lines[0] == AuditEntry(
        type="budget",
        action="reserve",
        result="refused",
        target="openai:whisper-1",
        cost_usd="0.02",
        trace=trace,
    )


async def test_sound_is_under_the_caps_of_a_person_and_of_a_job(tmp_path: Path) -> None:
    """A person's own cap is for sound too, and what a killed process held counts."""
    async with world(tmp_path, daily_usd="5", user_daily_usd="0.09") as here:
        await here.spending().reserve_other(
            "speech", "openai:tts-1", Decimal("0.09"), QUESTION.trace
        )
    async with store(tmp_path) as kept:
        again = World(kept=kept, daily_usd="5", user_daily_usd="0.09")
        with pytest.raises(BudgetSpent, match="BUDGET_USER_DAILY_USD"):
            await again.spending().reserve_other(
                "speech", "openai:tts-1", Decimal("0.01"), QUESTION.trace
            )
        await again.spending().reserve_other(
            "speech", "openai:tts-1", Decimal("0.01"), Trace(user=7)
        )
        assert await again.spent() == Decimal("0.1")


async def test_midnight_lifts_the_cap(tmp_path: Path) -> None:
    """What was held before midnight is settled on its own day and takes nothing from the next."""
    async with world(tmp_path) as here:
        budget = here.spending()
        here.clock.at = DAY + timedelta(days=1, seconds=-1)
        late, _ = await budget.reserve(QUESTION)
        with pytest.raises(BudgetSpent):
            await budget.reserve(QUESTION)
        here.clock.at = DAY + timedelta(days=1)
        _, asked = await budget.reserve(QUESTION)
        await here.kept.settle(late, Usage(output_tokens=1, cost_usd=Decimal("0.05")))
        days = [(row.day, row.cost_usd) for row in await here.kept.usage(DAY)]
    assert asked == QUESTION
    assert days == [(DAY.date(), Decimal("0.05")), (here.clock.at.date(), MOST_USD)]


class DearProvider(ScriptedProvider):
    """Answers at nine tenths of the most that each request can cost."""

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Answer after a moment, in which the other turns ask."""
        self.asked.append(request)
        await asyncio.sleep(0.001)
        on_text("fine")
        most = await PRICES.most(CLAUDE, input_bound(request), request.max_output_tokens)
        return reply(str(most * Decimal("0.9")))


@pytest.mark.parametrize("daily", ["0.2", "0.5", "1"])
async def test_turns_at_once_never_pass_the_cap(tmp_path: Path, daily: str) -> None:
    """Eight turns that ask at the same moments share what there is, and use it."""
    async with world(tmp_path, daily_usd=daily) as here:
        model = DearProvider()

        async def turn(n: int) -> None:
            chain = here.chain_of(model)
            for step in range(9):
                answer = await chain.ask(QUESTION, ignore)
                await here.kept.note(1, [ModelStep(n=10 * n + step, reply=answer)])
                assert await here.spent() <= Decimal(daily)

        ends = await asyncio.gather(*map(turn, range(8)), return_exceptions=True)
        spent = await here.spent()
    least = INPUT_USD + MIN_OUTPUT_TOKENS * Decimal("0.00001")
    assert [type(end) for end in ends] == [BudgetSpent] * 8
    assert Decimal(daily) - least < spent <= Decimal(daily)


async def test_nobody_passes_their_own_cap(tmp_path: Path) -> None:
    """A person's cap ends only that person's turns, and names its own variable."""
    async with world(tmp_path, daily_usd="5", user_daily_usd="0.09") as here:
        budget = here.spending()
        await budget.reserve(QUESTION)
        with pytest.raises(BudgetSpent) as caught:
            await budget.reserve(QUESTION)
        other = replace(QUESTION, trace=Trace(user=7))
        nobody = replace(QUESTION, trace=Trace())
        assert (await budget.reserve(other))[1] == other
        assert (await budget.reserve(nobody))[1] == nobody
    words = (
        "the budget of $0.09 a day for each person (BUDGET_USER_DAILY_USD);"
        " it lifts at 00:00 UTC, or when BUDGET_USER_DAILY_USD is raised"
    )
    assert str(caught.value) == words
    assert here.told == {"budget:refused:42:2026-05-06": f"💸 User 42 has met {words}."}


async def test_both_caps_shrink_an_answer(tmp_path: Path) -> None:
    """An answer that fits under one cap is fitted under the other as well."""
    async with world(tmp_path, daily_usd="0.06", user_daily_usd="0.03") as here:
        _, asked = await here.spending().reserve(QUESTION)
    assert asked.max_output_tokens == int((Decimal("0.03") - INPUT_USD) * 100_000)
    assert [entry.result for entry in here.lines] == ["shrunk"]
    ((once, text),) = here.told.items()
    assert (once, text.startswith("💸 User 42 is near the budget of $0.03 a day")) == (
        "budget:shrunk:42:2026-05-06",
        True,
    )


async def test_unknown_price_counts_as_the_dearest(tmp_path: Path) -> None:
    """A model that nobody has a price of is held at the dearest known price, never at nothing."""
    asked = replace(QUESTION, model=UNKNOWN, max_output_tokens=4096)
    async with world(tmp_path, daily_usd="5", prices=Prices()) as here:
        budget = here.spending()
        await budget.reserve(asked)
        assert await here.spent() == INPUT_USD * 150 + 4096 * Decimal("0.0006")
        _, second = await budget.reserve(asked)
        assert 1024 <= second.max_output_tokens < 4096
        with pytest.raises(BudgetSpent):
            await budget.reserve(asked)
        assert await here.spent() <= 5


async def test_what_costs_nothing_is_never_refused(tmp_path: Path) -> None:
    """On an own server no cap is met, not even after something else went over it."""
    async with world(tmp_path, prices=Prices({"anthropic": (Decimal(0), Decimal(0))})) as here:
        dear, _ = await replace(here, prices=PRICES).spending().reserve(QUESTION)
        await here.kept.settle(dear, Usage(output_tokens=1, cost_usd=Decimal(9)))
        _, asked = await here.spending().reserve(QUESTION)
    assert (asked, here.lines) == (QUESTION, [])


@pytest.mark.parametrize(
    ("error", "held"),
    [(ProviderRejected("no"), 0), (ProviderGarbled("cut"), 2 * MOST_USD)],
)
async def test_only_what_was_refused_is_given_back(
    tmp_path: Path, error: Exception, held: Decimal
) -> None:
    """A refused request costs nothing; answers that broke off count at their most, each try."""
    async with world(tmp_path, daily_usd="5") as here:
        chain, _ = here.chain(error, error)
        with pytest.raises(type(error)):
            await chain.ask(QUESTION, ignore)
        assert await here.spent() == held


async def test_overdraft_is_reported(tmp_path: Path) -> None:
    """An answer that cost more than was held for it has a line, and the owner is told."""
    async with world(tmp_path, daily_usd="5") as here:
        chain, _ = here.chain(reply("0.5"), reply("0.6"))
        await chain.ask(QUESTION, ignore)
        await chain.ask(QUESTION, ignore)
    assert here.lines == [
        line("overdraft", Decimal("0.5"), "settle"),
        line("overdraft", Decimal("0.6"), "settle"),
    ]
    assert here.told == {
        f"overdraft:{CLAUDE}:2026-05-06": (
            f"💸 A call of {CLAUDE} cost $0.5000; at most ${MOST_USD:.4f}"
            " had been set aside for it."
        )
    }


@pytest.mark.parametrize("broken", ["audit", "store"])
@pytest.mark.parametrize("cost", ["0.01", "0.5"])
async def test_a_lost_notice_fails_no_call(tmp_path: Path, broken: str, cost: str) -> None:
    """What is set aside or paid already is gone on with: the answer is not lost, nor the money."""

    async def fail(_text: str, _once: str) -> None:
        raise StoreError("the disk is full")

    audit = ListAudit(broken=broken == "audit")
    async with world(tmp_path, daily_usd="0.05") as here:
        tell = fail if broken == "store" else here.tell
        budget = replace(here.spending(), audit=audit, tell=tell)
        model = ScriptedProvider(reply(cost))
        attempts = Attempts(budget=budget, audit=here.audit, redact=str)
        chain = ModelChain(providers={"anthropic": model}, attempts=attempts)
        assert (await chain.ask(QUESTION, ignore)).message.text == "fine"
        (sent,) = [each.max_output_tokens for each in model.asked]
        assert await here.spent() == INPUT_USD + sent * Decimal("0.00001") < MOST_USD


async def test_a_stop_while_the_owner_is_told_gives_the_money_back(tmp_path: Path) -> None:
    """Nobody knows of a reservation that was made, but not handed over."""

    async def stop(_text: str, _once: str) -> None:
        raise asyncio.CancelledError

    async with world(tmp_path, daily_usd="0.05") as here:
        budget = replace(here.spending(), tell=stop)
        with pytest.raises(asyncio.CancelledError):
            await budget.reserve(QUESTION)
        assert await here.spent() == Decimal(0)


async def test_search_is_held_with_its_fee_and_settled_at_once(tmp_path: Path) -> None:
    """A search has no step that would settle it; its fee and pages are held before it."""
    asked = replace(QUESTION, search=True)
    async with world(tmp_path, daily_usd="5") as here:
        await here.spending().reserve(asked)
        held = await here.spent()
        chain, _ = here.chain(reply("0.03"))
        await chain.ask(asked, ignore)
        rows = [(row.kind, row.cost_usd) for row in await here.kept.usage(DAY)]
    assert held == MOST_USD + Decimal("0.04") + SEARCH_FEE_USD
    assert rows == [("search", held + Decimal("0.03"))]


class FailingStore:
    """Reserves, and fails to settle."""

    def __init__(self, kept: SqlStore) -> None:
        self.reserve = kept.reserve

    async def settle(self, reservation: int, usage: Usage) -> None:
        """Fail."""
        raise StoreError(f"the disk is full: {reservation}, {usage}")


@pytest.mark.parametrize("search", [False, True])
async def test_answer_outlives_a_store_that_cannot_settle(tmp_path: Path, *, search: bool) -> None:
    """What cannot be settled stays held at its most; neither the answer nor the error is lost."""
    asked = replace(QUESTION, search=search)
    async with world(tmp_path, daily_usd="5") as here:
        budget = replace(here.spending(), store=FailingStore(here.kept))  # type: ignore[arg-type]  # it has what is asked of it
        model = ScriptedProvider(reply(), ProviderRejected("no"))
        attempts = Attempts(budget=budget, audit=here.audit, redact=str)
        chain = ModelChain(providers={"anthropic": model}, attempts=attempts)
        assert (await chain.ask(asked, ignore)).message.text == "fine"
        with pytest.raises(ProviderRejected):
            await chain.ask(asked, ignore)
        assert await here.spent() >= 2 * MOST_USD


async def test_webhooks_leave_half_of_the_day_to_people(tmp_path: Path) -> None:
    """All webhooks together are refused at half of the daily cap; a person is not."""
    hook = Trace(event="w", turn=1, actor="webhook:ci", user=WEBHOOKS)
    async with world(tmp_path, daily_usd="0.2", user_daily_usd="0.09") as here:
        budget = here.spending()
        first, _ = await budget.reserve(replace(QUESTION, trace=hook, max_output_tokens=8_192))
        await here.kept.settle(first, Usage(cost_usd=Decimal("0.1")))
        said = (
            "the budget of $0.1 a day for webhooks, half of that for all (BUDGET_DAILY_USD);"
            " it lifts at 00:00 UTC, or when BUDGET_DAILY_USD is raised"
        )
        with pytest.raises(BudgetSpent, match=f"^{re.escape(said)}$"):
            await budget.reserve(replace(QUESTION, trace=hook))
        assert here.told == {
            f"budget:refused:0:{NOW.date()}": f"💸 Webhooks together have met {said}."
        }
        assert (await budget.reserve(QUESTION))[1] == QUESTION
