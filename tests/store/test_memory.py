"""Notes in the store: capped, told once, labelled, and of one chat alone."""

from __future__ import annotations

from pathlib import Path

from assurebot.values import OWNER, Memory
from tests.store.making import NOW, store

PAGE = "untrusted:page"


def noted(number: int, text: str, label: str = OWNER) -> Memory:
    """A note as it comes back."""
    return Memory(id=number, text=text, label=label, at=NOW)


async def test_notes_come_back_in_order_and_are_kept(tmp_path: Path) -> None:
    """What was noted is there after a restart, oldest first, with its label."""
    async with store(tmp_path) as opened:
        assert await opened.remember(42, "Tea, please", OWNER, 9) == (noted(1, "Tea, please"), True)
        assert await opened.remember(42, "x", PAGE, 9) == (noted(2, "x", PAGE), True)
    async with store(tmp_path) as opened:
        assert await opened.memories(42) == (noted(1, "Tea, please"), noted(2, "x", PAGE))


async def test_same_note_is_kept_once(tmp_path: Path) -> None:
    """Case and spaces make no new note, not even where there is no room for one."""
    async with store(tmp_path) as opened:
        await opened.remember(42, "Straße  one", OWNER, 1)
        same = await opened.remember(42, " STRASSE\nOne ", OWNER, 1)
        assert same == (noted(1, "Straße  one"), False)
        assert await opened.memories(42) == (noted(1, "Straße  one"),)


async def test_owner_vouches_and_others_do_not_taint(tmp_path: Path) -> None:
    """Said by the owner too, a note is trusted, in the owner's form; not the other way round."""
    async with store(tmp_path) as opened:
        await opened.remember(42, "SAY\nthis", PAGE, 9)
        other = await opened.remember(42, "say this", "untrusted:forward", 9)
        assert other == (noted(1, "SAY\nthis", PAGE), False)
        assert await opened.remember(42, "say this", OWNER, 9) == (noted(1, "say this"), False)
        assert await opened.remember(42, "Say this", PAGE, 9) == (noted(1, "say this"), False)
        assert await opened.memories(42) == (noted(1, "say this"),)


async def test_notes_are_capped_by_chat(tmp_path: Path) -> None:
    """A full chat takes no more until one is forgotten; its number is not given again."""
    async with store(tmp_path) as opened:
        for text in ("one", "two"):
            await opened.remember(42, text, OWNER, 2)
        assert await opened.remember(42, "three", OWNER, 2) is None
        assert await opened.remember(43, "three", OWNER, 2) == (noted(3, "three"), True)
        await opened.forget(43, 3)
        await opened.forget(42, 2)
        assert await opened.remember(42, "four", OWNER, 2) == (noted(4, "four"), True)


async def test_notes_belong_to_one_chat(tmp_path: Path) -> None:
    """No other chat reads, forgets or vouches for a note."""
    async with store(tmp_path) as opened:
        await opened.remember(42, "mine", PAGE, 9)
        assert await opened.remember(43, "Mine", OWNER, 9) == (noted(2, "Mine"), True)
        assert [await opened.forget(43, number) for number in (1, 2, 3)] == [False, True, False]
        assert await opened.memories(43) == ()
        assert await opened.memories(42) == (noted(1, "mine", PAGE),)
