"""Telegram's updates, read: who and where first, the content only of accepted ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from assurebot.telegram.raw import Raw, child, number, person_name
from assurebot.telegram.reading import Albums, Self, read_message, replied
from assurebot.turns.intake import Arrival
from assurebot.values import Event, Person, Place

ALLOWED_UPDATES = (
    *("message", "edited_message", "channel_post", "edited_channel_post"),
    *("business_connection", "business_message", "edited_business_message"),
    *("inline_query", "chosen_inline_result", "callback_query", "message_reaction"),
    *("my_chat_member", "chat_member", "chat_join_request"),
    *("poll_answer", "stopped_message_generation"),
)
"""Every kind that carries a person: each passes the gate, and a stranger's is recorded."""

_CHAT_KINDS: Mapping[str, Literal["private", "group", "channel", "none"]] = {
    "private": "private",
    "group": "group",
    "supergroup": "group",
    "channel": "channel",
}


def arrival(raw: Raw, me: Self, now: datetime, albums: Albums) -> Arrival:
    """Find who caused an update, by ids alone; whatever shape it has, this does not raise."""
    text = json.dumps(raw, separators=(",", ":"))
    raw = _sound(raw, text)
    what = next((key for key in raw if key != "update_id"), "nothing")
    body = child(raw, what)
    message = child(body, "message") if what == "callback_query" else body
    chat = child(message, "chat")
    chat_id, kind = number(chat, "id"), _CHAT_KINDS.get(str(chat.get("type")), "none")
    sender = _sender(what, body, chat)
    user_id, name = number(sender, "id"), person_name(sender)
    key = _key(what, raw, body, chat_id)

    def read() -> Event | None:
        if user_id is None or chat_id is None:
            return None
        thread = number(message, "message_thread_id") if message.get("is_topic_message") else None
        event = Event(
            source="telegram",
            key=key,
            kind="unsupported",
            actor=Person(user_id=user_id, name=name),
            place=Place(chat_id=chat_id, thread_id=thread, private=kind == "private"),
            received_at=now,
            message_id=number(message, "message_id"),
            reply_to=replied(message, me),
        )
        return _read(event, what, body, me, albums)

    return Arrival(
        source="telegram",
        key=key,
        what=what,
        raw=text,
        received_at=now,
        user_id=user_id,
        chat_id=chat_id,
        chat_kind=kind,
        name=name,
        read=read,
    )


def _sound(raw: Raw, text: str) -> Raw:
    """Replace halves of surrogate pairs, which nothing can store."""
    if "\\ud" in text:
        whole = json.dumps(raw, ensure_ascii=False).encode("utf-16", "surrogatepass")
        raw = json.loads(whole.decode("utf-16", "replace"))
    return raw


def _sender(what: str, body: Raw, chat: Raw) -> Raw:
    """Return the person; whoever speaks as a chat (channel, anonymous admin) is none."""
    if what == "stopped_message_generation" and chat.get("type") == "private":
        return chat  # it names no sender; in private both are the same
    if body.get("sender_chat") or body.get("actor_chat"):
        return {}
    return child(body, "from") or child(body, "user")


def _key(what: str, raw: Raw, body: Raw, chat_id: int | None) -> str:
    """Name what happened, so that the same message under another update id is the same event."""
    message_id = number(body, "message_id")
    if what == "message" and message_id is not None:
        return f"message:{chat_id}:{message_id}"
    if what == "edited_message" and message_id is not None:
        return f"edit:{chat_id}:{message_id}:{body.get('edit_date')}:{raw.get('update_id')}"
    if what == "callback_query":
        return f"press:{body.get('id')}"
    return f"update:{raw.get('update_id')}"


def _read(event: Event, what: str, body: Raw, me: Self, albums: Albums) -> Event | None:
    """Complete an event that has who, where and when."""
    match what:
        case "message":
            return read_message(event, body, me, albums)
        case "edited_message" if "location" not in body:  # one that is live changes by itself
            former = f"message:{event.place.chat_id}:{event.message_id}"
            return read_message(replace(event, kind="edit", press=former), body, me, albums)
        case "callback_query" if press := body.get("data"):
            return replace(event, kind="press", press=str(press))
        case "stopped_message_generation":
            return replace(event, kind="command", command="stop")
        case _:
            return None
