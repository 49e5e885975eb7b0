"""Abuse through the real program: neighbours are served at once, and what it prints is harmless."""

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from assurebot.app import Parts
from tests.abuse.load import MARKUP
from tests.world import World, quick, running

pytestmark = [pytest.mark.engine, pytest.mark.slow]

WAIT_SECONDS = 60.0
PEOPLE = {101: "Flo", 102: "Gus", 103: "Hal", 104: "Ida"}
FLOOD = "while True:\n    print('x' * 9)"
FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
SLEEPER = "import time\ntime.sleep(99)"
ABUSES = {101: FLOOD, 102: FORKS, 103: SLEEPER}
ASKED = 20


def started(folder: Path, image: str) -> AbstractAsyncContextManager[World]:
    """Run the program with boxes of this image."""
    return running(
        folder,
        parts=quick(box=Parts().box),
        ALLOWED_USERS=",".join(map(str, PEOPLE)),
        SANDBOX_BACKEND="docker",
        SANDBOX_IMAGE=image,
        SANDBOX_TIMEOUT_MS="8000",
        DOCKER_HOST=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
    )


async def abuse(world: World, user_id: int, done: asyncio.Event) -> int:
    """Send one program after the other until it is enough; return how many were answered."""
    person = world.telegram.person(user_id, PEOPLE[user_id])
    answered = 0
    while not done.is_set():
        said = person.say(f"/python {ABUSES[user_id]}")
        await world.answer(user_id, "grade A (docker", after=said, timeout_seconds=WAIT_SECONDS)
        answered += 1
    return answered


async def times(world: World) -> list[float]:
    """Ask something quick again and again; return how long each answer took."""
    loop = asyncio.get_running_loop()
    taken = []
    for _ in range(ASKED):
        began = loop.time()
        await world.ask("/whoami", "104", by=world.telegram.person(104, PEOPLE[104]))
        taken.append(loop.time() - began)
        await asyncio.sleep(0.3)  # so that it spans the abuse
    return sorted(taken)


async def test_neighbours_of_abuse_are_answered(sandbox_image: str, tmp_path: Path) -> None:
    """While three people flood, fork and sleep, a fourth is answered within a second (p95)."""
    async with started(tmp_path, sandbox_image) as world:
        done = asyncio.Event()
        abusers = [asyncio.create_task(abuse(world, user_id, done)) for user_id in ABUSES]
        await asyncio.sleep(1)
        taken = await times(world)
        done.set()
        async with asyncio.timeout(WAIT_SECONDS):
            answered = await asyncio.gather(*abusers)
    assert taken[ASKED * 95 // 100 - 1] <= 1.0, taken
    assert min(answered) >= 1


async def test_hostile_output_is_shown_harmless(sandbox_image: str, tmp_path: Path) -> None:
    """Escapes and bidi marks are written out, markup is text, and the audit stays readable."""
    async with started(tmp_path, sandbox_image) as world:
        person = world.telegram.person(101, PEOPLE[101])
        source = f"import os\nprint({MARKUP!r})\nos.write(1, bytes((255, 0, 237, 160, 128)))"
        answer = await world.ask(f"/python {source}", "exit 0", by=person)
        hidden = [char for char in answer.text if not char.isprintable() and char != "\n"]
        assert hidden == []
        assert "<b>a</b> *b* [c](http://d.example)" in answer.text
        assert {entity.type for entity in answer.entities} == {"pre"}
        await world.stop()
        assert len(world.audit(type="sandbox")) >= 1
