"""What a hostile box says: whatever it is, it is a result within the limits, or SandboxLost."""

import asyncio
import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.errors import SandboxLost
from assurebot.sandbox.languages import LANGUAGES
from assurebot.sandbox.wire import (
    KILLED,
    MAX_FILES,
    NAME_BYTES,
    clean_name,
    converse,
    framed,
    read_frame,
)
from assurebot.values import BoxFile, BoxLimits, Program, RunResult

LIMITS = BoxLimits(seconds=5, output_bytes=100, file_bytes=200)
PROGRAM = Program(language="python", source="print(1)", limits=LIMITS)
END = {"end": {"outcome": "ok", "exit": 0, "seconds": 0.5}}


class Said:
    """A channel to a box that says these bytes and hangs up."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.heard = b""

    async def exactly(self, count: int) -> bytes:
        """Return the next bytes, or fail where there are not so many."""
        if len(self._said) < count:
            raise EOFError
        taken, self._said = self._said[:count], self._said[count:]
        return taken

    async def write(self, data: bytes) -> None:
        """Take what is said to the box."""
        self.heard += data


async def told(*frames: dict[str, Any], program: Program = PROGRAM) -> RunResult:
    """Return what comes of a box that says these frames."""
    channel = Said(b"".join(framed(frame) for frame in frames))
    return await converse(
        channel, program, LANGUAGES["python"], backend="b", grade="A", on_output=None
    )


async def within(said: bytes, limits: BoxLimits) -> None:
    """Assert that these bytes make a result within the limits, or SandboxLost."""
    shown: list[str] = []
    program = Program(language="python", limits=limits)
    try:
        result = await converse(
            Said(said), program, None, backend="b", grade="A", on_output=shown.append
        )
    except SandboxLost:
        return
    assert 0 <= result.exit_code <= 255
    assert 0 <= result.seconds <= limits.seconds + 2
    assert min(result.files_left, result.path_changes) >= 0
    # one replacement character stands for at least one byte
    assert max(len(result.stdout), len(result.stderr)) <= limits.output_bytes
    assert len(result.files) <= MAX_FILES
    assert sum(len(file.data) for file in result.files) <= limits.file_bytes
    assert all(file.name == clean_name(file.name) for file in result.files)
    assert len({file.name for file in result.files}) == len(result.files)
    json.dumps([result.stdout, result.stderr, *shown]).encode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
printed = st.binary(max_size=150).map(lambda data: data.decode("latin-1"))
frame = st.one_of(
    st.fixed_dictionaries({}, optional={"o": printed | anything, "e": printed | anything}),
    st.fixed_dictionaries(
        {
            "file": st.text(max_size=150) | anything,
            "data": st.binary(max_size=150).map(lambda data: base64.b64encode(data).decode())
            | anything,
        }
    ),
    st.fixed_dictionaries(
        {
            "end": st.fixed_dictionaries(
                {},
                optional={
                    "outcome": st.sampled_from(["ok", "failed", "timeout"]) | anything,
                    "exit": st.integers(-1, 300) | anything,
                    "seconds": st.floats() | anything,
                    "left": anything,
                    "changes": anything,
                    "o_cut": anything,
                },
            )
            | anything
        }
    ),
    st.dictionaries(st.sampled_from(["o", "e", "file", "end", "ready"]), anything),
)


@given(st.lists(frame, max_size=30), st.integers(0, 300), st.integers(0, 300))
async def test_frames_of_any_content_stay_within_the_limits(
    frames: list[dict[str, Any]], output_bytes: int, file_bytes: int
) -> None:
    """Frames with any values in them never pass a limit and raise nothing but SandboxLost."""
    limits = BoxLimits(seconds=5, output_bytes=output_bytes, file_bytes=file_bytes)
    await within(b"".join(map(framed, [*frames, END])), limits)


@given(st.binary(max_size=300), st.booleans())
async def test_any_bytes_stay_within_the_limits(said: bytes, framed_: bool) -> None:  # noqa: FBT001
    """Bytes that are no frames, or frames that are no JSON, are SandboxLost."""
    await within(struct.pack(">I", len(said)) * framed_ + said + framed(END), LIMITS)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xff\xff\xff",
        framed({"o": "never ends"}),
        struct.pack(">I", 200_000) + b"[" * 200_000,
        struct.pack(">I", 5_003) + b'{"' + b"9" * 4_999 + b'":1}',
        struct.pack(">I", 7_008) + b'{"end":' + b"9" * 7_000 + b"}",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 3) + b'"\xff"',
        framed({"o": "\u0100"}),
        framed({"file": "a", "data": "***"}),
        framed({"file": "a"}),
        framed({"end": 1}),
    ],
)
async def test_a_broken_protocol_is_a_lost_box(said: bytes) -> None:
    """A box that hangs up early, lies about lengths or speaks otherwise is SandboxLost."""
    with pytest.raises(SandboxLost):
        await converse(Said(said), PROGRAM, None, backend="b", grade="A", on_output=None)


async def test_what_a_box_says_becomes_a_result() -> None:
    """Output, files and the end come together as they were said, names cleaned."""
    data = base64.b64encode(b"x").decode()
    result = await told(
        {"o": "a\xc3"},
        {"ready": True},
        {"e": "\xff"},
        {"o": "\xa4"},
        {"file": "../../etc/passwd", "data": data},
        {"file": "passwd", "data": data},
        {"end": {"outcome": "failed", "exit": 3, "seconds": 1, "left": 2, "changes": 5}},
    )
    assert result == RunResult(
        outcome="failed",
        exit_code=3,
        stdout="a\xe4",
        stderr="\ufffd",
        files=(BoxFile(name="passwd", data=b"x"), BoxFile(name="passwd-2", data=b"x")),
        files_left=2,
        path_changes=5,
        seconds=1,
        backend="b",
        grade="A",
    )


async def test_more_than_the_limits_is_cut() -> None:
    """Output and files over the limits are left out, and the result says so."""
    data = base64.b64encode(b"x" * 150).decode()
    result = await told(
        {"o": "x" * 99}, {"o": "yyy"}, {"file": "a", "data": data}, {"file": "b", "data": data}, END
    )
    assert (result.stdout, result.stdout_cut, result.stderr_cut) == ("x" * 99 + "y", True, False)
    assert ([file.name for file in result.files], result.files_left) == (["a"], 1)


class Slow(Said):
    """A channel to a box that waits before it says its last words."""

    def __init__(self, said: bytes, last: bytes, seconds: float) -> None:
        super().__init__(said)
        self._last = last
        self._seconds = seconds

    async def exactly(self, count: int) -> bytes:
        """Return the next bytes, the last ones late."""
        if not self._said:
            await asyncio.sleep(self._seconds)
            self._said, self._last = self._last, b""
        return await super().exactly(count)


async def slowly(*said: dict[str, Any], seconds: float) -> RunResult:
    """Return what comes of a box with a limit of 0.1 seconds that comes late to its end."""
    program = Program(language="python", limits=BoxLimits(seconds=0.1))
    channel = Slow(b"".join(map(framed, said)), framed(END), seconds)
    return await converse(channel, program, None, backend="b", grade="A", on_output=None)


async def test_a_silent_box_is_a_timeout() -> None:
    """A box that says nothing until two seconds after its limit is not asked any more."""
    result = await slowly({"o": "a"}, seconds=5)
    assert (result.outcome, result.exit_code, result.stdout) == ("timeout", KILLED, "a")


async def test_moving_files_is_not_the_programs_time() -> None:
    """What comes after the program's end may take longer than the program."""
    result = await slowly({"ran": True}, seconds=2.5)
    assert (result.outcome, result.exit_code) == ("ok", 0)


async def test_a_slow_upload_is_not_the_programs_time() -> None:
    """The clock starts when the job is in the box."""

    class Far(Said):
        async def write(self, data: bytes) -> None:
            await asyncio.sleep(2.5)
            await super().write(data)

    program = Program(language="python", limits=BoxLimits(seconds=0.1))
    result = await converse(Far(framed(END)), program, None, backend="b", grade="A", on_output=None)
    assert result.outcome == "ok"


async def test_a_broken_way_is_no_timeout() -> None:
    """Where the network gives up (ETIMEDOUT) the box is lost, whatever Python calls that."""

    class Broken(Said):
        async def exactly(self, count: int) -> bytes:
            del count
            raise TimeoutError

    with pytest.raises(SandboxLost):
        await converse(Broken(b""), PROGRAM, None, backend="b", grade="A", on_output=None)


async def test_files_of_one_name_are_told_apart() -> None:
    """Two input files whose names come out alike both arrive."""
    channel = Said(framed(END))
    files = (BoxFile(name="a.csv", data=b"1"), BoxFile(name="x/a.csv", data=b"2"))
    program = Program(argv=("ls",), files=files, limits=LIMITS)
    await converse(channel, program, None, backend="b", grade="A", on_output=None)
    job = await read_frame(Said(channel.heard))
    assert job["files"] == [{"name": "a.csv", "data": "MQ=="}, {"name": "a-2.csv", "data": "Mg=="}]


async def test_the_job_is_one_frame_without_a_shell() -> None:
    """The box is told source, commands, files and limits, each as data of its own."""
    channel = Said(framed(END))
    program = Program(
        argv=("echo", "$(id)"), files=(BoxFile(name="../in put", data=b"\0"),), limits=LIMITS
    )
    await converse(channel, program, None, backend="b", grade="A", on_output=None)
    assert await read_frame(Said(channel.heard)) == {
        "source": "",
        "file": "",
        "commands": [["echo", "$(id)"]],
        "files": [{"name": "in put", "data": "AA=="}],
        "seconds": 5,
        "output_bytes": 100,
        "file_bytes": 200,
        "file_count": MAX_FILES,
    }


@given(st.text(max_size=300))
def test_names_are_safe(name: str) -> None:
    """A name is one short component that prints, is no option and not hidden, and stays so."""
    clean = clean_name(name)
    assert 0 < len(clean.encode()) <= NAME_BYTES
    assert clean.isprintable()
    assert not set(clean) & set("/\\\n\0")
    assert not clean.startswith((".", "-", " "))
    clean.encode()
    assert clean_name(clean) == clean


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("plot.png", "plot.png"),
        ("a/b/c.txt", "c.txt"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("--help", "help"),
        (".bashrc", "bashrc"),
        ("..", "file"),
        ("", "file"),
        ("a\nb", "a_b"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("\udcff.txt", "_.txt"),
        ("x" * 300 + ".txt", "x" * (NAME_BYTES - 4) + ".txt"),
        ("\u6f22" * 100 + ".csv", "\u6f22" * 65 + ".csv"),
    ],
)
def test_names_that_people_try(name: str, clean: str) -> None:
    """Paths, options, hidden, invisible and long names come out as this."""
    assert clean_name(name) == clean
