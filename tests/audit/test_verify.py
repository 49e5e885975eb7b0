"""Rules of the check: what was tampered with is found, what was not is not."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta
from pathlib import Path

import pytest

from assurebot.audit.chain import Head
from assurebot.audit.verify import BadLine, Report, verify
from assurebot.errors import AuditError
from assurebot.values import AuditEntry
from tests.audit import tampering
from tests.audit.making import (
    KEY,
    NAME,
    StepClock,
    make_log,
    read,
    seeded,
    some_entry,
    tool,
    unchanged,
)
from tests.audit.tampering import Files, Tamper

SEEDS = 100


async def _append(folder: Path, seed: int, count: int) -> str:
    """Write lines of many kinds, over several files, and return the head."""
    random = seeded(seed)
    async with make_log(folder, rotate_bytes=4_000) as log:
        for n in range(count):
            await log.record(some_entry(random, n))
            seq = await log.intent(tool(str(n), command="x" * random.randrange(50)))
            if random.random() < 0.8:
                await log.record(tool(phase="result", closes=seq, response="done"))
        await log.intent(tool("last"))
        return log.head


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, str]:
    """Make a log of several files once: its lines and its head."""
    folder = tmp_path_factory.mktemp("log")
    head = asyncio.run(_append(folder, 1, 20))
    files = Files.read(folder)
    assert len(files.lines) >= 4
    assert all(len(lines) >= 3 for lines in files.lines.values())
    return files, head


def _place(report: Report) -> tuple[str, int] | None:
    return (report.bad.file, report.bad.number) if report.bad else None


@pytest.mark.parametrize("tamper", tampering.ALL, ids=lambda tamper: tamper.__name__)
def test_tampering_is_found_at_its_first_line(
    log: tuple[Files, str], tmp_path: Path, tamper: Tamper
) -> None:
    """Each way, at many places, gives `tampered` and names the right file and line."""
    for seed in range(SEEDS):
        files = copy.deepcopy(log[0])
        expected = tamper(files, seeded(seed))
        folder = tmp_path / "log"
        files.write(folder)
        report = verify(folder / NAME, KEY)
        assert (report.status, report.ok, _place(report)) == ("tampered", False, expected), seed


def test_an_untouched_log_is_good(log: tuple[Files, str], tmp_path: Path) -> None:
    """The log that all tampering starts from has nothing to report."""
    files, head = log
    files.write(tmp_path / "log")
    report = verify(tmp_path / "log" / NAME, KEY, head)
    seq, mac = head.split(":")
    found = Head(seq=int(seq), mac=mac.encode())
    lines = [line for name in files.lines for line in read(tmp_path / "log" / name)]
    closed = {line["closes"] for line in lines if "closes" in line}
    intents = {line["seq"] for line in lines if line.get("phase") == "intent"}
    types = [line["type"] for line in lines]
    assert report == Report(
        status="ok",
        files=len(files.lines),
        line_count=found.seq,
        counts=tuple((name, types.count(name)) for name in sorted(set(types))),
        open_intents=len(intents - closed),
        head=found,
        anchor=found,
        bad=None,
        notes=(),
    )


def test_without_its_key_a_log_cannot_be_told_from_a_forged_one(
    log: tuple[Files, str], tmp_path: Path
) -> None:
    """Another key makes the first line bad, and the reason says that it may be the key."""
    log[0].write(tmp_path / "log")
    assert verify(tmp_path / "log" / NAME, KEY + b"\0" * 40).bad == BadLine(
        file="audit.000001.jsonl",
        number=1,
        seq=1,
        why="does not match its mac: it was changed, or the key is another one",
    )


def test_a_cut_tail_is_found_with_an_anchor(log: tuple[Files, str], tmp_path: Path) -> None:
    """With one, the missing line is named; without, the report says that it cannot know."""
    files, head = log
    total = len(files.lines[NAME])
    for kept in range(1, total):
        cut = copy.deepcopy(files)
        del cut.lines[NAME][kept:]
        folder = tmp_path / "log"
        cut.write(folder)
        blind, seeing = verify(folder / NAME, KEY), verify(folder / NAME, KEY, head)
        assert (blind.status, _place(seeing)) == ("ok", (NAME, kept + 1))
        assert blind.lines()[-1].startswith("no anchor was given: a cut tail, an older copy")


def test_an_older_copy_is_found_with_an_anchor(log: tuple[Files, str], tmp_path: Path) -> None:
    """The whole log as it stood earlier, put back in its place, lacks the anchored line."""
    files, head = log
    names = list(files.lines)
    for at, name in enumerate(names[:-1]):
        for kept in range(1, len(files.lines[name]) + 1):
            older = {one: files.lines[one] for one in names[:at]}
            folder = tmp_path / "log"
            Files({**older, NAME: files.lines[name][:kept]}).write(folder)
            blind, seeing = verify(folder / NAME, KEY), verify(folder / NAME, KEY, head)
            assert (blind.status, _place(seeing)) == ("ok", (NAME, kept + 1))


async def test_a_fork_is_found_with_an_anchor(tmp_path: Path) -> None:
    """Two logs with the same beginning and the same key: the other one has another line there."""
    await _append(tmp_path / "a", 1, 3)
    Files.read(tmp_path / "a").write(tmp_path / "b")
    head = await _append(tmp_path / "a", 2, 3)
    other = await _append(tmp_path / "b", 3, 6)
    assert verify(tmp_path / "a" / NAME, KEY, head).ok
    assert verify(tmp_path / "b" / NAME, KEY, other).ok
    bad = verify(tmp_path / "b" / NAME, KEY, head).bad
    assert bad is not None
    assert (bad.seq, bad.why) == (
        int(head.split(":")[0]),
        "is not the anchored one: this is another fork of the log",
    )


@pytest.mark.parametrize("anchor", ["", "5", "5:abc", "0:" + "0" * 64, "x:" + "0" * 64])
def test_an_anchor_of_another_form_is_refused(tmp_path: Path, anchor: str) -> None:
    """A mistyped anchor is never taken for one that was found."""
    with pytest.raises(AuditError, match="SEQ:MAC"):
        verify(tmp_path / NAME, KEY, anchor)


def test_a_torn_last_line_is_no_tampering(log: tuple[Files, str], tmp_path: Path) -> None:
    """Wherever a crash cuts the last line, the rest is good and the report calls it torn."""
    files = log[0]
    last = files.lines[NAME][-1]
    for seed in range(200):
        cut = seeded(seed).randrange(1, len(last))
        torn = copy.deepcopy(files)
        torn.put((NAME, len(files.lines[NAME])), last[:cut])
        folder = tmp_path / "log"
        torn.write(folder)
        report = verify(folder / NAME, KEY)
        note = f"the last {cut} bytes are a torn line, left by a crash"
        assert (report.status, report.ok, report.notes) == ("torn", True, (note,))
        assert report.line_count == len(files.places()) - 1


async def test_odd_but_honest_things_pass(tmp_path: Path) -> None:
    """A clock that goes back, a gap in time and a line of 1 MiB are no tampering."""
    clock = StepClock()
    async with make_log(tmp_path, clock=clock) as log:
        await log.intent(tool("a", text="x" * 1_048_576))
        clock.at -= timedelta(days=1)
        await log.intent(tool("b"))
        clock.at += timedelta(days=400)
        await log.intent(tool("c"))
    report = verify(tmp_path / NAME, KEY)
    assert (report.status, report.notes) == ("ok", (f"the clock went back at {NAME} line 2",))


def _erase(path: Path, *seqs: int) -> None:
    """Take the content out of lines, as erasing does."""
    files = Files.read(path.parent)
    for name, number in files.places():
        line = files.get((name, number))
        if number in seqs:
            head, rest = line.split(b',"mac":"', 1)
            files.put((name, number), head + b',"mac":"' + rest[:64] + b'"}\n')
    path.write_bytes(b"".join(files.lines[NAME]))


@pytest.mark.parametrize(
    ("evidence", "bad"),
    [
        ("1-3", None),
        ("1,2,3", None),
        ("2-2,1,3-999999999", None),
        ("1,3", 2),
        ("2", 1),
        ("", 1),
        ("all of them", 4),
    ],
)
async def test_absent_content_must_be_named_as_erased(
    tmp_path: Path, evidence: str, bad: int | None
) -> None:
    """Lines may lack their content when a later `erased` line names their seqs."""
    async with make_log(tmp_path) as log:
        for n in range(3):
            await log.record(tool(str(n), text="secret"))
        await log.record(AuditEntry(type="erased", evidence=evidence))
    _erase(tmp_path / NAME, 1, 2, 3)
    report = verify(tmp_path / NAME, KEY)
    assert (report.bad.number if report.bad else None) == bad


async def test_an_erased_line_frees_only_what_was_before_it(tmp_path: Path) -> None:
    """Nobody can announce an erasure for lines to come."""
    async with make_log(tmp_path) as log:
        await log.record(AuditEntry(type="erased", evidence="1-9"))
        await log.record(tool(text="secret"))
    _erase(tmp_path / NAME, 2)
    assert verify(tmp_path / NAME, KEY).bad == BadLine(
        file=NAME, number=2, seq=2, why="has lost its content, and is not named as erased"
    )


async def test_modes_of_content_can_follow_each_other(tmp_path: Path) -> None:
    """Lines without kept content are good, and content cannot be slipped into them."""
    for mode in ("full", "hash", "full"):
        async with make_log(tmp_path, content=mode) as log:
            await log.record(tool(text="secret"))
    assert verify(tmp_path / NAME, KEY).status == "ok"
    files = Files.read(tmp_path)
    other = files.get((NAME, 1)).split(b',"text"', 1)[1]
    files.put((NAME, 2), files.get((NAME, 2))[:-2] + b',"text"' + other)
    (tmp_path / NAME).write_bytes(b"".join(files.lines[NAME]))
    assert _place(verify(tmp_path / NAME, KEY)) == (NAME, 2)


@pytest.mark.parametrize("closes", [1, 3, 9])
async def test_a_result_must_close_an_earlier_intent(tmp_path: Path, closes: int) -> None:
    """A result for a line that is no intent, for itself or for one to come is bad."""
    async with make_log(tmp_path) as log:
        await log.record(tool())
        await log.intent(tool())
        await log.record(tool(phase="result", closes=closes))
    assert verify(tmp_path / NAME, KEY).bad == BadLine(
        file=NAME, number=3, seq=3, why=f"closes seq {closes}, which is no intent before it"
    )


async def test_the_report_says_all_of_it_in_words(tmp_path: Path) -> None:
    """Good and bad reports, line by line."""
    async with make_log(tmp_path, redact=unchanged) as log:
        await log.record(AuditEntry(type="startup"))
        await log.intent(tool())
        await log.intent(tool())
        head = log.head
    why = "does not match its mac: it was changed, or the key is another one"
    good = verify(tmp_path / NAME, KEY, head).lines()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes().replace(b"startup", b"startip"))
    bad = verify(path, KEY, head).lines()
    assert good == [
        "ok: 3 good lines in 1 files",
        f"head: {head}",
        "startup: 1",
        "tool: 2",
        "intents without a result: 2",
        "the anchor 3 was found",
    ]
    assert bad == [
        "tampered: 0 good lines in 1 files",
        f"head: 0:{'0' * 64}",
        "intents without a result: 0",
        f"first bad line: {NAME} line 1 (seq 1) {why}",
    ]


def test_a_file_without_line_ends_is_not_read_whole(tmp_path: Path) -> None:
    """Bytes without a line end, more than a line can have, are not called torn."""
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert verify(tmp_path / NAME, KEY).bad == BadLine(
        file=NAME, number=1, seq=1, why="is not a line of an audit log"
    )


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    """That is not the same as tampering: nothing was checked."""
    (tmp_path / NAME).mkdir()
    with pytest.raises(AuditError, match="cannot be read: Is a directory"):
        verify(tmp_path / NAME, KEY)


def test_a_log_that_is_not_there_is_not_good(tmp_path: Path) -> None:
    """Neither a missing file nor a missing folder passes."""
    for path in (tmp_path / NAME, tmp_path / "nowhere" / NAME):
        assert verify(path, KEY).bad == BadLine(
            file=NAME, number=1, seq=1, why="is not there: the file is missing"
        )


async def test_a_log_can_be_checked_while_it_is_written(tmp_path: Path) -> None:
    """Appends and rotations under way are never taken for tampering."""
    async with make_log(tmp_path, rotate_bytes=2_000) as log:

        async def write() -> None:
            for n in range(300):
                await log.intent(tool(str(n)))

        await log.intent(tool("first"))
        writing = asyncio.create_task(write())
        reports = []
        while not writing.done():
            reports.append(await asyncio.to_thread(verify, tmp_path / NAME, KEY))
        await writing
    bad = [report.bad for report in reports if not report.ok]
    assert (len(reports) > 5, bad) == (True, [])
