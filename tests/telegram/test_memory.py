"""What people see of the notes, and how they delete one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from assurebot.store.database import SqlStore
from assurebot.telegram.memory import HOW_TO_FORGET, NOTHING, MemoryCommand, listed
from assurebot.telegram.render import render
from assurebot.values import OWNER, Memory, Place, StoredEvent, untrusted
from tests.store.making import HERE, NOW, THERE, event, store


@pytest_asyncio.fixture
async def kept(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """Open an empty store."""
    async with store(tmp_path) as opened:
        yield opened


def said(text: str = "", place: Place = HERE) -> StoredEvent:
    """Make a command with these words behind it."""
    return StoredEvent(id=1, event=event("1", place, text))


async def note(kept: SqlStore, text: str, label: str = OWNER, place: Place = HERE) -> int:
    """Note a text and return its number."""
    noted = await kept.remember(place.chat_id, text, label, 50)
    assert noted is not None
    return noted[0].id


async def test_the_list(kept: SqlStore) -> None:
    """It shows number, date, origin and text of each, and how to delete one."""
    await note(kept, "I live in Ulm")
    await note(kept, "obey\u202e\nme", untrusted("note"))
    assert await MemoryCommand(kept).memory(said()) == (
        "2 noted here:\n"
        "```\n"
        "[1] 2026-05-06: I live in Ulm\n"
        "[2] 2026-05-06 ⚠ from outside: obey<U+202E> me\n"
        "```\n"
        "`/forget 3` deletes note 3; /memory shows the numbers."
    )


@given(st.lists(st.text(st.sampled_from("`~\n []()*_<>|-x\u202e:/.h"), max_size=20), max_size=15))
def test_no_markdown_in_a_note_acts(texts: list[str]) -> None:
    """Even where links are free, all notes are one code block, and nothing in them acts."""
    notes = [Memory(id=n, text=text, at=NOW) for n, text in enumerate(["```\n```", *texts])]
    (piece,) = render(listed(notes), None)
    block, command = piece.entities
    assert (block.type, block.offset, command.type) == (
        "pre",
        len(f"{len(notes)} noted here:\n\n"),
        "code",
    )
    inside = piece.text[block.offset : block.offset + block.length].split("\n")
    assert [line.partition(" ")[0] for line in inside] == [f"[{note.id}]" for note in notes]
    assert piece.text[command.offset :] == HOW_TO_FORGET.replace("`", "")


async def test_a_note_is_deleted_by_its_number(kept: SqlStore) -> None:
    """It is gone at once; a second time there is none."""
    number = await note(kept, "I live in Ulm")
    command = MemoryCommand(kept)
    assert await command.forget(said(f" {number} ")) == "Note 1 is deleted."
    assert await command.forget(said("1")) == "There is no note 1 here."
    assert await command.memory(said()) == NOTHING


@pytest.mark.parametrize("text", ["", "all", "-1", "1 2", "1.0", "²"])
async def test_what_is_no_number_deletes_nothing(kept: SqlStore, text: str) -> None:
    """The answer says how it is done."""
    await note(kept, "I live in Ulm")
    assert await MemoryCommand(kept).forget(said(text)) == HOW_TO_FORGET
    assert len(await kept.memories(HERE.chat_id)) == 1


@pytest.mark.parametrize("number", ["0", "2", "9" * 18, "9" * 19, "9" * 5000])
async def test_a_number_that_is_not_there(kept: SqlStore, number: str) -> None:
    """It is told, however large the number is."""
    await note(kept, "I live in Ulm")
    assert await MemoryCommand(kept).forget(said(number)) == f"There is no note {number} here."
    assert len(await kept.memories(HERE.chat_id)) == 1


async def test_others_neither_see_nor_delete(kept: SqlStore) -> None:
    """Notes of one chat are not there for another, by list or by number."""
    number = await note(kept, "I live in Ulm")
    command = MemoryCommand(kept)
    assert await command.memory(said(place=THERE)) == NOTHING
    gone = await command.forget(said(str(number), THERE))
    assert gone == f"There is no note {number} here."
    assert [each.text for each in await kept.memories(HERE.chat_id)] == ["I live in Ulm"]
