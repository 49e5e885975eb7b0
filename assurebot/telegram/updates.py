"""Telegram's updates, read: who and where first, the content only of accepted ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from telegram import Message, MessageEntity

from assurebot.agent.report import fence_for
from assurebot.turns.intake import Arrival
from assurebot.values import OWNER, Event, Person, Place, TextPart, untrusted

ALLOWED_UPDATES = (
    *("message", "edited_message", "channel_post", "edited_channel_post"),
    *("business_connection", "business_message", "edited_business_message"),
    *("inline_query", "chosen_inline_result", "callback_query", "message_reaction"),
    *("my_chat_member", "chat_member", "chat_join_request"),
    *("poll_answer", "stopped_message_generation"),
)
"""Every kind that carries a person: each passes the gate, and a stranger's is recorded."""

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Self:
    """The bot's own identity."""

    user_id: int
    username: str


_CHAT_KINDS: Mapping[str, Literal["private", "group", "channel", "none"]] = {
    "private": "private",
    "group": "group",
    "supergroup": "group",
    "channel": "channel",
}


def arrival(raw: Raw, me: Self, now: datetime) -> Arrival:
    """Find who caused an update, by ids alone; whatever shape it has, this does not raise."""
    text = json.dumps(raw, separators=(",", ":"))
    raw = _sound(raw, text)
    what = next((key for key in raw if key != "update_id"), "nothing")
    body = _object(raw, what)
    message = _object(body, "message") if what == "callback_query" else body
    chat = _object(message, "chat")
    chat_id, kind = _number(chat, "id"), _CHAT_KINDS.get(str(chat.get("type")), "none")
    sender = _sender(what, body, chat)
    user_id, name = _number(sender, "id"), _name(sender)
    key = _key(what, raw, body, chat_id)

    def read() -> Event | None:
        if user_id is None or chat_id is None:
            return None
        thread = _number(message, "message_thread_id") if message.get("is_topic_message") else None
        event = Event(
            source="telegram",
            key=key,
            kind="unsupported",
            actor=Person(user_id=user_id, name=name),
            place=Place(chat_id=chat_id, thread_id=thread, private=kind == "private"),
            received_at=now,
            message_id=_number(message, "message_id"),
            reply_to=_replied(message, me),
        )
        return _read(event, what, body, me)

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


def _replied(message: Raw, me: Self) -> int | None:
    """Return which of our own messages a message replies to."""
    reply = _object(message, "reply_to_message")
    ours = _number(_object(reply, "from"), "id") == me.user_id
    return _number(reply, "message_id") if ours else None


def _sound(raw: Raw, text: str) -> Raw:
    """Replace halves of surrogate pairs, which nothing can store."""
    if "\\ud" in text:
        whole = json.dumps(raw, ensure_ascii=False).encode("utf-16", "surrogatepass")
        raw = json.loads(whole.decode("utf-16", "replace"))
    return raw


def _object(source: Raw, name: str) -> Raw:
    value = source.get(name)
    return value if isinstance(value, dict) else {}


def _sender(what: str, body: Raw, chat: Raw) -> Raw:
    """Return the person; whoever speaks as a chat (channel, anonymous admin) is none."""
    if what == "stopped_message_generation" and chat.get("type") == "private":
        return chat  # it names no sender; in private both are the same
    if body.get("sender_chat") or body.get("actor_chat"):
        return {}
    return _object(body, "from") or _object(body, "user")


def _name(sender: Raw) -> str:
    names = (sender.get(name) for name in ("first_name", "last_name"))
    return " ".join(str(name) for name in names if name)


def _number(source: Raw, name: str) -> int | None:
    value = source.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


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


def _read(event: Event, what: str, body: Raw, me: Self) -> Event | None:
    """Complete an event that has who, where and when."""
    match what:
        case "message":
            return _message(event, Message.de_json(dict(body), None), me)
        case "edited_message" if _addressed(Message.de_json(dict(body), None), me):
            return replace(event, parts=(TextPart(text="an edited message"),))
        case "callback_query" if press := body.get("data"):
            return replace(event, kind="press", press=str(press))
        case "stopped_message_generation":
            return replace(event, kind="command", command="stop")
        case _:
            return None


def _message(event: Event, message: Message, me: Self) -> Event | None:
    if not _addressed(message, me):
        return None
    command = _command(message, me)
    if command is not None:
        name, rest = command
        parts = (TextPart(text=rest),) if rest else ()
        return replace(event, kind="command", command=name, parts=parts)
    text = message.text or message.caption
    attachment = _attachment(message)
    if not text:
        if attachment is None and message.api_kwargs:
            attachment = "a message of a newer kind"
        return replace(event, parts=(TextPart(text=attachment),)) if attachment else None
    origin = _origin(message)
    if origin is None:
        own = TextPart(text=_without_mention(text, me))
    else:
        own = TextPart(text=text, label=untrusted(origin))
    found = [_quoted(message, me), own]
    if attachment is not None:
        found.append(TextPart(text=f"(With {attachment}, which cannot be read yet.)"))
    return replace(event, kind="message", parts=tuple(filter(None, found)))


def _origin(message: Message) -> str | None:
    """Name whose words a person only passed on; `None` for their own."""
    if message.forward_origin is not None:
        return "forwarded message"
    return None if message.via_bot is None else "message by another bot"


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
    """Return a command's name and the words after it; those of others are only text."""
    text = message.text or ""
    if not message.entities or _origin(message) is not None:
        return None
    first = message.entities[0]
    if first.type != MessageEntity.BOT_COMMAND or first.offset != 0:
        return None
    name, _, target = text[1 : first.length].partition("@")
    if target and target.lower() != me.username.lower():
        return None
    rest = _as_typed(message)[first.length :].rstrip()
    return name.lower(), re.sub(r"^[ \t]*\n*", "", rest)  # code keeps its first indentation


_TYPED = {"code": "`", "bold": "**", "italic": "__", "strikethrough": "~~", "spoiler": "||"}
"""What clients take for formatting, and away: `__init__` arrives as `init` in italics."""


def _as_typed(message: Message) -> str:
    """Return the text with the signs that clients took for formatting, code blocks in fences."""
    units = (message.text or "").encode("utf-16-le")
    marks: list[tuple[int, str]] = []
    for entity in message.entities:
        start, end = 2 * entity.offset, 2 * (entity.offset + entity.length)
        if entity.type == MessageEntity.PRE:
            fence = fence_for(units[start:end].decode("utf-16-le"))
            language = entity.language or ""
            marks += [(start, f"\n{fence}{language}\n"), (end, f"\n{fence}\n")]
        elif sign := _TYPED.get(entity.type):
            marks += [(start, sign), (end, sign)]
    for at, mark in sorted(marks, key=lambda each: each[0], reverse=True):
        units = units[:at] + mark.encode("utf-16-le") + units[at:]
    return units.decode("utf-16-le")


def _without_mention(text: str, me: Self) -> str:
    start = f"@{me.username}"
    rest = text[len(start) :].lstrip(" ,:") if text.lower().startswith(start.lower()) else ""
    return rest or text


def _quoted(message: Message, me: Self) -> TextPart | None:
    """Return what the reply is to, if these are not our own words: history has those."""
    if message.quote is not None:
        return TextPart(text=message.quote.text, label=untrusted("quoted message"), quoted=True)
    reply = message.reply_to_message
    if reply is None or (reply.from_user is not None and reply.from_user.id == me.user_id):
        return None
    text = reply.text or reply.caption
    own = reply.from_user == message.from_user and _origin(reply) is None
    label = OWNER if own else untrusted("quoted message")
    return None if not text else TextPart(text=text, label=label, quoted=True)


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
