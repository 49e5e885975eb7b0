"""Claude over the Anthropic Messages API, streaming, one account.

Facts of anthropic 2.10 behind this file: a stream that is cut in good order raises nothing;
failures in mid-stream are raw httpx2 errors, or a status error with status 200.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from assurebot.errors import ProviderError, ProviderGarbled, ProviderRejected, ProviderUnavailable
from assurebot.ports import OnText
from assurebot.providers.anthropic_wire import Answer, body_of
from assurebot.providers.failures import UNREADABLE, by_status, retry_after
from assurebot.providers.pricing import Prices
from assurebot.values import ModelRef, ModelReply, ModelRequest, Usage

URL = "https://api.anthropic.com"

TYPES: dict[str, type[ProviderError]] = {
    "rate_limit_error": ProviderUnavailable,
    "overloaded_error": ProviderUnavailable,
    "timeout_error": ProviderUnavailable,
    "api_error": ProviderUnavailable,
    "conflict_error": ProviderUnavailable,
    "invalid_request_error": ProviderRejected,
    "authentication_error": ProviderRejected,
    "billing_error": ProviderRejected,
    "permission_error": ProviderRejected,
    "not_found_error": ProviderRejected,
    "request_too_large": ProviderRejected,
}
"""By `error.type`; the status decides where it is missing or new."""


class AnthropicProvider:
    """Asks Claude models of one account.

    The SDK (1 s to import) is loaded in a thread on first use. Retries are left to the caller.

    Args:
        api_key: Given explicitly, so that no profile file or other variable is picked up.
        prices: What the tokens cost.
        base_url: A gateway's address, without `/v1`.
        connect_seconds: Limit for a connection.
        read_seconds: Limit between two pieces of the answer.
        answer_seconds: Limit for the whole answer, keep-alives or not.
    """

    def __init__(
        self,
        api_key: str,
        *,
        prices: Prices,
        base_url: str | None = None,
        connect_seconds: float = 5.0,
        read_seconds: float = 90.0,
        answer_seconds: float = 600.0,
    ) -> None:
        self._api_key = api_key
        self._prices = prices
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
        sdk = importlib.import_module("anthropic")
        client = sdk.AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._read_seconds, connect=self._connect_seconds),
            open_telemetry=False,
        )
        # Resources are imported on first access: here, not in the loop.
        _ = client.messages
        return client

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask once; see the port for the contract."""
        await self.warm()
        try:
            async with asyncio.timeout(self._answer_seconds):
                answer = await self._stream(request, on_text)
        except TimeoutError:
            raise ProviderUnavailable("anthropic: no complete answer in time") from None
        model = ModelRef(provider="anthropic", name=answer.model or request.model.name)
        tokens = answer.tokens
        cost = await self._prices.cost(model, tokens, asked=request.model)
        usage = Usage(input_tokens=tokens.input, output_tokens=tokens.output, cost_usd=cost)
        stop, message = answer.finish()
        return ModelReply(message=message, stop=stop, model=model, usage=usage)

    async def _stream(self, request: ModelRequest, on_text: OnText) -> Answer:
        answer = Answer(on_text)
        try:
            stream = await self._client.messages.create(**body_of(request), stream=True)
            async with stream:
                async for event in stream:
                    answer.take(event.to_dict(mode="json", warnings=False))
        except Exception as error:
            known = _translated(error)
            if known is None:
                raise
            raise known from error
        return answer


def _translated(error: Exception) -> ProviderError | None:
    """Map what the SDK and its HTTP client raise; `None` for what is neither's."""
    sdk = importlib.import_module("anthropic")
    httpx2 = importlib.import_module("httpx2")
    if isinstance(error, sdk.APIStatusError):
        return _status_error(error)
    if isinstance(error, (sdk.APIConnectionError, httpx2.TimeoutException)):
        return ProviderUnavailable(f"anthropic: {type(error).__name__}")
    if isinstance(error, (sdk.APIError, httpx2.HTTPError)):
        return ProviderGarbled(f"anthropic: {type(error).__name__}")
    if isinstance(error, UNREADABLE):
        return ProviderGarbled(f"anthropic: the answer cannot be read ({type(error).__name__})")
    return None


def _status_error(error: Any) -> ProviderError:
    status, kind, code = int(error.status_code), str(error.type), str(error.error_code or "")
    family = TYPES.get(kind) or by_status(status)
    if "spend_limit" in code:
        # Comes as a 429, but no wait within a turn helps.
        family = ProviderRejected
    # The words of the body stay out: they may quote the request.
    words = f"anthropic: HTTP {status}" + (f" {kind}" if kind in TYPES else "")
    return family(words, retry_after=retry_after(error.response.headers))
