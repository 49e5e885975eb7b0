"""One account at OpenAI, or at a server that speaks like it: the client, its streams and errors."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

from assurebot.errors import ProviderError, ProviderGarbled, ProviderRejected, ProviderUnavailable
from assurebot.providers.failures import UNREADABLE, by_status, retry_after

URL = "https://api.openai.com/v1"

CODES: dict[str, type[ProviderError]] = {
    "rate_limit_exceeded": ProviderUnavailable,
    "server_error": ProviderUnavailable,
    "server_is_overloaded": ProviderUnavailable,
    "slow_down": ProviderUnavailable,
    "overloaded_error": ProviderUnavailable,
    # A 429 that no wait within a turn helps against.
    "insufficient_quota": ProviderRejected,
    "billing_hard_limit_reached": ProviderRejected,
    "billing_not_active": ProviderRejected,
    "context_length_exceeded": ProviderRejected,
    "invalid_api_key": ProviderRejected,
    "invalid_prompt": ProviderRejected,
    "invalid_request_error": ProviderRejected,
    "model_not_found": ProviderRejected,
}
"""By `code`, else by `type`; the status decides where both are missing or new."""

Json = dict[str, Any]
Opener = Callable[[Any], Any]
"""Given the client, begins a streaming request and returns what to wait for."""


class OpenAIAccount:
    """Sends streaming requests; the SDK (0.6 s to import) is loaded in a thread on first use.

    Args:
        api_key: Given explicitly, so that no other variable is picked up.
        base_url: With `/v1`; OpenAI's own if left out.
        connect_seconds: Limit for a connection.
        read_seconds: Limit between two pieces of the answer.
        answer_seconds: Limit for the whole answer, keep-alives or not.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        connect_seconds: float = 5.0,
        read_seconds: float = 90.0,
        answer_seconds: float = 600.0,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url or URL
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._answer_seconds = answer_seconds
        self._lock = asyncio.Lock()
        self._client: Any = None

    async def warm(self) -> None:
        """Load the SDK and make the client, so that the first question need not wait for it."""
        async with self._lock:
            if self._client is None:
                self._client = await asyncio.to_thread(self._connect)

    def _connect(self) -> Any:
        httpx2 = importlib.import_module("httpx2")
        sdk = importlib.import_module("openai")
        client = sdk.AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._read_seconds, connect=self._connect_seconds),
        )
        # Resources are imported on first access: here, not in the loop.
        _ = client.responses, client.chat.completions
        return client

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def drive(self, begin: Opener, take: Callable[[Json], None]) -> None:
        """Send a request and hand each event to `take`, until the stream ends.

        Raises:
            ProviderError: Any of the three; what `take` cannot read is garbled too.
        """
        await self.warm()
        opened = False
        try:
            async with asyncio.timeout(self._answer_seconds):
                stream = await begin(self._client)
                opened = True
                async with stream:
                    async for event in stream:
                        take(event.to_dict(mode="json", warnings=False))
        except TimeoutError:
            raise ProviderUnavailable("openai: no complete answer in time") from None
        except Exception as error:
            known = _translated(error, opened=opened)
            if known is None:
                raise
            raise known from error


def failed(code: str | None) -> ProviderError:
    """Make the error for a failure that the stream itself reports."""
    return CODES.get(code or "", ProviderGarbled)(_words("failed", code))


def _translated(error: Exception, *, opened: bool) -> ProviderError | None:
    """Map what the SDK and its HTTP client raise; `None` for what is neither's."""
    sdk = importlib.import_module("openai")
    httpx2 = importlib.import_module("httpx2")
    if isinstance(error, sdk.APIConnectionError):
        cut = opened and not isinstance(error, sdk.APITimeoutError)
        family: type[ProviderError] = ProviderGarbled if cut else ProviderUnavailable
        return family(f"openai: {type(error).__name__}")
    if isinstance(error, sdk.APIError):
        return _api_error(error)
    if isinstance(error, httpx2.TimeoutException):
        return ProviderUnavailable(f"openai: {type(error).__name__}")
    if isinstance(error, (sdk.OpenAIError, httpx2.HTTPError)):
        return ProviderGarbled(f"openai: {type(error).__name__}")
    if isinstance(error, UNREADABLE):
        return ProviderGarbled(f"openai: the answer cannot be read ({type(error).__name__})")
    return None


def _api_error(error: Any) -> ProviderError:
    response = getattr(error, "response", None)
    status = 200 if response is None else int(error.status_code)
    name = next((name for name in (error.code, error.type) if name in CODES), None)
    family = CODES[name] if name else by_status(status)
    wait = None if response is None else retry_after(response.headers)
    return family(_words(f"HTTP {status}", name), retry_after=wait)


def _words(what: str, name: str | None) -> str:
    # Only names from the table: other words of the body may quote the request.
    return f"openai: {what}" + (f" {name}" if name in CODES else "")
