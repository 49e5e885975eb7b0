"""The box through the chat: an update comes in, a program runs in a container, a send goes out."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from assurebot.app import Parts
from tests.engine.conftest import OwnEngine
from tests.pictures import png
from tests.world import World, quick, running

pytestmark = pytest.mark.engine

READY_SECONDS = 60.0


def settings(url: str, image: str) -> dict[str, Any]:
    """The settings that name a box."""
    return {"SANDBOX_BACKEND": "docker", "DOCKER_HOST": url, "SANDBOX_IMAGE": image}


async def ready(world: World) -> None:
    """Wait for the self-test, by the first program."""
    said = world.owner.say("/python print('ready')")
    answer = await world.answer(after=said, contains="grade A", timeout_seconds=READY_SECONDS)
    assert answer.text.startswith("ready\n")


async def test_a_plot_comes_back_as_a_picture(sandbox_image: str, tmp_path: Path) -> None:
    """What matplotlib draws arrives as a photo, without a word about files."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    parts = quick(box=Parts().box)
    async with running(tmp_path, parts=parts, **settings(url, sandbox_image)) as world:
        await ready(world)
        code = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.show()"
        said = world.owner.say(f"/python {code}")
        photo = await world.meanwhile(
            world.telegram.wait_for_message(
                42, lambda m: m.file is not None, after=said, timeout_seconds=READY_SECONDS
            )
        )
        assert photo.file is not None
        assert (photo.file.kind, photo.file.name) == ("photo", "figure-1.png")
        assert photo.file.content.startswith(png()[:8])
        health = (await world.health())[1]
        assert health["box"] == "A"


@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_an_engine_that_goes_away_is_told_and_found_again(
    own_engine: OwnEngine, box_image: str, tmp_path: Path, way: str
) -> None:
    """In mid-job the answer comes within 5 s of the end; later programs run again by themselves."""
    parts = quick(box=Parts().box)
    async with running(tmp_path, parts=parts, **settings(own_engine.url, box_image)) as world:
        await ready(world)
        said = world.owner.say("/python import time; print('begun'); time.sleep(50)")
        await world.meanwhile(
            world.telegram.wait_for_draft(42, contains="begun", timeout_seconds=READY_SECONDS)
        )
        await asyncio.to_thread(own_engine.kill if way == "kill" else own_engine.stop)
        lost = await world.answer(after=said, contains="📦", timeout_seconds=5)
        assert lost.text == "📦 the box was lost while the program ran"
        refused = await world.ask("/python print(1)", "📦")
        assert "no container engine answers" in refused.text
        await asyncio.to_thread(own_engine.start)
        said = world.owner.say("/python print(6 * 7)")
        again = await world.answer(after=said, contains="grade A", timeout_seconds=READY_SECONDS)
        assert again.text.startswith("42\n")
        await world.stop()
        results = [line["result"] for line in world.audit(type="sandbox", phase="result")]
    assert results == ["ok", "lost", "not run", "ok"]
