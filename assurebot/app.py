"""The composition root: every part is built here, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from assurebot import __version__
from assurebot.agent.loop import Agent, Limits
from assurebot.agent.tools.recall import Recall
from assurebot.audit.log import JsonlAudit
from assurebot.errors import AuditError, ChatError, ConfigError, DataHeld, StoreError
from assurebot.guard.access import Access
from assurebot.guard.redact import Redactor
from assurebot.ports import Clock, Provider, Tool
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.chain import ModelChain
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.openai_chat import OpenAIChatProvider
from assurebot.providers.pricing import Prices
from assurebot.server.site import Site
from assurebot.settings import Settings
from assurebot.store.database import SqlStore
from assurebot.store.folder import held, make_private
from assurebot.telegram.client import TelegramClient
from assurebot.telegram.commands import COMMANDS, ChatCommands, Facts
from assurebot.telegram.poller import Poller, PollTimes
from assurebot.telegram.render import plain, render
from assurebot.turns.intake import Intake
from assurebot.turns.models import ModelChoice
from assurebot.turns.outbox import Outbox
from assurebot.turns.pace import Pace, Rates
from assurebot.turns.preview import Preview, PreviewTimes
from assurebot.turns.runner import Runner
from assurebot.turns.worker import Worker
from assurebot.values import AuditEntry, ModelRef, Piece, Place, Trace
from assurebot.variables import DEFAULT_MODELS

log = structlog.get_logger(__name__)

HOLDER_SECONDS = 60.0
"""How long to wait for another process to let go of the data."""

OPENAI = "//api.openai.com"

DEFAULTS = {ModelRef(provider=provider, name=name) for provider, name in DEFAULT_MODELS.items()}

FULL_NOTICE_SECONDS = 600.0
"""The owner is told of a full disk no more often than this."""

TURN_GRACE_SECONDS = 5.0
OUTBOX_GRACE_SECONDS = 2.0
"""What running turns and unsent messages get at a stop; ten seconds are all there is."""


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What tests and benches exchange; the defaults are the product.

    Attributes:
        tools: More tools than the shipped ones.
        store: Opens the database.
        audit: Opens the audit log.
        chat: Opens the way to Telegram.
        rates: How fast messages may leave.
        preview: How an answer in the making shows.
        poll: How polling waits.
        holder_seconds: How long to wait for another process on the same data.
        grace_seconds: What running turns, and unsent messages at most, get at a stop.
        disk_seconds: How long work waits when a disk takes nothing.
    """

    tools: Sequence[Tool] = ()
    store: Callable[..., SqlStore] = SqlStore
    audit: Callable[..., JsonlAudit] = JsonlAudit
    chat: Callable[..., TelegramClient] = TelegramClient
    rates: Rates = field(default_factory=Rates)
    preview: PreviewTimes = field(default_factory=PreviewTimes)
    poll: PollTimes = field(default_factory=PollTimes)
    holder_seconds: float = HOLDER_SECONDS
    grace_seconds: float = TURN_GRACE_SECONDS
    disk_seconds: float = 5.0


@asynccontextmanager
async def _service(
    group: asyncio.TaskGroup, name: str, run: Coroutine[None, None, None]
) -> AsyncIterator[None]:
    """Keep a service going while the block lasts; its crash takes the whole program down."""
    task = group.create_task(run, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def serve(settings: Settings, stop: asyncio.Event, parts: Parts | None = None) -> None:
    """Run the bot until `stop` is set, then close everything in reverse order.

    Raises:
        ConfigError: A part refused its settings; what was already open is closed again.
        DataHeld: Another process keeps the data.
        ExceptionGroup: A service crashed; everything is closed before this is raised.
    """
    await _Program(settings, parts or Parts()).run(stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """The parts that are open before anything moves."""

    site: Site
    services: asyncio.TaskGroup
    chat: TelegramClient
    audit: JsonlAudit
    store: SqlStore


class _Program:
    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._clock: Clock = SystemClock()
        self._redact = Redactor(settings.secrets())
        self._owner = Place(chat_id=settings.owner)
        self._started = self._clock.now()
        self._full = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        settings = self._settings
        token = settings.telegram_bot_token.get_secret_value()
        os.umask(0o077)
        make_private(settings.data_dir)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            site = await enter(Site(settings.host, settings.port))
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
            except StoreError as error:
                raise ConfigError(f"DATA_DIR: {error}") from error
            await self._record_start(audit, store)
            stack.push_async_callback(self._record_stop, audit)
            open_parts = _Open(site=site, services=services, chat=chat, audit=audit, store=store)
            await self._start_services(stack, open_parts)
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

    async def _tell_full(self, chat: TelegramClient, audit: JsonlAudit) -> None:
        """Tell the owner of a full disk: the one send that is allowed without an intent."""
        text = "⚠️ The disk is full. I do nothing more that I cannot record; please make room."
        while True:
            await self._full.wait()
            log.error("the disk is full")
            with suppress(ChatError):
                await chat.send(self._owner, Piece(text=text))
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
        await store.say(self._owner, [Piece(text=text)], Trace())

    async def _record_stop(self, audit: JsonlAudit) -> None:
        with suppress(AuditError):
            await audit.record(AuditEntry(type="shutdown"))

    async def _start_services(self, stack: AsyncExitStack, parts: _Open) -> None:
        """Wire the core and start what runs: outbox, runner, and intake last."""
        prices = Prices(self._settings.ai_price)
        provider = self._provider(parts.audit, prices)
        stack.push_async_callback(provider.aclose)
        models = ModelChoice(parts.store, self._settings.model)
        outbox = Outbox(
            store=parts.store,
            chat=parts.chat,
            audit=parts.audit,
            clock=self._clock,
            pace=Pace(self._parts.rates),
            plain=plain,
            owner=self._owner,
            disk_seconds=self._parts.disk_seconds,
        )
        runner = Runner(
            store=parts.store,
            clock=self._clock,
            outbox=outbox,
            render=render,
            max_turns=self._settings.max_turns,
            owner=self._settings.owner,
        )
        poller = self._poller(parts, outbox, runner)
        checks = {
            "telegram": poller.problem,
            "store": parts.store.problem,
            "audit": parts.audit.problem,
        }
        facts = Facts(
            version=__version__,
            started=self._started,
            owner=self._settings.owner,
            checks=checks,
            poll_age=poller.age_seconds,
            parse_model=lambda text: self._usable_model(text, prices),
        )
        commands = ChatCommands(
            store=parts.store, control=runner, models=models, clock=self._clock, facts=facts
        )
        worker = Worker(
            agent=self._agent(parts, provider),
            commands=commands,
            store=parts.store,
            audit=parts.audit,
            chat=parts.chat,
            outbox=outbox,
            models=models,
            clock=self._clock,
            render=render,
            redact=self._redact,
            redact_cut=self._redact.cut_off,
            owner=self._owner,
            turn_seconds=self._settings.turn_timeout,
            disk_seconds=self._parts.disk_seconds,
            submit=runner.submit,
        )

        def preview(place: Place, trace: Trace) -> Preview:
            return Preview(
                chat=parts.chat,
                outbox=outbox,
                audit=parts.audit,
                render=render,
                streaming=self._redact.streaming,
                times=self._parts.preview,
                place=place,
                trace=trace,
            )

        enter, group = stack.enter_async_context, parts.services
        await self._check_prices(prices)
        await enter(_service(group, "full disk", self._tell_full(parts.chat, parts.audit)))
        await enter(_service(group, "outbox", outbox.run()))
        await enter(_service(group, "runner", runner.run(worker, commands.urgent, preview)))
        stack.push_async_callback(_drain, runner, outbox, self._parts.grace_seconds)
        await enter(_service(group, "poller", poller.run()))
        parts.site.checks = checks

    def _poller(self, parts: _Open, outbox: Outbox, runner: Runner) -> Poller:
        settings = self._settings
        access = Access(
            owner=settings.owner,
            users=frozenset(settings.allowed_users),
            chats=frozenset(settings.allowed_chats),
        )
        intake = Intake(
            access=access,
            store=parts.store,
            audit=parts.audit,
            chat=parts.chat,
            outbox=outbox,
            owner=self._owner,
            redact=self._redact,
            submit=runner.submit,
        )
        return Poller(
            source=parts.chat,
            intake=intake,
            store=parts.store,
            clock=self._clock,
            commands=COMMANDS,
            times=self._parts.poll,
        )

    def _agent(self, parts: _Open, provider: Provider) -> Agent:
        settings = self._settings
        return Agent(
            provider=provider,
            tools=(Recall(parts.store), *self._parts.tools),
            audit=parts.audit,
            clock=self._clock,
            redact=self._redact,
            limits=Limits(steps=settings.max_steps, output_tokens=settings.max_output_tokens),
            prompt_extra=settings.system_prompt_extra,
        )

    def _provider(self, audit: JsonlAudit, prices: Prices) -> ModelChain:
        settings = self._settings
        providers: dict[str, Provider] = {}
        if settings.anthropic_api_key is not None:
            key = settings.anthropic_api_key.get_secret_value()
            providers["anthropic"] = AnthropicProvider(
                key, prices=prices, base_url=settings.anthropic_base_url
            )
        if settings.openai_api_key is not None:
            account = OpenAIAccount(
                settings.openai_api_key.get_secret_value(), base_url=settings.openai_base_url
            )
            # Servers that imitate OpenAI's speak Chat Completions; most speak nothing else.
            own = settings.openai_base_url is not None and OPENAI not in settings.openai_base_url
            kind = OpenAIChatProvider if own else OpenAIProvider
            providers["openai"] = kind(account, prices=prices)
        return ModelChain(providers, fallback=settings.fallback, audit=audit, redact=self._redact)

    async def _check_prices(self, prices: Prices) -> None:
        problems = [
            f"{name}: nobody knows the price of {ref}; set AI_PRICE to what it costs "
            "(USD per million tokens as in,out; 0,0 for an own server)"
            for name, ref in (
                ("AI_MODEL", self._settings.model),
                ("AI_FALLBACK_MODEL", self._settings.fallback),
            )
            # The price table takes a fifth of a second to load; a test looks the defaults up.
            if ref is not None and ref not in DEFAULTS and not await prices.known(ref)
        ]
        if problems:
            raise ConfigError(*problems)

    async def _usable_model(self, text: str, prices: Prices) -> ModelRef:
        """Return the model that `/model` names, if it can be asked and has a price."""
        ref = self._settings.named_model(text)
        if not await prices.known(ref):
            raise ConfigError(f"nobody knows the price of {ref}; set AI_PRICE")
        return ref


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
