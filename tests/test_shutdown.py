"""The process ends in time, whatever it waits for."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from assurebot.app import serve
from assurebot.errors import DataHeld
from tests.world import World, quick, running

BUSY = """
import asyncio, time
from assurebot.cli import without_strays

async def main():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
    await asyncio.sleep(0.1)
    {end}

asyncio.run(without_strays(main(), lambda *args, **more: print(*args, more["tasks"])))
"""


@pytest.mark.parametrize(("end", "code"), [("return", 0), ("raise LookupError", 1)])
async def test_process_ends_even_if_a_thread_does_not(end: str, code: int) -> None:
    """A thread, for one at a name server that does not answer, cannot hold up the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BUSY.replace("{end}", end)), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, output) == (
        code,
        b"ending without tasks that do not end ['thread_0']\n",
    )


async def test_stop_ends_the_wait_for_data_that_another_process_holds(tmp_path: Path) -> None:
    """A program that was told to stop does not go on waiting for its turn."""
    async with running(tmp_path) as world:
        other = World(tmp_path, world.telegram, world.model, quick(holder_seconds=30), {})
        stop = asyncio.Event()
        other.app = asyncio.create_task(serve(other.settings, stop, other.parts))
        await other.wait_health(503, "held by process")
        began = time.monotonic()
        stop.set()
        with pytest.raises(DataHeld, match="stopped while the data folder was held by process"):
            await other.app
        assert time.monotonic() - began < 2
        assert (await world.ask("still here")).text == "still here"
