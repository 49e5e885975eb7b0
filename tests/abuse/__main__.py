"""`python -m tests.abuse --rounds 3 --runs 1000 --kills 50`: exit 1 if anything did not hold.

It needs an engine (DOCKER_HOST, or the usual socket) with the image of the boxes, and for case 41
`dockerd` and root, to start an engine that may be stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from tests.abuse.cases import CASES
from tests.abuse.places import DockerPlace, engine_client
from tests.abuse.play import Played, play, play_kills, play_runs
from tests.engine.conftest import OwnEngine


@contextmanager
def engine_of_our_own(url: str, image: str) -> Iterator[OwnEngine]:
    """Start an engine with this image of another engine, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="engine", ignore_cleanup_errors=True) as folder:
        engine = OwnEngine(Path(folder))
        try:
            engine.start()
            saved = Path(folder, "image.tar")
            with engine_client(url) as client, saved.open("wb") as file:
                for piece in client.get_image(image):
                    file.write(piece)
            loaded = engine("load", "-i", str(saved))
            assert loaded.returncode == 0, loaded.stderr
            saved.unlink()
            yield engine
        finally:
            engine.stop()
            # A killed engine leaves its mounts, one for each kill.
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for mount in reversed([one for one in mounts if one.startswith(f"{folder}/")]):
                subprocess.run(["umount", mount], check=False)  # noqa: S607 - as installed


def _say(line: str) -> None:
    print(line, flush=True)


async def _all(given: argparse.Namespace, place: DockerPlace) -> AsyncIterator[Played]:
    for _ in range(given.rounds):
        for case in CASES:
            yield await play(case, place)
    if given.runs:
        yield await play_runs(given.runs, place)
    kills = []
    async for played, killed in play_kills(given.kills, given.seed, place):
        kills.append(killed)
        yield played
    if kills:
        slowest = max(killed.seconds for killed in kills)
        boxes = sum(killed.boxes for killed in kills)
        swept = sum(killed.unstarted for killed in kills)
        _say(f"{boxes} boxes at {len(kills)} kills: gone in {slowest:.1f} s at most, {swept} swept")


async def _soak(given: argparse.Namespace, place: DockerPlace) -> int:
    """Play all of it and print each line as it comes; return how many did not hold."""
    failures = played = 0
    _say(f"{'case':<52}{'outcome':<9}{'seconds':>7}  leaks")
    async for one in _all(given, place):
        leaks = ", ".join(f"{name} {more}" for name, more in one.leaks.items()) or "0"
        word = "held" if one.held else "FAILED"
        _say(f"{one.title:<52}{word:<9}{one.seconds:>7.1f}  {leaks}")
        if one.wrong:
            _say(f"    {one.wrong}")
        failures += not one.held
        played += 1
    _say(f"{played - failures} of {played} held")
    return failures


def main() -> int:
    """Find the engine and the image, and play."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    image = os.environ.get("SANDBOX_IMAGE", "assurebot-sandbox")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with engine_client(url) as client:
            client.inspect_image(image)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing can be shown
        _say(f"no engine with the image {image} at {url}: {error}")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # so that the engine is ended in any case
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as scratch, engine_of_our_own(url, image) as own:
        folder = Path(scratch)
        place = DockerPlace(url=url, image=image, folder=folder, own=own, own_image=image)
        return 1 if asyncio.run(_soak(given, place)) else 0


if __name__ == "__main__":
    sys.exit(main())
