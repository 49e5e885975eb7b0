"""A child process that opens a box and runs programs in it until it is killed.

It prints each moment that it comes to, so that whoever kills it can choose.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.abuse.case import BEGUN, BUSY, ONE
from tests.abuse.places import DockerPlace, EmbeddedPlace


def _place(given: dict[str, str]) -> DockerPlace | EmbeddedPlace:
    folder = Path(given["folder"])
    if given["backend"] == "embedded":
        return EmbeddedPlace(folder=folder)
    return DockerPlace(
        url=given["url"], image=given["image"], folder=folder, instance=given["instance"]
    )


def _say(moment: str) -> None:
    print(moment, flush=True)


async def _live(place: DockerPlace | EmbeddedPlace) -> None:
    _say("start")
    async with place.open() as box:
        await box.run(ONE)
        _say("idle")
        await asyncio.sleep(1)
        begun = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for given in (BEGUN, BUSY):
                group.create_task(box.run(given, lambda _: begun.set()))
            await begun.wait()
            _say("job")


if __name__ == "__main__":
    asyncio.run(_live(_place(json.loads(sys.argv[1]))))
