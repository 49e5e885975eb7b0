"""`python -m bench.ours`: AssureBot as it is, but that it may send as fast as it can.

With `--no-fsync` its database does not wait for the disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys

from sqlalchemy import Pool, event

from assurebot.app import Parts, serve
from assurebot.settings import load_settings
from assurebot.turns.pace import Rate, Rates

AT_ONCE = Rate(seconds=0.0, burst=1)


async def _run() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    rates = Rates(private=AT_ONCE, group=AT_ONCE, overall=AT_ONCE)
    await serve(load_settings(os.environ), stop, Parts(rates=rates))


def _unsynced(connection: sqlite3.Connection, *_: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


if __name__ == "__main__":
    if "--no-fsync" in sys.argv:
        event.listen(Pool, "checkout", _unsynced)
    asyncio.run(_run())
