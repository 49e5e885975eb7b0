"""Rules of going on in a new file."""

from __future__ import annotations

import errno
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from assurebot.audit.verify import tail, verify
from assurebot.errors import AuditError
from assurebot.values import AuditEntry
from tests.audit.making import KEY, NAME, BadDisk, brief, found, make_log, read, tool


async def _fill(folder: Path, count: int, **settings: object) -> None:
    async with make_log(folder, rotate_bytes=800, **settings) as log:
        for n in range(count):
            await log.intent(tool(str(n)))


async def test_a_new_file_continues_the_chain(tmp_path: Path) -> None:
    """Its first line follows the last of the former file, names it, and lists what is open."""
    await _fill(tmp_path, 8)
    names = ["audit.000001.jsonl", "audit.000002.jsonl", NAME]
    files = [read(tmp_path / name) for name in names]
    assert [line["seq"] for lines in files for line in lines] == list(range(1, 9))
    for number, (former, lines) in enumerate(pairwise(files), start=2):
        first = lines[0]
        opened = ",".join(str(n) for n in range(1, first["seq"]))
        assert (first["prev"], first["file"], first["follows"], first["open"]) == (
            former[-1]["mac"],
            number,
            names[number - 2],
            opened,
        )
        assert [key for key in list(first) if key not in former[1]] == ["file", "follows", "open"]
    report = verify(tmp_path / NAME, KEY)
    assert (report.status, report.files, report.line_count) == ("ok", 3, 8)
    assert sorted(path.name for path in found(tmp_path, "*")) == sorted(
        [*names, f"{NAME}.lock", f"{NAME}.reserve"]
    )


async def test_intents_of_earlier_files_are_recovered(tmp_path: Path) -> None:
    """What is open is looked for in the files in which it stands, and closed in the current one."""
    async with make_log(tmp_path, rotate_bytes=800) as log:
        await log.record(AuditEntry(type="startup"))
        for n in range(12):
            seq = await log.intent(tool(str(n)))
            if n not in {0, 7}:
                await log.record(tool(phase="result", closes=seq))
    assert len(found(tmp_path, "audit.0*.jsonl")) >= 3
    async with make_log(tmp_path) as log:
        assert [one.action for one in log.recovered] == ["0", "7"]
    async with make_log(tmp_path) as log:
        assert log.recovered == ()
    report = verify(tmp_path / NAME, KEY)
    assert (report.status, report.open_intents) == ("ok", 0)


@pytest.mark.parametrize("point", ["half written", "written", "linked"])
async def test_a_crash_in_a_rotation_loses_nothing(tmp_path: Path, point: str) -> None:
    """At each point of a rotation the files verify, and the next start goes on with them."""
    done, crashed = tmp_path / "done", tmp_path / "crashed"
    await _fill(done, 4)
    assert [len(read(done / name)) for name in ("audit.000001.jsonl", NAME)] == [3, 1]
    crashed.mkdir()
    old, new = done / "audit.000001.jsonl", done / NAME
    shutil.copy(old, crashed / NAME)
    data = new.read_bytes()
    (crashed / f"{NAME}.next").write_bytes(data[:50] if point == "half written" else data)
    if point == "linked":
        (crashed / "audit.000001.jsonl").hardlink_to(crashed / NAME)
    before = verify(crashed / NAME, KEY)
    async with make_log(crashed) as log:
        assert [one.closes for one in log.recovered] == [1, 2, 3]
    after = verify(crashed / NAME, KEY)
    notes = ("a rotation is under way, or a crash cut it short",)
    assert (before.status, before.line_count, before.notes) == ("ok", 3, notes)
    assert (after.status, after.line_count, after.open_intents) == ("ok", 6, 0)
    assert not set(notes) & set(after.notes)
    assert not (crashed / f"{NAME}.next").exists()


async def test_a_current_file_that_is_gone_is_recorded_in_the_chain(tmp_path: Path) -> None:
    """The chain goes on from the last file that is there, and a line says that one is not."""
    await _fill(tmp_path, 4)
    (tmp_path / NAME).unlink()
    async with make_log(tmp_path):
        pass
    assert brief(tmp_path / NAME, "seq", "type", "action", "follows")[0] == (
        *(4, "recovered", "missing", "audit.000001.jsonl"),
    )
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_a_taken_name_is_never_written_over(tmp_path: Path) -> None:
    """The file of another hand stays as it is, and the log goes on in the old file."""
    async with make_log(tmp_path, rotate_bytes=1) as log:
        await log.intent(tool())
        (tmp_path / "audit.000001.jsonl").write_text("mine")
        assert await log.intent(tool()) == 2
        assert log.problem() is None
    assert (tmp_path / "audit.000001.jsonl").read_text() == "mine"
    assert brief(tmp_path / NAME, "seq") == [(1,), (2,)]


async def test_without_room_for_a_new_file_the_old_one_goes_on(tmp_path: Path) -> None:
    """Rotation is put off, and no line is lost, when the new file cannot be made."""
    async with make_log(tmp_path, rotate_bytes=1) as log:
        await log.intent(tool())
        (tmp_path / f"{NAME}.next").mkdir()  # in the way of the new file, for root as well
        assert await log.intent(tool()) == 2
        (tmp_path / f"{NAME}.next").rmdir()
        assert await log.intent(tool()) == 3
    assert brief(tmp_path / "audit.000001.jsonl", "seq") == [(1,), (2,)]
    assert brief(tmp_path / NAME, "seq", "file") == [(3, 2)]
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_a_fault_after_a_rotation_keeps_the_first_lines(tmp_path: Path) -> None:
    """The good end of the new file is known: a failed write goes back to it."""
    disk = BadDisk()
    async with make_log(tmp_path, rotate_bytes=800, open_append=disk) as log:
        for n in range(4):
            await log.intent(tool(str(n)))
        disk.writes.append(("fail", errno.EIO))
        with pytest.raises(AuditError, match="Input/output error"):
            await log.intent(tool("lost"))
        assert await log.intent(tool("kept")) == 5
    assert brief(tmp_path / NAME, "seq", "action") == [(4, "3"), (5, "kept")]
    assert verify(tmp_path / NAME, KEY).status == "ok"


async def test_tail_reads_over_the_border_of_files(tmp_path: Path) -> None:
    """The last lines come from as many files as it takes, oldest first; a torn one is left out."""
    await _fill(tmp_path, 5)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"seq":6')
    names = ("audit.000001.jsonl", NAME)
    lines = [text for name in names for text in (tmp_path / name).read_text().splitlines()][:5]
    assert tail(tmp_path / NAME, 3) == lines[-3:]
    assert tail(tmp_path / NAME, 99) == lines
    assert tail(tmp_path / NAME, 0) == []
    with pytest.raises(AuditError, match="is not there"):
        tail(tmp_path / "nothing.jsonl", 5)
