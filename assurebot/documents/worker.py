"""The daemon's side of reading: it starts a child, hands it the file, and believes it nothing.

The daemon looks at no more of a file than its first bytes, and the child's answer can only be
plain text within limits and one of our own notes.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Literal

from assurebot.documents.notes import NOTES, PAGE_BYTES, note
from assurebot.documents.signatures import PDF, UNKNOWN, signed
from assurebot.pictures import picture
from assurebot.ports import PAGE_CHARS, Reading

PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from assurebot.documents.extract import main
main()
"""
"""It may not look into the current folder, where this package may lie without being installed."""

SECONDS = 9.5
TEXT_BYTES = 4 << 20
_AT_ONCE = 2
_PIECE_BYTES = _LINE_BYTES = 65_536
_LEAVES = 100_000
_MIME = re.compile(r"[a-z]+/[a-z0-9.+-]{1,80}")
_ENDS = {-signal.SIGABRT: "memory", -signal.SIGKILL: "slow", -signal.SIGXCPU: "slow"}


class LimitedReader:
    """`Reader` in a child without environment, network or files; at most two at once."""

    def __init__(self, program: str = PROGRAM, seconds: float = SECONDS) -> None:
        self._program, self._seconds = program, seconds
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self, data: bytes, name: str) -> Reading:
        """See `Reader.read`."""
        mime, sides = picture(data)
        if all(sides):
            return Reading(kind="picture", mime=mime, sides=sides)
        told = _Told(mime=mime or signed(data)[0] or UNKNOWN)
        if mime:
            return told.reading("damaged")
        async with self._slots:
            return told.reading(await self._told(data, name, told))

    async def _told(self, data: bytes, name: str, told: _Told) -> str:
        """Have the child tell what it reads; return why there is no more."""
        root = str(Path(__file__).parents[2])
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", self._program, root),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env={},
                limit=_LINE_BYTES,
            )
        except OSError:
            return "unstarted"
        try:
            async with asyncio.timeout(self._seconds):
                await _give(child, data, name)
                return await _take(child, told)
        except TimeoutError:
            return "slow"
        except (ValueError, RecursionError):
            return "damaged"
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


class _Told:
    """What the child has said so far."""

    def __init__(self, mime: str) -> None:
        self.kind: Literal["pdf", "text", "other"] = "pdf" if mime == PDF else "other"
        self.mime, self.leaves, self.pages = mime, 0, list[str]()
        self._room = TEXT_BYTES

    def take(self, line: bytes) -> str | None:
        """Take a line; return how it ended if that is what it tells.

        Raises:
            ValueError, RecursionError: It is not what our program says.
        """
        match json.loads(line):
            case ["is", ("pdf" | "text" | "other") as kind, str(mime)] if _MIME.fullmatch(mime):
                self.kind, self.mime = kind, mime
            case ["leaves", int(leaves)] if 0 <= leaves <= _LEAVES:
                self.leaves = leaves
            case ["page", str(text)] if len(text) <= min(PAGE_CHARS, self._room - PAGE_BYTES):
                self._room -= len(text) + PAGE_BYTES
                self.pages.append(text)
            case ["end", str(why)] if not why or why in NOTES:
                return why
            case _:
                raise ValueError("not an answer of the child")
        return None

    def reading(self, why: str) -> Reading:
        """Return what was read until it ended."""
        pages = tuple(self.pages) if any(self.pages) else ()
        return Reading(
            kind=self.kind,
            mime=self.mime,
            pages=pages,
            leaves=self.leaves,
            note=note(why, len(pages)) if why else "",
        )


async def _give(child: Process, data: bytes, name: str) -> None:
    """Write the file in small pieces: nothing of it is copied as a whole."""
    assert child.stdin is not None
    ask = {"name": name, "chars": PAGE_CHARS, "bytes": TEXT_BYTES}
    view = memoryview(data)
    with suppress(OSError):  # it ended: what it said tells more
        child.stdin.write(json.dumps(ask).encode() + b"\n")
        for at in range(0, len(view), _PIECE_BYTES):
            child.stdin.write(view[at : at + _PIECE_BYTES])
            await child.stdin.drain()
    child.stdin.close()


async def _take(child: Process, told: _Told) -> str:
    """Take the answer, and see the child out: one that is killed as it ends is hard to reap."""
    assert child.stdout is not None
    why = None
    while why is None and (line := await child.stdout.readline()):
        why = told.take(line)
    code = await child.wait()
    return _ENDS.get(code, "damaged") if why is None else why
