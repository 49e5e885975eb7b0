"""Files on their way to the program, and what comes of them: for tests of what is received."""

from __future__ import annotations

from typing import Any

from assurebot.demo.model import Ask
from assurebot.parts import Parts
from assurebot.ports import Transcriber
from tests.doubles import FakeTranscriber
from tests.world import World, quick

MB = 1 << 20


def hearing(ears: Transcriber | None = None, **fields: Any) -> Parts:
    """Return the quick parts with something to listen with."""
    heard_by = ears or FakeTranscriber()
    return quick(transcriber=lambda *_: heard_by, **fields)


def pdf(*pages: str) -> bytes:
    """Make what `FakeReader` takes for a PDF."""
    return b"%PDF-" + "\f".join(pages).encode()


def numbered(pages: int) -> bytes:
    """Make a text of so many pages, each with its own word: `word7.`."""
    return b"".join(f"word{n}.".ljust(4_000, " ").encode() for n in range(1, pages + 1))


def calls(world: World, method: str) -> int:
    """Count the calls of a method."""
    return sum(call.method == method for call in world.telegram.requests)


def unframed(ask: Ask) -> str:
    """Return the newest user text without the lines of frames."""
    lines = ask.last_user_text.splitlines()
    return "\n".join(line for line in lines if not line.startswith("<<<"))
