"""One account at a model API behind its SDK: the client, its streams, and nothing unasked for."""

from __future__ import annotations

import asyncio
import gc
import importlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, Literal, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

from assurebot.errors import ProviderGarbled, ProviderUnavailable
from assurebot.providers.failures import translated

CONNECT_SECONDS = 5.0


def speaks_responses(base_url: str | None) -> bool:
    """Tell which wire to use: own servers imitate Chat Completions, most speak nothing else."""
    return base_url is None or urlsplit(base_url).hostname == "api.openai.com"


MAX_ANSWER_BYTES = 8 << 20
"""More than a transcript of a day, or than half an hour of speech, can have."""

Json = dict[str, Any]
T = TypeVar("T")


class Options(TypedDict, total=False):
    """What may be said of an account beside its key.

    Attributes:
        base_url: Another server's address than the provider's own.
        read_seconds: Limit between two pieces of the answer, 60 if left out.
        answer_seconds: Limit for the whole answer, keep-alives or not, 600 if left out.
    """

    base_url: str | None
    read_seconds: float
    answer_seconds: float


class Account(ABC):
    """Sends streaming requests; the SDK (up to 1 s to import) is loaded in a thread on first use.

    Proxies, headers and other settings that the SDK would read from the environment have no
    effect, and redirects are not followed: the key goes to `base_url` and nowhere else.

    The key is given explicitly, so that no profile file or other variable is picked up.
    """

    name: Literal["anthropic", "openai"]
    url: str

    def __init__(self, api_key: str, **options: Unpack[Options]) -> None:
        self._api_key = api_key
        self._base_url = options.get("base_url") or self.url
        self._read_seconds = options.get("read_seconds", 60.0)
        self._answer_seconds = options.get("answer_seconds", 600.0)
        self._lock = asyncio.Lock()
        self._client: Any = None

    @abstractmethod
    def connect(self, sdk: Any, **options: Any) -> Any:
        """Make the SDK's client, with the resources that will be used already imported."""

    async def warm(self) -> None:
        """Load the SDK and make the client, so that the first question need not wait for it."""
        async with self._lock:
            if self._client is None:
                self._client = await asyncio.to_thread(self._load)
                gc.freeze()  # an SDK's objects last; no later collection need look at them

    def _load(self) -> Any:
        httpx2 = importlib.import_module("httpx2")
        client = self.connect(
            importlib.import_module(self.name),
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._read_seconds, connect=CONNECT_SECONDS),
            http_client=httpx2.AsyncClient(trust_env=False, follow_redirects=False),
        )
        # Holds only what stood in *_CUSTOM_HEADERS; neither SDK has another way to refuse it.
        client._custom_headers = {}  # noqa: SLF001 - as said above
        return client

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def drive(self, resource: str, body: Json, take: Callable[[Json], None]) -> None:
        """Send a request and hand each event of the answer to `take`, until the stream ends.

        Raises:
            ProviderError: Any of the three; what `take` cannot read is garbled too.
        """
        await self.warm()
        opened = asyncio.Event()
        async with self._asking(opened):
            stream = await attrgetter(resource)(self._client).create(**body, stream=True)
            opened.set()
            async with stream:
                async for event in stream:
                    take(event.to_dict(mode="json", warnings=False))

    async def fetch(self, resource: str, body: Json, read: Callable[[bytes], T]) -> T:
        """Send a request and return what `read` makes of the whole answer.

        Raises:
            ProviderError: Any of the three; what `read` cannot read or is too large is garbled.
        """
        await self.warm()
        opened, answer = asyncio.Event(), bytearray()
        async with self._asking(opened):
            raw = attrgetter(resource)(self._client).with_streaming_response
            async with raw.create(**body) as response:
                opened.set()
                async for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > MAX_ANSWER_BYTES:
                        raise ProviderGarbled(f"{self.name}: the answer is too large")
            return read(bytes(answer))

    @asynccontextmanager
    async def _asking(self, opened: asyncio.Event) -> AsyncIterator[None]:
        """Limit and translate what is asked; `opened` is set once an answer has begun."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                yield
        except TimeoutError:
            late = f"{self.name}: no complete answer in time"
            raise ProviderUnavailable(late, begun=True) from None
        except Exception as error:
            known = translated(self.name, error, opened=opened.is_set())
            if known is None:
                raise
            raise known from error
