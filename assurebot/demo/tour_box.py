"""The step of the tour that runs code: with an engine, without one, or without any box."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from assurebot.demo.tour_findings import Finding, found
from assurebot.demo.tour_world import OWNER, Stage

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9, 16])\nplt.title('AssureBot')"
SUM = "print(sum(range(10)))"

BOX_SECONDS = 30.0
"""A box proves itself at the start, which a busy machine makes slow."""


async def run_in_a_box(stage: Stage) -> Finding:
    """The owner sends code: with an engine it draws, without one it counts, or it is refused."""
    box = ""
    for _ in range(round(BOX_SECONDS)):
        box = await _said(stage, "/sandbox", "Box:")
        if "being opened" not in box:
            break
        await asyncio.sleep(1)
    grade = re.search(r"grade (\S+)", box)
    if grade is None:
        told = await _said(stage, f"/python {SUM}", "📦")
        return found(
            [(f"no box, and so no code: {told}", bool(told))], stage.effects(type="sandbox")
        )
    reason = box.partition("because ")[2]
    if grade[1] == "C":
        counted = await _said(stage, f"/python {SUM}", "grade C")
        refused = await _said(stage, "/bash echo hello", "📦")
        seen = [
            ("grade C: Python ran" if "45" in counted else "Python did not run", "45" in counted),
            (f"bash was refused ({refused})", bool(refused)),
            (f"no pictures here: {reason or 'SANDBOX_BACKEND chose it'}", True),
        ]
        return found(seen, stage.effects(type="sandbox"))
    said = stage.telegram.person(OWNER).say(f"/python {PLOT}")
    size = 0
    with suppress(TimeoutError):
        picture = await stage.telegram.wait_for_message(
            OWNER, lambda sent: sent.file is not None, after=said, timeout_seconds=BOX_SECONDS
        )
        size = len(picture.file.content) if picture.file is not None else 0
    await stage.until(lambda: len(stage.effects(type="sandbox", action="python")) > 1)
    drawn = f"a picture of {size} bytes came back" if size else "no picture came back"
    return found([(f"grade {grade[1]}", True), (drawn, size > 0)], stage.effects(type="sandbox"))


async def _said(stage: Stage, command: str, contains: str) -> str:
    """Say a command and return what is answered, in one line; nothing if that does not come."""
    said = stage.telegram.person(OWNER).say(command)
    with suppress(TimeoutError):
        message = await stage.telegram.wait_for_message(
            OWNER, after=said, contains=contains, timeout_seconds=BOX_SECONDS
        )
        return " ".join(message.text.split())
    return ""
