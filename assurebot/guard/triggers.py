"""When a schedule fires: what people write is read here, and the next moments are computed.

What happens when the clocks change is what Debian's cron does (computed by cronsim):

- `cron:` with a plain minute and hour (neither begins with `*`) fires once on each day that it
  names. `30 2 * * *` on the day when 02:00 becomes 03:00: once, at 03:00, the first minute that
  exists, together with anything else in that gap. On the day when 03:00 becomes 02:00 again:
  once, at the first 02:30.
- `cron:` with a `*` in the minute or the hour goes by the clock on the wall: what falls in the gap
  does not happen, and what falls in the repeated hour happens twice. Where the clocks change by
  half an hour (Lord Howe) it may lose the first half hour of the hours that it names, on that day.
- `every:` counts real time from its creation; one of `1d` moves by an hour on the clock.
- `at:` refuses a time that does not exist, and takes the first of two.

Days are joined as in crontab: where both the day of the month and the weekday are given, and
neither begins with `*`, either one is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Literal, assert_never, cast, get_args
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

Kind = Literal["cron", "every", "at"]
EXAMPLES = "`cron: 0 8 * * 1-5`, `every: 2h30m`, `at: 2030-12-24T18:00` or `at: 20m`"
REMIND_EXAMPLES = (
    "`20m call Bob`, `18:30 call Bob`, `tomorrow 9:00 call Bob`, `2030-12-24 18:00 call Bob`, "
    "`every 2h stretch`, `every day 9:00 stretch`, `every weekday 9:00 …`, `every monday 9:00 …`"
)

LONGEST_TEXT = 200
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=365)
"""Of what `every:` and a delay may be."""

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, and a day that one of its months has",
    "month": "1-12 or jan-dec, ranges rising",
    "day-of-week": "0-7 or sun-sat (0 and 7 are Sunday), ranges rising, such as 5-7",
}
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DAYS = {"day": "*", "weekday": "1-5", **{name: str(n) for n, name in enumerate(_WEEKDAYS)}}

_TIME = r"\d{1,2}:\d\d"
_SPAN = re.compile(r"(?:(?P<days>\d{1,3})d)?(?:(?P<hours>\d{1,4})h)?(?:(?P<minutes>\d{1,6})m)?")
_AT_TIME = re.compile(f"(tomorrow )?({_TIME})")
_REMIND = re.compile(
    rf"""(?is)(?:(?P<every>every\ +)?(?P<span>\d+[dhm][\ddhm]*)
    |every\ +(?P<day>{"|".join(_DAYS)})\ +(?P<day_time>{_TIME})
    |(?P<date>\d{{4}}-\d\d-\d\d)[\ t]+(?P<date_time>{_TIME})
    |(?P<at>(?:tomorrow\ +)?{_TIME}))\s+(?P<text>\S.*)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A schedule's moments, as `parsed` made them.

    Attributes:
        text: What stood behind the kind and its colon, on one line.
        zone: IANA name.
        anchor: UTC; what `every` counts from, and the very moment of `at`.
    """

    kind: Kind
    text: str
    zone: str
    anchor: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after `moment`, in UTC; `None` if there is none any more."""
        match self.kind:
            case "at":
                return self.anchor if self.anchor > moment else None
            case "every":
                step = span_of(self.text)
                return self.anchor + step * max((moment - self.anchor) // step + 1, 1)
            case "cron":
                found = _cron(self.text, moment.astimezone(ZoneInfo(self.zone)))
                times = (each.astimezone(UTC) for each in found)
                # In the repeated hour cronsim names the first pass, which may be over.
                return next((time for time in times if time > moment), None)
            case _:
                assert_never(self.kind)

    def upcoming(self, moment: datetime, count: int = 3) -> tuple[datetime, ...]:
        """Return the next times after `moment`, in UTC; fewer where it ends."""
        times: list[datetime] = []
        while len(times) < count and (found := self.next_after(times[-1] if times else moment)):
            times.append(found)
        return tuple(times)

    def explained(self) -> str:
        """Say in English when it fires."""
        if self.kind == "every":
            return f"Every {self.text}"
        place = ZoneInfo(self.zone)
        if self.kind == "at":
            return f"Once, at {self.anchor.astimezone(place):%H:%M on %Y-%m-%d} ({self.zone})"
        return f"{_cron(self.text, self.anchor).explain()} ({self.zone})"


def parsed(text: str, zone: str, now: datetime) -> Trigger:
    """Read `cron: …`, `every: …` or `at: …`, meant in a zone; `now` is aware, and is its anchor.

    `at:` takes ISO 8601 (in the zone, unless it has an offset), a time of day (the next one),
    `tomorrow 9:00`, or a delay.

    Raises:
        ValueError: It cannot be, or never fires after `now`; the text tells the user what to fix.
    """
    place = _zone(zone)
    kind, _, rest = (each.strip() for each in " ".join(text.lower().split()).partition(":"))
    if kind not in get_args(Kind) or not rest or len(text) > LONGEST_TEXT:
        raise ValueError(f"a schedule is one short line such as {EXAMPLES}")
    anchor = _moment(rest, place, now) if kind == "at" else now.astimezone(UTC)
    trigger = Trigger(kind=cast("Kind", kind), text=rest, zone=zone, anchor=anchor)
    if trigger.next_after(now) is None:
        raise ValueError("there is no such time to come: write a later time, or other days")
    return trigger


def remind(text: str) -> tuple[str, str]:
    """Split the words behind `/remind` into what `parsed` reads and what to say then.

    Raises:
        ValueError: It does not begin with a time that is known; the text gives examples.
    """
    found = _REMIND.fullmatch(text.strip())
    if not found:
        raise ValueError(f"begin with the time, such as {REMIND_EXAMPLES}")
    if found["day"]:
        hour, minute = map(int, found["day_time"].split(":"))
        when = f"cron: {minute} {hour} * * {_DAYS[found['day'].lower()]}"
    elif found["date"]:
        when = f"at: {found['date']}T{found['date_time']:0>5}"
    else:
        when = f"{'every' if found['every'] else 'at'}: {found['span'] or found['at']}"
    return when, found["text"]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # no such name, no name at all, a folder
        # Signs in Etc/ are the other way round: nobody who writes UTC+2 means Etc/GMT+2.
        names = [each for each in sorted(available_timezones()) if not each.startswith("Etc/")]
        known = {key.lower(): each for each in names for key in (each.rpartition("/")[2], each)}
        near = get_close_matches(name[:50].lower().replace(" ", "_"), known, 1, 0)
        raise ValueError(
            f"no such time zone: write an IANA name such as {known[near[0]]}"
        ) from error


def _cron(text: str, start: datetime) -> CronSim:
    fields = _ALIASES.get(text, text)
    if len(fields.split()) != len(_FIELDS):  # cronsim would take six, with seconds
        raise ValueError(
            "cron: takes five fields (minute hour day month weekday, no seconds), "
            f"such as 0 8 * * 1-5, or one of {' '.join(_ALIASES)}"
        )
    try:
        return CronSim(fields, start)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise ValueError(f"cron: the {field} must be {_FIELDS[field]}") from error


def span_of(text: str) -> timedelta:
    """Read a length of time such as `2h30m`.

    Raises:
        ValueError: It is none, or too short or long; the text tells the user what to write.
    """
    found = _SPAN.fullmatch(text)
    parts = found.groupdict("0") if found else {}
    span = timedelta(**{unit: int(number) for unit, number in parts.items()})
    if not SHORTEST <= span <= LONGEST:
        raise ValueError("write a time from 1m to 365d without seconds, such as 15m, 2h30m or 1d")
    return span


def _moment(text: str, place: ZoneInfo, now: datetime) -> datetime:
    if _SPAN.fullmatch(text):
        return now.astimezone(UTC) + span_of(text)
    if clock := _AT_TIME.fullmatch(text):
        local, time = now.astimezone(place), f"{clock[2]:0>5}"
        later = bool(clock[1]) or time <= f"{local:%H:%M}"
        text = f"{local.date() + timedelta(days=later)}T{time}"
    try:
        moment = datetime.fromisoformat(text.upper() if ":" in text else "")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=place)
        shown = moment.astimezone(UTC).astimezone(moment.tzinfo)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            "at: takes 2030-12-24T18:00, 18:30, tomorrow 9:00, or a delay such as 20m"
        ) from error
    if shown != moment:
        raise ValueError(
            f"{moment:%H:%M} is left out when the clocks go forward: write {shown:%H:%M}"
        )
    return moment.astimezone(UTC)
