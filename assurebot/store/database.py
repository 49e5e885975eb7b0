"""The store: SQLAlchemy Core over SQLite, one writer, readers beside it.

A transaction is one job in a thread. Over aiosqlite each statement crossed to a thread and back
four times, which took more processor time than all other work on a message (`bench/`).
The file is long because every transaction of the port begins here; what it does stands beside.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError

from assurebot.errors import StoreError
from assurebot.ports import (
    Cap,
    Charge,
    Clock,
    Counts,
    Decided,
    Ending,
    Incoming,
    Posts,
    Pressed,
    Reserved,
    Sleep,
    Spent,
    Taken,
    UsageRow,
)
from assurebot.store import (
    approvals,
    blobs,
    facts,
    files,
    folder,
    history,
    inbox,
    memory,
    outbox,
    posts,
    schedules,
    spend,
)
from assurebot.store.schema import migrate
from assurebot.store.writer import Writer, translated
from assurebot.values import (
    Approval,
    ApprovalState,
    BoxFile,
    ChatFile,
    Event,
    Exchange,
    Job,
    JobRun,
    Memory,
    OutboxRow,
    Person,
    Piece,
    Place,
    RunState,
    Step,
    StoredEvent,
    Trace,
    Usage,
)

T = TypeVar("T")

KEPT_FOR_BUTTONS = timedelta(days=7)
"""So long a *Try again* button works, and what its turn had done and made is kept."""

READERS = 2
"""Threads that read; more would wait for the same two cores."""


class SqlStore:
    """`ports.Store` on a SQLite file (WAL, synchronous FULL).

    The folder must be held by this process (`folder.held`).

    Attributes:
        set_aside: Where a damaged database went at opening, `None` if there was none.
    """

    def __init__(
        self, path: Path, clock: Clock, *, on_full: Callable[[], None] = lambda: None
    ) -> None:
        """Prepare to open `path`; `on_full` is called each time its disk turns out to be full."""
        self.set_aside: Path | None = None
        self._on_full = on_full
        self._path = path
        self._clock = clock
        self._stack = AsyncExitStack()
        self._door = posts.Door()

    async def __aenter__(self) -> Self:
        marker = self._path.with_name("stopped-cleanly")
        try:
            crashed = not marker.exists()
            marker.unlink(missing_ok=True)
            self.set_aside = await asyncio.to_thread(
                folder.set_aside_if_damaged, self._path, crashed=crashed, now=self._clock.now()
            )
            self._path.touch(mode=0o600, exist_ok=True)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path.name} cannot be opened: {error}") from error
        async with AsyncExitStack() as stack:
            stack.callback(marker.touch, mode=0o600)
            self._readers = _engine(self._path, begin="BEGIN", readonly=True)
            stack.callback(self._readers.dispose)
            self._reading = stack.enter_context(ThreadPoolExecutor(READERS, "store reader"))
            engine = _engine(self._path, begin="BEGIN IMMEDIATE", readonly=False)
            stack.callback(engine.dispose)
            self._writer = Writer(engine, self._on_full)
            self._serving = asyncio.create_task(self._writer.serve(), name="store writer")
            stack.push_async_callback(self._finish)
            await self._writer.run(migrate)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _finish(self) -> None:
        self._writer.stop()
        await self._serving

    async def watch(self) -> None:
        """Wait for the writer to end; raise what it died of."""
        await asyncio.shield(self._serving)

    @property
    def commits(self) -> int:
        """Transactions committed so far."""
        return self._writer.commits

    def problem(self) -> str | None:
        """See `Store.problem`."""
        return None if self._writer.problem is None else "the last write failed"

    async def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._reading, _transaction, self._readers, work
            )
        except (SQLAlchemyError, ValueError, OverflowError) as error:
            raise translated(error) from None  # it holds what was asked for, and so what was said

    # --- events and their steps

    async def add(
        self, batch: Sequence[Incoming], *, offset: int | None = None
    ) -> tuple[StoredEvent, ...]:
        """See `Store.add`."""

        def work(connection: Connection) -> tuple[StoredEvent, ...]:
            if offset is not None:
                facts.put(connection, "offset", str(offset))
            return inbox.add(connection, batch)

        return await self._writer.run(work, shared=True)

    async def take_post(
        self, incoming: Incoming, scope: str, keys: Sequence[str], window_seconds: float | None
    ) -> Taken:
        """See `Store.take_post`."""
        post = posts.Post(incoming=incoming, scope=scope, keys=keys, window_seconds=window_seconds)
        try:
            return await self._writer.run_together(self._door.take, post)
        except StoreError:
            self._door.stale = True  # what was not kept takes no room
            raise

    async def open_posts(self, hook: str, limit: int) -> tuple[int, ...]:
        """See `Store.open_posts`."""
        return await self._read(lambda c: posts.waiting(c, hook, limit))

    async def raw(self, event_id: int) -> str:
        """See `Store.raw`."""
        return await self._read(lambda c: posts.raw(c, event_id))

    async def posts(self, last: int) -> tuple[Posts, ...]:
        """See `Store.posts`."""
        return await self._read(lambda c: posts.counts(c, last))

    async def begin_with(self, bot: str) -> None:
        """Take updates of this bot from now on; with another one than before they count anew."""
        old = self._clock.now() - KEPT_FOR_BUTTONS

        def work(connection: Connection) -> None:
            inbox.begin_with(connection, bot)
            inbox.expire(connection, old)
            schedules.expire(connection, old)
            blobs.forget(connection)
            files.expire(connection, old)

        await self._writer.run(work)

    async def offset(self) -> int | None:
        """See `Store.offset`."""
        value = await self.fact("offset")
        return None if value is None else int(value)

    async def unfinished(self) -> tuple[StoredEvent, ...]:
        """See `Store.unfinished`."""
        return await self._writer.run(inbox.unfinished)

    async def begin(self, event_id: int, first: Step | None = None) -> tuple[Step, ...]:
        """See `Store.begin`."""
        return await self._writer.run(lambda c: inbox.begin(c, event_id, first))

    async def release(self, event_id: int) -> None:
        """See `Store.release`."""
        await self._writer.run(lambda c: inbox.release(c, event_id))

    async def note(self, event_id: int, steps: Sequence[Step]) -> None:
        """See `Store.note`."""
        now = self._clock.now()
        await self._writer.run(lambda c: inbox.note(c, event_id, steps, now))

    async def merge(self, event: StoredEvent, others: Sequence[int]) -> None:
        """See `Store.merge`."""
        await self._writer.run(lambda c: inbox.merge(c, event, others))

    async def amend(self, key: str, event: Event) -> tuple[StoredEvent | None, bool]:
        """See `Store.amend`."""
        return await self._writer.run(lambda c: inbox.amend(c, key, event))

    async def failed(self, event_id: int, error: str) -> int:
        """See `Store.failed`."""
        return await self._writer.run(lambda c: inbox.failed(c, event_id, error))

    async def finish(self, event_id: int, ending: Ending) -> tuple[OutboxRow, ...]:
        """See `Store.finish`."""
        now = self._clock.now()

        def work(connection: Connection) -> tuple[OutboxRow, ...]:
            inbox.account(connection, event_id, ending.steps, now)
            inbox.end(connection, event_id, ending.error, keep_steps=bool(ending.buttons))
            if ending.fresh_start:
                history.start_afresh(connection, ending.place, event_id)
            if ending.exchange is not None:
                history.keep(connection, ending.place, ending.exchange, aside=ending.aside)
            if ending.aside:
                posts.end(connection, event_id, ending.also, now)
            outbox.grant(connection, event_id, ending.buttons)
            schedules.end(connection, event_id, ending)
            rows = outbox.add(connection, ending.place, ending.pieces, ending.trace)
            blobs.forget(connection)
            return rows

        rows = await self._writer.run(work)
        self._door.stale = True
        return rows

    # --- approvals

    async def sleep(self, event_id: int, sleep: Sleep) -> tuple[OutboxRow, ...]:
        """See `Store.sleep`."""
        now = self._clock.now()

        def work(connection: Connection) -> tuple[OutboxRow, ...]:
            inbox.sleep(connection, event_id)
            inbox.note(connection, event_id, sleep.steps, now)
            approvals.put(connection, sleep.approvals)
            outbox.grant(connection, event_id, sleep.buttons)
            rows = [*outbox.add(connection, sleep.place, sleep.pieces, sleep.trace)]
            for place, pieces in sleep.notices:
                added = outbox.add(connection, place, pieces, sleep.trace)
                approvals.notice(connection, event_id, sleep.approvals[0].n, added[-1:])
                rows += added
            return tuple(rows)

        return await self._writer.run(work)

    async def approvals(self, event_id: int) -> tuple[Approval, ...]:
        """See `Store.approvals`."""
        return await self._read(lambda c: approvals.of(c, event_id))

    async def pending(self, place: Place | None = None) -> tuple[Approval, ...]:
        """See `Store.pending`."""
        return await self._read(lambda c: approvals.pending(c, place))

    async def sleeping(self, place: Place) -> tuple[StoredEvent, ...]:
        """See `Store.sleeping`."""
        return await self._read(lambda c: inbox.sleeping(c, place))

    async def decide(
        self,
        event_id: int,
        steps: Sequence[int],
        state: ApprovalState,
        by: Person | None,
        press: str = "",
    ) -> Decided:
        """See `Store.decide`."""
        now = self._clock.now()
        return await self._writer.run(
            lambda c: approvals.decide(c, event_id, steps, state, by, press=press, now=now)
        )

    async def withdraw(
        self,
        place: Place,
        note: str,
        *,
        before: int | None = None,
        turn: int | None = None,
        again: Incoming | None = None,
    ) -> tuple[tuple[Decided, ...], StoredEvent | None]:
        """See `Store.withdraw`."""
        now = self._clock.now()

        def work(connection: Connection) -> tuple[tuple[Decided, ...], StoredEvent | None]:
            which = {"before": before, "turn": turn}
            withdrawn = approvals.withdraw(connection, place, note, **which, now=now)
            added = inbox.add(connection, [again]) if again is not None and withdrawn else ()
            for fresh in added:
                files.follow(connection, turn or 0, fresh.id)
            return withdrawn, next(iter(added), None)

        return await self._writer.run(work)

    async def notify(
        self,
        about: Sequence[Approval],
        place: Place,
        pieces: Sequence[Piece],
        buttons: Sequence[tuple[str, str]],
    ) -> tuple[OutboxRow, ...]:
        """See `Store.notify`."""
        event_id, n = about[0].event_id, about[0].n

        def work(connection: Connection) -> tuple[OutboxRow, ...]:
            outbox.grant(connection, event_id, buttons)
            rows = outbox.add(connection, place, pieces, Trace(turn=event_id))
            if pieces[-1].replaces is None:
                approvals.notice(connection, event_id, n, rows[-1:])
            return rows

        return await self._writer.run(work)

    # --- money

    async def reserve(self, charge: Charge, caps: Sequence[Cap]) -> Reserved:
        """See `Store.reserve`."""
        return await self._writer.run(lambda c: spend.reserve(c, charge, caps))

    async def settle(self, reservation: int, usage: Usage) -> None:
        """See `Store.settle`."""
        await self._writer.run(lambda c: spend.settle(c, reservation, usage))

    async def usage(self, since: datetime, user_id: int | None = None) -> tuple[UsageRow, ...]:
        """See `Store.usage`."""
        return await self._read(lambda c: spend.usage(c, since, user_id))

    async def spent(self, since: datetime, user_id: int | None = None) -> Spent:
        """See `Store.spent`."""
        return await self._read(lambda c: spend.spent(c, since, user_id))

    # --- memory

    async def remember(
        self, chat_id: int, text: str, label: str, limit: int
    ) -> tuple[Memory, bool] | None:
        """See `Store.remember`."""
        now = self._clock.now()
        return await self._writer.run(
            lambda c: memory.remember(c, chat_id, text, label, limit=limit, now=now)
        )

    async def memories(self, chat_id: int) -> tuple[Memory, ...]:
        """See `Store.memories`."""
        return await self._read(lambda c: memory.memories(c, chat_id))

    async def forget(self, chat_id: int, memory_id: int) -> bool:
        """See `Store.forget`."""
        return await self._writer.run(lambda c: memory.forget(c, chat_id, memory_id))

    # --- schedules

    async def add_job(self, job: Job, limit: int) -> Job | None:
        """See `Store.add_job`."""
        return await self._writer.run(lambda c: schedules.add(c, job, limit))

    async def name_jobs(self, named: Sequence[Job]) -> None:
        """See `Store.name_jobs`."""
        await self._writer.run(lambda c: schedules.name(c, named))

    async def jobs(self, chat_id: int) -> tuple[Job, ...]:
        """See `Store.jobs`."""
        return await self._read(lambda c: schedules.of(c, chat_id))

    async def job(self, job_id: int) -> Job | None:
        """See `Store.job`."""
        return await self._read(lambda c: schedules.by_id(c, job_id))

    async def next_due(self) -> datetime | None:
        """See `Store.next_due`."""
        return await self._read(schedules.next_due)

    async def due(self, now: datetime, limit: int) -> tuple[Job, ...]:
        """See `Store.due`."""
        return await self._read(lambda c: schedules.due(c, now, limit))

    async def claim(
        self, job: Job, next_at: datetime | None, run: JobRun, incoming: Incoming
    ) -> tuple[RunState, StoredEvent | None] | None:
        """See `Store.claim`."""
        return await self._writer.run(lambda c: schedules.claim(c, job, next_at, run, incoming))

    async def hold_job(self, job_id: int, next_at: datetime | None) -> None:
        """See `Store.hold_job`."""
        await self._writer.run(lambda c: schedules.hold(c, job_id, next_at))

    async def move_job(self, job: Job, next_at: datetime) -> None:
        """See `Store.move_job`."""
        await self._writer.run(lambda c: schedules.move(c, job, next_at))

    async def delete_job(self, job_id: int) -> None:
        """See `Store.delete_job`."""
        await self._writer.run(lambda c: schedules.drop(c, job_id))

    async def job_runs(self, job_id: int, limit: int) -> tuple[JobRun, ...]:
        """See `Store.job_runs`."""
        return await self._read(lambda c: schedules.history(c, job_id, limit))

    # --- files

    async def add_file(
        self, chat_id: int, file: ChatFile, data: bytes, pages: Sequence[str]
    ) -> ChatFile:
        """See `Store.add_file`."""
        return await self._writer.run(lambda c: files.add(c, chat_id, file, data, pages))

    async def event_files(self, event_id: int) -> tuple[ChatFile, ...]:
        """See `Store.event_files`."""
        return await self._read(lambda c: files.of_event(c, event_id))

    async def files(self, chat_id: int) -> tuple[ChatFile, ...]:
        """See `Store.files`."""
        return await self._read(lambda c: files.of_chat(c, chat_id))

    async def file_pages(self, file_id: int, first: int, count: int) -> tuple[str, ...]:
        """See `Store.file_pages`."""
        return await self._read(lambda c: files.texts(c, file_id, first, count))

    async def find_in_files(
        self, chat_id: int, words: str, number: int | None, limit: int
    ) -> tuple[tuple[int, int, str], ...]:
        """See `Store.find_in_files`."""
        return await self._read(lambda c: files.find(c, chat_id, words, number, limit))

    async def file_data(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """See `Store.file_data`."""
        return await self._read(lambda c: files.data(c, ids))

    async def remove_file(self, chat_id: int, number: int) -> bool:
        """See `Store.remove_file`."""
        return await self._writer.run(lambda c: files.remove(c, chat_id, number))

    # --- history

    async def exchanges(self, place: Place, limit: int) -> tuple[Exchange, ...]:
        """See `Store.exchanges`."""
        return await self._read(lambda c: history.latest(c, place, limit))

    async def exchange(self, place: Place, exchange_id: int) -> Exchange | None:
        """See `Store.exchange`."""
        return await self._read(lambda c: history.one(c, place, exchange_id))

    async def replied(self, place: Place, message_id: int) -> Exchange | None:
        """See `Store.replied`."""
        return await self._read(lambda c: history.replied(c, place, message_id))

    # --- outbox

    async def say(
        self,
        place: Place,
        pieces: Sequence[Piece],
        trace: Trace,
        *,
        once: str | None = None,
        files: Sequence[BoxFile] = (),
    ) -> tuple[OutboxRow, ...]:
        """See `Store.say`."""

        def work(connection: Connection) -> tuple[OutboxRow, ...]:
            if once is not None and not facts.first_time(connection, once):
                return ()
            ids = blobs.keep(connection, trace.turn or 0, files)
            stored = (
                replace(piece, media=tuple(replace(m, blob=ids[m.blob]) for m in piece.media))
                for piece in pieces
            )
            return outbox.add(connection, place, tuple(stored), trace)

        return await self._writer.run(work)

    async def keep(self, event_id: int, files: Sequence[BoxFile]) -> tuple[int, ...]:
        """See `Store.keep`."""
        return await self._writer.run(lambda c: blobs.keep(c, event_id, files))

    async def blobs(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        """See `Store.blobs`."""
        return await self._read(lambda c: blobs.read(c, ids))

    async def unsent(self) -> tuple[OutboxRow, ...]:
        """See `Store.unsent`."""
        return await self._writer.run(outbox.unsent)

    async def sent(self, row_id: int, message_id: int) -> None:
        """See `Store.sent`."""
        await self._writer.run(lambda c: outbox.sent(c, row_id, message_id))

    async def postpone(self, row_id: int, *, tries: int, not_before: datetime) -> None:
        """See `Store.postpone`."""
        await self._writer.run(lambda c: outbox.postpone(c, row_id, tries, not_before))

    async def rewrite(self, row_id: int, pieces: Sequence[Piece]) -> tuple[OutboxRow, ...]:
        """See `Store.rewrite`."""
        return await self._writer.run(lambda c: outbox.rewrite(c, row_id, pieces))

    async def drop(self, row_id: int, error: str) -> None:
        """See `Store.drop`."""
        await self._writer.run(lambda c: outbox.drop(c, row_id, error))

    async def button(self, button_id: str) -> Pressed | None:
        """See `Store.button`."""
        return await self._read(lambda c: outbox.button(c, button_id))

    # --- facts

    async def fact(self, name: str) -> str | None:
        """See `Store.fact`."""
        return await self._read(lambda c: facts.get(c, name))

    async def set_fact(self, name: str, value: str | None) -> None:
        """See `Store.set_fact`."""
        await self._writer.run(lambda c: facts.put(c, name, value))

    async def counts(self) -> Counts:
        """See `Store.counts`."""
        return await self._read(facts.counts)


def _transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        return work(connection)


def _engine(path: Path, *, begin: str, readonly: bool) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=READERS if readonly else 1,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _record: object) -> None:
        # The driver's own transactions begin too late; ours begin in the handler below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "busy_timeout = 5000",
            f"query_only = {'ON' if readonly else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
