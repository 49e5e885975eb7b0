"""What people write behind `/schedule`, read into a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assurebot.guard.tasks import Order, job_of, ordered, trigger_of, watched
from assurebot.values import Job, Person, Place

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HERE, ANN = Place(chat_id=42), Person(user_id=42)


def read(line: str) -> Job:
    """Read a line as the bot does at noon."""
    return job_of(ordered(line), zone="Europe/Berlin", now=NOW, place=HERE, actor=ANN)


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("every: 1h | Brief me", Order(when="every: 1h ", text="Brief me")),
        ("at: 20m|remind: a | b", Order(when="at: 20m", text="a | b", kind="remind")),
        (
            "every: 1h|RUN:\nbash df | tail",
            Order(when="every: 1h", text="bash df | tail", kind="run"),
        ),
        (
            "every: 1h | missed: skip | Zone: Asia/Tokyo | watch: https://a.example",
            Order(
                when="every: 1h ",
                text="https://a.example",
                kind="watch",
                zone="Asia/Tokyo",
                missed="skip",
            ),
        ),
        (
            "every: 1h | timezone: what is it? | x",
            Order(when="every: 1h ", text="timezone: what is it? | x"),
        ),
    ],
)
def test_a_line_is_read_literally(line: str, order: Order) -> None:
    """Only known options are taken off the front; all else is the text, with its bars."""
    assert ordered(line) == order


def test_a_job_is_made_whole() -> None:
    """Its moments are those of its zone, and nothing of it is left to be found out later."""
    assert read("cron: 0 9 * * 1-5 | missed: 2h | Brief me") == Job(
        place=HERE,
        actor=ANN,
        kind="brief",
        text="Brief me",
        when="cron: 0 9 * * 1-5",
        zone="Europe/Berlin",
        anchor=NOW,
        window_seconds=7200,
        next_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("at: 1h | remind: x", 30 * 86_400),
        ("at: 1h | x", 12 * 3600),
        ("at: 1h | missed: skip | x", 0),
        ("at: 1h | missed: 1d2h | x", 26 * 3600),
    ],
)
def test_how_late_a_run_may_be(line: str, seconds: int) -> None:
    """Each kind has its usual window, and a line may say another."""
    assert read(line).window_seconds == seconds


@pytest.mark.parametrize("when", ["cron: 30 2 * * *", "every: 1d", "at: 2027-03-01T08:00"])
def test_the_moments_of_a_job_are_kept(when: str) -> None:
    """What is stored fires when what was written would have."""
    job = read(f"{when} | x")
    trigger = trigger_of(job)
    assert trigger.next_after(NOW) == job.next_at
    assert trigger.upcoming(NOW + timedelta(days=120)) == trigger_of(read(f"{when} | x")).upcoming(
        NOW + timedelta(days=120)
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("every: 1h", "write `/schedule WHEN | WHAT`"),
        ("every: 1h |  ", "say what is to be done, in at most 4000 characters"),
        (f"every: 1h | {'x' * 4001}", "say what is to be done, in at most 4000 characters"),
        ("every: 5s | x", "write a time from 1m to 365d"),
        (
            "every: 1h | zone: Berlin | x",
            "no such time zone: write an IANA name such as Europe/Berlin",
        ),
        ("every: 1h | missed: maybe | x", "write a time from 1m to 365d"),
        ("every: 1h | run: python", "run: takes a language and the code"),
        ("every: 1h | watch: ftp://a.example", "only complete http:// and https:// URLs"),
        ("every: 1h | watch: https://a.example often", "watch: takes a URL, and perhaps"),
        ("at: 2020-01-01T00:00 | x", "there is no such time to come"),
    ],
)
def test_mistakes_tell_what_to_write(line: str, problem: str) -> None:
    """Nothing that cannot be is kept."""
    with pytest.raises(ValueError, match="^" + problem.replace("|", r"\|")):
        read(line)


def test_what_is_watched() -> None:
    """The URL in its normal form, and the words as they stand."""
    assert watched("HTTPS://A.example") == ("https://a.example/", "")
    assert watched("https://a.example/x CONTAINS  In  Stock ") == (
        "https://a.example/x",
        "In  Stock",
    )
