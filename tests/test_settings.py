"""Settings: what is accepted, and that each mistake is told by name and never by value."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.errors import ConfigError
from assurebot.settings import (
    AuditSettings,
    BotSettings,
    Settings,
    load_part,
    load_settings,
)
from assurebot.values import ModelRef
from assurebot.variables import CLOSED_PREFIXES

TOKEN = "123456789:AAH-abcdefghijklmnopqrstuvwxyz_01234"
GOOD = {"TELEGRAM_BOT_TOKEN": TOKEN, "ALLOWED_USERS": "11,22", "ANTHROPIC_API_KEY": "sk-ant-0001"}
OPENAI = {"OPENAI_API_KEY": "sk-open-0001"}


def problems(**changes: str) -> tuple[str, ...]:
    """Return what is said of a good environment with some variables changed."""
    with pytest.raises(ConfigError) as caught:
        load_settings(GOOD | changes)
    return caught.value.problems


def test_three_variables_are_enough() -> None:
    """Token, users and one key are all that is required; the rest has the documented defaults."""
    settings = load_settings(GOOD)
    assert settings.model_dump(exclude={"telegram_bot_token", "anthropic_api_key"}) == {
        "telegram_api_url": None,
        "data_dir": Path("/data"),
        "audit_log_path": Path("/data/audit.jsonl"),
        "audit_key": None,
        "audit_content": "full",
        "allowed_users": (11, 22),
        "allowed_chats": (),
        "openai_api_key": None,
        "anthropic_base_url": None,
        "openai_base_url": None,
        "ai_model": None,
        "ai_fallback_model": None,
        "ai_price": None,
        "transcribe_model": None,
        "transcribe_base_url": None,
        "transcribe_api_key": None,
        "transcribe_price": None,
        "speech_model": None,
        "speech_price": None,
        "system_prompt_extra": "",
        "max_turns": 8,
        "max_steps": 20,
        "turn_timeout": 300,
        "max_output_tokens": 8192,
        "approvers": None,
        "approval_timeout": 600,
        "policy_deny": (),
        "policy_ask": (),
        "policy_allow": (),
        "web_search": False,
        "budget_daily_usd": Decimal(5),
        "budget_user_daily_usd": None,
        "budget_job_usd": None,
        "scheduler_enabled": True,
        "timezone": "UTC",
        "schedules": {},
        "rate_user_per_minute": 20,
        "webhooks_enabled": True,
        "webhook_base_path": "/hooks",
        "webhook_secret": None,
        "webhook_secrets": {},
        "webhook_prompts": {},
        "webhook_chats": {},
        "rate_webhook_per_minute": 60,
        "sandbox_enabled": True,
        "sandbox_backend": "auto",
        "sandbox_image": "assurebot-sandbox",
        "sandbox_runtime": None,
        "sandbox_pool": 4,
        "sandbox_network": "none",
        "sandbox_memory": 512 << 20,
        "sandbox_cpus": 1.0,
        "sandbox_timeout_ms": 60_000,
        "docker_host": "unix:///var/run/docker.sock",
        "docker_tls_verify": False,
        "docker_cert_path": None,
        "host": "127.0.0.1",
        "port": 8080,
        "log_level": "INFO",
        "log_format": "json",
        "warnings": (),
    }
    assert (settings.owner, settings.model, settings.fallback) == (
        11,
        ModelRef(provider="anthropic", name="claude-sonnet-5-5"),
        None,
    )


def test_everything_can_be_set() -> None:
    """Each variable arrives in its own form, and spaces around a value do not count."""
    settings = load_settings(
        {
            "TELEGRAM_BOT_TOKEN": f" {TOKEN}\n",
            "ALLOWED_USERS": " 22 , 11 ",
            "ALLOWED_CHATS": "-1001234567890,-77",
            "ANTHROPIC_API_KEY": "sk-ant-0001",
            "OPENAI_API_KEY": "sk-open-0001",
            "ANTHROPIC_BASE_URL": "http://gateway:8000/",
            "OPENAI_BASE_URL": "https://own.example/v1",
            "AI_MODEL": "anthropic:claude-x",
            "AI_FALLBACK_MODEL": "openai:llama3:8b",
            "AI_PRICE": "0.25, 1",
            "TRANSCRIBE_MODEL": "whisper-large",
            "TRANSCRIBE_BASE_URL": "http://ears:9000/v1/",
            "TRANSCRIBE_API_KEY": "sk-ears-0001",
            "TRANSCRIBE_PRICE": "0",
            "SPEECH_MODEL": "kokoro",
            "SPEECH_PRICE": "0.5",
            "SYSTEM_PROMPT_EXTRA": "Be kind.",
            "MAX_TURNS": "1",
            "MAX_STEPS": "200",
            "TURN_TIMEOUT": "60",
            "MAX_OUTPUT_TOKENS": "100",
            "APPROVERS": "11",
            "APPROVAL_TIMEOUT": "604800",
            "POLICY_DENY": "web_search, *:*://*.example/*",
            "POLICY_ASK": "fetch_url:https://b\u00fccher.example/*",
            "POLICY_ALLOW": "fetch_url:https://a.example:8443/*,fetch_url:*://b.example",
            "WEB_SEARCH": "yes",
            "BUDGET_DAILY_USD": "0.25",
            "BUDGET_USER_DAILY_USD": "0",
            "BUDGET_JOB_USD": "0.1",
            "SCHEDULER_ENABLED": "no",
            "TIMEZONE": "Europe/Berlin",
            "SCHEDULE_MORNING_NEWS": "every: 1d | news",
            "RATE_USER_PER_MINUTE": "1000",
            "WEBHOOKS_ENABLED": "off",
            "WEBHOOK_BASE_PATH": "/in/hooks",
            "WEBHOOK_SECRET": "s" * 16,
            "WEBHOOK_SECRET_GITHUB": "g" * 16,
            "WEBHOOK_PROMPT_MY_CI": "Only failures.",
            "WEBHOOK_CHAT_MY_CI": "-77",
            "RATE_WEBHOOK_PER_MINUTE": "5",
            "SANDBOX_ENABLED": "No",
            "SANDBOX_BACKEND": "Docker",
            "SANDBOX_IMAGE": "own/box:1",
            "SANDBOX_RUNTIME": "runsc",
            "SANDBOX_POOL": "0",
            "SANDBOX_NETWORK": "bridge",
            "SANDBOX_MEMORY": "1G",
            "SANDBOX_CPUS": "0.5",
            "SANDBOX_TIMEOUT_MS": "1500",
            "DOCKER_HOST": "tcp://10.0.0.1:2376",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": "/certs",
            "TELEGRAM_API_URL": "http://[::1]:8081",
            "DATA_DIR": "kept",
            "AUDIT_LOG_PATH": "/log/a.jsonl",
            "AUDIT_KEY": "k" * 32,
            "AUDIT_CONTENT": "HASH",
            "HOST": "::",
            "PORT": "0",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "console",
        }
    )
    secrets = {"audit_key", "openai_api_key", "anthropic_api_key", "transcribe_api_key"}
    secrets |= {"webhook_secret", "webhook_secrets"}
    assert settings.model_dump(exclude=secrets) | {
        "telegram_bot_token": settings.telegram_bot_token.get_secret_value()
    } == {
        "telegram_bot_token": TOKEN,
        "telegram_api_url": "http://[::1]:8081",
        "data_dir": Path("kept"),
        "audit_log_path": Path("/log/a.jsonl"),
        "audit_content": "hash",
        "allowed_users": (22, 11),
        "allowed_chats": (-1001234567890, -77),
        "anthropic_base_url": "http://gateway:8000",
        "openai_base_url": "https://own.example/v1",
        "ai_model": "anthropic:claude-x",
        "ai_fallback_model": "openai:llama3:8b",
        "ai_price": (Decimal("0.25"), Decimal(1)),
        "transcribe_model": "whisper-large",
        "transcribe_base_url": "http://ears:9000/v1",
        "transcribe_price": Decimal(0),
        "speech_model": "kokoro",
        "speech_price": Decimal("0.5"),
        "system_prompt_extra": "Be kind.",
        "max_turns": 1,
        "max_steps": 200,
        "turn_timeout": 60,
        "max_output_tokens": 100,
        "approvers": (11,),
        "approval_timeout": 604_800,
        "policy_deny": ("web_search", "*:*://*.example/*"),
        "policy_ask": ("fetch_url:https://b\u00fccher.example/*",),
        "policy_allow": ("fetch_url:https://a.example:8443/*", "fetch_url:*://b.example"),
        "web_search": True,
        "budget_daily_usd": Decimal("0.25"),
        "budget_user_daily_usd": Decimal(0),
        "budget_job_usd": Decimal("0.1"),
        "scheduler_enabled": False,
        "timezone": "Europe/Berlin",
        "schedules": {"morning_news": "every: 1d | news"},
        "rate_user_per_minute": 1000,
        "webhooks_enabled": False,
        "webhook_base_path": "/in/hooks",
        "webhook_prompts": {"my_ci": "Only failures."},
        "webhook_chats": {"my_ci": -77},
        "rate_webhook_per_minute": 5,
        "sandbox_enabled": False,
        "sandbox_backend": "docker",
        "sandbox_image": "own/box:1",
        "sandbox_runtime": "runsc",
        "sandbox_pool": 0,
        "sandbox_network": "bridge",
        "sandbox_memory": 1 << 30,
        "sandbox_cpus": 0.5,
        "sandbox_timeout_ms": 1500,
        "docker_host": "tcp://10.0.0.1:2376",
        "docker_tls_verify": True,
        "docker_cert_path": Path("/certs"),
        "host": "::",
        "port": 0,
        "log_level": "DEBUG",
        "log_format": "console",
        "warnings": (),
    }
    assert settings.fallback == ModelRef(provider="openai", name="llama3:8b")
    told = {name: key for name, key in settings.secrets().items() if name.startswith("WEBHOOK")}
    assert told == {"WEBHOOK_SECRET": "s" * 16, "WEBHOOK_SECRET_GITHUB": "g" * 16}


def test_nothing_set_names_all_that_is_required() -> None:
    """An empty environment is told everything that is missing at once."""
    with pytest.raises(ConfigError) as caught:
        load_settings({"ALLOWED_USERS": "", "PATH": "/bin"})
    assert caught.value.problems == (
        "TELEGRAM_BOT_TOKEN is missing: The bot's token, from @BotFather",
        "ALLOWED_USERS is missing: Telegram user ids, separated by commas; the first is the owner",
        "ANTHROPIC_API_KEY or OPENAI_API_KEY is missing: one of them is required",
    )


def test_all_mistakes_are_told_at_once() -> None:
    """Wrong values, unknown names and a model without a key stand in one list."""
    assert problems(
        PORT="65536",
        ALLOWED_CHATS="12",
        AI_MODEL="openai:x",
        AUDIT_KEY="short",
        AUDIT_LOGPATH="/x",
        ALLOWED_USER="5",
        APPROVERS="11,33",
        TRANSCRIBE_MODELS="x",
    ) == (
        "ALLOWED_USER is no setting of this version: is ALLOWED_USERS meant?",
        "AUDIT_LOGPATH is no setting of this version: is AUDIT_LOG_PATH meant?",
        "TRANSCRIBE_MODELS is no setting of this version: is TRANSCRIBE_MODEL meant?",
        "AUDIT_KEY must be at least 32 characters",
        (
            "ALLOWED_CHATS must be Telegram group ids (negative whole numbers) separated by commas,"
            " but item 1 is not one"
        ),
        "APPROVERS must be ids of ALLOWED_USERS: others cannot press anything",
        "PORT must be a whole number from 0 to 65535",
        "AI_MODEL names a model of openai, so OPENAI_API_KEY is required",
    )


USERS = "ALLOWED_USERS must be Telegram user ids (positive whole numbers) separated by commas, but "
URL = "must be an address like https://host or http://host:port/path"
PRICES = "must be two prices in USD per million tokens, like 2,10 or 0,0"
WHOLE = "must be a whole number from"
AMOUNT = "must be an amount in USD like 5 or 0.50"
LISTED = "must be ids of ALLOWED_USERS: others cannot press anything"
ENTRY = (
    "must be `tool` or `tool:glob` separated by commas, like fetch_url:https://example.com/*,"
    " but item"
)
KEY = (
    "must be at least 8 characters without spaces; for an own server that asks for no key,"
    " any such text does"
)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ALLOWED_USERS", "123abc", USERS + "item 1 is not one"),
        ("ALLOWED_USERS", "1,,2,", USERS + "item 2 is empty, item 4 is empty"),
        ("TRANSCRIBE_API_KEY", "short", f"TRANSCRIBE_API_KEY {KEY}"),
        ("TRANSCRIBE_BASE_URL", "ears:9000", f"TRANSCRIBE_BASE_URL {URL}"),
        ("TRANSCRIBE_PRICE", "-1", f"TRANSCRIBE_PRICE {AMOUNT}"),
        ("SPEECH_PRICE", "15 USD", f"SPEECH_PRICE {AMOUNT}"),
        ("ALLOWED_USERS", "0", USERS + "item 1 is not one"),
        ("ALLOWED_USERS", "7,-8", USERS + "item 2 is not one"),
        ("ALLOWED_USERS", "7,8,7", USERS + "item 3 repeats item 1"),
        ("ALLOWED_USERS", "+7,007,7_0,\u0667,1e3", USERS + "item 1 is not one, item 2 is not one,"
         " item 3 is not one, item 4 is not one, item 5 is not one"),
        ("ALLOWED_USERS", "4503599627370496", USERS + "item 1 is not one"),
        ("ALLOWED_USERS", "*", USERS + "item 1 is not one"),
        ("TELEGRAM_BOT_TOKEN", "12345:short", ("TELEGRAM_BOT_TOKEN does not look like a bot token;"
         " copy the whole of it from @BotFather")),
        ("ANTHROPIC_API_KEY", "none", f"ANTHROPIC_API_KEY {KEY}"),
        ("ANTHROPIC_API_KEY", "long but spaced", f"ANTHROPIC_API_KEY {KEY}"),
        ("ANTHROPIC_BASE_URL", "gateway:8000", f"ANTHROPIC_BASE_URL {URL}"),
        ("TELEGRAM_API_URL", "ftp://host", f"TELEGRAM_API_URL {URL}"),
        ("TELEGRAM_API_URL", "http://", f"TELEGRAM_API_URL {URL}"),
        ("TELEGRAM_API_URL", "http://[::1", f"TELEGRAM_API_URL {URL}"),
        ("TELEGRAM_API_URL", "http://host:99999", f"TELEGRAM_API_URL {URL}"),
        ("TELEGRAM_API_URL", "http://host/?a=b", f"TELEGRAM_API_URL {URL}"),
        ("TELEGRAM_API_URL", "http://ho st", f"TELEGRAM_API_URL {URL}"),
        ("TELEGRAM_API_URL", "http://u:short@host",
         "TELEGRAM_API_URL must have a password of at least 8 characters, or none"),
        ("AI_MODEL", "anthropic:", "AI_MODEL must be `model` or `provider:model`"),
        ("AI_MODEL", "two words", "AI_MODEL must be `model` or `provider:model`"),
        ("AI_FALLBACK_MODEL", "claude-sonnet-5-5",
         "AI_FALLBACK_MODEL must be another model than the first"),
        ("AI_FALLBACK_MODEL", "openai:x",
         "AI_FALLBACK_MODEL names a model of openai, so OPENAI_API_KEY is required"),
        ("AI_PRICE", "2", f"AI_PRICE {PRICES}"),
        ("AI_PRICE", "2,-1",
         f"AI_PRICE {PRICES}"),
        ("AI_PRICE", "nan,inf",
         f"AI_PRICE {PRICES}"),
        ("MAX_TURNS", "0", f"MAX_TURNS {WHOLE} 1 to 100"),
        ("MAX_STEPS", "8.0", f"MAX_STEPS {WHOLE} 1 to 200"),
        ("TURN_TIMEOUT", "-1", f"TURN_TIMEOUT {WHOLE} 1 to 86400"),
        ("MAX_OUTPUT_TOKENS", "1_000", f"MAX_OUTPUT_TOKENS {WHOLE} 1 to 200000"),
        ("AUDIT_CONTENT", "none", "AUDIT_CONTENT must be one of full, hash"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR"),
        ("SANDBOX_ENABLED", "maybe", "SANDBOX_ENABLED must be true or false"),
        ("SANDBOX_BACKEND", "bwrap", "SANDBOX_BACKEND must be one of auto, docker, embedded"),
        ("SANDBOX_IMAGE", "-v", "SANDBOX_IMAGE must be the name of a container image"),
        ("SANDBOX_POOL", "51", f"SANDBOX_POOL {WHOLE} 0 to 50"),
        ("SANDBOX_NETWORK", "host", "SANDBOX_NETWORK must be one of none, bridge"),
        ("SANDBOX_MEMORY", "1m",
         "SANDBOX_MEMORY must be an amount of memory like 512m or 2g, from 64m to 64g"),
        ("SANDBOX_CPUS", "0", "SANDBOX_CPUS must be a number of processors like 0.5 or 2"),
        ("SANDBOX_TIMEOUT_MS", "99", f"SANDBOX_TIMEOUT_MS {WHOLE} 100 to 3600000"),
        ("DOCKER_HOST", "ssh://user@host",
         ("DOCKER_HOST must not be ssh://, over which no job can be followed; forward the engine's"
          " socket with `ssh -L /path/docker.sock:/var/run/docker.sock HOST` and name that")),
        ("DOCKER_HOST", "npipe://x",
         "DOCKER_HOST must be like unix:///var/run/docker.sock or tcp://host:2376"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be one of json, console"),
        ("HOST", "http://x", "HOST must be an address or a name, without a port"),
        ("APPROVERS", "11,33", f"APPROVERS {LISTED}"),
        ("APPROVERS", "@ann", f"APPROVERS {USERS.partition(' ')[2]}item 1 is not one"),
        ("APPROVAL_TIMEOUT", "9", f"APPROVAL_TIMEOUT {WHOLE} 10 to 604800"),
        ("APPROVAL_TIMEOUT", "604801", f"APPROVAL_TIMEOUT {WHOLE} 10 to 604800"),
        ("POLICY_DENY", "fetch_url:", f"POLICY_DENY {ENTRY} 1 is not"),
        ("POLICY_DENY", "run_code,", f"POLICY_DENY {ENTRY} 2 is not"),
        ("POLICY_DENY", "a,b:rm -rf", f"POLICY_DENY {ENTRY} 2 is not"),
        ("POLICY_ASK", ":https://a.example/", f"POLICY_ASK {ENTRY} 1 is not"),
        ("POLICY_ASK", "fetch_url https://a.example/", f"POLICY_ASK {ENTRY} 1 is not"),
        ("POLICY_ALLOW", "fetch_*", f"POLICY_ALLOW {ENTRY} 1 is not"),
        ("POLICY_ALLOW", "https://a.example/*,fetch.url", f"POLICY_ALLOW {ENTRY} 2 is not"),
        ("WEB_SEARCH", "openai", "WEB_SEARCH must be true or false"),
        ("BUDGET_DAILY_USD", "-1", f"BUDGET_DAILY_USD {AMOUNT}"),
        ("BUDGET_DAILY_USD", "5 USD", f"BUDGET_DAILY_USD {AMOUNT}"),
        ("BUDGET_DAILY_USD", "inf", f"BUDGET_DAILY_USD {AMOUNT}"),
        ("BUDGET_USER_DAILY_USD", "0,50", f"BUDGET_USER_DAILY_USD {AMOUNT}"),
        ("BUDGET_USER_DAILY_USD", "1e3", f"BUDGET_USER_DAILY_USD {AMOUNT}"),
        ("BUDGET_JOB_USD", "x", f"BUDGET_JOB_USD {AMOUNT}"),
        ("SCHEDULER_ENABLED", "UTC", "SCHEDULER_ENABLED must be true or false"),
        ("TIMEZONE", "UTC+2", "TIMEZONE must be an IANA name such as Europe/Berlin"),
        ("TIMEZONE", "../x", "TIMEZONE must be an IANA name such as Europe/Berlin"),
        ("TIMEZONE", "Europe", "TIMEZONE must be an IANA name such as Europe/Berlin"),
        ("RATE_USER_PER_MINUTE", "0", f"RATE_USER_PER_MINUTE {WHOLE} 1 to 1000"),
        ("BUDGET_DAILY", "5",
         "BUDGET_DAILY is no setting of this version: is BUDGET_DAILY_USD meant?"),
        ("POLICY_FORBID", "x",
         "POLICY_FORBID is no setting of this version: is POLICY_DENY meant?"),
        ("WEBHOOK_SECRET", "x" * 15, "WEBHOOK_SECRET must be at least 16 characters"),
        ("WEBHOOK_SECRET_MY_CI", "x" * 15, "WEBHOOK_SECRET_MY_CI must be at least 16 characters"),
        ("WEBHOOK_SECRETS_MY_CI", "x" * 16,
         "WEBHOOK_SECRETS_MY_CI is no setting of this version: is WEBHOOK_SECRET meant?"),
        ("WEBHOOK_SECRET_github", "x" * 16,
         "WEBHOOK_SECRET_github is no setting of this version: is WEBHOOK_SECRET meant?"),
        ("WEBHOOK_CHAT_CI", "@me", "WEBHOOK_CHAT_CI must be the id of a user or a group"),
        ("WEBHOOK_BASE_PATH", "hooks",
         "WEBHOOK_BASE_PATH must be a path of plain words like /hooks"),
        ("RATE_WEBHOOK_PER_MINUTE", "0", f"RATE_WEBHOOK_PER_MINUTE {WHOLE} 1 to 10000"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_name(name: str, value: str, told: str) -> None:
    """Each kind of wrong value gives exactly one problem, which says what is right."""
    assert problems(**{name: value}) == (told,)


def test_an_own_server_needs_any_key() -> None:
    """Whoever sets only OPENAI_BASE_URL learns that any text will do as the key."""
    own = {name: value for name, value in GOOD.items() if name != "ANTHROPIC_API_KEY"}
    with pytest.raises(ConfigError) as caught:
        load_settings(own | {"OPENAI_BASE_URL": "http://localhost:11434/v1"})
    assert caught.value.problems == (
        (
            "ANTHROPIC_API_KEY or OPENAI_API_KEY is missing: one of them is required;"
            " for an own server any text of at least 8 characters does"
        ),
    )


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({}, "anthropic:claude-sonnet-5-5"),
        ({"AI_MODEL": "llama3:8b"}, "anthropic:llama3:8b"),
        ({"AI_MODEL": "openai:llama3:8b"}, "openai:llama3:8b"),
        ({"AI_MODEL": "gpt-6-luna"}, "openai:gpt-6-luna"),
        ({"AI_MODEL": "claude-opus-5-5"}, "anthropic:claude-opus-5-5"),
        ({"ANTHROPIC_API_KEY": ""}, "openai:gpt-6.1-sol"),
        ({"ANTHROPIC_API_KEY": "", "AI_MODEL": "claude-x"}, "openai:claude-x"),
        ({"ANTHROPIC_API_KEY": " ", "AI_MODEL": "llama3:8b"}, "openai:llama3:8b"),
        ({"OPENAI_API_KEY": "", "AI_MODEL": "gpt-6-luna"}, "anthropic:gpt-6-luna"),
    ],
)
def test_the_model_names_its_provider(environ: dict[str, str], model: str) -> None:
    """With both keys Anthropic is asked unless the model names the other; with one, that one."""
    assert str(load_settings(GOOD | OPENAI | environ).model) == model


def test_a_fallback_follows_the_first_model() -> None:
    """A fallback without a provider belongs to the provider of the first model."""
    both = GOOD | OPENAI | {"AI_MODEL": "openai:a", "AI_FALLBACK_MODEL": "b:1"}
    assert load_settings(both).fallback == ModelRef(provider="openai", name="b:1")


@pytest.mark.parametrize("prefix", CLOSED_PREFIXES)
def test_unknown_names_under_closed_prefixes_stop_the_start(prefix: str) -> None:
    """No closed prefix lets an unknown name pass, and an empty one counts as not set."""
    assert len(problems(**{f"{prefix}QQ": "x"})) == 1
    assert load_settings(GOOD | {f"{prefix}QQ": ""}).warnings == ()


def test_near_misses_and_idle_addresses_warn() -> None:
    """A name that is nearly a known one gives a warning; a farther one is left alone."""
    odd = {
        "AI_MDL": "x",
        "AI_MODELL": "x",
        "ANTHROPIC_API_KEY_OLD": "x",
        "OPENAI_APIKEY": "x",
        "TELEGRAM_BOT_TOKN": "x",
        "SPEECH_MODLE": "x",
        "OPENAI_ORG_ID": "x",
        "DATABASE_URL": "x",
        "OPENAI_BASE_URL": "http://own/v1",
        "MAX_TURN": "3",
    }
    assert load_settings(GOOD | odd).warnings == (
        "AI_MDL is no setting of this version: is AI_MODEL meant?",
        "AI_MODELL is no setting of this version: is AI_MODEL meant?",
        "OPENAI_APIKEY is no setting of this version: is OPENAI_API_KEY meant?",
        "SPEECH_MODLE is no setting of this version: is SPEECH_MODEL meant?",
        "TELEGRAM_BOT_TOKN is no setting of this version: is TELEGRAM_BOT_TOKEN meant?",
        "OPENAI_BASE_URL does nothing without OPENAI_API_KEY",
    )


def test_secrets_are_named_and_hidden() -> None:
    """`secrets` gives every secret, in addresses too, and nothing else that is printed does."""
    settings = load_settings(
        GOOD
        | OPENAI
        | {
            "AUDIT_KEY": "k" * 40,
            "TELEGRAM_API_URL": "http://me:pass%2Fword@host:81",
            "OPENAI_BASE_URL": "https://lone-token@host/v1",
            "ANTHROPIC_BASE_URL": "https://host",
            "TRANSCRIBE_API_KEY": "sk-ears-0001",
            "TRANSCRIBE_BASE_URL": "http://ear:ear-password@host/v1",
        }
    )
    assert settings.secrets() == {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "ANTHROPIC_API_KEY": "sk-ant-0001",
        "OPENAI_API_KEY": "sk-open-0001",
        "AUDIT_KEY": "k" * 40,
        "TELEGRAM_API_URL": "pass/word",
        "OPENAI_BASE_URL": "lone-token",
        "TRANSCRIBE_API_KEY": "sk-ears-0001",
        "TRANSCRIBE_BASE_URL": "ear-password",
    }
    shown = f"{settings!r} {settings}"
    assert [
        secret for secret in (*settings.secrets().values(), "pass%2Fword") if secret in shown
    ] == []


def test_settings_do_not_change() -> None:
    """Nothing can be assigned after the start."""
    settings = load_settings(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_nothing_is_read_but_what_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process environment and a `.env` file in the working folder change nothing."""
    (tmp_path / ".env").write_text("PORT=1\nMAX_TURNS=2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "3")
    monkeypatch.setenv("port", "4")
    assert load_settings(GOOD | {"port": "5"}) == load_settings(GOOD)


def test_parts_need_no_more_than_they_use() -> None:
    """`whoami` needs only the token and the audit check nothing; their mistakes are told too."""
    bot = load_part(BotSettings, {"TELEGRAM_BOT_TOKEN": TOKEN, "ALLOWED_USERS": "junk"})
    assert (bot.telegram_bot_token.get_secret_value(), bot.telegram_api_url) == (TOKEN, None)
    assert load_part(AuditSettings, {"DATA_DIR": "/d"}).audit_log_path == Path("/d/audit.jsonl")
    with pytest.raises(ConfigError) as caught:
        load_part(AuditSettings, {"AUDIT_KEY": "x", "AUDIT_CONTENT": "y"})
    assert caught.value.problems == (
        "AUDIT_KEY must be at least 32 characters",
        "AUDIT_CONTENT must be one of full, hash",
    )


CANARY = "cAnArY-7391"


@pytest.mark.parametrize("name", sorted(name.upper() for name in Settings.model_fields))
@pytest.mark.parametrize(
    "value",
    [CANARY, f"http://{CANARY}:x@h:p", f"1,{CANARY}", f"openai:{CANARY} x", f"{CANARY}\x00\n"],
)
def test_no_message_holds_a_value(name: str, value: str) -> None:
    """Whatever stands in a variable, neither problems nor their causes nor warnings show it."""
    environ = GOOD | {name: value, f"AUDIT_{name}": value, f"{name}S": value}
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    assert CANARY not in f"{caught.value} {caught.value!r}"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=30)))
def test_any_environment_is_read_or_refused(values: dict[str, str]) -> None:
    """Any text in any variable gives settings or a `ConfigError`, never another failure."""
    environ = GOOD | {name.upper(): value for name, value in values.items()}
    try:
        loaded = load_settings(environ)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is right
    else:
        assert loaded.owner > 0
