"""Accepted webhook posts per second, beside a bare handler that stores nothing."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median

from assurebot.demo.telegram import TelegramServer
from bench.bots import ROOT, free_port, is_up, stopped
from bench.table import milliseconds, percentile, ratio, show

SECRET = "a-secret-for-benches-0123456789"
LINES = 32
"""Connections that post one after the other, as many at one time."""

AIM = 0.5
BARE, OURS, UNSYNCED = "bare handler", "ours", "ours without fsync"


def _requests() -> Iterator[bytes]:
    """Make signed posts of 6 KB, each another one, as GitHub sends them."""
    commits = [{"id": f"{n:040x}", "message": "x" * 400} for n in range(12)]
    for number in count():
        repository = {"full_name": "acme/app"}
        post = {"ref": "refs/heads/main", "after": f"{number:040x}", "repository": repository}
        body = json.dumps(post | {"commits": commits}).encode()
        mac = hmac.digest(SECRET.encode(), body, "sha256").hex()
        head = (
            f"POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/json\r\nX-GitHub-Event: push\r\n"
            f"X-GitHub-Delivery: {number}\r\nX-Hub-Signature-256: sha256={mac}\r\n\r\n"
        )
        yield head.encode() + body


async def _post_all(port: int, posts: list[bytes]) -> tuple[float, list[float]]:
    """Post all over a few connections; return the seconds, and those of each post."""
    times: list[float] = []

    async def line() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while posts:
            began = time.perf_counter()
            writer.write(posts.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 202 " in head, head
            size = int(head.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(size)
            times.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for _ in range(LINES):
            group.create_task(line())
    return time.perf_counter() - began, times


async def _measured(
    name: str, folder: Path, model_url: str, posts: list[bytes]
) -> tuple[float, list[float]]:
    port = free_port()
    command = {
        BARE: ("bench.bare_hook", str(port)),
        OURS: ("bench.ours",),
        UNSYNCED: ("bench.ours", "--no-fsync"),
    }[name]
    folder.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    async with TelegramServer(keep_requests=1) as telegram:
        telegram.person(1)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram.api_url,
            "SANDBOX_ENABLED": "false",
            "ALLOWED_USERS": "1",
            "ANTHROPIC_API_KEY": "sk-stand-in-for-benches",
            "ANTHROPIC_BASE_URL": model_url,
            "DATA_DIR": str(folder),
            "PORT": str(port),
            "WEBHOOK_SECRET_GITHUB": SECRET,
        }
        with (folder / "log.txt").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *command), cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            await is_up(process, f"http://127.0.0.1:{port}/health", folder / "log.txt")
            await _post_all(port, [posts.pop()])
            if name != BARE:  # the first message imports what asks the model; the next is 30 s off
                await telegram.wait_for_message(1, contains="🪝", timeout_seconds=60)
            return await _post_all(port, posts)
        finally:
            await stopped(process)


async def hooks(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure how many posts a second are acknowledged, with the store durable and not."""
    rounds, size = (1, 1000) if quick else (3, 4000)
    rates: dict[str, list[float]] = {name: [] for name in (BARE, OURS, UNSYNCED)}
    times: dict[str, list[float]] = {name: [] for name in rates}
    requests = _requests()
    for n in range(rounds):
        for name, found in rates.items():
            posts = [next(requests) for _ in range(size + 1)]
            seconds, each = await _measured(name, folder / f"{name}-{n}", model_url, posts)
            found.append(size / seconds)
            times[name] += each
    bare = median(rates[BARE])
    rows = [
        (
            name,
            f"{median(found):.0f}",
            ratio(median(found), bare),
            milliseconds(percentile(times[name], 0.5)),
            milliseconds(percentile(times[name], 0.99)),
            f">= {AIM:g}x" if name == OURS else "",
        )
        for name, found in rates.items()
    ]
    show(
        f"Webhook posts of 6 KB acknowledged per second, {LINES} connections",
        ("receiver", "per second", "ratio", "p50 ms", "p99 ms", "aim"),
        rows,
    )
