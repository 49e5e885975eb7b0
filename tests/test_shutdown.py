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

TEMPLATE = """
import asyncio, time
from assurebot.cli import without_strays

async def deaf():
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

async def main():
    {stray}
    await asyncio.sleep(0.1)
    {end}

asyncio.run(without_strays(main(), lambda *args, **more: print(*args, more["tasks"])))
"""

TASK = ("task = asyncio.create_task(deaf(), name='deaf one')", "deaf one")
THREAD = ("asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)", "thread_0")
"""A thread may wait at a name server that does not answer."""


@pytest.mark.parametrize(("stray", "name"), [TASK, THREAD])
@pytest.mark.parametrize(("end", "code"), [("return", 0), ("raise LookupError", 1)])
async def test_process_ends_even_if_a_part_does_not(
    stray: str, name: str, end: str, code: int
) -> None:
    """What was left behind cannot keep the process from ending; the exit code stays true."""
    program = TEMPLATE.replace("{stray}", stray).replace("{end}", end)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    expected = f"ending without tasks that do not end ['{name}']\n"
    assert (process.returncode, output.decode()) == (code, expected)


async def test_second_process_waits_names_the_holder_and_gives_up(tmp_path: Path) -> None:
    """Data that another process holds is not touched; health and error say who holds it."""
    async with running(tmp_path) as world:
        parts = quick(holder_seconds=0.5)
        other = World(tmp_path, world.telegram, world.model, parts, {})
        other.app = asyncio.create_task(serve(other.settings, asyncio.Event(), other.parts))
        body = await other.wait_health(503, "held by process")
        assert list(body["problems"]) == ["data"]
        with pytest.raises(DataHeld, match=r"the data folder is held by process \d+ on "):
            await other.app
        assert (await world.ask("still here")).text == "still here"


async def test_second_process_takes_over_when_the_first_one_ends(tmp_path: Path) -> None:
    """A deploy that overlaps loses nothing: the new process goes on where the old one stops."""
    async with running(tmp_path) as world:
        await world.ask("one")
        other = World(tmp_path, world.telegram, world.model, quick(), {})
        waiting = asyncio.create_task(other.start())
        await asyncio.sleep(0)
        await other.wait_health(503, "held by process")
        await world.stop()
        await waiting
        await other.ask("two", "two")
        assert world.texts() == ["one", "two"]
        await other.stop()


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
