"""Events that become one, and events that are changed before they are begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assurebot.errors import AlreadyEnded
from assurebot.store.database import SqlStore
from assurebot.values import ModelStep, StoredEvent
from tests.store.making import ending, event, incoming, store


async def added(opened: SqlStore, *keys: str) -> tuple[StoredEvent, ...]:
    """Store messages."""
    return await opened.add([incoming(key) for key in keys])


def whole(first: StoredEvent) -> StoredEvent:
    """Make the event that holds several."""
    return replace(first, event=event("gathered:a", text="all"))


async def test_merged_events_are_one(tmp_path: Path) -> None:
    """The first holds all under a new name, over a restart; every key stays known."""
    async with store(tmp_path) as opened:
        first, second, third, other = await added(opened, "a", "b", "c", "other")
        await opened.merge(whole(first), [second.id, third.id])
    async with store(tmp_path) as opened:
        assert await opened.unfinished() == (whole(first), other)
        assert await added(opened, "a", "b", "c") == ()
        late = (await added(opened, "d"))[0]
        later = replace(first, event=event("gathered:a", text="all and d"))
        await opened.merge(later, [late.id])
        assert await opened.unfinished() == (later, other)
        former, amended = await opened.amend("a", event("a", text="new"))
        assert (former and former.event, amended) == (event("a"), False)
        assert await opened.amend("b", event("b", text="new")) == (second, False)
        await opened.finish(first.id, ending())
        assert await opened.unfinished() == (other,)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["started", "put off", "ended"])
async def test_nothing_is_merged_that_was_begun(tmp_path: Path, which: int, how: str) -> None:
    """Where one was begun, taken back or over, nothing changes."""
    async with store(tmp_path) as opened:
        both = await added(opened, "a", "b")
        begun = both[which].id
        await opened.begin(begun, ModelStep(n=0))
        if how == "put off":
            await opened.release(begun)
        if how == "ended":
            await opened.finish(begun, ending())
        left = await opened.unfinished()
        with pytest.raises(AlreadyEnded):
            await opened.merge(whole(both[0]), [both[1].id])
        assert await opened.unfinished() == left
        (new,) = await added(opened, "a", "gathered:a")
        assert new.event == event("gathered:a")


async def test_amended_event_is_as_new(tmp_path: Path) -> None:
    """What waits has its new form, in its place, over a restart; the former is returned."""
    async with store(tmp_path) as opened:
        first, second = await added(opened, "a", "b")
        new = event("a", text="new")
        assert await opened.amend("a", new) == (first, True)
        assert await opened.amend("a", new) == (replace(first, event=new), True)
    async with store(tmp_path) as opened:
        assert await opened.unfinished() == (replace(first, event=new), second)
        assert await opened.amend("unknown", event("unknown")) == (None, False)


@pytest.mark.parametrize("how", ["started", "put off", "ended", "command", "to command"])
async def test_nothing_is_amended_that_was_begun(tmp_path: Path, how: str) -> None:
    """What was begun, or is a command, before or after, stays as it is, and is returned."""
    async with store(tmp_path) as opened:
        old = replace(event("a"), kind="command" if how == "command" else "message")
        new = replace(event("a", text="new"), kind="command" if how == "to command" else "message")
        (stored,) = await opened.add([replace(incoming("a"), event=old)])
        if how in ("started", "put off", "ended"):
            await opened.begin(stored.id, ModelStep(n=0))
        if how == "put off":
            await opened.release(stored.id)
        if how == "ended":
            await opened.finish(stored.id, ending())
        left = await opened.unfinished()
        former, amended = await opened.amend("a", new)
        assert (former and former.event, amended) == (old, False)
        assert await opened.unfinished() == left
