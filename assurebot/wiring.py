"""How the parts of the core and the adapters are put together, once those with a state are open.

The file is long because it is one list of what takes what.
"""

from __future__ import annotations

from functools import partial

from assurebot import __version__
from assurebot.agent.jobs import Jobs
from assurebot.agent.loop import Agent, Limits
from assurebot.agent.toolbox import Toolbox
from assurebot.agent.tools.fetch_url import FetchUrl
from assurebot.agent.tools.memory import Forget, Remember
from assurebot.agent.tools.read_document import ReadDocument
from assurebot.agent.tools.recall import Recall
from assurebot.agent.tools.run_code import RunCode
from assurebot.agent.tools.schedule import Schedule
from assurebot.agent.tools.web_search import WebSearch
from assurebot.checks import named_jobs, takes_pdf, unpriced
from assurebot.errors import ConfigError
from assurebot.guard.access import Access
from assurebot.guard.rates import MINUTE, Window
from assurebot.parts import Open
from assurebot.ports import Check, Provider, Tool
from assurebot.providers.account import speaks_responses
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.attempts import Attempts
from assurebot.providers.chain import ModelChain
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.openai_chat import OpenAIChatProvider
from assurebot.providers.pricing import Prices
from assurebot.scheduler.service import Timekeeper
from assurebot.server.digests import Digest, digest
from assurebot.server.hooks import Hooks, read_raw
from assurebot.settings import Settings
from assurebot.telegram.commands import COMMANDS, ChatCommands, Facts
from assurebot.telegram.files import FilesCommand
from assurebot.telegram.hooks import HooksCommand
from assurebot.telegram.memory import MemoryCommand
from assurebot.telegram.poller import Poller
from assurebot.telegram.render import plain, render
from assurebot.telegram.schedules import ScheduleCommands
from assurebot.telegram.usage import UsageCommand
from assurebot.turns.approvals import Approvals
from assurebot.turns.commits import patiently
from assurebot.turns.delays import Delays
from assurebot.turns.edits import Edits
from assurebot.turns.endings import Endings
from assurebot.turns.gathering import Gathering
from assurebot.turns.hooks import HookTurns
from assurebot.turns.intake import Intake
from assurebot.turns.job_runs import JobRuns
from assurebot.turns.model_turns import ModelTurns
from assurebot.turns.models import ModelChoice
from assurebot.turns.notices import Notices
from assurebot.turns.outbox import Outbox
from assurebot.turns.pace import Pace
from assurebot.turns.presses import Presses
from assurebot.turns.preview import Preview
from assurebot.turns.programs import ProgramRuns
from assurebot.turns.receiving import Receiving
from assurebot.turns.runner import Runner
from assurebot.turns.schedules import Schedules
from assurebot.turns.speech import Speech
from assurebot.turns.spending import Spending
from assurebot.turns.worker import Reply, Worker
from assurebot.values import Job, ModelRef, Place, StoredEvent, Trace


class Core:
    """Everything between Telegram and the model, ready to run.

    Attributes:
        outbox, runner, poller, approvals, speech: The services.
        provider, transcriber: To be closed after them.
        hooks: Takes what is posted.
        schedules, timekeeper: Keep jobs, and time for them.
        checks: The parts that must be well, by name.
    """

    def __init__(self, base: Open, prices: Prices) -> None:
        self._base = base
        self._prices = prices
        self._models = ModelChoice(base.store, base.settings.offered_models)
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
        self.runner = _runner(base, self.outbox)
        self._notices = Notices(
            store=base.store,
            outbox=self.outbox,
            render=render,
            chats=frozenset((*base.settings.allowed_users, *base.settings.allowed_chats)),
            may_press=_may_press(base.settings),
            disk_seconds=base.parts.disk_seconds,
        )
        self.approvals = _approvals(base, self.outbox, self._notices, self.runner)
        attempts = Attempts(budget=self._spending(), audit=base.audit, redact=base.redact)
        self.provider = model_chain(base.settings, prices, attempts)
        self.transcriber = base.parts.transcriber(base.settings, attempts)
        speaks = self.transcriber is not None and self.transcriber.speaks
        self.speech = Speech(
            speaker=self.transcriber if speaks else None,
            store=base.store,
            outbox=self.outbox,
            clock=base.clock,
            held=lambda: self.runner.held_by is not None,
            owner=base.settings.owner,
        )
        self.poller = _poller(base, self.outbox, self.runner)
        self.schedules = self._make_schedules()
        self.timekeeper = Timekeeper(
            next_due=self.schedules.next_due, fire=self.schedules.fire, clock=base.clock
        )
        self.hooks = _hooks(base, self.runner)
        self.checks: dict[str, Check] = {
            "telegram": self.poller.problem,
            "store": base.store.problem,
            "audit": base.audit.problem,
            "scheduler": self.timekeeper.problem,
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
        self._worker = self._make_worker()

    async def run(self) -> None:
        """Work turns until cancelled."""
        await self.runner.run(self._worker, self._commands.urgent, self._preview)

    async def keep_time(self) -> None:
        """Start what is due until cancelled."""
        named, _ = named_jobs(self._base.settings, self._base.clock.now())
        store, seconds = self._base.store, self._base.parts.disk_seconds
        await patiently(lambda: store.name_jobs(named), seconds)
        await self.timekeeper.run()

    async def _tell(self, place: Place, text: str, once: str) -> None:
        rows = await self._base.store.say(place, self.outbox.notice(text), Trace(), once=once)
        self.outbox.push(rows)

    def _make_schedules(self) -> Schedules:
        settings = self._base.settings

        def allowed(job: Job) -> bool:
            chat = job.place.private or job.place.chat_id in settings.allowed_chats
            return chat and job.actor.user_id in settings.allowed_users

        return Schedules(
            store=self._base.store,
            audit=self._base.audit,
            clock=self._base.clock,
            submit=self.runner.submit,
            held=lambda: self.runner.held_by is not None,
            allowed=allowed,
            tell=self._tell,
            changed=lambda: self.timekeeper.changed(),  # noqa: PLW0108 - it is made after this
            zone=settings.timezone,
            rules=self._base.rules,
        )

    def _spending(self) -> Spending:
        base = self._base

        return Spending(
            store=base.store,
            clock=base.clock,
            most=self._prices.most,
            daily_usd=base.settings.budget_daily_usd,
            user_daily_usd=base.settings.budget_user_daily_usd,
            job_usd=base.settings.budget_job_usd,
            audit=base.audit,
            tell=partial(self._tell, base.owner),
        )

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
            resumed=self.timekeeper.changed,
        )
        usage = UsageCommand(
            store=base.store,
            clock=base.clock,
            jobs=self._jobs,
            held=lambda: self.runner.held_by is not None,
            owner=base.settings.owner,
            daily_usd=base.settings.budget_daily_usd,
            user_daily_usd=base.settings.budget_user_daily_usd,
        )

        async def used(stored: StoredEvent) -> Reply:
            text, files = await usage.answer(stored)
            return Reply(text=text, files=files)

        return ChatCommands(
            store=base.store,
            control=self.runner,
            approvals=self.approvals,
            notices=self._notices,
            memory=MemoryCommand(base.store),
            voice=self.speech.command,
            files=FilesCommand(base.store).answer,
            hooks=HooksCommand(
                store=base.store,
                owner=base.settings.owner,
                sources=tuple(base.settings.webhook_secrets),
                common=base.settings.webhook_secret is not None,
                path=base.settings.webhook_base_path if base.settings.webhooks_enabled else "",
                refused=self.hooks.refused,
            ).answer,
            usage=used,
            schedules=ScheduleCommands(
                schedules=self.schedules,
                store=base.store,
                end_job=self.runner.end_job,
                enabled=base.settings.scheduler_enabled,
            ).answer,
            models=self._models,
            clock=base.clock,
            facts=facts,
        )

    def _make_worker(self) -> Worker:
        base, settings = self._base, self._base.settings
        endings = Endings(
            store=base.store,
            audit=base.audit,
            outbox=self.outbox,
            render=render,
            redact=base.redact,
            owner=settings.owner,
            newest=self.runner.newest,
            disk_seconds=base.parts.disk_seconds,
        )
        programs = ProgramRuns(
            jobs=self._jobs,
            store=base.store,
            clock=base.clock,
            endings=endings,
            owner=settings.owner,
            disk_seconds=base.parts.disk_seconds,
        )
        presses = Presses(
            store=base.store,
            audit=base.audit,
            chat=base.chat,
            endings=endings,
            approvals=self.approvals,
            schedules=self.schedules,
            owner=settings.owner,
            submit=self.runner.submit,
            end_job=self.runner.end_job,
            command=self._commands.press,
        )
        turns = ModelTurns(
            agent=self._agent(),
            receiving=self._receiving(),
            approvals=self.approvals,
            notices=self._notices,
            store=base.store,
            models=self._models,
            clock=base.clock,
            endings=endings,
            redact_cut=base.redact.cut_off,
            answered=self.speech.answered,
            owner=settings.owner,
            may_press=_may_press(settings),
            turn_seconds=settings.turn_timeout,
            disk_seconds=base.parts.disk_seconds,
        )
        return Worker(
            turns=turns,
            commands=self._commands,
            programs=programs,
            presses=presses,
            edits=Edits(endings=endings, amend=self.runner.amend),
            job_runs=JobRuns(
                schedules=self.schedules,
                turns=turns,
                programs=programs,
                jobs=self._jobs,
                fetcher=base.fetcher,
                store=base.store,
                audit=base.audit,
                endings=endings,
                redact=base.redact,
                owner=settings.owner,
            ),
            hooks=self._hook_turns(endings),
            store=base.store,
            audit=base.audit,
            outbox=self.outbox,
            endings=endings,
            owner=base.owner,
            access=_access(settings),
            disk_seconds=base.parts.disk_seconds,
        )

    def _hook_turns(self, endings: Endings) -> HookTurns:
        base, settings = self._base, self._base.settings
        return HookTurns(
            provider=self.provider,
            model=settings.model,
            store=base.store,
            clock=base.clock,
            endings=endings,
            redact=base.redact,
            read=_digested,
            prompts=settings.webhook_prompts,
            prompt_extra=settings.system_prompt_extra,
            per_minute=settings.rate_webhook_per_minute,
            fold_seconds=base.parts.fold_seconds,
            turn_seconds=settings.turn_timeout,
        )

    def _receiving(self) -> Receiving:
        base = self._base

        return Receiving(
            store=base.store,
            chat=base.chat,
            reader=base.parts.reader(),
            transcriber=self.transcriber,
            outbox=self.outbox,
            clock=base.clock,
            redact=base.redact,
            natively=lambda model: takes_pdf(model, base.settings),
            owner=base.settings.owner,
            disk_seconds=base.parts.disk_seconds,
        )

    def _agent(self) -> Agent:
        base, settings = self._base, self._base.settings
        tools: list[Tool] = [Recall(base.store), Remember(base.store), Forget(base.store)]
        tools += [FetchUrl(base.fetcher), ReadDocument(base.store)]
        if settings.sandbox_enabled:
            tools.append(RunCode(self._jobs, base.store))
        if settings.scheduler_enabled:
            tools.append(Schedule(self.schedules.add))
        if settings.web_search:
            tools.append(WebSearch(self.provider, self._models.get, settings.max_output_tokens))
        toolbox = Toolbox(
            (*tools, *base.parts.tools),
            gate=base.parts.gate(base.rules),
            rates=base.parts.tool_rates(),
            audit=base.audit,
            redact=base.redact,
        )
        return Agent(
            provider=self.provider,
            tools=toolbox,
            clock=base.clock,
            redact=base.redact,
            limits=Limits(steps=settings.max_steps, output_tokens=settings.max_output_tokens),
            load=base.store.file_data,
            prompt_extra=settings.system_prompt_extra,
        )

    def _preview(self, place: Place, trace: Trace, reply_to: int | None) -> Preview:
        return Preview(
            chat=self._base.chat,
            outbox=self.outbox,
            audit=self._base.audit,
            render=render,
            redact=self._base.redact,
            streaming=self._base.redact.streaming,
            times=self._base.parts.preview,
            place=place,
            trace=trace,
            reply_to=reply_to,
        )

    async def _usable_model(self, text: str) -> ModelRef:
        """Return the model that `/model` names, if it can be asked and has a price."""
        ref = self._base.settings.named_model(text)
        if not await self._prices.known(ref):
            raise ConfigError(unpriced(ref, self._base.settings))
        return ref


def _access(settings: Settings) -> Access:
    return Access(
        owner=settings.owner,
        users=frozenset(settings.allowed_users),
        chats=frozenset(settings.allowed_chats),
    )


def _runner(base: Open, outbox: Outbox) -> Runner:
    store, clock, owner = base.store, base.clock, base.settings.owner
    turns = Window(base.settings.rate_user_per_minute, MINUTE)
    gathering = Gathering(
        store=store,
        clock=clock,
        redact=base.redact,
        seconds=base.parts.gather_seconds,
        disk_seconds=base.parts.disk_seconds,
        since=clock.now(),
    )
    return Runner(
        store=store,
        clock=clock,
        delays=Delays(
            store=store, clock=clock, outbox=outbox, render=render, turns=turns, owner=owner
        ),
        gathering=gathering,
        max_turns=base.settings.max_turns,
        owner=owner,
    )


def _poller(base: Open, outbox: Outbox, runner: Runner) -> Poller:
    intake = Intake(
        access=_access(base.settings),
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


def _hooks(base: Open, runner: Runner) -> Hooks:
    settings = base.settings

    def place(source: str) -> Place:
        chat_id = settings.webhook_chats.get(source, settings.owner)
        return Place(chat_id=chat_id, private=chat_id > 0)

    common = settings.webhook_secret
    return Hooks(
        keys={name: key.get_secret_value() for name, key in settings.webhook_secrets.items()},
        common=None if common is None else common.get_secret_value(),
        place=place,
        store=base.store,
        audit=base.audit,
        clock=base.clock,
        redact=base.redact,
        submit=runner.submit,
        per_minute=settings.rate_webhook_per_minute,
    )


def _digested(source: str, raw: str) -> Digest:
    return digest(source, *read_raw(raw))


def _may_press(settings: Settings) -> frozenset[int]:
    return frozenset(settings.approvers or settings.allowed_users)


def _approvals(base: Open, outbox: Outbox, notices: Notices, runner: Runner) -> Approvals:
    settings = base.settings
    return Approvals(
        store=base.store,
        audit=base.audit,
        outbox=outbox,
        notices=notices,
        clock=base.clock,
        lanes=runner,
        owner=settings.owner,
        approvers=settings.approvers,
        wait_seconds=settings.approval_timeout,
        disk_seconds=base.parts.disk_seconds,
    )


def model_chain(settings: Settings, prices: Prices, attempts: Attempts) -> ModelChain:
    """Make the providers that have a key, behind retries, fallback and audit."""
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
    return ModelChain(providers=providers, attempts=attempts, fallback=settings.fallback)
