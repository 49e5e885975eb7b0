"""A model that does whatever the newest words say, and what comes of it: for tests of the gate."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from typing import Any

from assurebot.demo.model import Ask, Call, Turn
from assurebot.demo.telegram_chats import SentMessage
from assurebot.parts import Parts
from assurebot.values import Fetched, FetchLimits, Page
from tests.scripts import COLD_SECONDS
from tests.world import OWNER, World, quick

ASKS = "asks"
FRAME = re.compile(r"<<<untrusted (\w+) ([a-z ]+)>>>\n(.*?)\n<<<end \1>>>", re.DOTALL)
"""Key, origin and content."""
SOURCE = re.compile(r"^\(Forwarded from user Somebody, [\d-]{10} \d\d:\d\d UTC\)\n", re.MULTILINE)


def do(tool: str, **arguments: Any) -> str:
    """Return words that have the model make this call; several, line by line, make one answer."""
    return f"do {tool} {json.dumps(arguments)}"


def obeying(ask: Ask) -> Turn:
    """Make the calls that the newest words name, one answer for each " then "; tell what came."""
    answers = [
        re.findall(r"\bdo (\w+) (\{.*\})$", step, re.MULTILINE)
        for step in ask.last_user_text.split(" then ")
    ]
    done = 0
    for calls in answers:
        if done == len(ask.tool_results) and calls:
            return Turn(calls=tuple(Call(name=name, arguments=args) for name, args in calls))
        done += len(calls)
    return Turn(text=f"It gave: {ask.tool_results[-1]}" if ask.tool_results else "Noted.")


async def question(world: World, after: int, chat_id: int = OWNER) -> SentMessage:
    """Wait for a message with buttons."""
    return await world.meanwhile(
        world.telegram.wait_for_message(
            chat_id, lambda sent: bool(sent.buttons), after=after, timeout_seconds=COLD_SECONDS
        )
    )


async def outcome(world: World, after: int, chat_id: int = OWNER) -> str:
    """Wait until a turn asks, or tells what its last call gave."""
    sent = await world.meanwhile(
        world.telegram.wait_for_message(
            chat_id,
            lambda sent: bool(sent.buttons) or "It gave: " in sent.text,
            after=after,
            timeout_seconds=COLD_SECONDS,
        )
    )
    return ASKS if sent.buttons else sent.text.partition("It gave: ")[2]


def seen(world: World) -> str:
    """Return the conversation that the model was shown last, each piece of text on lines of own."""
    found: list[str] = []
    for message in world.model.requests[-1].raw["messages"]:
        blocks = message["content"]
        for block in [{"text": blocks}] if isinstance(blocks, str) else blocks:
            inner = block.get("content", block.get("text", ""))
            found += [inner] if isinstance(inner, str) else [each["text"] for each in inner]
    return "\n".join(found)


def frames(world: World) -> list[tuple[str, str]]:
    """Return origin and content of each frame that the model was shown last.

    Of a forward, that is without the line on where it comes from; the end of a frame around a
    picture is a part of its own, with a line break before it.
    """
    found = FRAME.findall(seen(world))
    return [(origin, SOURCE.sub("", text).removesuffix("\n")) for _, origin, text in found]


class Pages:
    """A `Fetcher` for which every page is there, and says the same.

    Attributes:
        fetched: The URLs, in order.
    """

    def __init__(self, text: str = "PAGE-WORDS") -> None:
        self.fetched: list[str] = []
        self._text = text

    async def get(self, url: str, limits: FetchLimits) -> Fetched:
        """Give the bytes."""
        del limits
        self.fetched.append(url)
        return Fetched(url=url, status=200, content_type="text/plain", body=self._text.encode())

    async def read(self, url: str, chars: int) -> Page:
        """Give the text."""
        self.fetched.append(url)
        text = self._text[:chars]
        return Page(url=url, status=200, content_type="text/html", title="", text=text, cut=False)


def with_pages(pages: Pages, **fields: Any) -> Parts:
    """Return the quick parts with these pages."""
    return quick(fetcher=lambda **_: nullcontext(pages), **fields)
