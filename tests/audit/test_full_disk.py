"""Rules for a disk that is full or fails: through the seam, and on a small real one."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from assurebot.audit.verify import verify
from assurebot.errors import AuditError
from tests.audit.making import KEY, NAME, BadDisk, brief, make_log, read, tool

RESERVE = f"{NAME}.reserve"


async def test_on_a_full_disk_the_reserve_is_freed_and_the_owner_told(tmp_path: Path) -> None:
    """The intent that finds the disk full is still written, and the app is called once."""
    told: list[bool] = []
    disk = BadDisk()
    async with make_log(tmp_path, open_append=disk, on_full=lambda: told.append(True)) as log:
        await log.intent(tool("a"))
        assert (tmp_path / RESERVE).stat().st_size == 65_536
        disk.writes.append(("fail", errno.ENOSPC))
        assert await log.intent(tool("b")) == 2
        assert ((tmp_path / RESERVE).exists(), told) == (False, [True])
        assert log.problem() == "the disk of the audit log is full"
    assert brief(tmp_path / NAME, "action") == [("a",), ("b",)]


async def test_a_line_that_cannot_be_written_is_not_there(tmp_path: Path) -> None:
    """Without space the waiting callers fail, the chain stands where it stood, the log goes on."""
    told: list[bool] = []
    disk = BadDisk(room=100)
    async with make_log(tmp_path, open_append=disk, on_full=lambda: told.append(True)) as log:
        with pytest.raises(AuditError, match="cannot be written: No space left on device"):
            await log.intent(tool("a"))
        assert (tmp_path / NAME).read_bytes() == b""
        with pytest.raises(AuditError, match="No space left on device"):
            await log.intent(tool("b"))
        assert log.problem() == "the audit log cannot be written: No space left on device"
        disk.room = None
        assert await log.intent(tool("c")) == 1
        assert told == [True]
    assert brief(tmp_path / NAME, "seq", "action") == [(1, "c")]
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_records_wait_for_space(tmp_path: Path) -> None:
    """What has happened is not forgotten because the disk was full; it stands in its order."""
    disk = BadDisk(room=0)
    async with make_log(tmp_path, open_append=disk) as log:
        assert await log.record(tool("a")) == 1
        with pytest.raises(AuditError, match="No space"):
            await log.intent(tool("b"))
        assert await log.record(tool("c")) == 2
        disk.room = None
        assert await log.intent(tool("d")) == 3
    assert brief(tmp_path / NAME, "seq", "action") == [(1, "a"), (2, "c"), (3, "d")]


async def test_waiting_records_are_tried_again_by_a_timer(tmp_path: Path) -> None:
    """A record is written when space returns, though no intent follows."""
    loop, written = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        if read(tmp_path / NAME):
            loop.call_soon_threadsafe(written.set)

    disk = BadDisk(writes=[("fail", errno.EIO)], synced=tell)
    async with make_log(tmp_path, open_append=disk, retry_seconds=0.01) as log:
        await log.record(tool("a"))
        with pytest.raises(AuditError, match="Input/output"):
            await log.intent(tool("b"))
        await asyncio.wait_for(written.wait(), 1)
        assert brief(tmp_path / NAME, "seq", "action") == [(1, "a")]


async def test_too_many_waiting_records_are_refused(tmp_path: Path) -> None:
    """Memory is bounded: when the disk stays full, a record fails at its caller."""
    disk = BadDisk(room=0)
    log = make_log(tmp_path, open_append=disk)
    await log.__aenter__()
    with pytest.raises(AuditError, match="No space"):
        await log.intent(tool())
    for _ in range(1_000):
        await log.record(tool())
    with pytest.raises(AuditError, match="No space"):
        await log.record(tool())
    with pytest.raises(AuditError, match=r"1000 audit lines were not written: .*No space"):
        await log.__aexit__(None, None, None)


async def test_a_notice_without_an_intent_is_recorded_when_space_returns(tmp_path: Path) -> None:
    """The one send that had no intent before it is in the log after all, and the reserve back."""
    disk = BadDisk()
    async with make_log(tmp_path, open_append=disk, retry_seconds=0) as log:
        disk.room = 0
        with pytest.raises(AuditError, match="No space"):
            await log.intent(tool("a"))
        log.note_unrecorded_notice()
        disk.room = None
        await log.intent(tool("b"))
        assert ((tmp_path / RESERVE).stat().st_size, log.problem()) == (65_536, None)
    assert brief(tmp_path / NAME, "type", "action", "evidence") == [
        ("recovered", "notice", "the owner was told of the full disk without an intent"),
        ("tool", "b", None),
    ]


async def test_the_reserve_is_not_taken_back_at_once(tmp_path: Path) -> None:
    """Right after it was freed the space belongs to the lines; it is tried again later."""
    disk = BadDisk(writes=[("fail", errno.ENOSPC)])
    async with make_log(tmp_path, open_append=disk, retry_seconds=30) as log:
        await log.intent(tool())
        await log.intent(tool())
        assert ((tmp_path / RESERVE).exists(), log.problem()) == (
            *(False, "the disk of the audit log is full"),
        )


async def test_a_short_write_is_completed(tmp_path: Path) -> None:
    """A write that took only some of the bytes is not a line; the rest follows."""
    disk = BadDisk(writes=[("take", 1), ("take", 50)])
    async with make_log(tmp_path, open_append=disk) as log:
        await log.intent(tool("a"))
        assert disk.calls == ["open", "write", "write", "write", "fsync"]
    assert verify(tmp_path / NAME, KEY).line_count == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
async def test_a_failed_write_is_taken_back(tmp_path: Path, number: int) -> None:
    """Another fault than a full disk fails the callers and names itself; the reserve stays."""
    disk = BadDisk(writes=[("take", 30), ("fail", number)])
    async with make_log(tmp_path, open_append=disk) as log:
        with pytest.raises(AuditError, match=os.strerror(number)):
            await log.intent(tool("a"))
        assert ((tmp_path / NAME).read_bytes(), (tmp_path / RESERVE).exists()) == (b"", True)
        assert await log.intent(tool("b")) == 1


async def test_a_failed_fsync_is_not_retried_on_the_same_descriptor(tmp_path: Path) -> None:
    """The file is opened anew, cut back to its good end and checked; then the log goes on."""
    disk = BadDisk()
    async with make_log(tmp_path, open_append=disk) as log:
        await log.intent(tool("a"))
        disk.calls.clear()
        disk.fsyncs.append(errno.EIO)
        with pytest.raises(AuditError, match="Input/output error"):
            await log.intent(tool("b"))
        assert disk.calls == ["write", "fsync", "close", "open", "truncate", "fsync"]
        assert await log.intent(tool("c")) == 2
        assert log.problem() is None
    assert brief(tmp_path / NAME, "seq", "action") == [(1, "a"), (2, "c")]
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_space_that_lacks_at_the_fsync_is_freed_too(tmp_path: Path) -> None:
    """Some file systems find out only at the fsync that they are full."""
    disk = BadDisk(fsyncs=[errno.ENOSPC])
    async with make_log(tmp_path, open_append=disk) as log:
        assert await log.intent(tool("a")) == 1
        assert not (tmp_path / RESERVE).exists()
    assert verify(tmp_path / NAME, KEY).line_count == 1


async def test_a_disk_that_hangs_holds_nobody_for_ever(tmp_path: Path) -> None:
    """The intent fails in time; when its line comes after all, it is closed as cancelled."""
    go_on = threading.Event()
    disk = BadDisk(synced=lambda: go_on.wait(10))
    async with make_log(tmp_path, open_append=disk, wait_seconds=0.3) as log:
        with pytest.raises(AuditError, match="does not answer"):
            await log.intent(tool("a"))
        go_on.set()
        await log.intent(tool("b"))
    assert brief(tmp_path / NAME, "seq", "phase", "closes", "result") == [
        (1, "intent", None, None),
        (2, "intent", None, None),
        (3, "result", 1, "cancelled"),
    ]


async def test_a_disk_that_hangs_does_not_hold_the_stop(tmp_path: Path) -> None:
    """The stop ends in time and says why lines may be missing."""
    go_on = threading.Event()
    log = make_log(tmp_path, open_append=BadDisk(synced=lambda: go_on.wait(10)), wait_seconds=0.1)
    await log.__aenter__()
    await log.record(tool())
    with pytest.raises(AuditError, match="does not answer"):
        await log.__aexit__(None, None, None)
    assert log.problem() == "the audit log is not open"
    go_on.set()


async def test_a_log_whose_end_is_lost_stays_broken(tmp_path: Path) -> None:
    """When the file is not as expected after a fault, nothing is written any more."""
    disk = BadDisk()
    async with make_log(tmp_path, open_append=disk) as log:
        await log.intent(tool("a"))
        disk.fsyncs += [errno.EIO, errno.EIO]
        broken = "the audit log could not be reopened after a fault of the disk"
        for _ in range(2):
            with pytest.raises(AuditError, match=broken):
                await log.intent(tool("b"))
        assert log.problem() == broken
    async with make_log(tmp_path) as log:
        assert verify(tmp_path / NAME, KEY).ok


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 256 KiB, where that is allowed."""
    place = tmp_path / "small"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount program")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run([umount, "-l", str(place)], check=True)


def _fill_up(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


async def test_a_read_only_disk_refuses_the_start(small_disk: Path) -> None:
    """The error names the log and what is the matter with the disk."""
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    await asyncio.to_thread(subprocess.run, command, check=True)
    with pytest.raises(AuditError, match=r"audit\.jsonl cannot be opened: Read-only file system"):
        await make_log(small_disk).__aenter__()


async def test_a_real_full_disk(small_disk: Path) -> None:
    """Each acknowledged intent is there, no other is, and the log goes on when space returns."""
    told: list[bool] = []
    acknowledged = []
    async with make_log(small_disk, on_full=lambda: told.append(True), retry_seconds=0) as log:
        acknowledged.append(await log.intent(tool("first")))
        _fill_up(small_disk / "filler")
        with suppress(AuditError):
            while True:
                acknowledged.append(await log.intent(tool(text="y" * 1_000)))
        with pytest.raises(AuditError, match="No space left"):
            await log.intent(tool(text="y" * 5_000))
        assert told == [True]
        assert verify(small_disk / NAME, KEY).line_count == len(acknowledged) > 20
        log.note_unrecorded_notice()
        (small_disk / "filler").unlink()
        assert await log.intent(tool("last")) == len(acknowledged) + 2
        assert (log.problem(), (small_disk / RESERVE).stat().st_size) == (None, 65_536)
    report = verify(small_disk / NAME, KEY)
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert (report.status, report.line_count) == ("ok", len(acknowledged) + 2)
    assert brief(small_disk / NAME, "action")[-2:] == [("notice",), ("last",)]
