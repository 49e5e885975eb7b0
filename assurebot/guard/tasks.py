"""What people write to have something done at times, read into a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from assurebot.guard.code import code_in
from assurebot.guard.triggers import EXAMPLES, Kind, Trigger, parsed, span_of
from assurebot.urls import parsed as parsed_url
from assurebot.values import Job, JobKind, Person, Place

HOW = f"""\
`/schedule WHEN | WHAT`, where WHEN is {EXAMPLES}, and WHAT is

`what I am to do` and tell, with the model
`remind: words` to be said as they are
`run: python CODE`, told when its output changed
`watch: URL` or `watch: URL contains words`, told when that changed

Between the two may stand `zone: Europe/Berlin |` and, for what was missed while I was down, \
`missed: skip |` or `missed: 2h |`: so late it may still be done."""

TEXT_CHARS = 4_000
WINDOWS: Mapping[JobKind, timedelta] = {
    "remind": timedelta(days=30),
    "brief": timedelta(hours=12),
    "run": timedelta(hours=12),
    "watch": timedelta(hours=12),
}
"""How late each kind may be made up for, where nothing else is said."""

_OPTION = re.compile(r"\s*(zone|missed)\s*:\s*([^|\n]{1,60}?)\s*\|", re.IGNORECASE)
_KIND = re.compile(r"(?is)(remind|brief|run|watch)\s*:\s*(.*)")
_WATCH = re.compile(r"(?is)(\S+)(?:\s+contains\s+(\S.*?))?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, and when, as it was written.

    Attributes:
        zone: IANA name, empty for the usual one.
        missed: `skip`, or how late it may be made up for; empty for the usual.
    """

    when: str
    text: str
    kind: JobKind = "brief"
    zone: str = ""
    missed: str = ""


def ordered(line: str) -> Order:
    """Read `WHEN | WHAT` with what may stand between.

    Raises:
        ValueError: It is not that; the text tells the user what to write.
    """
    when, bar, rest = line.partition("|")
    if not bar:
        raise ValueError(f"write {HOW}")
    options: dict[str, str] = {}
    while option := _OPTION.match(rest):
        options[option[1].lower()], rest = option[2], rest[option.end() :]
    found = _KIND.fullmatch(rest.strip())
    kind = cast("JobKind", found[1].lower()) if found else "brief"
    return Order(when=when, text=found[2] if found else rest.strip(), kind=kind, **options)


def job_of(
    order: Order, *, zone: str, now: datetime, place: Place, actor: Person, name: str = ""
) -> Job:
    """Make a job that is to be kept; its zone is `zone` if the order names none.

    Raises:
        ValueError: It cannot be; the text tells the user what to fix.
    """
    zone, text = order.zone or zone, order.text
    trigger = parsed(order.when, zone, now)
    if not 0 < len(text) <= TEXT_CHARS:
        raise ValueError(f"say what is to be done, in at most {TEXT_CHARS} characters")
    if order.kind == "run" and code_in(text, "") is None:
        raise ValueError("run: takes a language and the code, such as `run: python print(1)`")
    if order.kind == "watch":
        watched(text)
    late = WINDOWS[order.kind] if order.missed in {"", "skip"} else span_of(order.missed)
    return Job(
        place=place,
        actor=actor,
        kind=order.kind,
        text=text,
        when=f"{trigger.kind}: {trigger.text}",
        zone=zone,
        anchor=trigger.anchor,
        window_seconds=0 if order.missed == "skip" else int(late.total_seconds()),
        name=name,
        next_at=trigger.next_after(now),
    )


def trigger_of(job: Job) -> Trigger:
    """Return the moments of a job."""
    kind, _, text = job.when.partition(": ")
    return Trigger(kind=cast("Kind", kind), text=text, zone=job.zone, anchor=job.anchor)


def watched(text: str) -> tuple[str, str]:
    """Return the URL that is watched, and the words to look for, if any.

    Raises:
        ValueError: It is not that; the text tells the user what to fix.
    """
    found = _WATCH.fullmatch(text)
    if not found:
        raise ValueError("watch: takes a URL, and perhaps `contains words` behind it")
    return parsed_url(found[1]).text, found[2] or ""
