"""The three providers as tests use them, and a question to ask."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from assurebot.demo.model import ModelServer, Wire
from assurebot.ports import Provider
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.openai_chat import OpenAIChatProvider
from assurebot.providers.pricing import Prices
from assurebot.values import (
    Message,
    ModelRef,
    ModelRequest,
    TextPart,
    ToolSpec,
    Trace,
    UserMessage,
)

WIRES: tuple[Wire, ...] = ("anthropic", "responses", "chat")

KEY = "sk-made-up-0123456789"

ADD = ToolSpec(
    name="add",
    description="Add two numbers.",
    schema='{"type": "object", "properties": {"a": {"type": "number"}}}',
)


def prices() -> Prices:
    """One dollar per million input tokens, two per million output tokens."""
    return Prices(dict.fromkeys(("anthropic", "openai"), (Decimal(1), Decimal(2))))


def ref(wire: Wire) -> ModelRef:
    """A model that speaks this wire."""
    if wire == "anthropic":
        return ModelRef(provider="anthropic", name="claude-sonnet-5-5")
    return ModelRef(provider="openai", name="gpt-6.1-sol")


def said(*texts: str) -> UserMessage:
    """A user message of these parts."""
    return UserMessage(parts=tuple(TextPart(text=text) for text in texts))


def question(
    wire: Wire, *messages: Message, system: str = "", tools: tuple[ToolSpec, ...] = (ADD,)
) -> ModelRequest:
    """A request; without messages it says hello."""
    return ModelRequest(
        model=ref(wire),
        system=system,
        messages=messages or (said("hello"),),
        tools=tools,
        max_output_tokens=100,
        trace=Trace(user=42),
    )


@asynccontextmanager
async def provider(
    wire: Wire,
    url: str,
    *,
    read_seconds: float = 5.0,
    answer_seconds: float = 10.0,
    warm: bool = False,
) -> AsyncIterator[Provider]:
    """A provider of this wire at a server's address (without `/v1`)."""
    made: AnthropicProvider | OpenAIProvider | OpenAIChatProvider
    if wire == "anthropic":
        made = AnthropicProvider(
            KEY,
            prices=prices(),
            base_url=url,
            read_seconds=read_seconds,
            answer_seconds=answer_seconds,
        )
    else:
        account = OpenAIAccount(
            KEY,
            base_url=f"{url}/v1",
            read_seconds=read_seconds,
            answer_seconds=answer_seconds,
        )
        kind = OpenAIProvider if wire == "responses" else OpenAIChatProvider
        made = kind(account, prices=prices())
    if warm:
        await made.warm()
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def talk(server: ModelServer, wire: Wire) -> AsyncIterator[Provider]:
    """A provider of this wire at the stand-in, with short limits."""
    async with provider(wire, server.url, read_seconds=0.3, answer_seconds=5.0) as made:
        yield made


@asynccontextmanager
async def gateway(answer: bytes = b"") -> AsyncIterator[str]:
    """The address of a server that reads a request whole, writes this and hangs up."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


def ignore(_text: str) -> None:
    """Take no notice of the text."""
