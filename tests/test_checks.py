"""What is found wrong with settings before the start."""

from __future__ import annotations

import pytest

from assurebot.checks import INWARD, TOOLS, model_problems, policy, speaks_responses
from assurebot.guard.rules import Rules
from assurebot.providers.pricing import Prices
from assurebot.settings import load_settings
from tests.doubles import CallingTool
from tests.test_settings import GOOD


@pytest.mark.parametrize(
    ("base_url", "responses"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("http://localhost:11434/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("http://127.0.0.1:8000//api.openai.com/v1", False),
    ],
)
def test_own_servers_are_asked_by_chat_completions(
    base_url: str | None, *, responses: bool
) -> None:
    """Responses is spoken by OpenAI's own host only."""
    assert speaks_responses(base_url) is responses


ALL = "there are fetch_url, forget, recall, remember, run_code, schedule, web_search"


async def nothing(_arguments: str) -> str:
    """Do nothing."""
    return ""


def test_the_policy_may_name_every_tool_there_is() -> None:
    """Those that are switched off too, those that are not shipped, and all of them by a `*`."""
    named = tuple(sorted({*TOOLS, "act", "*"}))
    freed = tuple(sorted({*named} - INWARD))
    environ = {"POLICY_DENY": ",".join(named), "POLICY_ASK": ",".join(named)}
    environ |= {"POLICY_ALLOW": ",".join(freed), "SANDBOX_NETWORK": "bridge"}
    settings = load_settings(GOOD | environ | {"SANDBOX_ENABLED": "no", "WEB_SEARCH": "no"})
    assert policy(settings, [CallingTool(nothing)]) == (
        Rules.of(deny=named, ask=named, allow=freed),
        [],
    )


@pytest.mark.parametrize(
    ("name", "entry", "told"),
    [
        ("DENY", "fetch_ulr", ": no tool is named fetch_ulr; is fetch_url meant?"),
        ("ASK", "runcode:*rm*", ": no tool is named runcode; is run_code meant?"),
        ("ALLOW", "https://a.example/*", f": no tool is named https; {ALL}"),
        ("ASK", "send", f": no tool is named send; {ALL}"),
        ("DENY", "Forget", ": no tool is named Forget; is forget meant?"),
        ("ALLOW", "fetch_url:https://\u00e4..example/*", " must not name a host that cannot be"),
        ("DENY", "fetch_url:https://*\u00e4.example/*", " must not name a host that cannot be"),
    ],
)
def test_a_policy_for_what_cannot_be_is_a_mistake(name: str, entry: str, told: str) -> None:
    """An entry that would silently hold nothing is told, beside the entries that are good."""
    good = {f"POLICY_{what}": "web_search" for what in ("DENY", "ASK", "ALLOW")}
    settings = load_settings(GOOD | good | {f"POLICY_{name}": entry})
    assert policy(settings, [])[1] == [f"POLICY_{name}{told}"]


WRITE = "; write it as fetch_url:https://example.com/*"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        *((tool, f": {tool} is not outward; remove it") for tool in sorted(INWARD)),
        ("forget:13", ": forget is not outward; remove it"),
        ("run_code", ": run_code is not outward without SANDBOX_NETWORK=bridge"),
        ("fetch_url:example.com", WRITE),
        ("fetch_url:*.example.com/*", WRITE),
        ("fetch_url:https:example.com", WRITE),
        ("fetch_url:https://example.*", WRITE),
        ("fetch_url:https://example.com:*/", WRITE),
        ("fetch_url:https://localhost/*", WRITE),
        ("fetch_url:https://example.com/a/../*", WRITE),
        ("fetch_url:https://example.com/\u00e4", WRITE),
        ("*:https://example/*", "; write it as *:https://example.com/*"),
    ],
)
def test_an_entry_that_frees_nothing_is_a_mistake(entry: str, told: str) -> None:
    """Whoever wrote it believes that something is allowed; the fix is named, the value is not."""
    settings = load_settings(GOOD | {"POLICY_ALLOW": f"web_search,{entry}"})
    assert policy(settings, [])[1] == [f"POLICY_ALLOW: item 2 frees nothing{told}"]


def test_programs_with_network_are_freed_as_such() -> None:
    """They name no destination that a glob could match."""
    environ = {"POLICY_ALLOW": "run_code,run_code:*", "SANDBOX_NETWORK": "bridge"}
    assert policy(load_settings(GOOD | environ), [])[1] == [
        "POLICY_ALLOW: item 2 frees nothing: programs name no destination; write it as run_code"
    ]


@pytest.mark.parametrize(
    "entry",
    [
        *("fetch_url", "fetch_url:*", "*", "*:example.com", "web_search:example.com"),
        *("fetch_url:http*://*.example.com*", "fetch_url:*://a*.example.com:81/x/*?y=*&z"),
        *("fetch_url:https://b\u00fccher.example/*", "fetch_url:https://[2606:4700::1]/*"),
        *("fetch_url:https://*/*", "fetch_url:http://93.184.215.14/%C3%A4"),
    ],
)
def test_an_entry_that_can_free_something_is_none(entry: str) -> None:
    """Only what surely does nothing stops the start."""
    assert policy(load_settings(GOOD | {"POLICY_ALLOW": entry}), [])[1] == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, True),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1"}, False),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1", "WEB_SEARCH": "no"}, False),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1", "ANTHROPIC_API_KEY": "12345678"}, False),
    ],
)
async def test_a_server_without_a_search_is_a_mistake(given: dict[str, str], *, told: bool) -> None:
    """Each search would fail: Chat Completions have none."""
    environ = {**GOOD, "ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "12345678", "WEB_SEARCH": "yes"}
    found = await model_problems(load_settings(environ | given), Prices())
    says = "WEB_SEARCH: this server (OPENAI_BASE_URL) has no web search; leave it out"
    assert found == [says] * told
