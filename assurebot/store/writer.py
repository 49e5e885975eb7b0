"""The one connection that writes: short `BEGIN IMMEDIATE` transactions, one after another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from assurebot.errors import StoreError, StoreUnwell

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    work: Callable[..., Any]
    item: Any = None
    done: asyncio.Future[Any]
    shared: bool


def translated(error: Exception) -> StoreError:
    """Turn a failure below into ours, without the statement and its values."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, ValidationError):  # its text quotes what it could not read
        return StoreError(f"a stored {error.title} cannot be read")
    cause = error.orig if isinstance(error, DBAPIError) else error
    unwell = isinstance(cause, sqlite3.OperationalError) or type(cause) is sqlite3.DatabaseError
    return (StoreUnwell if unwell else StoreError)(f"{type(cause).__name__}: {cause}")


class Writer:
    """Runs transactions in the order they were asked for, each as one job of a thread of its own.

    A caller that is cancelled does not cancel its transaction: it is kept or it is not.

    Attributes:
        commits: Transactions committed so far.
        problem: Why the last transaction failed; `None` after one that did not.
    """

    def __init__(self, engine: Engine, on_full: Callable[[], None]) -> None:
        self.commits = 0
        self.problem: str | None = None
        self._engine = engine
        self._on_full = on_full
        self._was_full = False
        self._jobs: deque[_Job] = deque()
        self._ready = asyncio.Event()
        self._stopping = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store writer")

    async def run(self, work: Callable[[Connection], T], *, shared: bool = False) -> T:
        """Run `work` in a transaction; `shared` ones that wait together share one commit.

        Raises:
            StoreError: It failed; nothing of it was kept.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Job(work=work, done=done, shared=shared))
        return await done

    async def run_together(self, work: Callable[[Connection, list[S]], list[T]], item: S) -> T:
        """Run `work` once for all its items that wait together, as `run` does shared ones."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Job(work=work, item=item, done=done, shared=True))
        return await done

    def _put(self, job: _Job) -> None:
        if self._stopping:
            raise StoreError("the store is closed")
        self._jobs.append(job)
        self._ready.set()

    async def serve(self) -> None:
        """Work until `stop`, and then to the end of what was asked before it."""
        loop = asyncio.get_running_loop()
        connection = await loop.run_in_executor(self._thread, self._engine.connect)
        try:
            while self._jobs or not self._stopping:
                await self._ready.wait()
                batch = self._next_batch()
                if batch:
                    await self._commit(connection, batch)
                elif not self._stopping:
                    self._ready.clear()
        finally:
            self._stopping = True
            for job in self._jobs:  # left only if this dies: nobody must wait for them for ever
                _refuse(job, StoreError("the store is closed"))
            await loop.run_in_executor(self._thread, connection.close)
            self._thread.shutdown()

    def stop(self) -> None:
        """Take no more work; `serve` returns when the rest is done."""
        self._stopping = True
        self._ready.set()

    def _next_batch(self) -> list[_Job]:
        batch: list[_Job] = []
        while self._jobs and (not batch or (batch[-1].shared and self._jobs[0].shared)):
            batch.append(self._jobs.popleft())
        return batch

    async def _commit(self, connection: Connection, batch: Sequence[_Job]) -> None:
        try:
            results = await asyncio.get_running_loop().run_in_executor(
                self._thread, _transaction, connection, batch
            )
        except Exception as error:  # noqa: BLE001 - it goes to the callers; the writer must live
            failure = translated(error)
            self.problem = str(failure) if isinstance(failure, StoreUnwell) else None
            self._note_full(error)
            for job in batch:
                _refuse(job, failure)
            return
        self.commits += 1
        self.problem = None
        self._was_full = False
        for job, result in zip(batch, results, strict=True):
            if not job.done.done():
                job.done.set_result(result)

    def _note_full(self, error: Exception) -> None:
        cause = error.orig if isinstance(error, DBAPIError) else None
        if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            if not self._was_full:
                self._on_full()
            self._was_full = True


def _refuse(job: _Job, failure: StoreError) -> None:
    if not job.done.done():
        job.done.set_exception(failure)


def _transaction(connection: Connection, batch: Sequence[_Job]) -> list[Any]:
    results: list[Any] = []
    with connection.begin():
        for work, jobs in groupby(batch, key=lambda job: job.work):
            items = [job.item for job in jobs]
            results += work(connection, items) if items[0] is not None else [work(connection)]
    return results
