"""How the name and the text of one environment variable are read.

Each reader raises `ValueError` with words that follow the variable's name ("must be ...") and
never hold its value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, SecretStr

from assurebot.values import ModelRef

ProviderName = Literal["anthropic", "openai"]

DEFAULT_MODELS: Mapping[ProviderName, str] = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-6.1-sol",
}

FAMILIES: Mapping[ProviderName, str] = {"anthropic": "claude-", "openai": "gpt-"}

CLOSED_PREFIXES = (
    *("SANDBOX_", "WEBHOOK_", "WEBHOOKS_", "SCHEDULER_", "BUDGET_", "RATE_", "AUDIT_"),
    *("POLICY_", "APPROV", "ALLOWED_", "TRANSCRIBE_"),
)
"""An unknown name with one of these stops the start: a typo in it would open a door unseen."""

WATCHED_PREFIXES = ("TELEGRAM_", "OPENAI_", "ANTHROPIC_", "DATABASE_", "AI_", "SPEECH_")
"""Names with one of these may belong to other programs: only a near miss gives a warning."""

NEAR = 2
"""How many letters may differ when one name must be a typo of the other."""

MIN_BOX_BYTES, MAX_BOX_BYTES = 64 << 20, 64 << 30
MIN_CPUS, MAX_CPUS = 0.1, 128.0

MIN_SECRET_CHARS = 8
"""Shorter secrets would not be redacted, so they are not accepted."""


def matching(pattern: str, otherwise: str) -> BeforeValidator:
    """Make a reader of text that matches as a whole."""

    def read(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(otherwise)
        return value

    return BeforeValidator(read)


def whole(low: int, high: int) -> BeforeValidator:
    """Make a reader of plain digits within bounds."""

    def read(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return BeforeValidator(read)


def flag(value: str) -> bool:
    """Read yes or no in the usual words."""
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("must be true or false")
    return words[value.lower()]


def size(value: str) -> int:
    """Read a number of bytes such as `512m` or `2g`."""
    found = re.fullmatch(r"(\d{1,6})([kmg])b?", value.lower(), re.ASCII)
    count = 0 if found is None else int(found[1]) << {"k": 10, "m": 20, "g": 30}[found[2]]
    if not MIN_BOX_BYTES <= count <= MAX_BOX_BYTES:
        raise ValueError("must be an amount of memory like 512m or 2g, from 64m to 64g")
    return count


def cpus(value: str) -> float:
    """Read a share of processors such as `0.5` or `2`."""
    found = re.fullmatch(r"\d{1,3}(\.\d{1,2})?", value, re.ASCII)
    if not found or not MIN_CPUS <= float(value) <= MAX_CPUS:
        raise ValueError("must be a number of processors like 0.5 or 2")
    return float(value)


def engine_url(value: str) -> str:
    """Read where a container engine listens."""
    if value.startswith("ssh://"):
        raise ValueError(
            "must not be ssh://, over which no job can be followed; forward the engine's socket"
            " with `ssh -L /path/docker.sock:/var/run/docker.sock HOST` and name that"
        )
    if not re.fullmatch(r"(unix:///|tcp://|https?://)[!-~]+", value, re.ASCII):
        raise ValueError("must be like unix:///var/run/docker.sock or tcp://host:2376")
    return value


def one_of(*choices: str) -> BeforeValidator:
    """Make a reader of one of a few words, in capitals or not."""

    def read(value: str) -> str:
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}")

    return BeforeValidator(read)


def ids(pattern: str, expected: str) -> BeforeValidator:
    """Make a reader of comma-separated ids that tells each fault by its position."""

    def read(value: str) -> tuple[int, ...]:
        items = [item.strip() for item in value.split(",")]
        faults: list[str] = []
        for at, item in enumerate(items, start=1):
            if not item:
                faults.append(f"item {at} is empty")
            # Telegram's ids have at most 52 significant bits (Bot API, User and Chat).
            elif not re.fullmatch(pattern, item, re.ASCII) or abs(int(item)) >= 1 << 52:
                faults.append(f"item {at} is not one")
            elif (first := items.index(item) + 1) < at:
                faults.append(f"item {at} repeats item {first}")
        if faults:
            raise ValueError(f"must be {expected} separated by commas, but {', '.join(faults)}")
        return tuple(map(int, items))

    return BeforeValidator(read)


def url(value: str) -> str:
    """Read the address of a server; a user and a password may be in it, a query may not."""
    fault = "must be an address like https://host or http://host:port/path"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError(fault) from None  # the library's words hold the value
    if not usable or not re.fullmatch(r"[!-~]+", value) or "?" in value or "#" in value:
        raise ValueError(fault)
    if 0 < len(url_secret(value)) < MIN_SECRET_CHARS:
        raise ValueError(f"must have a password of at least {MIN_SECRET_CHARS} characters, or none")
    return value.rstrip("/")


def url_secret(value: str) -> str:
    """Return what an address gives away to whoever sees it: its password or lone user, or ''."""
    parts = urlsplit(value)
    return unquote(parts.password or parts.username or "")


def prices(value: str) -> tuple[Decimal, Decimal]:
    """Read `in,out`."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)\s*,\s*(\d{1,6}(?:\.\d{1,9})?)", value, re.ASCII)
    if not found:
        raise ValueError("must be two prices in USD per million tokens, like 2,10 or 0,0")
    return Decimal(found[1]), Decimal(found[2])


def usd(value: str) -> Decimal:
    """Read an amount of money."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,4})?", value, re.ASCII):
        raise ValueError("must be an amount in USD like 5 or 0.50")
    return Decimal(value)


def policy_entries(value: str) -> tuple[str, ...]:
    """Read `tool` or `tool:glob`, separated by commas; which tools there are is not known here."""
    items = tuple(item.strip() for item in value.split(","))
    for at, item in enumerate(items, start=1):
        if not re.fullmatch(r"(\*|[A-Za-z0-9_-]{1,64})(:[^\s]+)?", item):
            raise ValueError(
                "must be `tool` or `tool:glob` separated by commas, like"
                f" fetch_url:https://example.com/*, but item {at} is not"
            )
    return items


def model_ref(text: str | None, providers: Sequence[ProviderName]) -> ModelRef:
    """Say which provider is meant; a colon alone means nothing (`llama3:8b` is a name).

    Args:
        text: `model` or `provider:model`; `None` for the default model.
        providers: Those that have a key; the first is meant where nothing names another.
    """
    if text is None:
        return ModelRef(provider=providers[0], name=DEFAULT_MODELS[providers[0]])
    for provider in DEFAULT_MODELS:
        if text.startswith(f"{provider}:"):
            return ModelRef(provider=provider, name=text.removeprefix(f"{provider}:"))
    # With both keys, a model that is surely the other provider's names that provider.
    sure = (name for name in providers if text.startswith(FAMILIES[name]))
    return ModelRef(provider=next(sure, providers[0]), name=text)


def unknown(
    given: Iterable[str], known: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return warnings and problems about the given names that are no settings."""
    warnings: list[str] = []
    problems: list[str] = []
    for name in sorted(set(given).difference(known)):
        closed = next((prefix for prefix in CLOSED_PREFIXES if name.startswith(prefix)), None)
        if closed is not None:
            alike = [other for other in known if other.startswith(closed)]
            (near,) = get_close_matches(name, alike, n=1, cutoff=0.0)
            problems.append(f"{name} is no setting of this version: is {near} meant?")
        elif name.startswith(WATCHED_PREFIXES):
            nearest = min(known, key=partial(_edits, name))
            if _edits(name, nearest) <= NEAR:
                warnings.append(f"{name} is no setting of this version: is {nearest} meant?")
    return tuple(warnings), tuple(problems)


def _edits(one: str, other: str) -> int:
    """Count the letters to be changed, added or left out to make one name the other."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        corner, row[0] = row[0], at
        for to, wanted in enumerate(other, start=1):
            changed = corner + (letter != wanted)
            corner, row[to] = row[to], min(changed, row[to] + 1, row[to - 1] + 1)
    return row[-1]


def zone(text: str) -> str:
    """Read the name of a time zone."""
    try:
        return ZoneInfo(text).key
    except (KeyError, ValueError, OSError) as error:  # no such name, no name at all, a folder
        raise ValueError("must be an IANA name such as Europe/Berlin") from error


Flag = Annotated[bool, BeforeValidator(flag)]
Zone = Annotated[str, BeforeValidator(zone)]
Size = Annotated[int, BeforeValidator(size)]
Cpus = Annotated[float, BeforeValidator(cpus)]
EngineUrl = Annotated[str, BeforeValidator(engine_url)]
ImageName = Annotated[
    str, matching(r"[A-Za-z0-9][\w./:@-]{0,254}", "must be the name of a container image")
]
RuntimeName = Annotated[
    str, matching(r"[A-Za-z0-9][\w.-]{0,99}", "must be a runtime of the engine, like runsc")
]
Url = Annotated[str, BeforeValidator(url)]
Prices = Annotated[tuple[Decimal, Decimal], BeforeValidator(prices)]
BotToken = Annotated[
    SecretStr,
    matching(
        r"\d+:[A-Za-z0-9_-]{20,}",
        "does not look like a bot token; copy the whole of it from @BotFather",
    ),
]
ApiKey = Annotated[
    SecretStr,
    matching(
        rf"[!-~]{{{MIN_SECRET_CHARS},}}",
        f"must be at least {MIN_SECRET_CHARS} characters without spaces; for an own server"
        " that asks for no key, any such text does",
    ),
]
ChainKey = Annotated[SecretStr, matching(r"(?s).{32,}", "must be at least 32 characters")]
ModelName = Annotated[
    str, matching(r"(?!(anthropic|openai):$)[!-~]{1,200}", "must be `model` or `provider:model`")
]
Host = Annotated[
    str, matching(r"[A-Za-z0-9._:-]{1,253}", "must be an address or a name, without a port")
]
UserIds = Annotated[
    tuple[int, ...], ids(r"[1-9]\d{0,18}", "Telegram user ids (positive whole numbers)")
]
Usd = Annotated[Decimal, BeforeValidator(usd)]
HookSecret = Annotated[SecretStr, matching(r"(?s).{16,}", "must be at least 16 characters")]
ChatId = Annotated[int, matching(r"-?[1-9]\d{0,15}", "must be the id of a user or a group")]
BasePath = Annotated[
    str, matching(r"(/[A-Za-z0-9_-]{1,64}){1,4}", "must be a path of plain words like /hooks")
]
PolicyEntries = Annotated[tuple[str, ...], BeforeValidator(policy_entries)]
GroupIds = Annotated[
    tuple[int, ...], ids(r"-[1-9]\d{0,18}", "Telegram group ids (negative whole numbers)")
]
