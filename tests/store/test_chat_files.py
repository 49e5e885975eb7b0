"""Files of a chat: numbered once, read by pages and words, apart from other chats, bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from assurebot.ports import Incoming
from assurebot.store.database import KEPT_FOR_BUTTONS, SqlStore
from assurebot.store.files import MAX_BYTES, MAX_FILES
from assurebot.values import Media, TextPart, UserMessage
from tests.store.making import (
    HERE,
    NOW,
    SetClock,
    added,
    chat_file,
    ending,
    event,
    exchange,
    incoming,
    store,
)

MINE, OTHERS = 42, 43


@pytest_asyncio.fixture
async def kept(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """Open a store with one open event."""
    async with store(tmp_path) as opened:
        await opened.add([incoming("1")])
        yield opened


async def test_one_of_the_same_turn_and_place_is_kept_once(kept: SqlStore) -> None:
    """The second is the first, whatever it holds."""
    first = await kept.add_file(MINE, chat_file(1), b"one", ["words", "more"])
    assert first == replace(chat_file(1), id=1, number=1, pages=2)
    assert await kept.add_file(MINE, chat_file(1, name="b"), b"two", []) == first
    assert await kept.files(MINE) == await kept.event_files(1) == (first,)
    assert await kept.file_data([1, 2]) == {1: b"one"}
    assert await kept.file_pages(1, 2, 9) == ("more",)


async def test_what_came_before_is_not_kept_twice(kept: SqlStore) -> None:
    """The same name and content is the same file, once its turn is over: with number and pages."""
    first = await kept.add_file(MINE, chat_file(1), b"x", ["words"])
    await kept.add([incoming("2"), incoming("3")])
    assert (await kept.add_file(MINE, chat_file(2), b"x", ["words"])).number == 2
    await kept.finish(1, ending())
    again = await kept.add_file(MINE, chat_file(3), b"x", ["words"])
    assert again == replace(first, event_id=3)
    assert await kept.event_files(1) == ()
    assert await kept.event_files(3) == (again,)
    for n, other in enumerate((b"y", b"x", b"x"), start=1):
        fields = {2: {"name": "b"}, 3: {"note": "read in part"}}.get(n, {})
        added_now = await kept.add_file(MINE, chat_file(4, n, **fields), other, ["words"])
        assert added_now.number == n + 2
    assert (await kept.add_file(OTHERS, chat_file(5), b"x", ["words"])).number == 1


async def test_each_chat_counts_for_itself_and_no_number_is_given_twice(kept: SqlStore) -> None:
    """Even the highest number stays that of the file which had it."""
    for n in range(3):
        await kept.add_file(MINE, chat_file(1, n), b"x", [])
    assert (await kept.add_file(OTHERS, chat_file(2), b"x", [])).number == 1
    assert await kept.remove_file(MINE, 3)
    assert not await kept.remove_file(MINE, 3)
    assert not await kept.remove_file(OTHERS, 2)
    fresh = await kept.add_file(MINE, chat_file(3), b"x", [])
    assert fresh.number == 4
    assert [file.number for file in await kept.files(MINE)] == [1, 2, 4]


async def test_a_removed_one_leaves_only_that_it_was_there(kept: SqlStore) -> None:
    """Its turn knows that it had one; its bytes, its text and its name are gone."""
    await kept.add_file(MINE, chat_file(1, name="MY NAME"), b"MY DATA", ["MY TEXT"])
    assert await kept.remove_file(MINE, 1)
    (left,) = await kept.event_files(1)
    assert (left.number, left.name, left.n) == (0, "", 0)
    assert await kept.files(MINE) == ()
    assert await kept.file_data([1]) == {}
    assert await kept.file_pages(1, 1, 9) == ()
    assert await kept.find_in_files(MINE, "my", None, 9) == ()


@pytest.mark.parametrize(
    ("words", "number", "found"),
    [
        ("STRASSE", None, [(1, 2), (2, 1)]),
        ("straße  ÖL", None, [(1, 2)]),
        ("Straße", 2, [(2, 1)]),
        ("%", None, []),
        ("", None, []),
    ],
)
async def test_words_are_found(
    kept: SqlStore, words: str, number: int | None, found: list[tuple[int, int]]
) -> None:
    """All of them on one page, whatever their case, in one file or in all of the chat."""
    await kept.add_file(MINE, chat_file(1), b"x", ["nothing", "Straße mit öl"])
    await kept.add_file(MINE, chat_file(1, 1), b"x", ["Strasse"])
    await kept.add_file(OTHERS, chat_file(1, 2), b"x", ["Strasse mit Öl"])
    pages = await kept.find_in_files(MINE, words, number, 9)
    assert [(file, page) for file, page, _ in pages] == found
    assert await kept.find_in_files(MINE, words, number, 1) == pages[:1]


async def test_the_oldest_go(kept: SqlStore) -> None:
    """There are at most so many files, and so much of them, in a chat; others have their own."""
    await kept.add_file(OTHERS, chat_file(2), b"x", [])
    for n in range(MAX_FILES + 1):
        await kept.add_file(MINE, chat_file(1, n), b"x", ["words"])
    assert [file.number for file in await kept.files(MINE)] == list(range(2, MAX_FILES + 2))
    for n in range(3):
        await kept.add_file(MINE, chat_file(3, n, size=100 << 20), b"x", [])
    assert [file.number for file in await kept.files(MINE)] == [MAX_FILES + 3, MAX_FILES + 4]
    assert len(await kept.files(OTHERS)) == 1


async def test_the_text_of_files_takes_room_too(kept: SqlStore) -> None:
    """A small file may unpack to much text: the oldest go then as well."""
    for n in range(3):
        await kept.add_file(MINE, chat_file(1, n), b"x", ["w" * (MAX_BYTES * 2 // 5)])
    assert [file.number for file in await kept.files(MINE)] == [2, 3]


async def test_transcripts_are_apart(kept: SqlStore) -> None:
    """One is in no list, is found by its turn alone, and takes no number."""
    voice = await kept.add_file(MINE, chat_file(1, kind="voice"), b"", ["words"])
    text = await kept.add_file(MINE, chat_file(1, 1), b"x", ["words"])
    assert (voice.number, text.number) == (0, 1)
    assert await kept.files(MINE) == (text,)
    assert await kept.event_files(1) == (voice, text)
    assert await kept.file_pages(voice.id, 1, 1) == ("words",)
    assert await kept.find_in_files(MINE, "words", None, 9) == ((1, 1, "words"),)
    assert not await kept.remove_file(MINE, 0)


async def test_transcripts_of_old_turns_are_forgotten(tmp_path: Path) -> None:
    """With what is left of removed files; not of a turn that is not over, and no other file."""
    clock = SetClock()
    async with SqlStore(tmp_path / "test.db", clock) as opened:
        for key in ("over", "open"):
            turn = await added(opened, key)
            await opened.add_file(MINE, chat_file(turn.id, kind="voice"), b"", ["words"])
            await opened.add_file(MINE, chat_file(turn.id, 1), b"x", ["words"])
            await opened.add_file(MINE, chat_file(turn.id, 2), b"x", ["words"])
            await opened.remove_file(MINE, 2 * turn.id)
            await opened.set_fact(f"heard:{3 * turn.id - 2}", "1")
        await opened.finish(1, ending())
        clock.at = NOW + KEPT_FOR_BUTTONS + timedelta(seconds=1)
        await opened.begin_with("bot")
        assert [file.id for file in await opened.event_files(1)] == [2]
        assert [file.id for file in await opened.event_files(2)] == [4, 5, 6]
        assert await opened.file_pages(1, 1, 1) == ()
        assert (await opened.fact("heard:1"), await opened.fact("heard:4")) == (None, "1")


async def test_a_turn_that_is_tried_again_has_them(kept: SqlStore) -> None:
    """They belong to the event that takes over its steps."""
    file = await kept.add_file(MINE, chat_file(1), b"x", [])
    await kept.finish(1, ending())
    again = event("again", HERE)
    (stored,) = await kept.add(
        [
            Incoming(
                source="telegram", key="again", event=again, raw="", received_at=NOW, continues=1
            )
        ]
    )
    assert await kept.event_files(1) == ()
    assert await kept.event_files(stored.id) == (replace(file, event_id=stored.id),)


async def test_media_in_the_history_come_back(kept: SqlStore) -> None:
    """A part keeps which file it shows."""
    media = Media(file=1, mime="image/png", tokens=5)
    said = UserMessage(parts=(TextPart(text="x", media=media, file=1),))
    shown = replace(exchange(1), messages=(said, *exchange(1).messages[1:]))
    await kept.finish(1, ending(HERE, kept=shown))
    assert await kept.exchanges(HERE, 9) == (shown,)
