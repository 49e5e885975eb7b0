"""Which messages are one: by the rules alone, for whatever may wait in a lane."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.app import SystemClock
from assurebot.ports import Store
from assurebot.turns.gathering import (
    CUT_UNITS,
    MAX_FILES,
    MAX_MESSAGES,
    Gathering,
    gathered,
    may_grow,
    merged,
)
from assurebot.turns.lanes import Lane
from assurebot.values import Enclosure, Event, Person, Place, StoredEvent, TextPart, untrusted

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
THEIRS = untrusted("forwarded message")
SECONDS = 1.5
LONG = "x" * CUT_UNITS


def file(n: int = 0) -> Enclosure:
    """A photo of somebody."""
    return Enclosure(kind="photo", file_id=f"f{n}", label=THEIRS)


def message(n: int, text: str = "", *, at: float = 0.0, user: int = 42, **fields: Any) -> Event:
    """A message that came so many seconds after noon; without a text it has its number."""
    label = THEIRS if fields.get("passed_on") else "owner"
    given: dict[str, Any] = {
        "source": "telegram",
        "key": f"message:42:{n}",
        "kind": "message",
        "actor": Person(user_id=user),
        "place": Place(chat_id=42),
        "received_at": NOON + timedelta(seconds=at),
        "parts": (TextPart(text=text or f"<{n}>", label=label),),
        "message_id": n,
    }
    return Event(**{**given, **fields})


def queue(*events: Event) -> tuple[StoredEvent, ...]:
    """Events as they wait, in this order."""
    return tuple(StoredEvent(id=n, event=event) for n, event in enumerate(events, 1))


def ids(events: Sequence[Event], *, since: datetime = NOON) -> list[int]:
    """The places of those that are one with the first."""
    return [each.id for each in gathered(queue(*events), SECONDS, since)]


COMMENT, OTHER = message(1, "look:"), message(2, "and this?")
FORWARD, ITEM = message(3, passed_on=True), message(4, album="a", enclosures=(file(),))


@pytest.mark.parametrize(
    ("events", "members"),
    [
        ([COMMENT, OTHER], [1]),
        ([COMMENT, FORWARD, FORWARD], [1, 2, 3]),
        ([COMMENT, ITEM, ITEM], [1, 2, 3]),
        ([COMMENT, OTHER, FORWARD], [1]),
        ([FORWARD, FORWARD, OTHER, FORWARD], [1, 2]),
        ([FORWARD, ITEM], [1]),
        ([ITEM, FORWARD], [1]),
        ([ITEM, OTHER, ITEM, replace(ITEM, album="b")], [1, 3]),
        ([FORWARD, replace(FORWARD, actor=Person(user_id=43)), FORWARD], [1, 3]),
        ([FORWARD, replace(FORWARD, place=Place(chat_id=42, thread_id=7))], [1]),
        ([FORWARD, replace(FORWARD, kind="command")], [1]),
        ([FORWARD, replace(FORWARD, key="again:x")], [1]),
        ([replace(FORWARD, key="again:x"), FORWARD], [1]),
        ([replace(FORWARD, afresh=True), FORWARD], [1]),
        ([message(1, LONG), message(2, LONG), message(3), message(4)], [1, 2, 3]),
        ([message(1, LONG[1:]), message(2)], [1]),
        ([message(1, "🜁" * (CUT_UNITS // 2)), message(2)], [1, 2]),
        ([message(1, LONG), FORWARD], [1, 2]),
        ([message(1, LONG), message(2, enclosures=(file(),))], [1]),
        ([FORWARD, message(9, at=1.5, passed_on=True)], [1, 2]),
        ([FORWARD, message(9, at=1.6, passed_on=True)], [1]),
        ([message(1, LONG), message(2, at=1.6)], [1]),
        ([COMMENT, message(9, at=1.6, passed_on=True)], [1]),
        ([ITEM, replace(ITEM, received_at=NOON + timedelta(hours=1))], [1, 2]),
        ([FORWARD] * (MAX_MESSAGES + 5), [*range(1, MAX_MESSAGES + 1)]),
        ([replace(ITEM, enclosures=(file(),) * 10)] * 4, [1, 2, 3]),
    ],
)
def test_what_belongs_together(events: list[Event], members: list[int]) -> None:
    """Albums by their name, forwards and cut texts by their neighbours, within the limits."""
    assert ids(events) == members


def test_what_came_while_the_program_was_down_came_at_once() -> None:
    """Of two forwards, one before a restart and one after it, the pause does not count."""
    events = [FORWARD, message(9, at=3_601, passed_on=True)]
    assert ids(events) == [1]
    assert ids(events, since=NOON + timedelta(hours=1)) == [1, 2]


def test_a_begun_event_stays_as_it_is() -> None:
    """What was started once, or is to end at once, neither grows nor is taken."""
    for changes in ({"starts": 1}, {"errors": 1}, {"cut": ""}):
        first, second = queue(FORWARD, FORWARD)
        begun = replace(second, **changes)
        assert gathered([first, begun], SECONDS, NOON) == (first,)
        assert gathered([begun, first], SECONDS, NOON) == (begun,)
        assert not may_grow([begun])


def test_what_is_waited_for() -> None:
    """After albums, forwards and long texts more may come, up to the limits; else not."""
    grows = [FORWARD, ITEM, message(1, LONG)]
    assert [may_grow(queue(event)) for event in (*grows, COMMENT)] == [True, True, True, False]
    assert may_grow(queue(COMMENT, FORWARD))
    assert not may_grow(queue(message(1, LONG), COMMENT))
    assert not may_grow(queue(*[FORWARD] * MAX_MESSAGES))
    assert not may_grow(queue(replace(ITEM, enclosures=(file(),) * MAX_FILES)))


def test_joined_message_is_in_the_order_of_its_messages() -> None:
    """Parts and files come by message id; who, where, when and the name are the first one's."""
    late = message(7, album="a", enclosures=(file(7),), reply_to=2)
    early = message(6, at=1, album="a", enclosures=(file(6),))
    assert merged([late, early]) == replace(
        late,
        key="gathered:message:42:7",
        parts=(*early.parts, *late.parts),
        enclosures=(file(6), file(7)),
        message_id=6,
        reply_to=2,
    )
    again = merged([merged([late, early]), message(8, album="a")])
    assert again.key == "gathered:message:42:7"


def test_only_what_was_cut_is_joined_without_a_gap() -> None:
    """Pieces of one text are one part; words of others, and short texts, stay apart."""
    quoted = TextPart(text=LONG, quoted=True)
    first = replace(message(1), parts=(quoted, TextPart(text=LONG)))
    whole = merged([first, message(2, LONG), message(3, "end"), FORWARD])
    assert whole.parts == (quoted, TextPart(text=f"{LONG}{LONG}end"), *FORWARD.parts)


EVENTS = st.builds(
    message,
    st.integers(1, 500),
    st.sampled_from(["", LONG]),
    at=st.floats(0, 5),
    user=st.sampled_from([42, 43]),
    album=st.sampled_from(["", "a", "b"]),
    passed_on=st.booleans(),
    kind=st.sampled_from(["message", "message", "message", "command"]),
    enclosures=st.sampled_from([(), (file(),), (file(),) * 20]),
)


@given(st.lists(EVENTS, min_size=1, max_size=40, unique_by=lambda event: event.key))
def test_nothing_is_lost_doubled_or_turned_round(events: list[Event]) -> None:
    """Each event is in one turn, a person's turns begin in order, and every text is in its turn."""
    left, turns = list(queue(*events)), []
    while left:
        members = gathered(left, SECONDS, NOON)
        assert members[0] == left[0]
        assert len({(each.event.actor, each.event.place) for each in members}) == 1
        turns.append([each.id for each in members])
        if len(members) > 1:
            one = merged([each.event for each in members])
            texts = [each.event for each in members]
            texts.sort(key=lambda event: event.message_id or 0)
            assert "".join(part.text for part in one.parts) == "".join(e.text for e in texts)
            assert len(one.enclosures) == sum(len(event.enclosures) for event in texts) <= MAX_FILES
        left = [each for each in left if each not in members]
    assert sorted(chain(*turns)) == [*range(1, len(events) + 1)]
    assert all(turn == sorted(turn) for turn in turns)
    assert [turn[0] for turn in turns] == sorted(turn[0] for turn in turns)


@pytest.mark.parametrize("hurried", [False, True])
async def test_waiting_for_more_can_be_ended(*, hurried: bool) -> None:
    """A lane that is cancelled while it waits for the rest ends, be it hurried just then."""
    lane = Lane(queue=deque(queue(message(1, album="a"))))
    gathering = Gathering(
        store=cast("Store", None),
        clock=SystemClock(),
        redact=str,
        seconds=60,
        disk_seconds=0,
        since=datetime.now(UTC),
    )
    waiting = asyncio.create_task(gathering.complete(lane))
    await asyncio.sleep(0.01)
    if hurried and lane.gathering is not None:
        lane.gathering.set()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
