"""Tests of reading schedules, and of the moments when they fire."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.triggers import REMIND_EXAMPLES, Trigger, parsed, remind

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday
BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def shown(times: list[datetime] | tuple[datetime, ...], zone: str) -> list[str]:
    """Return times as the clocks of a zone show them."""
    return [f"{each.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for each in times]


@pytest.mark.parametrize(
    ("text", "zone", "times"),
    [
        ("cron: 0 8 * * 1-5", "UTC", ["11-23 08:00", "11-24 08:00", "11-25 08:00"]),
        ("cron: 0 8 * * Mon-Fri", BERLIN, ["11-23 08:00", "11-24 08:00", "11-25 08:00"]),
        ("cron: 0 0 * * 0", "UTC", ["11-22 00:00", "11-29 00:00", "12-06 00:00"]),
        ("cron: 0 0 * * 7", "UTC", ["11-22 00:00", "11-29 00:00", "12-06 00:00"]),
        ("cron: 0 9 13 * 5", "UTC", ["11-27 09:00", "12-04 09:00", "12-11 09:00"]),
        ("cron: 0 9 1 jan,JUL *", "UTC", ["01-01 09:00", "07-01 09:00", "01-01 09:00"]),
        ("Cron:  */30  8 * * *", "UTC", ["11-21 08:00", "11-21 08:30", "11-22 08:00"]),
        ("cron: @hourly", "UTC", ["11-20 13:00", "11-20 14:00", "11-20 15:00"]),
        ("cron: @daily", "UTC", ["11-21 00:00", "11-22 00:00", "11-23 00:00"]),
        ("cron: @midnight", BERLIN, ["11-21 00:00", "11-22 00:00", "11-23 00:00"]),
        ("cron: @weekly", "UTC", ["11-22 00:00", "11-29 00:00", "12-06 00:00"]),
        ("cron: @monthly", "UTC", ["12-01 00:00", "01-01 00:00", "02-01 00:00"]),
        ("cron: @yearly", "UTC", ["01-01 00:00"] * 3),
        ("cron: @annually", "UTC", ["01-01 00:00"] * 3),
        ("every: 15m", "UTC", ["11-20 12:15", "11-20 12:30", "11-20 12:45"]),
        ("every: 2h30m", "UTC", ["11-20 14:30", "11-20 17:00", "11-20 19:30"]),
        ("every: 1d", "UTC", ["11-21 12:00", "11-22 12:00", "11-23 12:00"]),
        ("every: 365d", "UTC", ["11-20 12:00", "11-19 12:00", "11-19 12:00"]),
        ("at: 20m", "UTC", ["11-20 12:20"]),
        ("at: 1d2h", "UTC", ["11-21 14:00"]),
        ("at: 18:30", BERLIN, ["11-20 18:30"]),
        ("at: 9:05", BERLIN, ["11-21 09:05"]),
        ("at: 13:00", BERLIN, ["11-21 13:00"]),
        ("at: Tomorrow 9:00", BERLIN, ["11-21 09:00"]),
        ("at: 2026-12-24T18:00", BERLIN, ["12-24 18:00"]),
        ("at: 2026-12-24 18:00:30", BERLIN, ["12-24 18:00"]),
        ("at: 2026-12-24T18:00Z", BERLIN, ["12-24 19:00"]),
        ("at: 2026-12-24t18:00-05:00", BERLIN, ["12-25 00:00"]),
        ("at: 2027-10-31T02:30", BERLIN, ["10-31 02:30"]),
    ],
)
def test_the_next_three_times(text: str, zone: str, times: list[str]) -> None:
    """What is written fires when crontab, the span or the date says, on the zone's clocks."""
    assert shown(parsed(text, zone, NOW).upcoming(NOW), zone) == times


def test_a_trigger_is_a_plain_value() -> None:
    """A trigger keeps what was written, and for `at` the moment itself: it can be stored."""
    assert [parsed(text, BERLIN, NOW) for text in ("cron:  0 8 * * MON", "at: 20M")] == [
        Trigger(kind="cron", text="0 8 * * mon", zone=BERLIN, anchor=NOW),
        Trigger(kind="at", text="20m", zone=BERLIN, anchor=NOW + timedelta(minutes=20)),
    ]


FORM = (
    "a schedule is one short line such as `cron: 0 8 * * 1-5`, `every: 2h30m`, "
    "`at: 2030-12-24T18:00` or `at: 20m`"
)
FIVE = (
    "cron: takes five fields (minute hour day month weekday, no seconds), such as 0 8 * * 1-5, "
    "or one of @hourly @daily @midnight @weekly @monthly @yearly @annually"
)
DAY = "cron: the day-of-month must be 1-31, and a day that one of its months has"
WEEKDAY = (
    "cron: the day-of-week must be 0-7 or sun-sat (0 and 7 are Sunday), ranges rising, such as 5-7"
)
NEVER = "there is no such time to come: write a later time, or other days"
SPAN = "write a time from 1m to 365d without seconds, such as 15m, 2h30m or 1d"
AT = "at: takes 2030-12-24T18:00, 18:30, tomorrow 9:00, or a delay such as 20m"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", FORM),
        ("daily", FORM),
        ("when: 5m", FORM),
        ("cron:", FORM),
        ("cron: 0 8 * * " + "1," * 100 + "1", FORM),
        ("cron: 30 0 8 * * *", FIVE),
        ("cron: 0 8 * *", FIVE),
        ("cron: @reboot", FIVE),
        ("cron: 60 8 * * *", "cron: the minute must be 0-59"),
        ("cron: 0 24 * * *", "cron: the hour must be 0-23"),
        ("cron: 0 8 * 13 *", "cron: the month must be 1-12 or jan-dec, ranges rising"),
        ("cron: 0 8 32 * *", DAY),
        ("cron: 0 8 31 2 *", DAY),
        ("cron: 0 8 31 4,6,9,11 *", DAY),
        ("cron: 0 8 * * 8", WEEKDAY),
        ("cron: 0 8 * * sat-sun", WEEKDAY),
        ("cron: 0 8 */20 2 5#5", NEVER),
        ("every: 59s", SPAN),
        ("every: 0m", SPAN),
        ("every: 366d", SPAN),
        ("every: monday", SPAN),
        ("at: 0m", SPAN),
        ("at: 2026-11-20T11:59", NEVER),
        ("at: 2026-11-20T12:00", NEVER),
        ("at: 2026-12-24", AT),
        ("at: 2026-02-29T18:00", AT),
        ("at: 25:00", AT),
        ("at: 9999-12-31T23:59-10:00", AT),
        ("at: next week", AT),
    ],
)
def test_what_cannot_be_is_refused_and_names_the_fix(text: str, words: str) -> None:
    """What is no schedule, or never fires, is refused when it is written, with what to write."""
    with pytest.raises(ValueError, match=r".") as caught:
        parsed(text, "UTC", NOW)
    assert str(caught.value) == words


def test_a_time_that_the_clocks_leave_out_is_refused() -> None:
    """A time in the gap does not exist, and the first one that is meant by it is named."""
    with pytest.raises(ValueError, match=r".") as caught:
        parsed("at: 2027-03-28T02:30", BERLIN, NOW)
    assert str(caught.value) == "02:30 is left out when the clocks go forward: write 03:30"


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Berlin", BERLIN),
        ("europe/berlin", BERLIN),
        ("Europe/Berln", BERLIN),
        ("New York", NEW_YORK),
        ("UTC+2", "UTC"),
        ("../Europe/Berlin", BERLIN),
        ("Amerika/New_York\0", NEW_YORK),
    ],
)
def test_an_unknown_zone_names_the_nearest(zone: str, near: str) -> None:
    """A zone that is none is refused with the name that it comes nearest to."""
    with pytest.raises(ValueError, match=r".") as caught:
        parsed("every: 1h", zone, NOW)
    assert str(caught.value) == f"no such time zone: write an IANA name such as {near}"


@pytest.mark.parametrize("zone", ["", ".", "Europe", "x" * 5000, "ü", "\udcff"])
def test_any_text_as_a_zone_is_refused(zone: str) -> None:
    """Folders, empty names and other nonsense are refused like any unknown zone."""
    with pytest.raises(ValueError, match=r"^no such time zone: write an IANA name such as [A-Z]"):
        parsed("every: 1h", zone, NOW)


def test_weekdays_are_those_of_crontab() -> None:
    """`1-5` is Monday to Friday, and no other day, over ten years."""
    days = (NOW + timedelta(days=n) for n in range(1, 3651))
    working = [day.replace(hour=9) for day in days if day.isoweekday() <= 5]
    triggers = [parsed(f"cron: 0 9 * * {days}", "UTC", NOW) for days in ("1-5", "mon-fri")]
    assert [list(each.upcoming(NOW, len(working))) for each in triggers] == [working] * 2


FIELD = st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9]{1,2})?(,[0-9]{1,2})?", fullmatch=True)
CRONS = st.lists(FIELD, min_size=5, max_size=5).map(lambda fields: "cron: " + " ".join(fields))
ANYTHING = st.builds(
    "{}:{}".format,
    st.sampled_from(["cron", "every", "at"]),
    st.text("0123456789*/-,#lwLW dhmT:+Zz@", max_size=24) | st.text(max_size=12),
)


@given(
    CRONS | ANYTHING | st.text(max_size=30),
    st.sampled_from(["UTC", BERLIN, "Australia/Lord_Howe", "Asia/Beirut"]),
)
def test_any_text_is_read_or_refused(text: str, zone: str) -> None:
    """Whatever is written is refused with words, or explains itself and only goes forward."""
    try:
        trigger = parsed(text, zone, NOW)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either way is right
        return
    assert trigger.explained()
    times = [NOW, *trigger.upcoming(NOW, 20)]
    assert len(times) >= 2
    assert all(
        a < b and b.utcoffset() == timedelta(0) and trigger.next_after(a) == b
        for a, b in pairwise(times)
    )


def test_every_is_counted_from_its_creation() -> None:
    """However late it is asked, the times of `every` stay on the beat that began with it."""
    trigger = parsed("every: 90m", BERLIN, NOW)
    asked = [NOW - timedelta(days=1), NOW, NOW + timedelta(minutes=89), NOW + timedelta(minutes=90)]
    minutes = [90, 90, 90, 180]
    assert [trigger.next_after(each) for each in asked] == [
        NOW + timedelta(minutes=each) for each in minutes
    ]
    year = NOW + timedelta(days=365)
    assert trigger.next_after(year) == year + timedelta(minutes=90)


def test_at_fires_once() -> None:
    """Before its moment `at` names it, from then on nothing."""
    trigger, moment = parsed("at: 20m", "UTC", NOW), NOW + timedelta(minutes=20)
    assert [trigger.next_after(each) for each in (NOW, moment, moment + timedelta(1))] == [
        moment,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cron: 0 8 * * 1-5", "At 08:00 on Monday through Friday (Europe/Berlin)"),
        ("cron: @daily", "At 00:00 every day (Europe/Berlin)"),
        ("every: 2h30m", "Every 2h30m"),
        ("at: 20m", "Once, at 13:20 on 2026-11-20 (Europe/Berlin)"),
    ],
)
def test_it_explains_itself(text: str, words: str) -> None:
    """A schedule says in English when it fires, and by which clocks."""
    assert parsed(text, BERLIN, NOW).explained() == words


@pytest.mark.parametrize(
    ("text", "when", "words"),
    [
        ("20m call Bob", "at: 20m", "call Bob"),
        (" 1d2h  call\nBob ", "at: 1d2h", "call\nBob"),
        ("18:30 call Bob", "at: 18:30", "call Bob"),
        ("Tomorrow 9:00 call Bob", "at: Tomorrow 9:00", "call Bob"),
        ("2026-12-24 9:00 call Bob", "at: 2026-12-24T09:00", "call Bob"),
        ("2026-12-24T18:00 call Bob", "at: 2026-12-24T18:00", "call Bob"),
        ("every 2h stretch", "every: 2h", "stretch"),
        ("every day 9:00 stretch", "cron: 0 9 * * *", "stretch"),
        ("every weekday 09:05 stretch", "cron: 5 9 * * 1-5", "stretch"),
        ("Every Monday 9:00 every day counts", "cron: 0 9 * * 1", "every day counts"),
        ("every sunday 21:30 rest", "cron: 30 21 * * 0", "rest"),
    ],
)
def test_remind_splits_the_time_from_the_words(text: str, when: str, words: str) -> None:
    """The time comes first and becomes a schedule that can be read; the words stay as they are."""
    assert remind(text) == (when, words)
    assert parsed(when, BERLIN, NOW).next_after(NOW) is not None


def test_the_examples_of_remind_are_right() -> None:
    """What a refusal suggests is accepted."""
    for example in REMIND_EXAMPLES.split("`")[1::2]:
        when, words = remind(example)
        assert words
        assert len(parsed(when, BERLIN, NOW).upcoming(NOW, 1)) == 1


@pytest.mark.parametrize(
    "text",
    ["", "20m", "call Bob", "30s call", "monday 9:00 x", "every foo 9:00 x", "every x", "9 x"],
)
def test_remind_refuses_the_rest_with_examples(text: str) -> None:
    """Without a time, or without words, nothing is guessed."""
    with pytest.raises(ValueError, match=r".") as caught:
        remind(text)
    assert str(caught.value) == f"begin with the time, such as {REMIND_EXAMPLES}"
