"""Telegram's JSON, read without trust in its shape; and strings of others, made fit to keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Raw = Mapping[str, Any]

TEXT_CHARS = 40_000
"""More than any message holds; a rich one has up to 32,768."""
LINE_CHARS = 100

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def child(source: Raw, name: str) -> Raw:
    """Return an object inside another one; an empty one if there is none."""
    value = source.get(name)
    return value if isinstance(value, dict) else {}


def number(source: Raw, name: str) -> int | None:
    """Return a whole number, if that is what stands there."""
    value = source.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def clean(text: str) -> str:
    """Return a text without control characters, but for tabs and line ends, and bounded."""
    return _CONTROLS.sub("", text)[:TEXT_CHARS]


def line(value: object, limit: int = LINE_CHARS) -> str:
    """Return a name, or any short value, as one line."""
    text = "" if value is None else str(value)
    return " ".join(_CONTROLS.sub(" ", text).split())[:limit]


def person_name(person: Raw) -> str:
    """Return what a person calls themselves."""
    return line(" ".join(str(person.get(name) or "") for name in ("first_name", "last_name")))
