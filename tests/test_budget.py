"""Money: the caps hold for whatever is asked, and people read which one was met.

The clock of the program is not exchanged: for it to be the next day, what was spent is moved to
the day before. Midnight by the clock itself is tested where the caps are decided on.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path

import pytest

from assurebot.demo.model import Ask, Call, Script, Turn
from assurebot.demo.telegram_chats import SentFile
from assurebot.errors import ConfigError
from assurebot.values import BoxFile, RunResult
from tests.doubles import FakeSandbox
from tests.pictures import png
from tests.scripts import LIMIT_SECONDS, by_words
from tests.world import OWNER, USER, World, quick, running

# A token of an answer costs a thousandth of a dollar, and one of a question nothing: the call of
# at most 1,024 tokens, which cannot be shrunk, has $1.024 set aside.
PRICE, OUTPUT = "0,1000", "1024"
CALL = Decimal("1.024")
WHOLE = Turn(text="Done.", output_tokens=1024)
MET = "the budget of ${} a day for {} ({}); it lifts at 00:00 UTC, or when {} is raised"
ALL = MET.format("3.5", "all", "BUDGET_DAILY_USD", "BUDGET_DAILY_USD")
EACH = MET.format("1.5", "each person", "BUDGET_USER_DAILY_USD", "BUDGET_USER_DAILY_USD")


def looping(ask: Ask) -> Turn:
    """Call a tool for ever, each time another exchange, and use up the whole answer for it."""
    return Turn(
        calls=(Call(name="recall", arguments=json.dumps({"id": ask.n})),), output_tokens=1024
    )


def spent(world: World) -> Decimal:
    """Sum up all that is spent and set aside."""
    ((nano,),) = world.rows("SELECT coalesce(sum(cost_nano_usd), 0) FROM spend")
    return Decimal(nano) / 1_000_000_000


def lines(world: World) -> list[tuple[str, str]]:
    """Return what the audit says of money."""
    return [(line["action"], line["result"]) for line in world.audit(type="budget")]


async def test_a_cap_ends_a_turn_in_its_midst(tmp_path: Path) -> None:
    """The call that does not fit is not made; the turn says why, the owner is told, once each."""
    async with running(
        tmp_path, looping, AI_PRICE=PRICE, MAX_OUTPUT_TOKENS=OUTPUT, BUDGET_DAILY_USD="3.5"
    ) as world:
        assert (await world.ask("go", by=world.user)).text == f"⏱ I stopped at {ALL}."
        assert (len(world.model.requests), spent(world)) == (3, 3 * CALL)
        notice = f"💸 All together have met {ALL}."
        assert (await world.answer(contains="💸")).text == notice
        await world.ask("more", "⏱ I stopped at", by=world.user)
        await world.ask("and I?", "⏱ I stopped at")
        assert len(world.model.requests) == 3
        assert world.texts().count(notice) == 1
        await world.stop()
        assert lines(world) == [("reserve", "refused")] * 3


async def test_money_is_spent_over_a_restart_and_back_the_next_day(tmp_path: Path) -> None:
    """A restart gives nothing back; a new day does."""
    async with running(
        tmp_path,
        lambda _: WHOLE,
        AI_PRICE=PRICE,
        MAX_OUTPUT_TOKENS=OUTPUT,
        BUDGET_DAILY_USD="1.5",
    ) as world:
        await world.ask("one", "Done.")
        await world.restart()
        await world.ask("two", "⏱ I stopped at the budget of $1.5 a day")
        world.rows("UPDATE spend SET at = datetime(at, '-1 day')")
        await world.ask("three", "Done.")
        await world.ask("four", "⏱ I stopped at the budget of $1.5 a day")
        assert (len(world.model.requests), spent(world)) == (2, 2 * CALL)


async def test_what_a_fall_cut_off_counts_at_its_most(tmp_path: Path) -> None:
    """Nobody knows what a call without an end cost: it stays set aside, and the next is refused."""
    asked = asyncio.Event()

    def hanging(_ask: Ask) -> Turn:
        asked.set()
        return Turn(delay_seconds=60)

    async with running(
        tmp_path,
        hanging,
        parts=quick(grace_seconds=0.05),
        AI_PRICE=PRICE,
        MAX_OUTPUT_TOKENS=OUTPUT,
        BUDGET_DAILY_USD="1.5",
    ) as world:
        world.owner.say("one")
        async with asyncio.timeout(LIMIT_SECONDS):
            await asked.wait()
        await world.fall()
        assert spent(world) == CALL
        await world.start(polls=False)
        await world.answer(contains="⏱ I stopped at the budget of $1.5 a day")
        assert (len(world.model.requests), spent(world)) == (1, CALL)


async def test_eight_turns_at_once_do_not_pass_the_cap(tmp_path: Path) -> None:
    """Of eight calls that are to run at the same time only the three that fit are made."""
    people = range(50, 58)
    asked = asyncio.Semaphore(0)

    def hanging(_ask: Ask) -> Turn:
        asked.release()
        return Turn(delay_seconds=60)

    async with running(
        tmp_path,
        hanging,
        parts=quick(grace_seconds=0.05),
        ALLOWED_USERS=",".join(map(str, (OWNER, *people))),
        AI_PRICE=PRICE,
        MAX_OUTPUT_TOKENS=OUTPUT,
        BUDGET_DAILY_USD="3.5",
    ) as world:
        for each in people:
            world.telegram.person(each).say("go")
        refused = [
            asyncio.create_task(world.answer(each, f"⏱ I stopped at {ALL}.")) for each in people
        ]
        while sum(task.done() for task in refused) < 5:
            await asyncio.wait([t for t in refused if not t.done()], return_when="FIRST_COMPLETED")
        async with asyncio.timeout(LIMIT_SECONDS):
            for _ in range(3):
                await asked.acquire()
        assert (len(world.model.requests), spent(world)) == (3, 3 * CALL)
        assert spent(world) <= world.settings.budget_daily_usd
        assert sum(text.startswith("💸") for text in world.texts()) == 1
        for task in refused:
            task.cancel()
        await asyncio.wait(refused)


async def test_each_person_has_a_cap_of_their_own(tmp_path: Path) -> None:
    """One who met it is refused, the owner is told, and the others go on."""
    async with running(
        tmp_path,
        lambda _: WHOLE,
        AI_PRICE=PRICE,
        MAX_OUTPUT_TOKENS=OUTPUT,
        BUDGET_DAILY_USD="5",
        BUDGET_USER_DAILY_USD="1.5",
    ) as world:
        await world.ask("one", "Done.", by=world.user)
        assert (await world.ask("two", by=world.user)).text == f"⏱ I stopped at {EACH}."
        assert (await world.answer(contains="💸")).text == f"💸 User {USER} has met {EACH}."
        await world.ask("three", "Done.")
        assert (len(world.model.requests), spent(world)) == (2, 2 * CALL)


async def test_an_answer_is_made_shorter_before_it_is_refused(tmp_path: Path) -> None:
    """What is left buys as many tokens as it can, but no fewer than 1,024."""
    async with running(
        tmp_path,
        lambda _: Turn(text="Done.", output_tokens=900),
        AI_PRICE=PRICE,
        MAX_OUTPUT_TOKENS="4096",
        BUDGET_DAILY_USD="2",
    ) as world:
        await world.ask("one", "Done.")
        await world.ask("two", "Done.")
        await world.ask("three", "⏱ I stopped at the budget of $2 a day")
        assert [ask.raw["max_tokens"] for ask in world.model.requests] == [2000, 1100]
        assert spent(world) == Decimal("1.8")
        await world.stop()
        assert lines(world) == [
            *(("reserve", "shrunk"), ("reserve", "shrunk"), ("reserve", "refused"))
        ]
        told = [text.partition(" the budget")[0] for text in world.texts() if "💸" in text]
        assert told == ["💸 All together are near", "💸 All together have met"]


async def test_a_model_without_a_price_is_not_started_nor_chosen(tmp_path: Path) -> None:
    """No budget could hold it: the start names the variable, and /model refuses."""
    async with running(tmp_path, started=False, AI_PRICE="", AI_MODEL="nobody-knows-it") as world:
        with pytest.raises(ConfigError) as caught:
            await world.start()
        (problem,) = caught.value.problems
        assert problem.startswith("AI_MODEL: nobody knows the price of anthropic:nobody-knows-it;")
        world.app = None
        world.environ["AI_MODEL"] = ""
        await world.start()
        await world.ask("/model nobody-knows-it", "nobody knows the price")
        assert len(world.model.requests) == 0


async def test_the_own_price_is_for_the_provider_of_the_model_alone(tmp_path: Path) -> None:
    """A model of the other provider has the price of the table, or is not started nor chosen."""
    strange = "nobody knows the price of anthropic:mine; AI_PRICE is only for models of openai"
    async with running(
        tmp_path,
        started=False,
        OPENAI_API_KEY="sk-made-up-0123456789",
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
        AI_PRICE="0,0",
        AI_MODEL="openai:mine",
        AI_FALLBACK_MODEL="anthropic:mine",
        BUDGET_DAILY_USD="0.001",
    ) as world:
        with pytest.raises(ConfigError) as caught:
            await world.start()
        assert caught.value.problems == (f"AI_FALLBACK_MODEL: {strange}",)
        world.app = None
        world.environ["AI_FALLBACK_MODEL"] = ""
        await world.start()
        await world.ask("/model anthropic:mine", strange)
        await world.ask("/model anthropic:claude-sonnet-5-5", "claude-sonnet-5-5")
        await world.ask("go", "⏱ I stopped at the budget of $0.001 a day")
        assert len(world.model.requests) == 0


def usage(text: str) -> dict[str, list[str]]:
    """Return the lines of each section of an answer to /usage, without what is left of the day."""
    sections = [section.splitlines() for section in text.split("\n\n")]
    return {
        first: [line for line in rest if not line.startswith("Left")]
        for first, *rest in sections
        if first in {"You", "All together"}
    }


async def test_usage_shows_each_their_own_and_the_owner_all(tmp_path: Path) -> None:
    """By kind and model, today and this month; what others cost only the owner sees, in sum."""
    script: Script = by_words({"costly": WHOLE})
    async with running(tmp_path, script, AI_PRICE=PRICE, BUDGET_DAILY_USD="50") as world:
        await world.ask("costly", "Done.")
        await world.ask("cheap", "cheap", by=world.user)

        def section(calls: int, given: int, made: str, cost: str) -> list[str]:
            line = f"• model anthropic:claude-sonnet-5-5: calls {calls}, tokens {given} in"
            both = f"{line}, {made} out, ${cost}"
            return [f"Today: ${cost}", both, f"This month: ${cost}", both]

        theirs = (await world.ask("/usage", "You", by=world.user)).text
        assert usage(theirs) == {"You": section(1, 10, "5", "0.0050")}
        assert "All together may spend $50 a day." in theirs
        mine = (await world.ask("/usage", "You")).text
        assert usage(mine) == {
            "You": section(1, 10, "1,024", "1.0240"),
            "All together": section(2, 20, "1,029", "1.0290"),
        }
        assert re.findall(r"Left today: (.*?);", mine) == ["$48.9710 of $50"]


async def test_the_chart_of_usage_is_a_picture_from_the_box(tmp_path: Path) -> None:
    """It follows the figures as a photo; under /panic no program runs, and bars of text do."""
    chart = BoxFile(name="usage.png", data=png())
    ran = RunResult(outcome="ok", exit_code=0, grade="A", files=(chart,))
    box = FakeSandbox(lambda _: ran)
    parts = quick(box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, lambda _: WHOLE, parts=parts, AI_PRICE=PRICE) as world:
        await world.ask("go", "Done.")
        assert "█" not in (await world.ask("/usage", "You")).text
        drawn = await world.meanwhile(
            world.telegram.wait_for_message(
                OWNER, lambda sent: sent.file is not None, timeout_seconds=LIMIT_SECONDS
            )
        )
        assert drawn.file == SentFile(kind="photo", name="usage.png", content=chart.data)
        await world.ask("/panic", "held")
        assert "█" in (await world.ask("/usage", "You")).text
        assert len(box.programs) == 1
