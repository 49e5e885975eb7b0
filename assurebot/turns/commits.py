"""Commits that must not be lost, however long the disk takes and whatever is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import structlog

from assurebot.errors import StoreUnwell

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def patiently(write: Callable[[], Awaitable[T]], disk_seconds: float) -> T:
    """Write what happened and is paid for, however long the disk takes: it is not done again."""
    while True:
        try:
            return await write()
        except StoreUnwell as error:
            demand_not_cancelled()
            log.warning("a turn waits for the disk", error=str(error))
            await asyncio.sleep(disk_seconds)


def demand_not_cancelled() -> None:
    """End a task that was cancelled while a commit, or an error on the way out, hid that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def carried_out(commit: Coroutine[None, None, None]) -> None:
    """Commit, and do what follows from it, even if that is cancelled meanwhile.

    A commit cannot be called back. If it holds, it was there before what was to stop it.
    """
    task = asyncio.create_task(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if task.exception() is not None:
            raise
