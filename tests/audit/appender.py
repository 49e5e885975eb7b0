"""A program that records intents until it is killed, and prints the acknowledged seqs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.audit.making import make_log, tool


async def _append(folder: Path) -> None:
    async with make_log(folder, rotate_bytes=20_000) as log:

        async def one_lane() -> None:
            while True:
                seq = await log.intent(tool("run", text="x" * 300))
                os.write(1, b"%d\n" % seq)
                await log.record(tool("run", phase="result", closes=seq))

        await asyncio.gather(*(one_lane() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(_append(Path(sys.argv[1])))
