"""Rules of opening a log that a crash, a disk or a hand has left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assurebot.audit.verify import verify
from assurebot.errors import AuditError
from assurebot.values import AuditEntry, Trace
from tests.audit.making import KEY, NAME, brief, found, make_log, read, seeded, tool

TRACE = Trace(event="telegram:7", turn=3, step=1, actor="alice", user=42)


async def _write(folder: Path, *entries: AuditEntry) -> None:
    async with make_log(folder) as log:
        for entry in entries:
            await (log.intent(entry) if entry.phase == "intent" else log.record(entry))


async def test_an_intent_without_a_result_is_closed_as_unknown(tmp_path: Path) -> None:
    """What was begun and not ended is told once, with all that says what it was."""
    await _write(
        tmp_path,
        AuditEntry(type="startup"),
        tool("a", phase="intent", target="t"),
        tool("b", phase="intent"),
        tool("b", phase="result", closes=3),
    )
    async with make_log(tmp_path) as log:
        first = log.recovered
    async with make_log(tmp_path) as log:
        second = log.recovered
    expected = AuditEntry(
        type="recovered",
        closes=2,
        trace=TRACE,
        action="a",
        target="t",
        result="unknown",
        evidence="tool intent without a result",
    )
    assert (first, second) == ((expected,), ())
    line = read(tmp_path / NAME)[-1]
    del line["ts"], line["prev"], line["mac"]
    assert line == {
        "seq": 5,
        "type": "recovered",
        "closes": 2,
        "event": "telegram:7",
        "turn": 3,
        "step": 1,
        "actor": "alice",
        "user": 42,
        "action": "a",
        "target": "t",
        "result": "unknown",
        "evidence": "tool intent without a result",
    }
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_an_intent_open_at_a_shutdown_is_found(tmp_path: Path) -> None:
    """A clean stop lists what it leaves open, so that the next start looks that far back."""
    await _write(
        tmp_path,
        AuditEntry(type="startup"),
        tool("a", phase="intent"),
        tool("b", phase="intent"),
        tool("b", phase="result", closes=3),
        tool("c", phase="intent"),
        AuditEntry(type="shutdown"),
    )
    async with make_log(tmp_path) as log:
        assert [one.closes for one in log.recovered] == [2, 5]
    assert brief(tmp_path / NAME, "type", "open", "closes")[5:] == [
        ("shutdown", "2,5", None),
        ("recovered", None, 2),
        ("recovered", None, 5),
    ]


async def test_a_result_after_the_shutdown_line_counts(tmp_path: Path) -> None:
    """An intent listed as open may be closed between the shutdown line and the end."""
    await _write(
        tmp_path,
        tool("a", phase="intent"),
        AuditEntry(type="shutdown"),
        tool("a", phase="result", closes=1),
    )
    async with make_log(tmp_path) as log:
        assert log.recovered == ()


@pytest.mark.parametrize("seed", range(20))
async def test_a_torn_line_is_set_aside_and_recorded(tmp_path: Path, seed: int) -> None:
    """The pieces of a half-written line are kept in a file of their own, and a line tells it."""
    await _write(tmp_path, tool("a"), tool("b"), tool("c", text="x" * 200))
    raw = (tmp_path / NAME).read_bytes()
    start = raw.rindex(b"\n", 0, -1) + 1
    cut = seeded(seed).randrange(start + 1, len(raw))
    (tmp_path / NAME).write_bytes(raw[:cut])
    async with make_log(tmp_path) as log:
        assert await log.intent(tool("d")) == 4
    assert (tmp_path / f"{NAME}.torn-1").read_bytes() == raw[start:cut]
    assert brief(tmp_path / NAME, "type", "action", "target", "evidence")[2:] == [
        ("recovered", "torn", f"{NAME}.torn-1", f"{cut - start} bytes set aside"),
        ("tool", "d", None, None),
    ]
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_torn_pieces_are_never_overwritten(tmp_path: Path) -> None:
    """Each torn line gets a name of its own."""
    for n in (1, 2):
        await _write(tmp_path, tool("a"))
        with (tmp_path / NAME).open("ab") as file:
            file.write(b"{piece %d" % n)
    async with make_log(tmp_path):
        pass
    pieces = [(tmp_path / f"{NAME}.torn-{n}").read_bytes() for n in (1, 2)]
    assert pieces == [b"{piece 1", b"{piece 2"]


async def test_an_unreadable_last_line_is_torn_too(tmp_path: Path) -> None:
    """A crash can leave zeros where the last line should be."""
    await _write(tmp_path, tool("a"))
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"\0" * 100 + b"\n")
    async with make_log(tmp_path):
        pass
    assert brief(tmp_path / NAME, "type", "action") == [("tool", "a"), ("recovered", "torn")]


async def test_a_changed_last_line_is_set_aside_too(tmp_path: Path) -> None:
    """Nothing can follow a line that is not as it was written; it is kept, and that is told."""
    await _write(tmp_path, tool("a"), tool("b"))
    changed = (tmp_path / NAME).read_bytes().replace(b'"action":"b"', b'"action":"z"')
    (tmp_path / NAME).write_bytes(changed)
    async with make_log(tmp_path):
        pass
    assert (tmp_path / f"{NAME}.torn-1").read_bytes() == changed.splitlines(keepends=True)[1]
    assert brief(tmp_path / NAME, "seq", "type", "action") == [
        (1, "tool", "a"),
        (2, "recovered", "torn"),
    ]


async def test_only_a_torn_line_starts_anew(tmp_path: Path) -> None:
    """A crash in the very first write leaves a log that begins with what was found."""
    (tmp_path / NAME).write_bytes(b'{"seq":1,"ts":"20')
    async with make_log(tmp_path):
        pass
    assert brief(tmp_path / NAME, "seq", "type", "action") == [(1, "recovered", "torn")]


def _changed_lines(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"tool"', b'"send"'))


def _garbage(path: Path) -> None:
    path.write_bytes(b"\n".join(seeded(1).randbytes(50) for _ in range(9)))


def _one_long_line(path: Path) -> None:
    path.write_bytes(b"x" * (17 * 1024 * 1024))


@pytest.mark.parametrize("damage", [_changed_lines, _garbage, _one_long_line])
async def test_a_log_with_a_bad_end_is_set_aside_whole(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Nothing can be appended to it, nothing is taken from it, and the new file names it."""
    await _write(tmp_path, tool("a"), tool("b"))
    damage(tmp_path / NAME)
    before = (tmp_path / NAME).read_bytes()
    async with make_log(tmp_path) as log:
        assert await log.intent(tool("c")) == 2
    (aside,) = found(tmp_path, f"{NAME}.damaged-*")
    assert aside.read_bytes() == before
    assert brief(tmp_path / NAME, "seq", "type", "action", "target") == [
        (1, "recovered", "damaged", aside.name),
        (2, "tool", "c", None),
    ]
    report = verify(tmp_path / NAME, KEY)
    assert report.notes == (
        f"{NAME} line 1 records: damaged {aside.name} set aside: its end is not good",
    )


async def test_a_bad_line_in_the_middle_does_not_stop_the_log(tmp_path: Path) -> None:
    """The start goes on after the good end; to find such lines is the work of `verify`."""
    await _write(tmp_path, tool("a"), tool("b", phase="intent"), tool("c"))
    changed = (tmp_path / NAME).read_bytes().replace(b'"action":"a"', b'"action":"z"')
    (tmp_path / NAME).write_bytes(changed)
    async with make_log(tmp_path) as log:
        assert [one.closes for one in log.recovered] == [2]
    bad = verify(tmp_path / NAME, KEY).bad
    assert bad is not None
    assert (bad.number, len(read(tmp_path / NAME))) == (1, 4)


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_log_that_is_gone_is_recorded(tmp_path: Path, emptied: bool) -> None:  # noqa: FBT001 (parametrized)
    """A log that was there at an earlier start and is not now is told, not silently begun anew."""
    await _write(tmp_path, tool("a"))
    (tmp_path / NAME).unlink()
    if emptied:
        (tmp_path / NAME).touch()
    async with make_log(tmp_path):
        pass
    assert brief(tmp_path / NAME, "seq", "type", "action") == [(1, "recovered", "missing")]


async def test_a_first_start_records_nothing_by_itself(tmp_path: Path) -> None:
    """The first line of a new log is the program's."""
    async with make_log(tmp_path) as log:
        assert await log.record(AuditEntry(type="startup")) == 1


async def test_another_key_sets_the_log_aside(tmp_path: Path) -> None:
    """A changed key cannot go on with the old chain, and does not harm it."""
    await _write(tmp_path, tool("a"), tool("b"))
    before = (tmp_path / NAME).read_bytes()
    async with make_log(tmp_path, key=b"another key"):
        pass
    (aside,) = found(tmp_path, f"{NAME}.damaged-*")
    assert aside.read_bytes() == before
    assert verify(tmp_path / NAME, b"another key").ok


async def test_a_start_that_fails_lets_the_lock_go(tmp_path: Path) -> None:
    """After a refused start the next one is not told of another writer."""
    (tmp_path / NAME).mkdir()
    with pytest.raises(AuditError, match="cannot be opened"):
        await make_log(tmp_path).__aenter__()
    (tmp_path / NAME).rmdir()
    async with make_log(tmp_path) as log:
        assert await log.intent(tool()) == 2  # after the line about the missing log


async def test_opening_after_a_clean_stop_reads_only_the_end(tmp_path: Path) -> None:
    """A large log opens at once, whatever stands before its last lines."""
    await _write(tmp_path, tool("a", text="x" * 1_000_000), AuditEntry(type="shutdown"))
    path = tmp_path / NAME
    first, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first * 60 + last)  # only the last line matters here
    begun = time.perf_counter()
    async with make_log(tmp_path) as log:
        took = time.perf_counter() - begun
        assert (log.recovered, log.head[:2]) == ((), "2:")
    assert took < 0.5  # 60 MB would take longer to check; the aim is 50 ms


async def test_an_intent_survives_a_long_history(tmp_path: Path) -> None:
    """An open intent is found across many blocks of the file, up to the last start."""
    lines = [tool("x", text="y" * 3_000) for _ in range(100)]
    await _write(
        tmp_path,
        tool("before", phase="intent"),
        AuditEntry(type="startup"),
        tool("after", phase="intent"),
        *lines,
    )
    async with make_log(tmp_path) as log:
        assert [one.action for one in log.recovered] == ["before", "after"]
    assert json.loads((tmp_path / NAME).read_bytes().splitlines()[1])["open"] == "1"
