"""`python -m bench [--quick] [PART ...]`: measure all parts, or the named ones."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from assurebot.demo.model import ModelServer, echo
from bench.boxes import boxes
from bench.growth import growth
from bench.hooks import hooks
from bench.schedules import schedules
from bench.speed import latency, throughput
from bench.weight import memory, start


class Part(Protocol):
    """One measurement; prints a table."""

    async def __call__(self, folder: Path, model_url: str, *, quick: bool) -> None:
        """Measure, with files in an empty folder."""
        ...


PARTS: Mapping[str, Part] = {
    "latency": latency,
    "throughput": throughput,
    "memory": memory,
    "start": start,
    "growth": growth,
    "schedules": schedules,
    "boxes": boxes,
    "hooks": hooks,
}


async def _measure(names: Sequence[str], *, quick: bool) -> None:
    for name in names:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            async with ModelServer(echo(), keep=1) as model:
                await PARTS[name](Path(folder), model.url, quick=quick)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = ", ".join(PARTS)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], metavar="PART", help=known)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a rough picture")
    arguments = parser.parse_args()
    names = arguments.part or list(PARTS)
    print("Ratios are against a baseline of the same run: a plain bot that asks the same model")
    print("without delay, through the same SDK, and stores nothing (the twin); for boxes it is")
    print("`docker run --rm` and a bare Python, for webhooks a handler that stores nothing.")
    asyncio.run(_measure(names, quick=arguments.quick))


if __name__ == "__main__":
    _main()
