"""Waiting for something to come by, without looking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Watch(Generic[T]):
    """Things are told as they happen; each waiter takes the first one that passes its test."""

    def __init__(self) -> None:
        self._waiters: list[tuple[Callable[[T], bool], asyncio.Future[T]]] = []

    def tell(self, thing: T) -> None:
        """Show a thing to all that wait."""
        for test, future in self._waiters:
            if future.done():
                continue
            try:
                if test(thing):
                    future.set_result(thing)
            except Exception as error:  # noqa: BLE001 - the waiter's own mistake goes to the waiter
                future.set_exception(error)

    async def next(
        self, test: Callable[[T], bool], timeout_seconds: float, what: Callable[[], str]
    ) -> T:
        """Wait for the next thing that passes.

        Args:
            test: Told each thing.
            timeout_seconds: The limit.
            what: Words for the error: what was waited for, and what came instead.

        Raises:
            TimeoutError: Nothing passed in time.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        entry = (test, future)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await future
        except TimeoutError:
            raise TimeoutError(f"after {timeout_seconds} s: {what()}") from None
        finally:
            self._waiters.remove(entry)
