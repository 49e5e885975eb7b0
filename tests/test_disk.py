"""Bad disks and damaged files: nothing is done unrecorded, nothing repeated, nothing lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.app import serve
from assurebot.demo.telegram_faults import Refuse
from assurebot.errors import ConfigError, StoreError, StoreUnwell
from assurebot.ports import Ending, Incoming
from assurebot.store.database import SqlStore
from assurebot.values import OutboxRow, Step, StoredEvent
from tests.scripts import LIMIT_SECONDS
from tests.world import OWNER, USER, World, quick, running


class _Forgetful(SqlStore):
    """Fails to mark and to drop rows, and to note a wait, each the first time."""

    tripped: ClassVar[set[str]]

    def _fail_once(self, name: str) -> None:
        if name not in self.tripped:
            self.tripped.add(name)
            raise StoreError("made to fail")

    async def sent(self, row_id: int, message_id: int) -> None:
        """Mark a row, the second time."""
        self._fail_once("sent")
        await super().sent(row_id, message_id)

    async def drop(self, row_id: int, error: str) -> None:
        """Drop a row, the second time."""
        self._fail_once("drop")
        await super().drop(row_id, error)

    async def postpone(self, row_id: int, *, tries: int, not_before: datetime) -> None:
        """Note a wait, the second time."""
        self._fail_once("postpone")
        await super().postpone(row_id, tries=tries, not_before=not_before)


async def test_store_that_fails_beside_a_send_repeats_nothing(tmp_path: Path) -> None:
    """A message that left is not sent again, a wait is kept, and a dead one is told once."""
    _Forgetful.tripped = set()
    async with running(tmp_path, parts=quick(store=_Forgetful)) as world:
        refusal = Refuse(status=400, description="Bad Request: no")
        world.telegram.faults.add("sendMessage", 3, refusal, chat_id=USER)
        world.user.say("refused")
        await world.answer(contains="could not be delivered")
        wait = Refuse(status=429, description="Too Many Requests", retry_after=1)
        world.telegram.faults.add("sendMessage", 1, wait, chat_id=OWNER)
        began = time.monotonic()
        await world.ask("late", "late")
        assert time.monotonic() - began >= 1
        await world.restart()
        await world.ask("after", "after")
        await world.ask("after", "after", by=world.user)
        assert _Forgetful.tripped == {"sent", "drop", "postpone"}
        assert [text[:12] for text in world.texts()] == ["⚠️ A message", "late", "after"]


class _Mortal(SqlStore):
    """Its writer dies while an ending waits to be committed."""

    async def finish(self, event_id: int, ending: Ending) -> tuple[OutboxRow, ...]:
        """Wait for a writer that is killed by a job that is none."""
        self._writer._jobs.append(None)  # type: ignore[arg-type]  # what kills it
        return await super().finish(event_id, ending)


@pytest.mark.parametrize("words", ["/status", "hello"])
async def test_death_of_the_writer_ends_the_program(tmp_path: Path, words: str) -> None:
    """Nobody waits for a dead writer; a new process finds what it left and goes on."""
    async with running(tmp_path, parts=quick(store=_Mortal, grace_seconds=0.2)) as world:
        assert world.app is not None
        world.owner.say(words)
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(8):
                await world.app
        assert caught.group_contains(AttributeError)
        world.parts = quick()
        await world.start(polls=False)
        await world.answer()
        assert len(world.texts()) == 1


class _Full(SqlStore):
    """Its disk turns out to be full with the first message, for a moment."""

    async def add(
        self, batch: Sequence[Incoming], *, offset: int | None = None
    ) -> tuple[StoredEvent, ...]:
        """Tell that it is full."""
        self._on_full()
        return await super().add(batch, offset=offset)


async def test_notice_of_a_full_disk_outlives_a_failure_of_telegram(tmp_path: Path) -> None:
    """The disk is found to be full once only, so its notice is sent until it arrives."""
    async with running(tmp_path, parts=quick(store=_Full)) as world:
        down = Refuse(status=502, description="Bad Gateway")
        world.telegram.faults.add("sendMessage", 2, down, chat_id=OWNER)
        world.user.say("hello")
        await world.answer(contains="The disk is full.")
        assert len(world.texts()) == 1


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
        notice = await world.answer(contains="this was not whole")
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
    async with running(small_disk, RATE_USER_PER_MINUTE="1000") as world:
        await world.ask("one")
        ballast = fill(small_disk)
        for number in range(20):
            world.owner.say(f"{number} " + "x" * 3_900)
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
    async with running(tmp_path, AUDIT_LOG_PATH=path, RATE_USER_PER_MINUTE="1000") as world:
        await world.ask("one")
        ballast = fill(small_disk)
        for number in range(30):
            world.owner.say(f"{number} " + "x" * 3_900)
        await world.answer(contains="The disk is full.")
        await world.wait_health(503, "cannot be written")
        world.user.say("in the dark")
        await world.taken()
        await asyncio.sleep(0.3)
        # A short line may still find room; what has none does not happen.
        assert len(world.model.requests) <= len(world.audit(type="model", phase="intent"))
        sends = world.audit(type="send", phase="intent")
        assert len(world.telegram.calls("sendMessage")) - 1 <= len(sends)
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


class _Deaf(SqlStore):
    """Takes no work on an event, and turns what should end the caller into an error of its own."""

    async def begin(self, event_id: int, first: Step | None = None) -> tuple[Step, ...]:
        """Fail."""
        del event_id, first
        raise StoreUnwell("made to fail")

    async def release(self, event_id: int) -> None:
        """Fail, told to end or not."""
        del event_id
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise StoreError("closed") from None


async def test_work_that_waits_for_the_disk_ends_with_the_program(tmp_path: Path) -> None:
    """An error that hides a cancel does not keep a turn alive behind a stop."""
    async with running(tmp_path, parts=quick(store=_Deaf)) as world:
        world.owner.say("hello")
        await world.taken()
        await world.stop()
        turns = [task for task in asyncio.all_tasks() if task.get_name().startswith("turn ")]
        if turns:
            await asyncio.wait(turns, timeout=LIMIT_SECONDS)
        assert [task.get_name() for task in turns if not task.done()] == []
