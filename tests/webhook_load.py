"""`python -m tests.webhook_load`: 1,000 signed posts at once, the process killed in between.

First without a kill, for the time that an acknowledgement takes; then with kills, each followed by
a new start, while every sender tries again until it is acknowledged. Exit 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import aiohttp

from assurebot.app import Parts, serve
from assurebot.demo.model import ModelServer
from assurebot.demo.model_script import Turn
from assurebot.demo.telegram import TelegramServer
from assurebot.settings import load_settings
from assurebot.turns.pace import Rate, Rates
from tests.posting import SECRET, pushed, signed

OWNER = 42
P99_SECONDS = 1.0
LIMIT_SECONDS = 120.0
TRY_SECONDS = 10.0
AGAIN_SECONDS = 0.1


class Load:
    """A program between stand-ins, and the senders of posts.

    Attributes:
        acknowledged: Statuses by the number of the post.
        times: Seconds from the first try of each post to its acknowledgement.
    """

    def __init__(self, folder: Path, telegram: TelegramServer, model: ModelServer) -> None:
        self.acknowledged: dict[int, int] = {}
        self.times: list[float] = []
        self._folder = folder
        self._port = random.randint(20_000, 30_000)  # noqa: S311 - no secret
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram.api_url,
            "SANDBOX_ENABLED": "false",
            "ALLOWED_USERS": str(OWNER),
            "ANTHROPIC_API_KEY": "sk-no-key-at-all-123456",
            "ANTHROPIC_BASE_URL": model.url,
            "AI_PRICE": "0,0",
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self._port),
            "WEBHOOK_SECRET_GITHUB": SECRET,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the program; it need not be up yet."""
        with (self._folder / "output").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.webhook_load", "--program"),
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    async def end(self, sign: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        assert self._process is not None
        self._process.send_signal(sign)
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._process.wait()

    async def ready(self) -> None:
        """Wait until the program is well."""
        url = f"http://127.0.0.1:{self._port}/health"
        async with asyncio.timeout(LIMIT_SECONDS), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(AGAIN_SECONDS)

    async def post_all(self, numbers: Sequence[int], kills: Sequence[int]) -> None:
        """Post all at once; kill at these counts of acknowledgements, and start again."""
        connector = aiohttp.TCPConnector(limit=0)
        limit = aiohttp.ClientTimeout(total=TRY_SECONDS)
        async with (
            asyncio.timeout(LIMIT_SECONDS),
            aiohttp.ClientSession(connector=connector, timeout=limit) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._kill(len(self.acknowledged), kills))
            for number in numbers:
                group.create_task(self._post(session, number))

    async def _kill(self, before: int, kills: Sequence[int]) -> None:
        for count in kills:
            while len(self.acknowledged) - before < count:  # noqa: ASYNC110 - many tell of it
                await asyncio.sleep(0.001)
            await self.end(signal.SIGKILL)
            await self.start()

    async def _post(self, session: aiohttp.ClientSession, number: int) -> None:
        """Send one post until it is acknowledged, as senders that retry do."""
        body = pushed(number)
        headers, began = signed(body, f"delivery-{number}"), time.perf_counter()
        url = f"http://127.0.0.1:{self._port}/hooks/github"
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(url, data=body, headers=headers) as answer:
                    if answer.status in (200, 202):
                        self.acknowledged[number] = answer.status
                        self.times.append(time.perf_counter() - began)
                        return
                    assert answer.status == 503, answer.status
            await asyncio.sleep(AGAIN_SECONDS)

    def ask(self, query: str) -> list[tuple[str, ...]]:
        """Ask the database from the outside."""
        with closing(sqlite3.connect(self._folder / "data" / "assurebot.db")) as connection:
            return connection.execute(query).fetchall()

    async def worked(self) -> None:
        """Wait until no post waits and nothing is to be sent."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while self.ask(  # noqa: ASYNC110 - another process tells nobody
                "SELECT 1 FROM inbox WHERE state = 'open' AND source LIKE 'webhook:%' "
                "UNION ALL SELECT 1 FROM outbox WHERE state = 'open' LIMIT 1"
            ):
                await asyncio.sleep(AGAIN_SECONDS)


def told(texts: Sequence[str]) -> int:
    """Count the posts that messages tell of."""
    found = [re.match(r"🪝 github(?:: (\d+) posts)?\n", text) for text in texts]
    return sum(int(each[1] or 1) for each in found if each)


async def play(posts: int, kills: int, seed: int, folder: Path) -> list[str]:
    """Play both runs and print what came of them; return the rules that were broken."""
    rng = random.Random(seed)  # noqa: S311 - it has to be repeatable, not secret
    model = ModelServer(lambda _ask: Turn(text="They pushed."), keep=1)
    async with TelegramServer(keep_requests=100) as telegram, model:
        telegram.person(OWNER, "Ann")
        load = Load(folder, telegram, model)
        await load.start()
        try:
            await load.ready()
            await load.post_all(range(1, posts + 1), ())
            times, load.times = sorted(load.times), []
            moments = sorted(rng.sample(range(posts // 10, posts), kills))
            await load.post_all(range(posts + 1, 2 * posts + 1), moments)
            await load.worked()
        finally:
            await load.end(signal.SIGTERM)
        arrived = {message.text for message in telegram.messages(OWNER)}
    stored = load.ask("SELECT state FROM inbox WHERE source LIKE 'webhook:%'")
    sent = [text for (text,) in load.ask("SELECT json_extract(piece, '$.text') FROM outbox")]
    p99 = times[round(0.99 * (len(times) - 1))]
    lost = 2 * posts - min(len(stored), told(sent))
    twice = max(len(stored), told(sent)) - 2 * posts
    again = sum(status == 200 for status in load.acknowledged.values())
    print(
        f"webhooks, seed {seed}: {posts} posts at once twice, {kills} kills: {lost} lost, "
        f"{twice} worked twice, {again} acknowledged as known, in {len(sent)} messages; "
        f"acknowledged without kills p50 {times[len(times) // 2]:.3f} s, p99 {p99:.3f} s, "
        f"with kills at the latest {max(load.times):.1f} s",
        flush=True,
    )
    rules = {
        "an acknowledged post is lost": lost <= 0,
        "a post was worked twice": twice <= 0,
        "not every post was acknowledged": len(load.acknowledged) == 2 * posts,
        "a post was not ended": {state for (state,) in stored} == {"done"},
        "a message did not arrive": arrived >= set(sent),
        f"p99 is over {P99_SECONDS} s": p99 <= P99_SECONDS,
    }
    return [rule for rule, held in rules.items() if not held]


async def _program() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    free = Rate(seconds=0.0, burst=1_000_000)
    parts = Parts(rates=Rates(private=free, group=free, overall=free), fold_seconds=1.0)
    await serve(load_settings(os.environ), stop, parts)


def main() -> int:
    """Run all seeds, or the program itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.webhook_load", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--posts", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--program", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.program:
        asyncio.run(_program())
        return 0
    broken = []
    for seed in range(1, given.seeds + 1):
        with tempfile.TemporaryDirectory(prefix="hooks-") as folder:
            broken += asyncio.run(play(given.posts, given.kills, seed, Path(folder)))
    print("\n".join(f"BROKEN: {rule}" for rule in broken) or "every rule held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
