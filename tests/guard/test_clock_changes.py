"""Tests of schedules on the days when clocks change, in three zones over ten years."""

from bisect import bisect
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from assurebot.guard.triggers import Trigger, parsed

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
ZONES = (BERLIN, NEW_YORK, LORD_HOWE)
"""The last one changes by half an hour."""

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


def cron(text: str, zone: str = "UTC") -> Trigger:
    """Make a trigger of cron fields."""
    return parsed(f"cron: {text}", zone, BEGIN)


def all_of(trigger: Trigger, begin: datetime = BEGIN, end: datetime = END) -> list[datetime]:
    """Return every time between two moments, each asked for from the one before."""
    times = [begin]
    while (found := trigger.next_after(times[-1])) is not None and found < end:
        times.append(found)
    return times[1:]


@cache
def by_cronsim(text: str, zone: str) -> tuple[datetime, ...]:
    """Return what cronsim itself goes through in the ten years, in UTC."""
    found = CronSim(text, BEGIN.astimezone(ZoneInfo(zone)))
    return tuple(takewhile(lambda each: each < END, (each.astimezone(UTC) for each in found)))


def changes(zone: str) -> list[datetime]:
    """Return the noons (UTC) of the ten years after which the clocks change within a day."""
    noons = [(BEGIN + timedelta(days=n, hours=12)).astimezone(ZoneInfo(zone)) for n in range(3653)]
    pairs = pairwise(noons)
    return [a.astimezone(UTC) for a, b in pairs if a.utcoffset() != b.utcoffset()]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", ["30 2 * * *", "15,45 1-2 * * 6,0", "0 */6 * * 0", "*/20 2 * * 0"])
def test_ten_years_are_those_of_cronsim(zone: str, text: str) -> None:
    """Asked from time to time, a job fires exactly when cronsim says in one go."""
    assert tuple(all_of(cron(text, zone))) == by_cronsim(text, zone)


@pytest.mark.parametrize(
    ("zone", "at", "instead"),
    [
        (BERLIN, time(2, 30), time(3)),
        (NEW_YORK, time(2, 30), time(3)),
        (LORD_HOWE, time(2, 15), time(2, 30)),
    ],
)
def test_a_daily_job_in_the_gap_fires_once_at_its_end(zone: str, at: time, instead: time) -> None:
    """Over ten years it fires once on each day, and on the ten days of the gap right after it."""
    place = ZoneInfo(zone)
    local = [each.astimezone(place) for each in all_of(cron(f"{at.minute} {at.hour} * * *", zone))]
    days = {each.date() for each in local}
    assert len(local) == len(days) == (local[-1].date() - local[0].date()).days + 1 >= 3651
    late = [each for each in local if each.time() != at]
    assert [each.time() for each in late] == [instead] * 10
    assert all((each - timedelta(hours=3)).utcoffset() != each.utcoffset() for each in late)


@pytest.mark.parametrize(
    ("zone", "at"), [(BERLIN, time(2, 30)), (NEW_YORK, time(1, 30)), (LORD_HOWE, time(1, 45))]
)
def test_a_daily_job_in_the_repeated_hour_fires_at_the_first(zone: str, at: time) -> None:
    """On the ten days when its time comes twice it fires once, the first time."""
    place = ZoneInfo(zone)
    times = all_of(cron(f"{at.minute} {at.hour} * * *", zone))
    local = [each.astimezone(place) for each in times]
    twice = [
        each
        for each in local
        if each.replace(fold=1).utcoffset() != each.utcoffset() and each.time() == at
    ]
    assert [each.fold for each in twice] == [0] * 10
    assert len({each.date() for each in local}) == len(local) >= 3651


@pytest.mark.parametrize("zone", ZONES)
def test_a_job_with_a_star_goes_by_every_hour_that_there_is(zone: str) -> None:
    """Each half hour of real time has its run on the days when the clocks change: no gap, no two.

    The zones' offsets are whole half hours, so `*/30` is every half hour of UTC.
    """
    trigger, step = cron("*/30 * * * *", zone), timedelta(minutes=30)
    noons = changes(zone)
    assert len(noons) == 20
    for noon in noons:
        end = noon + timedelta(days=1)
        assert all_of(trigger, noon, end) == [noon + step * n for n in range(1, 48)]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", ["30 2 * * *", "0,15,45 1-3 * * 0", "0 0 1 * *"])
def test_from_any_moment_the_next_time_is_the_same(zone: str, text: str) -> None:
    """Asked in any quarter hour of the days when clocks change, the answer is the list's next."""
    trigger, times = cron(text, zone), by_cronsim(text, zone)
    for noon in changes(zone)[:-1]:
        for moment in (noon + timedelta(minutes=15 * n) for n in range(96)):
            assert trigger.next_after(moment) == times[bisect(times, moment)]
