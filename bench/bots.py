"""The bots that are measured, each a process of its own with nothing of our environment."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from bench.stage import CHATS, FIRST_USER, Stage

Kind = Literal["ours", "product", "twin", "echo"]
"""`product` is `assurebot run`; `ours` is the same without the limits on how fast it may send."""

COMMANDS: dict[Kind, Sequence[str]] = {
    "ours": ("bench.ours",),
    "product": ("assurebot", "run"),
    "twin": ("bench.twin", "model"),
    "echo": ("bench.twin", "echo"),
}

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A running bot; `polled_seconds` and `ready_seconds` count from its spawn."""

    stage: Stage
    pid: int
    polled_seconds: float
    ready_seconds: float

    def cpu_seconds(self) -> float:
        """Return how much processor time the process used so far (in steps of 10 ms)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        """Return how much memory the process holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


@asynccontextmanager
async def running(kind: Kind, folder: Path, model_url: str) -> AsyncIterator[Bot]:
    """Start a bot with its data and its log in a folder, and stop it at the end.

    Raises:
        RuntimeError: It ended by itself; the text is the end of its log.
    """
    port = free_port()
    path = _log_file(folder)
    async with Stage() as stage:
        with path.open("wb") as log:
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *COMMANDS[kind],
                cwd=ROOT,
                env=_environment(stage, folder, port, model_url),
                stdout=log,
                stderr=log,
            )
            try:
                url = f"http://127.0.0.1:{port}/health" if kind in ("ours", "product") else None
                ready = await _ready(process, stage, url, path)
                assert stage.polled is not None
                yield Bot(
                    stage=stage,
                    pid=process.pid,
                    polled_seconds=stage.polled - began,
                    ready_seconds=ready - began,
                )
            finally:
                await stopped(process)


def _environment(stage: Stage, folder: Path, port: int, model_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "TELEGRAM_BOT_TOKEN": stage.telegram.token,
        "TELEGRAM_API_URL": stage.telegram.api_url,
        "SANDBOX_ENABLED": "false",  # what boxes cost is measured by itself
        "ALLOWED_USERS": ",".join(str(FIRST_USER + n) for n in range(CHATS)),
        "ANTHROPIC_API_KEY": "sk-stand-in-for-benches",
        "ANTHROPIC_BASE_URL": model_url,
        "RATE_USER_PER_MINUTE": "1000",  # what is held back on purpose is not measured
        "BUDGET_DAILY_USD": "100000",
        "DATA_DIR": str(folder / "data"),
        "PORT": str(port),
    }


async def _ready(
    process: asyncio.subprocess.Process, stage: Stage, health: str | None, log: Path
) -> float:
    """Wait for the first poll, and for the health page where there is one; return the moment."""
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"a bot ended by itself:\n{_end_of(log)}")
            if health is None and stage.polled is not None:
                return stage.polled
            if health is not None and await _is_well(session, health):
                return time.perf_counter()
            await asyncio.sleep(0.005)


async def is_up(process: asyncio.subprocess.Process, health: str, log: Path) -> None:
    """Wait until a program is well.

    Raises:
        RuntimeError: It ended by itself.
    """
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
        while not await _is_well(session, health):
            if process.returncode is not None:
                raise RuntimeError(f"it ended by itself:\n{_end_of(log)}")
            await asyncio.sleep(0.02)


async def _is_well(session: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientConnectionError):
        async with session.get(url) as response:
            return response.status == 200
    return False


async def stopped(process: asyncio.subprocess.Process) -> None:
    """Stop a process, by force if need be."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _log_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "log.txt"


def _end_of(log: Path) -> str:
    return log.read_text()[-2000:]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
