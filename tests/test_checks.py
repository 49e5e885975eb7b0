"""What is found wrong with settings before the start."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from assurebot.checks import (
    INWARD,
    TOOLS,
    model_problems,
    policy,
    takes_pdf,
)
from assurebot.errors import ConfigError
from assurebot.guard.rules import Rules
from assurebot.providers.account import speaks_responses
from assurebot.providers.pricing import Prices
from assurebot.providers.speech import AudioModel
from assurebot.settings import load_settings
from assurebot.values import ModelRef
from assurebot.voices import audio_problems, hearing, speaking
from tests.doubles import CallingTool
from tests.test_settings import GOOD
from tests.world import running


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


ALL = "there are fetch_url, forget, read_document, recall, remember, run_code, schedule, web_search"


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


EARS = "http://ears:9000/v1"
AT_EARS = {"TRANSCRIBE_BASE_URL": EARS, "TRANSCRIBE_MODEL": "w"}
OWN = "http://localhost:8000/v1"
OPENAI = {"OPENAI_API_KEY": "sk-open-0001"}


def ears(environ: dict[str, str]) -> tuple[AudioModel | None, AudioModel | None]:
    """Who hears and who speaks."""
    settings = load_settings(GOOD | environ)
    return hearing(settings), speaking(settings)


def asked(model: AudioModel | None) -> tuple[str, str, str, Decimal | None] | None:
    """Key, address, model and price of who is asked."""
    if model is None:
        return None
    account = model.account
    return account._api_key, account._base_url, model.ref.name, model.price_usd


AT_OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("given", "heard", "spoken"),
    [
        ({}, None, None),
        (
            OPENAI,
            ("sk-open-0001", AT_OPENAI, "gpt-transcribe", Decimal("0.27")),
            ("sk-open-0001", AT_OPENAI, "tts-1", Decimal(15)),
        ),
        (
            OPENAI | {"TRANSCRIBE_MODEL": "whisper-1", "SPEECH_MODEL": "tts-1-hd"},
            ("sk-open-0001", AT_OPENAI, "whisper-1", Decimal("0.36")),
            ("sk-open-0001", AT_OPENAI, "tts-1-hd", Decimal(30)),
        ),
        (OPENAI | {"OPENAI_BASE_URL": OWN}, None, None),
        (
            OPENAI
            | {"OPENAI_BASE_URL": OWN, "TRANSCRIBE_MODEL": "w", "TRANSCRIBE_PRICE": "0"}
            | {"SPEECH_MODEL": "s", "SPEECH_PRICE": "0.5"},
            ("sk-open-0001", OWN, "w", Decimal(0)),
            ("sk-open-0001", OWN, "s", Decimal("0.5")),
        ),
        (
            OPENAI
            | {"TRANSCRIBE_BASE_URL": EARS, "TRANSCRIBE_MODEL": "w", "TRANSCRIBE_PRICE": "0"},
            ("none", EARS, "w", Decimal(0)),  # the key of OpenAI stays with OpenAI
            ("sk-open-0001", AT_OPENAI, "tts-1", Decimal(15)),
        ),
        (
            {
                "TRANSCRIBE_BASE_URL": EARS,
                "TRANSCRIBE_MODEL": "w",
                "TRANSCRIBE_API_KEY": "12345678",
            },
            ("12345678", EARS, "w", None),
            None,
        ),
        (
            OPENAI | {"OPENAI_BASE_URL": OWN, "TRANSCRIBE_API_KEY": "12345678"},
            ("12345678", AT_OPENAI, "gpt-transcribe", Decimal("0.27")),
            None,
        ),
    ],
)
def test_each_key_goes_only_where_it_belongs(
    given: dict[str, str],
    heard: tuple[object, ...] | None,
    spoken: tuple[object, ...] | None,
) -> None:
    """Default models are asked at OpenAI itself; an own server is asked for what was named."""
    assert tuple(map(asked, ears(given))) == (heard, spoken)


NEEDS = "TRANSCRIBE_MODEL needs OPENAI_API_KEY, TRANSCRIBE_API_KEY or TRANSCRIBE_BASE_URL"
SPEAKS = "SPEECH_MODEL needs OPENAI_API_KEY, and TRANSCRIBE_MODEL at an own server"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        (OPENAI, []),
        (OPENAI | {"OPENAI_BASE_URL": OWN}, []),
        ({"TRANSCRIBE_MODEL": "whisper-1"}, [NEEDS]),
        (
            {"TRANSCRIBE_BASE_URL": EARS},
            ["TRANSCRIBE_MODEL is missing: TRANSCRIBE_BASE_URL does nothing without it"],
        ),
        (
            AT_EARS,
            [
                (
                    "TRANSCRIBE_MODEL: nobody knows the price of w; set TRANSCRIBE_PRICE to what"
                    " it costs (USD for an hour; 0 for an own server)"
                )
            ],
        ),
        ({"SPEECH_MODEL": "tts-1"}, [SPEAKS]),
        (OPENAI | {"OPENAI_BASE_URL": OWN, "SPEECH_MODEL": "s", "SPEECH_PRICE": "0"}, [SPEAKS]),
        (
            OPENAI | {"SPEECH_MODEL": "gpt-4o-mini-tts"},
            [
                (
                    "SPEECH_MODEL: nobody knows the price of gpt-4o-mini-tts; set SPEECH_PRICE to"
                    " what it costs (USD for a million characters; 0 for an own server)"
                )
            ],
        ),
    ],
)
def test_mistakes_about_sound_are_told_by_name(given: dict[str, str], told: list[str]) -> None:
    """What leads nowhere, and what has no price, stops the start; the words name the fix."""
    assert list(audio_problems(load_settings(GOOD | given))) == told


async def test_a_model_that_hears_for_an_unknown_price_is_not_started(tmp_path: Path) -> None:
    """The program does not start; with the price it does."""
    async with running(tmp_path, started=False) as world:
        world.environ |= AT_EARS
        with pytest.raises(ConfigError) as caught:
            await world.start()
        (problem,) = caught.value.problems
        assert problem.startswith("TRANSCRIBE_MODEL: nobody knows the price of w; set TRANSCRIBE_")
        world.app = None
        world.environ["TRANSCRIBE_PRICE"] = "0"
        await world.start()
        await world.ask("hello", "hello")


CLAUDE = ModelRef(provider="anthropic", name="c")
GPT = ModelRef(provider="openai", name="g")


@pytest.mark.parametrize(
    ("ref", "given", "takes"),
    [
        (CLAUDE, {"ANTHROPIC_BASE_URL": "http://gateway/v1"}, True),
        (GPT, {}, True),
        (GPT, {"OPENAI_BASE_URL": OWN}, False),
        (CLAUDE, {"OPENAI_BASE_URL": OWN}, True),
    ],
)
def test_who_takes_a_pdf(ref: ModelRef, given: dict[str, str], *, takes: bool) -> None:
    """Claude and OpenAI itself do; a compatible server needs the text."""
    assert takes_pdf(ref, load_settings(GOOD | OPENAI | given)) is takes
