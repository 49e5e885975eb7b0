"""What cannot be worked is set aside and told, and the next one runs; a bad disk stops effects."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assurebot.app import serve
from assurebot.demo.model import Ask, Call, Turn
from assurebot.errors import ConfigError
from tests.doubles import CallingTool
from tests.scripts import by_words
from tests.world import OWNER, USER, World, quick, running


def acting(ask: Ask) -> Turn:
    """Call the tool `act`, then report what it gave."""
    if ask.tool_results:
        return Turn(text=f"It gave: {ask.tool_results[-1]}")
    return Turn(calls=(Call(name="act"),))


def update(person: int, **fields: Any) -> dict[str, Any]:
    """An update of a person that is odd in some way."""
    chat = {"id": person, "type": "private", "first_name": "Ann"}
    sender = {"id": person, "is_bot": False, "first_name": "Ann"}
    message = {"message_id": 900, "date": 1, "chat": chat, "from": sender, "text": "odd", **fields}
    return {"message": message}


@pytest.mark.parametrize(
    "odd",
    [
        update(OWNER, date="yesterday"),
        update(OWNER, entities=[{"type": "bold"}]),
        update(OWNER, reply_to_message={"text": 7}),
        update(OWNER, forward_origin={"type": "user"}),
    ],
    ids=["date", "entity", "reply", "forward"],
)
async def test_update_that_cannot_be_read_is_quarantined(
    tmp_path: Path, odd: dict[str, Any]
) -> None:
    """It is kept whole and told to the owner, and the update behind it is worked."""
    async with running(tmp_path) as world:
        world.telegram.raw_update(odd)
        await world.ask("next", "next")
        await world.answer(contains="An update could not be read and was set aside.")
        await world.stop()
        rows = world.rows("SELECT state, event, key FROM inbox ORDER BY id")
        assert [row[0] for row in rows] == ["quarantined", "done"]
        assert (rows[0][1], rows[0][2]) == (None, "message:42:900")


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"message": None},
        {"message": []},
        {"message": {"from": {"id": OWNER}}},
        {"callback_query": {"from": {"id": OWNER}, "id": 7}},
        {"kind_of_the_future": {"from": {"id": OWNER}, "chat": {"id": OWNER, "type": "private"}}},
        {"message": {"from": {"id": True}, "chat": "x", "text": "\ud800"}},
        {"message": {"from": {"id": 2**80}, "chat": {"id": 2**80, "type": "private"}}},
        update(OWNER, text="\ud800 half"),
        update(OWNER, text="x" * 100_000),
        update(OWNER, message_id=2**80),
        update(OWNER, text=None),
    ],
    ids=[f"odd{number}" for number in range(12)],
)
async def test_odd_updates_never_stop_the_next_one(tmp_path: Path, odd: dict[str, Any]) -> None:
    """Whatever shape an update has, the one behind it is worked."""
    async with running(tmp_path) as world:
        world.telegram.raw_update(odd, unasked=True)
        await world.ask("next", "next")
        assert world.app is not None
        assert not world.app.done()


async def test_event_that_raises_each_time_is_dead_after_three_errors(tmp_path: Path) -> None:
    """User and owner are told, the next message is worked, and a restart changes nothing."""

    async def fail(_arguments: str) -> str:
        raise LookupError("unexpected")

    tool = CallingTool(fail, repeatable=True)
    script = by_words({"act": acting})
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        await world.ask("act", "I could not work on this message and gave it up.", by=world.user)
        notice = await world.answer(contains="is dead")
        assert notice.text == "⚠️ Event 1 of chat 43 is dead: 3 errors, 0 starts"
        assert (await world.ask("next", "next", by=world.user)).text == "next"
        await world.restart()
        await world.ask("after", "after", by=world.user)
        assert (len(tool.calls), len(world.texts(USER)), len(world.texts())) == (3, 3, 1)
        await world.stop()
        assert world.rows("SELECT state, errors, error FROM inbox WHERE id = 1") == [
            ("dead", 3, "3 errors, 0 starts")
        ]
        ends = [line for line in world.audit(type="tool") if line.get("phase") == "result"]
        assert [line["result"] for line in ends] == ["error"] * 3


async def test_tool_that_raises_is_not_run_again(tmp_path: Path) -> None:
    """A call that broke off with an unexpected error is closed as unknown, and the turn goes on."""

    async def fail(_arguments: str) -> str:
        raise LookupError("unexpected")

    tool = CallingTool(fail)
    script = by_words({"act": acting})
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        await world.ask("act", "the outcome is unknown")
        assert len(tool.calls) == 1


async def test_event_that_kills_the_program_is_dead_after_five_starts(tmp_path: Path) -> None:
    """Five starts without an end, as of a turn that brings the process down, are enough."""
    async with running(tmp_path, by_words({"kill": Turn(delay_seconds=60)})) as world:
        world.parts = quick(grace_seconds=0.05)
        await world.stop()
        await world.start()
        world.owner.say("kill")
        await world.taken()
        await world.stop()
        world.rows("UPDATE inbox SET starts = 5")
        await world.start()
        await world.answer(contains="I could not work on this message and gave it up.")
        assert (await world.ask("next", "next")).text == "next"


async def test_answer_that_was_committed_is_sent_after_a_crash(tmp_path: Path) -> None:
    """What was in the outbox at the end goes out at the next start, once."""
    async with running(tmp_path) as world:
        await world.ask("one")
        await world.stop()
        world.rows("UPDATE outbox SET state = 'open', message_id = NULL")
        await world.start()
        await world.ask("two", "two")
        assert world.texts() == ["one", "one", "two"]


@pytest.mark.parametrize("damage", ["truncated", "random", "header"])
async def test_damaged_database_is_set_aside_and_told(tmp_path: Path, damage: str) -> None:
    """The damaged file is kept under a name that the owner reads; the program begins anew."""
    async with running(tmp_path) as world:
        await world.ask("one")
        await world.stop()
        whole = world.database.read_bytes()
        bad = {
            "truncated": whole[: len(whole) // 2 + 100],
            "random": os.urandom(len(whole)),
            "header": b"x" * 100 + whole[100:],
        }[damage]
        world.database.write_bytes(bad)
        await world.start()
        notice = await world.answer(contains="The database was damaged.")
        (kept,) = world.folder.glob("assurebot.db.damaged-*")
        assert (kept.name in notice.text, kept.read_bytes()) == (True, bad)
        await world.ask("two", "two")
        assert len(world.model.requests[-1].user_texts) == 1
        await world.stop()
        assert [line["evidence"] for line in world.audit(type="error")] == [kept.name]


async def test_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """The start is refused in words, and the file is left as it was."""
    async with running(tmp_path) as world:
        await world.stop()
        world.rows("UPDATE facts SET value = '99' WHERE name = 'schema'")
        with pytest.raises((ConfigError, ExceptionGroup)) as caught:
            async with asyncio.timeout(10):
                await serve(world.settings, asyncio.Event(), world.parts)
        assert "schema 99" in str(_leaf(caught.value))
        assert world.rows("SELECT value FROM facts WHERE name = 'schema'") == [("99",)]


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder of its own with little room; skipped where nothing may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False, timeout=10)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted: {error}")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["/bin/umount", "-l", str(folder)], check=True, timeout=10)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of a folder."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


async def test_database_on_a_full_disk_takes_nothing_and_loses_nothing(small_disk: Path) -> None:
    """What cannot be stored is not acknowledged and not answered; the owner is told once."""
    async with running(small_disk) as world:
        await world.ask("one")
        ballast = fill(small_disk)
        for number in range(20):
            world.owner.say(f"{number} " + "x" * 4_000)
        await world.answer(contains="The disk is full.")
        body = await world.wait_health(503)
        assert set(body["problems"]) & {"store", "audit", "telegram"}
        pending = world.telegram.pending()
        asked = len(world.model.requests)
        ballast.unlink()
        await world.answer(contains="19 x", timeout_seconds=20)
        assert pending + asked > 1
        await world.wait_health(200)
        await world.stop()
        assert [text.split()[0] for text in world.texts() if "x" in text.split()[-1]] == [
            str(number) for number in range(20)
        ]
        assert sum("disk is full" in text for text in world.texts()) == 1
        assert unpaired(world) == []


async def test_audit_on_a_full_disk_stops_all_effects(tmp_path: Path, small_disk: Path) -> None:
    """The reserve is used and the owner told; after that nothing is done that has no line."""
    path = str(small_disk / "audit.jsonl")
    async with running(tmp_path, AUDIT_LOG_PATH=path) as world:
        await world.ask("one")
        ballast = fill(small_disk)
        for number in range(30):
            world.owner.say(f"{number} " + "x" * 4_000)
        await world.answer(contains="The disk is full.")
        await world.wait_health(503, "cannot be written")
        done = (len(world.model.requests), len(world.texts()))
        world.user.say("in the dark")
        await world.taken()
        await asyncio.sleep(0.2)
        assert (len(world.model.requests), len(world.texts())) == done
        ballast.unlink()
        await world.answer(contains="29 x", timeout_seconds=20)
        await world.stop()
        assert sum("disk is full" in text for text in world.texts()) == 1
        assert len(world.texts()) == 32
        assert unpaired(world) == []


def unpaired(world: World) -> list[object]:
    """Intents without a result, and results that close nothing or the same."""
    lines = world.audit()
    intents = [line["seq"] for line in lines if line.get("phase") == "intent"]
    return sorted(set(intents) ^ {line["closes"] for line in lines if "closes" in line})
