"""What all model APIs have in common when they fail: HTTP statuses, waits, unreadable arguments."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from assurebot.errors import ProviderError, ProviderGarbled, ProviderRejected, ProviderUnavailable

FIRST_ERROR = 400
FIRST_SERVER_ERROR = 500
PASSING = frozenset({408, 409, 429})

UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError)
"""What reading an answer of a wrong shape raises."""


def by_status(status: int) -> type[ProviderError]:
    """Return the family of an HTTP status; below 400 the error came within a good answer."""
    if status < FIRST_ERROR:
        return ProviderGarbled
    if status in PASSING or status >= FIRST_SERVER_ERROR:
        return ProviderUnavailable
    return ProviderRejected


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the wait in seconds that a response demands, if it does so in a form we trust."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def as_object(arguments: str) -> dict[str, Any]:
    """Parse arguments of a call; APIs want an object back, so anything else is wrapped in one."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}
