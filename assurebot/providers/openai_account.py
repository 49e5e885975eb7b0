"""One account at OpenAI, or at a server that speaks like it, for both of its wires."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from assurebot.providers.account import Account, Json
from assurebot.providers.pricing import Tokens


class OpenAIAccount(Account):
    """See `Account`; `base_url` is given with its `/v1`.

    Attributes:
        resources: What will be used of the SDK.
    """

    name = "openai"
    url = "https://api.openai.com/v1"
    resources: tuple[str, ...] = ("responses", "chat.completions")

    def connect(self, sdk: Any, **options: Any) -> Any:
        """See `Account`; the account is the key's, whatever the environment says."""
        client = sdk.AsyncOpenAI(**options)
        client.organization = client.project = None
        _ = attrgetter(*self.resources)(client)
        return client


def tokens_of(usage: Json, asked: str, said: str) -> Tokens:
    """Read a report of the use; `asked` and `said` are what this wire calls its two sides."""
    details = usage.get(f"{asked}_details") or {}
    return Tokens(
        input=usage.get(asked) or 0,
        output=usage.get(said) or 0,
        cache_read=details.get("cached_tokens") or 0,
        cache_write=details.get("cache_write_tokens") or 0,
    )
