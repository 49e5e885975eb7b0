"""Telegram's updates, read: who and where first, the content only of accepted ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from telegram import CallbackQuery, Message, MessageEntity

from assurebot.turns.intake import Arrival
from assurebot.values import OWNER, Event, EventKind, Person, Place, TextPart, untrusted

ALLOWED_UPDATES = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_connection",
    "business_message",
    "edited_business_message",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "message_reaction",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "poll_answer",
    "stopped_message_generation",
)
"""Every kind that carries a person: each passes the gate, and a stranger's is recorded."""

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Self:
    """The bot's own identity."""

    user_id: int
    username: str


def arrival(raw: Raw, me: Self, now: datetime) -> Arrival:
    """Find who caused an update, by ids alone; whatever shape it has, this does not raise."""
    text = json.dumps(raw, separators=(",", ":"))
    if "\\ud" in text:  # perhaps half of a surrogate pair, which nothing can store
        raw = _sound(raw)
    what = next((key for key in raw if key != "update_id"), "nothing")
    body = _object(raw, what)
    message = _object(body, "message") if what == "callback_query" else body
    chat = _object(message, "chat")
    sender = _sender(body)
    chat_id, user_id = _number(chat, "id"), _number(sender, "id")
    kind = _chat_kind(chat.get("type"))
    if what == "stopped_message_generation" and kind == "private":
        user_id = chat_id  # it names no sender; in private both are the same number
    names = (sender.get(name) for name in ("first_name", "last_name"))
    key = _key(what, raw, body, chat_id)
    return Arrival(
        source="telegram",
        key=key,
        what=what,
        raw=text,
        received_at=now,
        user_id=user_id,
        chat_id=chat_id,
        chat_kind=kind,
        name=" ".join(str(name) for name in names if name),
        read=partial(_read, body, what, key, me, now),
    )


def _sound(value: Any) -> Any:
    """Return the same structure with lone surrogates replaced."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_sound(key): _sound(each) for key, each in value.items()}
        case list():
            return [_sound(each) for each in value]
        case _:
            return value


def _object(source: Raw, name: str) -> Raw:
    value = source.get(name)
    return value if isinstance(value, dict) else {}


def _sender(body: Raw) -> Raw:
    """Return the person; whoever speaks as a chat (channel, anonymous admin) is none."""
    if body.get("sender_chat") or body.get("actor_chat"):
        return {}
    return _object(body, "from") or _object(body, "user")


def _number(source: Raw, name: str) -> int | None:
    value = source.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _chat_kind(kind: object) -> Literal["private", "group", "channel", "none"]:
    match kind:
        case "private":
            return "private"
        case "group" | "supergroup":
            return "group"
        case "channel":
            return "channel"
        case _:
            return "none"


def _key(what: str, raw: Raw, body: Raw, chat_id: int | None) -> str:
    """Name what happened, so that the same message under another update id is the same event."""
    message_id = _number(body, "message_id")
    if what == "message" and message_id is not None:
        return f"message:{chat_id}:{message_id}"
    if what == "edited_message" and message_id is not None:
        return f"edit:{chat_id}:{message_id}:{body.get('edit_date')}"
    if what == "callback_query":
        return f"press:{body.get('id')}"
    return f"update:{raw.get('update_id')}"


def _read(body: Raw, what: str, key: str, me: Self, now: datetime) -> Event | None:
    match what:
        case "message":
            return _message(Message.de_json(dict(body), None), key, me, now)
        case "edited_message":
            message = Message.de_json(dict(body), None)
            if not _addressed(message, me):
                return None
            return _event(message, "unsupported", key, now, "an edited message")
        case "callback_query":
            return _press(CallbackQuery.de_json(dict(body), None), key, now)
        case "stopped_message_generation":
            chat = body["chat"]
            return Event(
                source="telegram",
                key=key,
                kind="command",
                actor=Person(user_id=chat["id"], name=chat.get("first_name", "")),
                place=Place(chat_id=chat["id"]),
                received_at=now,
                command="stop",
            )
        case _:
            return None


def _press(query: CallbackQuery, key: str, now: datetime) -> Event | None:
    if query.message is None or not query.data:
        return None
    thread = getattr(query.message, "message_thread_id", None)
    private = query.message.chat.type == "private"
    return Event(
        source="telegram",
        key=key,
        kind="press",
        actor=Person(user_id=query.from_user.id, name=query.from_user.full_name),
        place=Place(chat_id=query.message.chat.id, thread_id=thread, private=private),
        received_at=now,
        press=query.data,
        message_id=query.message.message_id,
    )


def _message(message: Message, key: str, me: Self, now: datetime) -> Event | None:
    if not _addressed(message, me):
        return None
    text = message.text or message.caption or ""
    command = _command(message, me)
    if command is not None:
        name, rest = command
        return replace(_event(message, "command", key, now, rest), command=name)
    attachment = _attachment(message)
    if not text:
        if attachment is None and message.api_kwargs:
            attachment = "a message of a newer kind"
        return None if attachment is None else _event(message, "unsupported", key, now, attachment)
    event = _event(message, "message", key, now, _without_mention(text, me))
    parts = list(event.parts)
    if message.forward_origin is not None:
        parts = [TextPart(text=text, label=untrusted("forwarded message"))]
    quoted = _quoted(message, me)
    if quoted is not None:
        parts.insert(0, quoted)
    if attachment is not None:
        parts.append(TextPart(text=f"(With {attachment}, which cannot be read yet.)"))
    return replace(event, parts=tuple(parts))


def _event(message: Message, kind: EventKind, key: str, now: datetime, text: str) -> Event:
    person = message.from_user
    if person is None:
        raise ValueError("an accepted message without a sender")
    thread = message.message_thread_id if message.is_topic_message else None
    return Event(
        source="telegram",
        key=key,
        kind=kind,
        actor=Person(user_id=person.id, name=person.full_name),
        place=Place(
            chat_id=message.chat.id, thread_id=thread, private=message.chat.type == "private"
        ),
        received_at=now,
        parts=(TextPart(text=text),) if text else (),
        message_id=message.message_id,
    )


def _addressed(message: Message, me: Self) -> bool:
    """Tell whether a message is meant for us: all in private; in groups by name or reply."""
    if message.chat.type == "private":
        return True
    reply = message.reply_to_message
    if reply is not None and reply.from_user is not None and reply.from_user.id == me.user_id:
        return True
    text = message.text or message.caption or ""
    named = re.search(rf"@{re.escape(me.username)}\b", text, re.IGNORECASE)
    return named is not None or _command(message, me) is not None


def _command(message: Message, me: Self) -> tuple[str, str] | None:
    """Return a command's name and the words after it; forwarded commands are only text."""
    text = message.text or ""
    first = message.entities[0] if message.entities else None
    if first is None or first.type != MessageEntity.BOT_COMMAND or first.offset != 0:
        return None
    if message.forward_origin is not None:
        return None
    name, _, target = text[1 : first.length].partition("@")
    if target and target.lower() != me.username.lower():
        return None
    return name.lower(), text[first.length :].strip()


def _without_mention(text: str, me: Self) -> str:
    start = f"@{me.username}"
    rest = text[len(start) :].lstrip(" ,:") if text.lower().startswith(start.lower()) else ""
    return rest or text


def _quoted(message: Message, me: Self) -> TextPart | None:
    """Return what the reply is to, if these are not our own words: history has those."""
    if message.quote is not None:
        return TextPart(text=message.quote.text, label=untrusted("quoted message"))
    reply = message.reply_to_message
    if reply is None or (reply.from_user is not None and reply.from_user.id == me.user_id):
        return None
    text = reply.text or reply.caption
    own = reply.from_user == message.from_user and reply.forward_origin is None
    label = OWNER if own else untrusted("quoted message")
    return None if not text else TextPart(text=text, label=label)


ATTACHMENTS = {
    "photo": "a photo",
    "voice": "a voice message",
    "audio": "an audio file",
    "video": "a video",
    "video_note": "a video message",
    "animation": "an animation",
    "document": "a document",
    "sticker": "a sticker",
    "contact": "a contact",
    "location": "a location",
    "venue": "a venue",
    "poll": "a poll",
    "dice": "dice",
    "story": "a story",
    "game": "a game",
    "paid_media": "paid media",
    "checklist": "a checklist",
}


def _attachment(message: Message) -> str | None:
    """Name what a message carries beside text; `None` for plain text and service messages."""
    found = (words for name, words in ATTACHMENTS.items() if getattr(message, name, None))
    return next(found, None)
