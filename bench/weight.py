"""Resident memory, and the time from start to ready."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from bench.bots import Kind, running
from bench.table import ratio, show


async def memory(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure resident memory when ready, after the first answer and after many turns."""
    turns = 200 if quick else 1000
    found: dict[Kind, tuple[float, ...]] = {}
    kinds: tuple[Kind, ...] = ("echo", "twin", "ours")
    for kind in kinds:
        async with running(kind, folder / kind, model_url) as bot:
            ready = bot.resident_mebibytes()
            await bot.stage.ask()
            first = bot.resident_mebibytes()
            await bot.stage.ask_many(turns, 8)
            found[kind] = (ready, first, bot.resident_mebibytes())
    rows = [
        (kind, *(f"{value:.0f}" for value in values), ratio(values[2], found["twin"][2]))
        for kind, values in found.items()
    ]
    rows.append(("aim for ours", "<= 100", "<= 150", "<= 150", ""))
    show(
        "Resident memory (MiB)",
        ("bot", "ready", "first answer", f"{turns} turns", "ratio to the twin"),
        rows,
    )


async def start(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure from spawn to the first poll, and to the first good answer of `/health`."""
    runs = 3 if quick else 5
    polled: dict[Kind, list[float]] = {"twin": [], "product": []}
    ready: list[float] = []
    for n in range(runs):
        for kind, taken in polled.items():
            async with AsyncExitStack() as stack:
                bot = await stack.enter_async_context(
                    running(kind, folder / f"{kind}-{n}", model_url)
                )
                taken.append(bot.polled_seconds)
                if kind == "product":
                    ready.append(bot.ready_seconds)
    twin, ours = median(polled["twin"]), median(polled["product"])
    show(
        f"Start, median of {runs} (s)",
        ("bot", "first poll", "ratio", "ready", "ratio", "aim"),
        [
            ("twin", f"{twin:.2f}", ratio(twin, twin), f"{twin:.2f}", ratio(twin, twin), ""),
            (
                "ours",
                f"{ours:.2f}",
                ratio(ours, twin),
                f"{median(ready):.2f}",
                ratio(median(ready), twin),
                "ready <= 1.0 s",
            ),
        ],
    )
