"""Own time per message, and messages per second, beside the twin and the echo bot."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from bench.bots import Bot, Kind, running
from bench.stage import CHATS
from bench.table import milliseconds, percentile, ratio, show

AIM_LATENCY = 3.0
PAUSE_SECONDS = 0.02
"""Between two messages, so that what a bot does after its answer hits no one's time."""

HISTORY = 40
"""Exchanges that AssureBot gives to the model; the twin gives none."""

LONG_CHAT = CHATS - 1


async def _started(stack: AsyncExitStack, folder: Path, model_url: str) -> dict[Kind, Bot]:
    kinds: tuple[Kind, ...] = ("echo", "twin", "ours")
    bots: dict[Kind, Bot] = {}
    for kind in kinds:
        bots[kind] = await stack.enter_async_context(running(kind, folder / kind, model_url))
        await bots[kind].stage.ask_many(2 * LONG_CHAT, LONG_CHAT)
    return bots


async def latency(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure from the hand-out of an update to the arrival of its answer, one at a time."""
    rounds = 30 if quick else 300
    times: dict[str, list[float]] = {"echo": [], "twin": [], "ours": [], "ours, long chat": []}
    async with AsyncExitStack() as stack:
        bots = await _started(stack, folder, model_url)
        for _ in range(HISTORY):
            await bots["ours"].stage.ask(LONG_CHAT)
        for n in range(rounds):
            for name, taken in times.items():
                kind: Kind = "echo" if name == "echo" else "twin" if name == "twin" else "ours"
                chat = LONG_CHAT if name == "ours, long chat" else n % LONG_CHAT
                await asyncio.sleep(PAUSE_SECONDS)
                taken.append(await bots[kind].stage.ask(chat))
    middle, late = percentile(times["twin"], 0.5), percentile(times["twin"], 0.99)
    rows = [
        (
            name,
            str(len(taken)),
            milliseconds(percentile(taken, 0.5)),
            milliseconds(percentile(taken, 0.99)),
            ratio(percentile(taken, 0.5), middle),
            ratio(percentile(taken, 0.99), late),
            f"p50 <= {AIM_LATENCY:g}x" if name == "ours" else "",
        )
        for name, taken in times.items()
    ]
    show(
        "Own time per message: update handed out -> answer arrives (ms; ratio to the twin)",
        ("bot", "n", "p50", "p99", "p50 ratio", "p99 ratio", "aim"),
        rows,
    )


async def throughput(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure messages per second with one message waiting in each of 1, 8 and 32 chats."""
    rounds, count = (1, 60) if quick else (4, 160)
    rows: list[tuple[str, ...]] = []
    async with AsyncExitStack() as stack:
        bots = await _started(stack, folder, model_url)
        for chats in (1, 8, 32):
            seconds = dict.fromkeys(bots, 0.0)
            used = {kind: -bot.cpu_seconds() for kind, bot in bots.items()}
            for _ in range(rounds):
                for kind, bot in bots.items():
                    seconds[kind] += await bot.stage.ask_many(count, chats)
            rates = {kind: rounds * count / taken for kind, taken in seconds.items()}
            costs = {
                kind: (used[kind] + bot.cpu_seconds()) / rounds / count
                for kind, bot in bots.items()
            }
            rows.append(
                (
                    str(chats),
                    *(f"{rate:.0f}" for rate in rates.values()),
                    ratio(rates["ours"], rates["twin"]),
                    *map(milliseconds, costs.values()),
                    ratio(costs["ours"], costs["twin"]),
                )
            )
    show(
        "Messages per second, and processor time per message (ms)",
        ("chats", "echo", "twin", "ours", "ratio", "cpu echo", "cpu twin", "cpu ours", "ratio"),
        rows,
    )
