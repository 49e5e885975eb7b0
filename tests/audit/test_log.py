"""Rules of the log as the program uses it."""

from __future__ import annotations

import asyncio
import errno
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from assurebot.audit.files import read_key
from assurebot.audit.verify import verify
from assurebot.errors import AuditError
from assurebot.ports import AuditLog
from assurebot.values import AuditEntry, Trace
from tests.audit.making import KEY, NAME, BadDisk, brief, make_log, read, tool


async def test_lines_stand_in_the_order_of_calls(tmp_path: Path) -> None:
    """Intents and records share one order, and each call tells the number of its line."""
    async with make_log(tmp_path) as log:
        port: AuditLog = log
        seqs = [
            await port.record(AuditEntry(type="startup")),
            await port.intent(tool("a")),
            await port.record(tool("b", phase="result", closes=2)),
            await port.record(tool("c")),
            await port.intent(tool("d")),
        ]
    assert seqs == [1, 2, 3, 4, 5]
    assert brief(tmp_path / NAME, "seq", "phase", "closes", "action") == [
        (1, None, None, None),
        (2, "intent", None, "a"),
        (3, "result", 2, "b"),
        (4, None, None, "c"),
        (5, "intent", None, "d"),
    ]


async def test_waiting_intents_share_an_fsync(tmp_path: Path) -> None:
    """Many intents at once cost at most a few fsyncs; one after the other, one each."""
    async with make_log(tmp_path) as log:
        seqs = await asyncio.gather(*(log.intent(tool(str(n))) for n in range(100)))
        together = log.fsyncs
        for n in range(3):
            await log.intent(tool(str(n)))
        alone = log.fsyncs - together
    assert seqs == list(range(1, 101))
    assert (together, alone) == (1, 3)


async def test_an_intent_is_on_disk_before_it_returns(tmp_path: Path) -> None:
    """The fsync comes after the write and before the answer."""
    disk = BadDisk()
    async with make_log(tmp_path, open_append=disk) as log:
        await log.intent(tool("a"))
        calls = list(disk.calls)
        lines = brief(tmp_path / NAME, "action")
    assert (calls, lines) == (["open", "write", "fsync"], [("a",)])


async def test_a_record_is_on_disk_within_a_second(tmp_path: Path) -> None:
    """A record without an intent after it is written by a timer."""
    loop, written = asyncio.get_running_loop(), asyncio.Event()
    disk = BadDisk(synced=lambda: loop.call_soon_threadsafe(written.set))
    async with make_log(tmp_path, open_append=disk) as log:
        await log.record(tool("a"))
        before = read(tmp_path / NAME)
        await asyncio.wait_for(written.wait(), 1)
        after = brief(tmp_path / NAME, "action")
    assert (before, after) == ([], [("a",)])


async def test_a_stop_writes_what_waits(tmp_path: Path) -> None:
    """Closing the log loses no record, and nothing can be recorded afterwards."""
    async with make_log(tmp_path) as log:
        await log.record(AuditEntry(type="shutdown"))
    assert brief(tmp_path / NAME, "type") == [("shutdown",)]
    with pytest.raises(AuditError, match="not open"):
        await log.intent(tool())
    with pytest.raises(AuditError, match="not open"):
        await log.record(tool())
    assert log.problem() == "the audit log is not open"


async def test_a_log_that_was_never_opened_says_so() -> None:
    """Making a log touches nothing, and its health tells that it is not open."""
    log = make_log(Path("/nowhere"))
    assert (log.problem(), log.fsyncs, log.recovered) == ("the audit log is not open", 0, ())
    with pytest.raises(AuditError, match="not open"):
        await log.intent(tool())


async def test_a_healthy_log_has_no_problem(tmp_path: Path) -> None:
    """An open log that can write reports nothing, and its head is the last line."""
    async with make_log(tmp_path) as log:
        await log.intent(tool())
        (line,) = read(tmp_path / NAME)
        assert (log.problem(), log.head) == (None, f"1:{line['mac']}")


async def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Only one process, and one log in it, can write; the refusal names the lock."""
    async with make_log(tmp_path):
        with pytest.raises(AuditError, match=r"another writer holds .*\.lock"):
            await make_log(tmp_path).__aenter__()
    async with make_log(tmp_path) as log:
        assert await log.intent(tool()) == 2


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Files have mode 0600 and a new folder 0700, whatever the umask and the mode before."""
    folder = tmp_path / "new"
    async with make_log(folder, key=None, rotate_bytes=1) as log:
        await log.intent(tool())
        await log.intent(tool())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        [NAME, "audit.000001.jsonl", f"{NAME}.key", f"{NAME}.lock", f"{NAME}.reserve"], 0o600
    )


async def test_a_key_is_made_once(tmp_path: Path) -> None:
    """Without a configured key one is made beside the log, and found again."""
    async with make_log(tmp_path, key=None) as log:
        await log.intent(tool())
    key = read_key(tmp_path / NAME)
    async with make_log(tmp_path, key=None) as log:
        await log.intent(tool())
    assert len(key) == 32
    assert read_key(tmp_path / NAME) == key
    assert verify(tmp_path / NAME, key).ok


@pytest.mark.parametrize("text", ["", "not hex", "00ff"])
async def test_a_spoilt_key_file_refuses_the_start(tmp_path: Path, text: str) -> None:
    """A key file that holds no key is named; a new key would make the log unreadable."""
    (tmp_path / f"{NAME}.key").write_text(text)
    with pytest.raises(AuditError, match=r"audit\.jsonl\.key"):
        await make_log(tmp_path, key=None).__aenter__()


async def test_every_text_is_redacted(tmp_path: Path) -> None:
    """No string of an entry reaches the file unredacted, content and facts alike."""
    secret = "hunter2-hunter2"
    fields = ("target", "evidence", "result", "error", "path", "job", "text", "response", "command")
    entry = AuditEntry(
        type="tool",
        trace=Trace(event=f"e {secret}", actor=secret),
        **{name: f"{name} {secret}" for name in fields},  # type: ignore[arg-type] # all are text
    )
    async with make_log(tmp_path, redact=lambda text: text.replace(secret, "[x]")) as log:
        await log.intent(entry)
    (line,) = read(tmp_path / NAME)
    assert secret not in (tmp_path / NAME).read_text()
    assert {name: line[name] for name in fields} == {name: f"{name} [x]" for name in fields}
    assert (line["event"], line["actor"]) == ("e [x]", "[x]")
    assert verify(tmp_path / NAME, KEY).ok


async def test_hash_mode_keeps_no_content(tmp_path: Path) -> None:
    """With `content="hash"` no text is in the file, and the log is good."""
    async with make_log(tmp_path, content="hash") as log:
        await log.intent(tool(command="rm -rf /tmp/x", text="private"))
    raw = (tmp_path / NAME).read_text()
    assert [word in raw for word in ("rm -rf", "private", "salt", "content_hash")] == [
        False,
        False,
        False,
        True,
    ]
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_a_mistaken_entry_harms_no_other(tmp_path: Path) -> None:
    """An entry that cannot be written fails alone, at its caller."""
    async with make_log(tmp_path) as log:
        with pytest.raises(ValueError, match="must name the intent"):
            await log.record(tool(phase="result"))
        with pytest.raises(AuditError, match="of this length"):
            await log.intent(tool(text="x" * (17 * 1024 * 1024)))
        assert await log.intent(tool(text="x" * (1024 * 1024))) == 1
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_an_abandoned_intent_is_closed(tmp_path: Path) -> None:
    """When the caller is cancelled while it waits, no effect follows, and a line says so."""
    async with make_log(tmp_path) as log:
        waiting = asyncio.create_task(log.intent(tool("a")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # The next intent comes after it; then the closing line is due.
        await log.intent(tool("b"))
        await log.intent(tool("c"))
    assert brief(tmp_path / NAME, "seq", "phase", "closes", "action", "result") == [
        (1, "intent", None, "a", None),
        (2, "intent", None, "b", None),
        (3, "result", 1, "a", "cancelled"),
        (4, "intent", None, "c", None),
    ]


async def test_a_caller_cancelled_at_the_last_moment_is_closed_too(tmp_path: Path) -> None:
    """The line is on disk, but the cancellation comes before the caller went on: closed once."""
    disk = BadDisk(writes=[("fail", errno.ENOSPC)])
    tasks: list[asyncio.Task[int]] = []

    def cancel() -> None:
        # Called in the same step of the loop in which the waiting callers get their answer.
        tasks[0].cancel()

    async with make_log(tmp_path, open_append=disk, on_full=cancel) as log:
        tasks.append(asyncio.create_task(log.intent(tool("a"))))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await log.intent(tool("b"))
    assert brief(tmp_path / NAME, "seq", "phase", "closes", "result") == [
        (1, "intent", None, None),
        (2, "result", 1, "cancelled"),
        (3, "intent", None, None),
    ]


async def test_a_folder_that_cannot_be_made_refuses_the_start(tmp_path: Path) -> None:
    """The error names the log and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"audit\.jsonl cannot be opened: (File|Not a dir)"):
        await make_log(tmp_path / "file").__aenter__()


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the place of the log is not written through."""
    (tmp_path / "other").write_text("")
    (tmp_path / NAME).symlink_to(tmp_path / "other")
    with pytest.raises(AuditError, match="cannot be opened"):
        await make_log(tmp_path).__aenter__()
    assert (tmp_path / "other").read_text() == ""


async def test_intents_that_come_during_a_write_share_the_next_one(tmp_path: Path) -> None:
    """However many wait behind a slow fsync, they cost one more."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[int]] = []

    async def more() -> None:
        tasks.extend(asyncio.create_task(log.intent(tool(str(n)))) for n in range(10))
        await asyncio.sleep(0)

    def while_syncing() -> None:
        if not tasks:
            asyncio.run_coroutine_threadsafe(more(), loop).result(5)

    async with make_log(tmp_path, open_append=BadDisk(synced=while_syncing)) as log:
        assert await log.intent(tool("a")) == 1
        assert await asyncio.gather(*tasks) == list(range(2, 12))
        assert log.fsyncs == 2


def test_importing_the_audit_loads_no_heavy_library() -> None:
    """`assurebot audit verify` starts fast: none of the large libraries is imported."""
    code = (
        "import sys, assurebot.audit.verify\n"
        "print(sorted({'telegram', 'openai', 'anthropic', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
