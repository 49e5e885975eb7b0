"""The step of the tour that tries the audit log."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from assurebot.demo.tour_findings import Finding, found
from assurebot.demo.tour_world import Stage, kept_environment, package_folder

VERIFY_SECONDS = 20.0


async def check_the_audit(stage: Stage) -> Finding:
    """The log is verified as it is, and then a copy of it with one byte changed."""
    await stage.until(lambda: bool(stage.audit()))  # results are written up to a second later
    lines = stage.audit()
    code, said = await _verify(stage.audit_log)
    copy = stage.folder / "copy" / stage.audit_log.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(stage.data / "audit.jsonl.key", copy.with_name("audit.jsonl.key"))
    log = stage.audit_log.read_bytes()
    changed = stage.world.damage(log)
    copy.write_bytes(changed)
    at = [i for i, (old, new) in enumerate(zip(log, changed, strict=True)) if old != new]
    line = str(log.count(b"\n", 0, at[0]) + 1) if at else "none"
    bad_code, bad_said = await _verify(copy)
    named = re.search(r"first bad line: \S+ line (\d+)", bad_said)
    return found(
        (
            (f"exit {code}, {said.partition(' in ')[0]}", code == 0),
            (f"copy changed in line {line}: exit {bad_code}", bad_code == 1),
            (
                f"line {named[1]} is named" if named else "no line is named",
                named is not None and named[1] == line,
            ),
        ),
        lines,
    )


async def _verify(log: Path) -> tuple[int, str]:
    """Run `assurebot audit verify` on a log; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "assurebot", "audit", "verify", str(log)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=kept_environment(),
        cwd=package_folder(),
    )
    try:
        async with asyncio.timeout(VERIFY_SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")
