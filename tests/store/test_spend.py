"""Money in the store: set aside under caps, settled with the step, booked once, summed up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from assurebot.errors import StoreError
from assurebot.ports import Cap, Charge, Reserved, Spent, UsageRow
from assurebot.values import ModelStep, Usage
from tests.store.making import NOW, added, ending, paid, store

DAY = date(2026, 5, 6)
NOTHING = Spent(calls=0, input_tokens=0, output_tokens=0, cost_usd="0.0000")


def charge(cost: str, user: int | None = 42) -> Charge:
    """The most that a call of this person may cost."""
    return Charge(at=NOW, turn=1, user=user, kind="model", model="m", cost_usd=Decimal(cost))


def cap(limit: str, user: int | None = None, *, hours: int = 0) -> Cap:
    """A limit since `hours` after now."""
    return Cap(limit_usd=Decimal(limit), since=NOW + timedelta(hours=hours), user=user)


def under(reservation: int | None, n: int, cost: str) -> ModelStep:
    """An answered step that this was set aside for."""
    step = paid(n, cost)
    assert step.reply is not None
    usage = replace(step.reply.usage, reservation=reservation)
    return replace(step, reply=replace(step.reply, usage=usage))


async def test_money_is_exact_and_counted_once(tmp_path: Path) -> None:
    """A step that is stored again is not paid again; sums are exact, by person and by time."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        for _ in range(2):
            await opened.note(stored.id, [paid(n, "0.1") for n in range(3)])
        expected = Spent(calls=3, input_tokens=30, output_tokens=15, cost_usd="0.3000")
        assert await opened.spent(NOW) == expected
        assert await opened.spent(NOW, 42) == expected
        assert await opened.spent(NOW, 43) == NOTHING
        assert await opened.spent(NOW + timedelta(seconds=1)) == NOTHING


async def test_reservation_that_does_not_fit_is_refused_with_what_is_left(tmp_path: Path) -> None:
    """What is spent and set aside counts under every cap, up to the last nano dollar."""
    async with store(tmp_path) as opened:
        assert await opened.reserve(charge("0.3"), [cap("1"), cap("0.5", 42)]) == Reserved(id=1)
        refused = Reserved(id=None, cap=cap("0.5", 42), left_usd=Decimal("0.2"))
        over = charge("0.2000000001")  # 0.1 nano dollars more
        assert await opened.reserve(over, [cap("1"), cap("0.5", 42)]) == refused
        assert await opened.reserve(charge("0.2"), [cap("1"), cap("0.5", 42)]) == Reserved(id=2)
        assert await opened.reserve(charge("0.5", None), [cap("1")]) == Reserved(id=3)
        full = Reserved(id=None, cap=cap("0.9"))
        assert await opened.reserve(charge("0.1", 43), [cap("5", 43), cap("0.9")]) == full
        later = await opened.reserve(charge("0.1"), [cap("0.1", hours=1)])
        assert later == Reserved(id=4)
        assert (await opened.spent(NOW)).cost_usd == "1.1000"


async def test_reservations_side_by_side_stay_under_the_cap(tmp_path: Path) -> None:
    """Of eight at one time, over a cap for three, three fit."""
    async with store(tmp_path) as opened:
        all_eight = (opened.reserve(charge("0.3"), [cap("1")]) for _ in range(8))
        made = await asyncio.gather(*all_eight)
        assert sorted(each.id for each in made if each.id is not None) == [1, 2, 3]
        refused = {each for each in made if each.id is None}
        assert refused == {Reserved(id=None, cap=cap("1"), left_usd=Decimal("0.1"))}
    async with store(tmp_path) as opened:
        assert (await opened.spent(NOW)).cost_usd == "0.9000"


@pytest.mark.parametrize("cost", ["NaN", "Infinity"])
async def test_cost_that_is_no_number_is_not_set_aside(tmp_path: Path, cost: str) -> None:
    """A price that makes no sense fails the call before it is made."""
    async with store(tmp_path) as opened:
        with pytest.raises(StoreError):
            await opened.reserve(charge(cost), [cap("1")])
        assert await opened.spent(NOW) == NOTHING


async def test_reservation_counts_in_full_until_it_is_settled(tmp_path: Path) -> None:
    """Settling puts the real cost in its place; what is given back is no call at all."""
    async with store(tmp_path) as opened:
        for cost in ("1", "2", "4"):
            await opened.reserve(charge(cost), [])
    async with store(tmp_path) as opened:
        full = Spent(calls=3, input_tokens=0, output_tokens=0, cost_usd="7.0000")
        assert await opened.spent(NOW) == full
        await opened.settle(1, Usage(input_tokens=9, output_tokens=8, cost_usd=Decimal("0.5")))
        await opened.settle(2, Usage())
        left = Spent(calls=2, input_tokens=9, output_tokens=8, cost_usd="4.5000")
        assert await opened.spent(NOW) == left
        await opened.settle(3, Usage())
        assert await opened.reserve(charge("0.5"), [cap("1")]) == Reserved(id=4)


async def test_step_settles_its_reservation(tmp_path: Path) -> None:
    """A step that is stored, once more or with the ending, is paid from what was set aside."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        one = await opened.reserve(charge("3"), [])
        two = await opened.reserve(charge("3"), [])
        for _ in range(2):
            await opened.note(stored.id, [under(one.id, 0, "0.25")])
        steps = (under(two.id, 2, "0.5"),)
        await opened.finish(stored.id, replace(ending(), steps=steps))
        expected = Spent(calls=2, input_tokens=20, output_tokens=10, cost_usd="0.7500")
        assert await opened.spent(NOW, 42) == expected


async def test_usage_is_summed_up_by_day_kind_and_model(tmp_path: Path) -> None:
    """One row for each day in UTC, kind and model, in that order, of one person or of all."""
    late = NOW + timedelta(days=1)
    made = (
        (charge("0.000000001"), Usage(input_tokens=1, cost_usd=Decimal("0.000000001"))),
        (charge("1"), Usage(input_tokens=10, output_tokens=2, cost_usd=Decimal("0.25"))),
        (charge("1", 43), Usage(input_tokens=100, cost_usd=Decimal("0.5"))),
        (replace(charge("1"), kind="search"), Usage(cost_usd=Decimal("0.01"))),
        (replace(charge("1"), model="a"), Usage()),
        (replace(charge("1"), at=late, model="a"), None),
    )
    async with store(tmp_path) as opened:
        for n, (each, usage) in enumerate(made, start=1):
            await opened.reserve(each, [])
            if usage is not None:
                await opened.settle(n, usage)
        row = UsageRow(
            day=DAY,
            kind="model",
            model="m",
            calls=2,
            input_tokens=11,
            output_tokens=2,
            cost_usd=Decimal("0.250000001"),
        )
        zero = replace(row, calls=1, input_tokens=0, output_tokens=0)
        search = replace(zero, kind="search", cost_usd=Decimal("0.01"))
        unsettled = replace(zero, day=date(2026, 5, 7), model="a", cost_usd=Decimal(1))
        assert await opened.usage(NOW, 42) == (row, search, unsettled)
        everyone = replace(row, calls=3, input_tokens=111, cost_usd=Decimal("0.750000001"))
        assert await opened.usage(NOW) == (everyone, search, unsettled)
        assert await opened.usage(late) == (unsettled,)
