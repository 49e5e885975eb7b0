"""How the name and the text of one environment variable are read.

Each reader raises `ValueError` with words that follow the variable's name ("must be ...") and
never hold its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BeforeValidator, SecretStr

from assurebot.values import ModelRef

ProviderName = Literal["anthropic", "openai"]

DEFAULT_MODELS: Mapping[ProviderName, str] = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-6.1-sol",
}

CLOSED_PREFIXES = (
    *("SANDBOX_", "WEBHOOK_", "WEBHOOKS_", "SCHEDULER_", "BUDGET_", "RATE_", "AUDIT_"),
    *("POLICY_", "APPROV", "ALLOWED_", "TRANSCRIBE_"),
)
"""An unknown name with one of these stops the start: a typo in it would open a door unseen."""

WATCHED_PREFIXES = ("TELEGRAM_", "OPENAI_", "ANTHROPIC_", "DATABASE_", "AI_")
"""Names with one of these may belong to other programs: only a near miss gives a warning."""

NEAR_LETTERS = 2

MIN_SECRET_CHARS = 8
"""Shorter secrets would not be redacted, so they are not accepted."""


def matching(pattern: str, otherwise: str) -> Callable[[str], str]:
    """Make a reader of text that matches as a whole."""

    def read(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(otherwise)
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Make a reader of plain digits within bounds."""

    def read(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a reader of one of a few words, in capitals or not."""

    def read(value: str) -> str:
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}")

    return read


def ids(pattern: str, expected: str) -> Callable[[str], tuple[int, ...]]:
    """Make a reader of comma-separated ids that tells each fault by its position."""

    def read(value: str) -> tuple[int, ...]:
        found: list[int | None] = []
        faults: list[str] = []
        for at, item in enumerate((part.strip() for part in value.split(",")), start=1):
            number = int(item) if re.fullmatch(pattern, item, re.ASCII) else None
            # Telegram's ids have at most 52 significant bits (Bot API, User and Chat).
            if number is None or abs(number) >= 1 << 52:
                faults.append(f"item {at} is {'not one' if item else 'empty'}")
            elif number in found:
                faults.append(f"item {at} repeats item {found.index(number) + 1}")
            found.append(number)
        if faults:
            raise ValueError(f"must be {expected} separated by commas, but {', '.join(faults)}")
        return tuple(number for number in found if number is not None)

    return read


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
    if 0 < len(_password(parts)) < MIN_SECRET_CHARS:
        raise ValueError(f"must have a password of at least {MIN_SECRET_CHARS} characters, or none")
    return value.rstrip("/")


def url_secret(value: str) -> str:
    """Return what an address gives away to whoever sees it: its password or lone user, or ''."""
    return _password(urlsplit(value))


def _password(parts: SplitResult) -> str:
    return unquote(parts.password or parts.username or "")


def prices(value: str) -> tuple[Decimal, Decimal]:
    """Read `in,out`."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)\s*,\s*(\d{1,6}(?:\.\d{1,9})?)", value, re.ASCII)
    if not found:
        raise ValueError("must be two prices in USD per million tokens, like 2,10 or 0,0")
    return Decimal(found[1]), Decimal(found[2])


def model_ref(
    text: str | None, providers: Sequence[ProviderName], first: ProviderName | None = None
) -> ModelRef:
    """Say which provider is meant; a colon alone means nothing (`llama3:8b` is a name)."""
    first = first or providers[0]
    if text is None:
        return ModelRef(provider=first, name=DEFAULT_MODELS[first])
    for provider in DEFAULT_MODELS:
        if text.startswith(f"{provider}:"):
            return ModelRef(provider=provider, name=text.removeprefix(f"{provider}:"))
    # With both keys, a model that is surely the other provider's names that provider.
    families: Mapping[ProviderName, str] = {"anthropic": "claude-", "openai": "gpt-"}
    for provider in providers:
        if text.startswith(families[provider]):
            return ModelRef(provider=provider, name=text)
    return ModelRef(provider=first, name=text)


def edits(one: str, other: str) -> int:
    """Count the letters to add, drop or change to turn one name into the other."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        above, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
    return row[-1]


def unknown(given: Iterable[str], known: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return warnings and problems about the given names that are no settings."""
    warnings: list[str] = []
    problems: list[str] = []
    for name in sorted(set(given).difference(known)):
        closed = next((prefix for prefix in CLOSED_PREFIXES if name.startswith(prefix)), None)
        near = sorted((edits(name, other), other) for other in known)
        if closed is not None:
            alike = [other for _, other in near if other.startswith(closed)]
            hint = f"is {alike[0]} meant?" if alike else f"none begins with {closed}; remove it"
            problems.append(f"{name} is no setting of this version: {hint}")
        elif name.startswith(WATCHED_PREFIXES) and near[0][0] <= NEAR_LETTERS:
            warnings.append(f"{name} is no setting of this version: is {near[0][1]} meant?")
    return tuple(warnings), tuple(problems)


Url = Annotated[str, BeforeValidator(url)]
BotToken = Annotated[
    SecretStr,
    BeforeValidator(
        matching(
            r"\d+:[A-Za-z0-9_-]{20,}",
            "does not look like a bot token; copy the whole of it from @BotFather",
        )
    ),
]
ApiKey = Annotated[
    SecretStr,
    BeforeValidator(
        matching(
            rf"[!-~]{{{MIN_SECRET_CHARS},}}",
            f"must be at least {MIN_SECRET_CHARS} characters without spaces; for an own server"
            " that asks for no key, any such text does",
        )
    ),
]
ModelName = Annotated[
    str,
    BeforeValidator(
        matching(r"(?!(anthropic|openai):$)[!-~]{1,200}", "must be `model` or `provider:model`")
    ),
]
UserIds = Annotated[
    tuple[int, ...],
    BeforeValidator(ids(r"[1-9]\d{0,18}", "Telegram user ids (positive whole numbers)")),
]
GroupIds = Annotated[
    tuple[int, ...],
    BeforeValidator(ids(r"-[1-9]\d{0,18}", "Telegram group ids (negative whole numbers)")),
]
ChainKey = Annotated[
    SecretStr, BeforeValidator(matching(r"(?s).{32,}", "must be at least 32 characters"))
]
Host = Annotated[
    str,
    BeforeValidator(
        matching(r"[A-Za-z0-9._:-]{1,253}", "must be an address or a name, without a port")
    ),
]
Prices = Annotated[tuple[Decimal, Decimal], BeforeValidator(prices)]
