"""What the daemon and a box say to each other: JSON behind its length, and none of it is trusted.

To the box goes one job. Back come, each as often as needed and in any order: `{"o": text}` and
`{"e": text}` (what the program printed, a byte a character), `{"file": name, "data": base64}`;
`{"ran": true}` when the program has ended; and last one `{"end": {...}}`. A box says
`{"ready": ...}` once before it takes its job.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args

from assurebot.errors import SandboxLost
from assurebot.ports import OnOutput
from assurebot.sandbox.languages import Language
from assurebot.values import BoxFile, Grade, Program, RunOutcome, RunResult

MAX_FRAME_BYTES = 32 << 20
MAX_FILES = 20
NAME_BYTES = 200
TAIL_BYTES = 8_000
"""As much of the output is told while a program runs; whoever shows it takes less."""

SLACK_SECONDS = 2.0
"""A box keeps the time itself; so much later it is not asked any more."""

MOVE_SECONDS = 60.0
"""For files to go in, and again for them to come out: that is not the program's time."""

KILLED = 137

Frame = Mapping[str, Any]


class BrokenOff(SandboxLost):
    """The stream to a box ended in mid-run.

    Attributes:
        heard: What there is if the program itself brought that about.
    """

    def __init__(self, message: str, heard: RunResult) -> None:
        super().__init__(message)
        self.heard = heard


class Channel(Protocol):
    """The way to one box.

    Raises (both methods):
        EOFError, OSError: The box, or the way to it, is gone.
    """

    async def exactly(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        ...


def framed(value: Frame) -> bytes:
    """Return a value as it travels."""
    body = json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


async def read_frame(channel: Channel) -> Frame:
    """Return the next frame.

    Raises:
        EOFError, OSError: As the channel does.
        ValueError: It is too long, or not a JSON object.
    """
    (length,) = struct.unpack(">I", await channel.exactly(4))
    if length > MAX_FRAME_BYTES:
        raise ValueError("a frame is too long")
    try:
        value = json.loads(await channel.exactly(length))
    except RecursionError as error:
        raise ValueError("a frame is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("a frame is no object")  # noqa: TRY004 - hostile data, not our call
    return value


async def converse(
    channel: Channel,
    program: Program,
    language: Language | None,
    *,
    backend: str,
    grade: Grade,
    on_output: OnOutput | None,
) -> RunResult:
    """Give a box its job and hear it to the end.

    Args:
        channel: A box that said `ready`, and takes this job alone.
        program: The job; its limits are final.
        language: How the program is run; `None` where it has an `argv`.
        backend: For the result.
        grade: For the result.
        on_output: Told what was printed so far.

    Raises:
        SandboxLost: The box went away, or does not keep to the protocol.
    """
    heard, began = _Heard(program, on_output), time.monotonic()
    try:
        async with asyncio.timeout(MOVE_SECONDS):
            await channel.write(framed(_job(program, language)))
        end = await heard.to_the_end(channel)
    except (EOFError, OSError) as error:
        end = {"outcome": "failed", "exit": KILLED, "seconds": time.monotonic() - began}
        lost = heard.result(end, backend, grade)
        raise BrokenOff("the box was lost while the program ran", lost) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SandboxLost("the box broke its protocol") from error
    return heard.result(end, backend, grade)


def _job(program: Program, language: Language | None) -> Frame:
    way = None if language is None else language.suited(program.source)
    commands: Sequence[Sequence[str]] = [program.argv] if way is None else way.commands
    files: dict[str, bytes] = {}
    for file in program.files:
        files[_unlike(clean_name(file.name), files)] = file.data
    return {
        "source": program.source,
        "file": "" if way is None else way.file,
        "commands": [list(command) for command in commands],
        "files": [
            {"name": name, "data": base64.b64encode(data).decode()} for name, data in files.items()
        ],
        "seconds": program.limits.seconds,
        "output_bytes": program.limits.output_bytes,
        "file_bytes": program.limits.file_bytes,
        "file_count": MAX_FILES,
    }


class _Heard:
    """What a box said so far, within the limits whatever it says."""

    def __init__(self, program: Program, on_output: OnOutput | None) -> None:
        self._limits = program.limits
        self._on_output = on_output
        self._streams = {"o": bytearray(), "e": bytearray()}
        self._cut = {"o": False, "e": False}
        self._tail = b""
        self._files: dict[str, bytes] = {}
        self._file_bytes = 0
        self._left = 0

    async def to_the_end(self, channel: Channel) -> Frame:
        """Hear what is said; return what the last frame says, or that the time was up."""
        clock = asyncio.timeout(self._limits.seconds + SLACK_SECONDS)
        ran = False
        try:
            async with clock:
                while "end" not in (frame := await read_frame(channel)):
                    self._take(frame)
                    if "ran" in frame and not ran:
                        ran = True
                        clock.reschedule(asyncio.get_running_loop().time() + MOVE_SECONDS)
        except TimeoutError:  # of the way to the box too
            if ran or not clock.expired():
                raise
            return {"outcome": "timeout", "exit": KILLED, "seconds": self._limits.seconds}
        if not isinstance(frame["end"], dict):
            raise ValueError("the end is no object")  # noqa: TRY004 - as above
        return frame["end"]

    def _take(self, frame: Frame) -> None:
        if "file" in frame:
            self._take_file(frame["file"], base64.b64decode(frame["data"], validate=True))
        for name in self._streams.keys() & frame.keys():
            self._print(name, frame[name].encode("latin-1"))

    def _print(self, name: str, data: bytes) -> None:
        stream = self._streams[name]
        room = self._limits.output_bytes - len(stream)
        self._cut[name] |= len(data) > room
        stream += data[:room]
        if self._on_output is not None:
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            self._on_output(self._tail.decode(errors="replace"))

    def _take_file(self, name: str, content: bytes) -> None:
        self._file_bytes += len(content)
        if len(self._files) >= MAX_FILES or self._file_bytes > self._limits.file_bytes:
            self._left += 1
        else:
            self._files[_unlike(clean_name(name), self._files)] = content

    def result(self, end: Frame, backend: str, grade: Grade) -> RunResult:
        outcome: RunOutcome = end.get("outcome", "")
        if outcome not in get_args(RunOutcome):
            outcome = "failed"
        return RunResult(
            outcome=outcome,
            exit_code=int(_number(end, "exit", 255, 255)),
            stdout=self._streams["o"].decode(errors="replace"),
            stderr=self._streams["e"].decode(errors="replace"),
            stdout_cut=self._cut["o"] or end.get("o_cut") is True,
            stderr_cut=self._cut["e"] or end.get("e_cut") is True,
            files=tuple(BoxFile(name=name, data=data) for name, data in self._files.items()),
            files_left=self._left + int(_number(end, "left", 1e9, 0)),
            path_changes=int(_number(end, "changes", 1e9, 0)),
            seconds=_number(end, "seconds", self._limits.seconds + SLACK_SECONDS, 0.0),
            backend=backend,
            grade=grade,
        )


def _number(frame: Frame, name: str, most: float, otherwise: float) -> float:
    value = frame.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return otherwise
    return value


def clean_name(name: str) -> str:
    """Return the last component of a path as a name that is safe to show, keep and send."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    seen = "".join(char if char.isprintable() else "_" for char in last).lstrip(".- ").strip()
    return seen.encode()[-NAME_BYTES:].decode(errors="ignore").lstrip(".- ") or "file"


def _unlike(name: str, taken: Mapping[str, object]) -> str:
    """Return the name, with a number before its ending where it is taken."""
    stem, dot, ending = name.rpartition(".")
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{stem or ending}-{number}{dot}{ending if dot else ''}"
    return found
