"""Rules for a writer that is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from assurebot.audit.verify import verify
from tests.audit.making import KEY, NAME, found, make_log, read, seeded

KILLS = 5


def _run_and_kill(folder: Path, seconds: float) -> list[int]:
    """Let the appender run for a while after its first line; return what it acknowledged."""
    command = [sys.executable, "-m", "tests.audit.appender", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        rest = child.stdout.read()
    return [int(seq) for seq in (first + rest).split(b"\n")[:-1]]


async def test_every_acknowledged_intent_survives_a_kill(tmp_path: Path) -> None:
    """At any moment, in a rotation too: the chain is good and no acknowledged intent is missing."""
    acknowledged: list[int] = []
    random = seeded(5)
    for _ in range(KILLS):
        acknowledged += _run_and_kill(tmp_path, random.uniform(0.05, 0.4))
        report = verify(tmp_path / NAME, KEY)
        assert report.ok, report.lines()
    async with make_log(tmp_path) as log:
        interrupted = [one.closes for one in log.recovered]
    report = verify(tmp_path / NAME, KEY)
    lines = [line for path in found(tmp_path, "audit*.jsonl") for line in read(path)]
    intents = {line["seq"] for line in lines if line.get("phase") == "intent"}
    assert (report.status, report.open_intents) == ("ok", 0)
    assert set(acknowledged) - intents == set()
    assert len(acknowledged) > 2 * KILLS  # a slow disk acknowledges few
    assert set(interrupted) <= intents
    assert len(found(tmp_path, "audit.0*.jsonl")) > 1
