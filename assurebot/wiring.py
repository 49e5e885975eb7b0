"""How the parts of the core and the adapters are put together, once those with a state are open.

The file is long because it is one list of what takes what; nothing in it decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from assurebot import __version__
from assurebot.agent.jobs import Jobs, SettledSandbox
from assurebot.agent.loop import Agent, Limits
from assurebot.agent.tools.recall import Recall
from assurebot.agent.tools.run_code import RunCode
from assurebot.audit.log import JsonlAudit
from assurebot.boxes import box_of
from assurebot.errors import ConfigError
from assurebot.guard.access import Access
from assurebot.guard.redact import Redactor
from assurebot.ports import Check, Clock, Provider, Tool
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.chain import ModelChain
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.openai_chat import OpenAIChatProvider
from assurebot.providers.pricing import Prices
from assurebot.settings import Settings
from assurebot.store.database import SqlStore
from assurebot.telegram.client import TelegramClient
from assurebot.telegram.commands import COMMANDS, ChatCommands, Facts
from assurebot.telegram.poller import Poller, PollTimes
from assurebot.telegram.render import plain, render
from assurebot.turns.again import TryAgain
from assurebot.turns.endings import Endings
from assurebot.turns.intake import Intake
from assurebot.turns.models import ModelChoice
from assurebot.turns.outbox import Outbox
from assurebot.turns.pace import Pace, Rates
from assurebot.turns.preview import Preview, PreviewTimes
from assurebot.turns.programs import ProgramRuns
from assurebot.turns.runner import Runner
from assurebot.turns.worker import Worker
from assurebot.values import ModelRef, Place, Trace
from assurebot.variables import DEFAULT_MODELS

HOLDER_SECONDS = 60.0
"""How long to wait for another process to let go of the data."""

TURN_GRACE_SECONDS = 5.0
"""What running turns get at a stop; ten seconds are all there is."""

DEFAULTS = {ModelRef(provider=provider, name=name) for provider, name in DEFAULT_MODELS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What tests and benches exchange; the defaults are the product.

    Attributes:
        tools: More tools than the shipped ones.
        box: Makes the box for programs.
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
    box: Callable[..., AbstractAsyncContextManager[SettledSandbox]] = box_of
    store: Callable[..., SqlStore] = SqlStore
    audit: Callable[..., JsonlAudit] = JsonlAudit
    chat: Callable[..., TelegramClient] = TelegramClient
    rates: Rates = field(default_factory=Rates)
    preview: PreviewTimes = field(default_factory=PreviewTimes)
    poll: PollTimes = field(default_factory=PollTimes)
    holder_seconds: float = HOLDER_SECONDS
    grace_seconds: float = TURN_GRACE_SECONDS
    disk_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What is open before anything moves, and the values that many parts take."""

    settings: Settings
    parts: Parts
    clock: Clock
    started: datetime
    redact: Redactor
    chat: TelegramClient
    audit: JsonlAudit
    store: SqlStore
    box: SettledSandbox

    @property
    def owner(self) -> Place:
        """The owner's private chat."""
        return Place(chat_id=self.settings.owner)


class Core:
    """Everything between Telegram and the model, ready to run.

    Attributes:
        outbox, runner, poller: The services.
        checks: The parts that must be well, by name.
    """

    def __init__(self, base: Open, provider: Provider, prices: Prices) -> None:
        self._base = base
        self._prices = prices
        self._models = ModelChoice(base.store, base.settings.model)
        self.outbox = Outbox(
            store=base.store,
            chat=base.chat,
            audit=base.audit,
            clock=base.clock,
            pace=Pace(base.parts.rates),
            plain=plain,
            owner=base.owner,
            disk_seconds=base.parts.disk_seconds,
        )
        self.runner = Runner(
            store=base.store,
            clock=base.clock,
            outbox=self.outbox,
            render=render,
            max_turns=base.settings.max_turns,
            owner=base.settings.owner,
        )
        self.poller = _poller(base, self.outbox, self.runner)
        self.checks: dict[str, Check] = {
            "telegram": self.poller.problem,
            "store": base.store.problem,
            "audit": base.audit.problem,
        }
        self._jobs = Jobs(
            sandbox=base.box,
            audit=base.audit,
            redact=base.redact,
            redact_cut=base.redact.cut_off,
            limits=base.settings.box_limits,
            network=base.settings.sandbox_network == "bridge",
        )
        self._commands = self._make_commands()
        self._worker = self._make_worker(provider)

    async def run(self) -> None:
        """Work turns until cancelled."""
        await self.runner.run(self._worker, self._commands.urgent, self._preview)

    def _make_commands(self) -> ChatCommands:
        base = self._base
        facts = Facts(
            version=__version__,
            started=base.started,
            owner=base.settings.owner,
            checks=self.checks,
            poll_age=self.poller.age_seconds,
            parse_model=self._usable_model,
            box=lambda: base.box.standing,
        )
        return ChatCommands(
            store=base.store,
            control=self.runner,
            models=self._models,
            clock=base.clock,
            facts=facts,
        )

    def _make_worker(self, provider: Provider) -> Worker:
        base = self._base
        endings = Endings(
            store=base.store,
            audit=base.audit,
            outbox=self.outbox,
            render=render,
            redact=base.redact,
            owner=base.settings.owner,
            disk_seconds=base.parts.disk_seconds,
        )
        programs = ProgramRuns(
            jobs=self._jobs,
            store=base.store,
            clock=base.clock,
            endings=endings,
            owner=base.settings.owner,
            disk_seconds=base.parts.disk_seconds,
        )
        again = TryAgain(
            store=base.store,
            audit=base.audit,
            chat=base.chat,
            endings=endings,
            owner=base.settings.owner,
            submit=self.runner.submit,
        )
        return Worker(
            agent=_agent(base, provider, self._jobs),
            commands=self._commands,
            programs=programs,
            again=again,
            store=base.store,
            audit=base.audit,
            outbox=self.outbox,
            models=self._models,
            clock=base.clock,
            endings=endings,
            redact_cut=base.redact.cut_off,
            owner=base.owner,
            turn_seconds=base.settings.turn_timeout,
            disk_seconds=base.parts.disk_seconds,
        )

    def _preview(self, place: Place, trace: Trace) -> Preview:
        return Preview(
            chat=self._base.chat,
            outbox=self.outbox,
            audit=self._base.audit,
            render=render,
            streaming=self._base.redact.streaming,
            times=self._base.parts.preview,
            place=place,
            trace=trace,
        )

    async def _usable_model(self, text: str) -> ModelRef:
        """Return the model that `/model` names, if it can be asked and has a price."""
        ref = self._base.settings.named_model(text)
        if not await self._prices.known(ref):
            raise ConfigError(f"nobody knows the price of {ref}; set AI_PRICE")
        return ref


def _poller(base: Open, outbox: Outbox, runner: Runner) -> Poller:
    access = Access(
        owner=base.settings.owner,
        users=frozenset(base.settings.allowed_users),
        chats=frozenset(base.settings.allowed_chats),
    )
    intake = Intake(
        access=access,
        store=base.store,
        audit=base.audit,
        chat=base.chat,
        outbox=outbox,
        owner=base.owner,
        redact=base.redact,
        submit=runner.submit,
    )
    return Poller(
        source=base.chat,
        intake=intake,
        store=base.store,
        audit=base.audit,
        clock=base.clock,
        commands=COMMANDS,
        times=base.parts.poll,
    )


def _agent(base: Open, provider: Provider, jobs: Jobs) -> Agent:
    settings = base.settings
    boxed = (RunCode(jobs),) if settings.sandbox_enabled else ()
    return Agent(
        provider=provider,
        tools=(Recall(base.store), *boxed, *base.parts.tools),
        audit=base.audit,
        clock=base.clock,
        redact=base.redact,
        limits=Limits(steps=settings.max_steps, output_tokens=settings.max_output_tokens),
        prompt_extra=settings.system_prompt_extra,
    )


def model_chain(base: Open, prices: Prices) -> ModelChain:
    """Make the providers that have a key, behind retries, fallback and audit."""
    settings = base.settings
    providers: dict[str, Provider] = {}
    if settings.anthropic_api_key is not None:
        key = settings.anthropic_api_key.get_secret_value()
        url = settings.anthropic_base_url
        providers["anthropic"] = AnthropicProvider(key, prices=prices, base_url=url)
    if settings.openai_api_key is not None:
        key, url = settings.openai_api_key.get_secret_value(), settings.openai_base_url
        account = OpenAIAccount(key, base_url=url)
        kind = OpenAIProvider if speaks_responses(url) else OpenAIChatProvider
        providers["openai"] = kind(account, prices=prices)
    return ModelChain(providers, fallback=settings.fallback, audit=base.audit, redact=base.redact)


def speaks_responses(base_url: str | None) -> bool:
    """Tell which wire to use: own servers imitate Chat Completions, most speak nothing else."""
    return base_url is None or urlsplit(base_url).hostname == "api.openai.com"


async def price_problems(settings: Settings, prices: Prices) -> list[str]:
    """Name the settings whose model has no known price: no budget could hold it."""
    named = (("AI_MODEL", settings.model), ("AI_FALLBACK_MODEL", settings.fallback))
    return [
        f"{name}: nobody knows the price of {ref}; set AI_PRICE to what it costs "
        "(USD per million tokens as in,out; 0,0 for an own server)"
        for name, ref in named
        # The price table takes a fifth of a second to load; a test looks the defaults up.
        if ref is not None and ref not in DEFAULTS and not await prices.known(ref)
    ]
