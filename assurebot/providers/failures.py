"""What goes wrong at a model API, translated once: kinds of errors, statuses, broken streams."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from assurebot.errors import ProviderError, ProviderGarbled, ProviderRejected, ProviderUnavailable

KINDS: dict[str, type[ProviderError]] = {
    "api_error": ProviderUnavailable,
    "conflict_error": ProviderUnavailable,
    "overloaded_error": ProviderUnavailable,
    "rate_limit_error": ProviderUnavailable,
    "rate_limit_exceeded": ProviderUnavailable,
    "server_error": ProviderUnavailable,
    "server_is_overloaded": ProviderUnavailable,
    "slow_down": ProviderUnavailable,
    "timeout_error": ProviderUnavailable,
    "authentication_error": ProviderRejected,
    "context_length_exceeded": ProviderRejected,
    "invalid_api_key": ProviderRejected,
    "invalid_prompt": ProviderRejected,
    "invalid_request_error": ProviderRejected,
    "model_not_found": ProviderRejected,
    "not_found_error": ProviderRejected,
    "permission_error": ProviderRejected,
    "request_too_large": ProviderRejected,
    # The money is used up: a 429 that no wait within a turn helps against.
    "billing_error": ProviderRejected,
    "billing_hard_limit_reached": ProviderRejected,
    "billing_not_active": ProviderRejected,
    "insufficient_quota": ProviderRejected,
}
"""By `code`, else by `type`; the status decides where both are missing or new."""

GOOD = 200
FIRST_BAD = 300
FIRST_SERVER_ERROR = 500
PASSING = frozenset({408, 409, 429})

UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer of a wrong shape raises."""


def translated(provider: str, error: Exception, *, opened: bool) -> ProviderError | None:
    """Map what an SDK and its HTTP client raise; `None` for what is neither's.

    Args:
        provider: Also the name of the SDK's package.
        error: What was raised.
        opened: The answer had begun, so a lost connection has cut it.
    """
    sdk = importlib.import_module(provider)
    httpx2 = importlib.import_module("httpx2")
    words = f"{provider}: {type(error).__name__}"
    if isinstance(error, (sdk.APIConnectionError, httpx2.HTTPError)):
        late = isinstance(error, (sdk.APITimeoutError, httpx2.TimeoutException))
        if opened and not late:
            return ProviderGarbled(words)
        # Once anything was sent it may be at work on that, and it may have to be paid for.
        unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
        begun = opened or not isinstance(error.__cause__ or error, unsent)
        return ProviderUnavailable(words, begun=begun)
    if isinstance(error, sdk.APIError):
        return _refusal(provider, error, opened=opened)
    if isinstance(error, UNREADABLE):
        return ProviderGarbled(f"{provider}: the answer cannot be read ({type(error).__name__})")
    return None


def reported(
    words: str,
    *names: str,
    status: int = GOOD,
    retry_after: float | None = None,
    begun: bool = True,
) -> ProviderError:
    """Make the error that a provider itself tells of, by the first name in the table.

    Names that are not in it stay out of the text: they may quote the request. It is told within
    an answer, unless `begun` says that it was told instead of one.
    """
    kind = next((name for name in names if name in KINDS), None)
    family = KINDS[kind] if kind else _by_status(status)
    return family(f"{words} {kind}" if kind else words, retry_after=retry_after, begun=begun)


def _refusal(provider: str, error: Any, *, opened: bool) -> ProviderError:
    response = getattr(error, "response", None)
    status = GOOD if response is None else int(response.status_code)
    told = reported(
        f"{provider}: HTTP {status}",
        *(str(getattr(error, attribute, None)) for attribute in ("code", "type")),
        status=status,
        retry_after=None if response is None else _retry_after(response.headers),
        begun=opened,
    )
    if "spend_limit" in str(getattr(error, "error_code", None)):
        return ProviderRejected(
            str(told), begun=opened
        )  # Anthropic's way to say that the money is used up
    return told


def _by_status(status: int) -> type[ProviderError]:
    if status < FIRST_BAD:
        return ProviderGarbled  # an error of a new kind within a good answer
    if status in PASSING or status >= FIRST_SERVER_ERROR:
        return ProviderUnavailable
    return ProviderRejected


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
