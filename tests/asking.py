"""What tests of approvals share: a tool to be approved, a model that wants it, and presses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from assurebot.demo.model import Ask, Call, Script, Turn
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_people import Person
from tests.doubles import CallingTool
from tests.scripts import LIMIT_SECONDS
from tests.world import OWNER, World

APPROVE, DENY, AFRESH = "✅ Approve", "❌ Deny", "🧹 Without earlier content"
PENDING = "⏳ #"
"""Stands before each call that waits for a press, whoever may give it."""

TOLD_AFRESH = "Running it again without earlier content."
URL = "https://there.example/in"
POST = Call(name="post", arguments='{"url": "https://there.example/in", "body": "hello"}')

STORED = '{"body":"hello","url":"https://there.example/in"}'
"""The arguments of `POST` as they are judged, shown and executed."""


async def _posted(_arguments: str) -> str:
    return "posted"


def poster(**spec: Any) -> CallingTool:
    """Make a tool that sends to a URL, so that a tainted turn has to ask for it."""
    given = {"name": "post", "effect": "outward", "destinations": ("url",), "result_label": "owner"}
    return CallingTool(_posted, **{**given, **spec})


def wanting(*calls: Call, said: str = "") -> Script:
    """Make these calls at each "please", then tell what they gave; echo all else."""

    def script(ask: Ask) -> Turn:
        if ask.tool_results:
            return Turn(text=f"It gave: {' | '.join(ask.tool_results)}")
        if "please" in ask.last_user_text:
            return Turn(text=said, calls=calls or (POST,))
        return Turn(text=f"Echo: {ask.last_user_text}")

    return script


async def question(
    world: World, chat_id: int = OWNER, *, after: int = 0, contains: str = PENDING
) -> SentMessage:
    """Wait for the message with what waits for a press."""
    return await world.answer(chat_id, contains, after=after)


async def read_news(world: World) -> None:
    """Have the owner forward something that the model only repeats."""
    world.owner.forward("news from outside")
    await world.answer(contains="Echo")


async def asked(world: World, by: Person | None = None) -> SentMessage:
    """Have somebody forward what makes the model call, and wait for the question."""
    person = by or world.owner
    return await question(world, person.user_id, after=person.forward("please"))


async def becomes(world: World, message: SentMessage, contains: str) -> SentMessage:
    """Wait until a message has been written over with this."""
    return await world.meanwhile(
        world.telegram.wait_for_message(
            message.chat_id,
            lambda now: now.message_id == message.message_id,
            contains=contains,
            timeout_seconds=LIMIT_SECONDS,
        )
    )


async def toast(world: World, query: str) -> str | None:
    """Wait until a press was answered; return the note."""
    await world.meanwhile(
        world.telegram.wait_for(
            "answerCallbackQuery",
            lambda call: call.params.get("callback_query_id") == query,
            timeout_seconds=LIMIT_SECONDS,
        )
    )
    return world.telegram.toast(query)


async def press(
    world: World, message: SentMessage, label: str, by: Person | None = None
) -> str | None:
    """Press a button as it stands now; return the note that answers it."""
    person = by or world.owner
    return await toast(world, person.press(message.message_id, label, message.chat_id))


async def forge(world: World, message: SentMessage, data: str, by: Person) -> str | None:
    """Send a button's data as if it stood under a message of the person's private chat."""
    return await toast(world, by.press_data(message.message_id, data, by.user_id))


def lapse(world: World) -> None:
    """Let the time of all that waits be over; the program does not find out by this alone."""
    world.rows("UPDATE approvals SET body = json_set(body, '$.expires_at', '2020-01-01T00:00:00Z')")


async def finds(world: World, query: str, *rows: tuple[Any, ...]) -> None:
    """Wait until the database answers so; nothing tells of it by itself."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while world.rows(query) != [*rows]:
            await world.meanwhile(asyncio.sleep(0.05))


def data_of(message: SentMessage, label: str) -> str:
    """Return what a button sends."""
    return next(button.id for button in message.buttons if button.label == label)


def labels(message: SentMessage) -> Sequence[str]:
    """Return what stands on the buttons."""
    return [button.label for button in message.buttons]


def told(world: World, action: str) -> list[tuple[str | None, int | None]]:
    """Return target and approver of the audit's lines about approvals with this action.

    A decision by a press has a second line, which is left out here: see `ends`.
    """
    lines = world.audit(type="approval", action=action)
    lines = [line for line in lines if line.get("phase") != "result"]
    return [(line.get("target"), line.get("approved_by")) for line in lines]


def ends(world: World, action: str) -> list[tuple[str, str]]:
    """Return type and result of what closes the intents of decisions with this action."""
    intents = {each["seq"] for each in world.audit(type="approval", action=action, phase="intent")}
    lines = [line for line in world.audit() if line.get("closes") in intents]
    assert sorted(line["closes"] for line in lines) == sorted(intents)
    return [(line["type"], line["result"]) for line in lines]


def results(world: World) -> list[str]:
    """Return all results of tools that the model was ever told, in order."""
    return [text for ask in world.model.requests for text in ask.tool_results]
