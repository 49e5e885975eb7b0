"""What is wrong with settings that can be read: told by who knows the tools, servers and prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial

from assurebot.guard.rules import Rules
from assurebot.guard.tasks import job_of, ordered
from assurebot.ports import Tool
from assurebot.providers.account import speaks_responses
from assurebot.providers.pricing import Prices
from assurebot.server.signatures import check_secret
from assurebot.settings import Settings
from assurebot.values import Job, ModelRef, Person, Place
from assurebot.variables import DEFAULT_MODELS

TOOLS = frozenset(
    {"recall", "run_code", "fetch_url", "web_search", "remember", "forget", "schedule"}
    | {"read_document"}
)
"""What is shipped; the policy may name these even where they are switched off."""

INWARD = TOOLS - {"run_code", "fetch_url", "web_search"}
"""What no entry frees: nothing leaves by it."""

DEFAULTS = {ModelRef(provider=provider, name=name) for provider, name in DEFAULT_MODELS.items()}


def policy(settings: Settings, tools: Sequence[Tool]) -> tuple[Rules, list[str]]:
    """Read the policy; return it, and what is wrong with it by the name of the variable."""
    given = {
        "deny": settings.policy_deny,
        "ask": settings.policy_ask,
        "allow": settings.policy_allow,
    }
    known = TOOLS | {tool.spec.name for tool in tools}
    rules, problems = Rules(), []
    for name, entries in given.items():
        try:
            read = Rules.of(**{name: entries})
        except ValueError:  # its words are a codec's
            problems.append(f"POLICY_{name.upper()} must not name a host that cannot be")
            continue
        for strange in sorted(read.names() - known):
            near = get_close_matches(strange, known, n=1)
            hint = f"is {near[0]} meant?" if near else f"there are {', '.join(sorted(known))}"
            problems.append(f"POLICY_{name.upper()}: no tool is named {strange}; {hint}")
        rules = replace(rules, **{name: getattr(read, name)})
    network = settings.sandbox_network == "bridge"
    return rules, [*problems, *_idle(rules, network=network)]


def _idle(rules: Rules, *, network: bool) -> Iterator[str]:
    """Find what can never free anything, and would seem to."""
    for at, rule in enumerate(rules.allow, start=1):
        tool, frees_nothing = rule.tool, f"POLICY_ALLOW: item {at} frees nothing"
        if tool == "run_code" and not network:
            yield f"{frees_nothing}: run_code is not outward without SANDBOX_NETWORK=bridge"
        elif tool in INWARD:
            yield f"{frees_nothing}: {tool} is not outward; remove it"
        elif tool == "run_code" and rule.glob:
            yield f"{frees_nothing}: programs name no destination; write it as run_code"
        elif rule.idle if tool == "fetch_url" else rule.target and rule.idle:
            yield f"{frees_nothing}; write it as {tool}:https://example.com/*"


async def model_problems(settings: Settings, prices: Prices) -> list[str]:
    """Name the settings whose model cannot do what is asked, or has no price to be held by."""
    named = (("AI_MODEL", settings.model), ("AI_FALLBACK_MODEL", settings.fallback))
    problems = [
        f"{name}: {unpriced(ref, settings)}"
        for name, ref in named
        # The price table takes a fifth of a second to load; a test looks the defaults up.
        if ref is not None and ref not in DEFAULTS and not await prices.known(ref)
    ]
    own_server = not speaks_responses(settings.openai_base_url)
    if settings.web_search and settings.model.provider == "openai" and own_server:
        problems.append("WEB_SEARCH: this server (OPENAI_BASE_URL) has no web search; leave it out")
    return problems


def unpriced(ref: ModelRef, settings: Settings) -> str:
    """Say that a model has no known price, and what gives it one."""
    own = settings.model.provider
    fix = "set AI_PRICE to what it costs (USD per million tokens as in,out; 0,0 for an own server)"
    if ref.provider != own:
        fix = f"AI_PRICE is only for models of {own}"
    return f"nobody knows the price of {ref}; {fix}"


def takes_pdf(ref: ModelRef, settings: Settings) -> bool:
    """Tell whether a PDF can be shown to a model; else it needs the text."""
    return ref.provider == "anthropic" or speaks_responses(settings.openai_base_url)


def hook_problems(settings: Settings) -> list[str]:
    """Name the settings of webhooks that cannot be: weak secrets, chats that nobody let in."""
    keys = dict(settings.webhook_secrets)
    if settings.webhook_secret is not None:
        keys[""] = settings.webhook_secret
    faults = {name: check_secret(name, key.get_secret_value()) for name, key in keys.items()}
    problems = [
        f"WEBHOOK_SECRET{name and '_'}{name.upper()} {fault}"
        for name, fault in faults.items()
        if fault
    ]
    known = {*settings.allowed_users, *settings.allowed_chats}
    return problems + [
        f"WEBHOOK_CHAT_{name.upper()} must be an id of ALLOWED_USERS or ALLOWED_CHATS"
        for name, chat_id in settings.webhook_chats.items()
        if chat_id not in known
    ]


def named_jobs(settings: Settings, now: datetime) -> tuple[list[Job], list[str]]:
    """Read the tasks of the environment; return them, and what is wrong with others by name."""
    place, actor = Place(chat_id=settings.owner), Person(user_id=settings.owner)
    jobs, problems = [], []
    for name, line in settings.schedules.items() if settings.scheduler_enabled else ():
        read = partial(job_of, zone=settings.timezone, place=place, actor=actor, name=name)
        try:
            jobs.append(read(ordered(line), now=now))
        except ValueError as error:
            try:  # what is over stays set for ever: that is no mistake
                job = read(ordered(line), now=datetime.fromtimestamp(0, UTC))
                jobs.append(replace(job, next_at=None))
            except ValueError:
                problems.append(f"SCHEDULE_{name.upper()}: {error}")
    return jobs, problems
