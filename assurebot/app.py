"""The program's life: parts are opened in order, run until a stop, and closed in reverse.

The file is long because the order of a life is best read in one place.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

import structlog

from assurebot import __version__
from assurebot.agent.jobs import SettledSandbox
from assurebot.audit.log import JsonlAudit
from assurebot.checks import hook_problems, model_problems, named_jobs, policy
from assurebot.errors import (
    AuditError,
    ChatError,
    ChatUnavailable,
    ConfigError,
    DataHeld,
    StoreError,
)
from assurebot.guard.redact import Redactor
from assurebot.parts import Open, Parts
from assurebot.ports import Clock
from assurebot.providers.pricing import Prices
from assurebot.sandbox.probes import SelfTest
from assurebot.server.site import Site
from assurebot.settings import Settings
from assurebot.store.database import SqlStore
from assurebot.store.folder import held, make_private
from assurebot.telegram.client import TelegramClient
from assurebot.telegram.render import plain
from assurebot.turns.outbox import Outbox
from assurebot.turns.runner import Runner
from assurebot.values import AuditEntry, BoxStanding, Piece, Place, Trace
from assurebot.voices import audio_problems
from assurebot.wiring import Core

__all__ = ["Parts", "serve"]

log = structlog.get_logger(__name__)

FULL_NOTICE_SECONDS = 600.0
"""The owner is told of a full disk no more often than this."""

OUTBOX_GRACE_SECONDS = 2.0
"""What unsent messages get at a stop, after the turns."""


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)


@asynccontextmanager
async def _service(
    group: asyncio.TaskGroup, name: str, run: Coroutine[None, None, None]
) -> AsyncIterator[None]:
    """Keep a service going while the block lasts; its crash takes the whole program down."""
    task = group.create_task(run, name=name)
    try:
        yield
    finally:
        while not task.done():  # a library may keep one cancel to itself
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)


async def serve(settings: Settings, stop: asyncio.Event, parts: Parts | None = None) -> None:
    """Run the bot until `stop` is set, then close everything in reverse order.

    Raises:
        ConfigError: A part refused its settings; what was already open is closed again.
        DataHeld: Another process keeps the data.
        ExceptionGroup: A service crashed; everything is closed before this is raised.
    """
    await _Program(settings, parts or Parts()).run(stop)


class _Program:
    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._clock: Clock = SystemClock()
        self._redact = Redactor(settings.secrets())
        self._owner = Place(chat_id=settings.owner)
        self._started = self._clock.now()
        self._full = asyncio.Event()
        self._outbox: Outbox | None = None
        self._rules, self._mistakes = policy(settings, parts.tools)

    async def run(self, stop: asyncio.Event) -> None:
        settings = self._settings
        token = settings.telegram_bot_token.get_secret_value()
        os.umask(0o077)
        own = settings.ai_price
        prices = Prices(None if own is None else {settings.model.provider: own})
        await self._refuse_mistakes(prices)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            path = settings.webhook_base_path if settings.webhooks_enabled else None
            site = await enter(Site(settings.host, settings.port, path))
            log.info("listening", host=settings.host, port=site.port)
            await enter(held(settings.data_dir, self._parts.holder_seconds, _told(site, stop)))
            services = await enter(asyncio.TaskGroup())
            chat = await enter(self._parts.chat(token, settings.telegram_api_url))
            audit = await self._open_audit(stack)
            store = self._parts.store(
                settings.data_dir / "assurebot.db",
                self._clock,
                on_full=self._full.set,
            )
            try:
                await enter(store)
                await store.begin_with(token.partition(":")[0])
            except StoreError as error:
                raise ConfigError(f"DATA_DIR: {error}") from error
            await self._record_start(audit, store)
            stack.push_async_callback(self._record_stop, audit)
            box = await self._open_box(stack, audit, store)
            site.notes = {"box": lambda: _named(box.standing)}
            fetcher = await enter(self._parts.fetcher(other_port=self._rules.opens))
            base = Open(
                settings=settings,
                parts=self._parts,
                clock=self._clock,
                started=self._started,
                redact=self._redact,
                chat=chat,
                audit=audit,
                store=store,
                box=box,
                fetcher=fetcher,
                rules=self._rules,
            )
            core = await self._start_services(stack, services, base, prices)
            site.checks, site.hooks = core.checks, core.hooks.post
            await stop.wait()
            log.info("stopping")

    async def _open_audit(self, stack: AsyncExitStack) -> JsonlAudit:
        settings = self._settings
        key = settings.audit_key
        audit = self._parts.audit(
            settings.audit_log_path,
            key=None if key is None else key.get_secret_value().encode(),
            redact=self._redact,
            clock=self._clock,
            content=settings.audit_content,
            on_full=self._full.set,
        )
        try:
            await stack.enter_async_context(audit)
        except (AuditError, OSError) as error:
            raise ConfigError(f"AUDIT_LOG_PATH: the audit log cannot be opened: {error}") from error
        return audit

    async def _open_box(
        self, stack: AsyncExitStack, audit: JsonlAudit, store: SqlStore
    ) -> SettledSandbox:
        """Have the box open and test itself, beside everything else."""
        instance = await store.fact("instance")
        if instance is None:
            instance = secrets.token_hex(8)
            with suppress(StoreError):  # a full disk: then what this run leaves is not swept later
                await store.set_fact("instance", instance)

        async def tell(test: SelfTest | None, standing: BoxStanding) -> None:
            try:
                await self._tell_box(audit, store, test, standing)
            except (AuditError, StoreError) as error:
                log.warning("the box's self-test could not be recorded", reason=str(error))

        box = self._parts.box(
            self._settings,
            instance=instance,
            scratch=self._settings.data_dir / "boxes",
            on_standing=tell,
        )
        return await stack.enter_async_context(box)

    async def _tell_box(
        self, audit: JsonlAudit, store: SqlStore, test: SelfTest | None, standing: BoxStanding
    ) -> None:
        """Record how a self-test went; tell the owner of one that failed."""
        log.info("box", grade=standing.grade, backend=standing.backend, reason=standing.reason)
        if test is None:
            return
        failed = "; ".join(f"{probe.name}: {probe.seen}" for probe in test.failed)
        await audit.record(
            AuditEntry(
                type="sandbox",
                action="self-test",
                target=standing.backend,
                result="failed" if failed else "ok",
                evidence=f"{len(test.probes) - len(test.failed)} of {len(test.probes)} probes",
                error=failed or None,
            )
        )
        if failed:
            text = f"⚠️ The box is closed ({standing.backend}): {standing.reason}"
            rows = await store.say(self._owner, plain(text, guarded=True), Trace())
            if self._outbox is not None:  # else it finds them when it begins
                self._outbox.push(rows)

    async def _tell_full(self, chat: TelegramClient, audit: JsonlAudit) -> None:
        """Tell the owner of a full disk: the one send that is allowed without an intent."""
        text = "⚠️ The disk is full. I do nothing more that I cannot record; please make room."
        while True:
            await self._full.wait()
            log.error("the disk is full")
            try:
                await chat.send(self._owner, Piece(text=text))
            except ChatUnavailable as error:
                # It is found out once, so this is not told again by itself.
                await asyncio.sleep(max(self._parts.disk_seconds, error.retry_after or 0))
                continue
            except ChatError as error:
                log.warning("a full disk could not be told", reason=str(error))
            else:
                audit.note_unrecorded_notice()
            await asyncio.sleep(FULL_NOTICE_SECONDS)
            # The audit and the store find it out one after the other, and again and again.
            self._full.clear()

    async def _record_start(self, audit: JsonlAudit, store: SqlStore) -> None:
        versions = f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}"
        await audit.record(
            AuditEntry(type="startup", evidence=f"assurebot {__version__}, {versions}")
        )
        for line in audit.recovered:
            if line.action in {"damaged", "missing"}:
                await self._tell_damage(store, f"audit log ({line.target}: {line.evidence})")
        if store.set_aside is not None:
            name = store.set_aside.name
            await audit.record(AuditEntry(type="error", action="store", evidence=name))
            await self._tell_damage(store, f"database (set aside as {name})")

    async def _tell_damage(self, store: SqlStore, what: str) -> None:
        """Tell the owner what was not found whole at the start, and was begun anew."""
        log.error("not whole at the start, begun anew", what=what)
        text = f"⚠️ At the start this was not whole, and I began anew: {what}."
        await store.say(self._owner, plain(text, guarded=True), Trace())

    async def _record_stop(self, audit: JsonlAudit) -> None:
        with suppress(AuditError):
            await audit.record(AuditEntry(type="shutdown"))

    async def _refuse_mistakes(self, prices: Prices) -> None:
        """Find what only a try can tell of the settings, all of it before anything is open."""
        problems = [*self._mistakes, *hook_problems(self._settings)]
        problems += named_jobs(self._settings, self._clock.now())[1]
        problems += await model_problems(self._settings, prices)
        problems += audio_problems(self._settings)
        try:
            make_private(self._settings.data_dir)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(*problems)

    async def _start_services(
        self, stack: AsyncExitStack, services: asyncio.TaskGroup, base: Open, prices: Prices
    ) -> Core:
        """Start what runs, intake last."""
        core = Core(base, prices)
        stack.push_async_callback(core.provider.aclose)
        if core.transcriber is not None:
            stack.push_async_callback(core.transcriber.aclose)
        self._outbox = core.outbox

        async def start(name: str, run: Coroutine[None, None, None]) -> None:
            await stack.enter_async_context(_service(services, name, run))

        await start("audit writer", base.audit.watch())
        await start("store writer", base.store.watch())
        await start("full disk", self._tell_full(base.chat, base.audit))
        await start("outbox", core.outbox.run())
        await start("runner", core.run())
        await start("approvals", core.approvals.run())
        await start("speech", core.speech.run())
        grace = self._parts.grace_seconds
        stack.push_async_callback(_drain, core.runner, core.outbox, grace)
        if self._settings.scheduler_enabled:
            await start("scheduler", core.keep_time())
        await start("poller", core.poller.run())
        return core


def _named(box: BoxStanding) -> str:
    if box.grade is None:
        return "closed"
    return f"{box.grade}, with network: not held by configuration" if box.network else box.grade


def _told(site: Site, stop: asyncio.Event) -> Callable[[str], None]:
    """Show in the health who holds the data; a stop ends the wait for it."""

    def tell(holder: str) -> None:
        site.checks = {"data": lambda: f"held by {holder}"}
        if stop.is_set():
            raise DataHeld(f"stopped while the data folder was held by {holder}")

    return tell


async def _drain(runner: Runner, outbox: Outbox, grace_seconds: float) -> None:
    """Let running turns and their answers go out, for as long as a stop may take."""
    await runner.drain(grace_seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(min(OUTBOX_GRACE_SECONDS, grace_seconds)):
            await outbox.wait_idle()
