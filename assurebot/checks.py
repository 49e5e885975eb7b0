"""What is wrong with settings that can be read: told by who knows the tools, servers and prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from urllib.parse import urlsplit

from assurebot.guard.rules import Rules
from assurebot.ports import Tool
from assurebot.providers.pricing import Prices
from assurebot.settings import Settings
from assurebot.values import ModelRef
from assurebot.variables import DEFAULT_MODELS

TOOLS = frozenset({"recall", "run_code", "fetch_url", "web_search", "remember", "forget"})
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


def speaks_responses(base_url: str | None) -> bool:
    """Tell which wire to use: own servers imitate Chat Completions, most speak nothing else."""
    return base_url is None or urlsplit(base_url).hostname == "api.openai.com"
