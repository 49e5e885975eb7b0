"""A message, read: whether it is meant for us, whose words it holds, and what it replies to."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from assurebot.agent.report import fence_for
from assurebot.telegram.kinds import enclosures, named, told, unread
from assurebot.telegram.raw import Raw, child, clean, line, number, person_name
from assurebot.values import OWNER, Enclosure, Event, TextPart, untrusted

Albums = deque[str]
"""The latest albums, and texts that a client may have cut, that address us: one part says so."""

CUT_UNITS, CUT_SECONDS = 4_000, 2
"""A longer text, and what the same person sends behind it so soon, may be one paste."""

QUOTED = untrusted("quoted message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Self:
    """The bot's own identity."""

    user_id: int
    username: str


def read_message(event: Event, message: Raw, me: Self, albums: Albums) -> Event | None:
    """Complete an event with what a message says; `None` if it says nothing, or not to us.

    An `edit` stays one; it may be that of a command.
    """
    if not _addressed(message, me, albums):
        return None
    edited = event.kind == "edit"
    if found := _command(message, me):
        name, rest = found
        parts = (TextPart(text=rest),) if rest else ()
        return replace(event, kind="edit" if edited else "command", command=name, parts=parts)
    origin = _origin(message)
    label = OWNER if origin is None else untrusted(origin)
    said = _words(message)
    own = _content(message, said, label, me)
    quoted, files = _replied_to(message, me)
    files += enclosures(message, label)
    album = line(message.get("media_group_id"))
    if carried := unread(message, said):
        if not own and not album and not edited:
            return replace(event, parts=(TextPart(text=carried),))
        own.append(TextPart(text=f"(With {carried}, which cannot be read yet.)"))
    elif not own and not files:
        return None
    return replace(
        event,
        kind="edit" if edited else "message",
        parts=(*quoted, *own),
        enclosures=files,
        album=album,
        passed_on=origin is not None,
    )


def replied(message: Raw, me: Self) -> int | None:
    """Return which of our own messages a message replies to."""
    reply = child(message, "reply_to_message")
    return number(reply, "message_id") if _is_ours(reply, me) else None


def _is_ours(message: Raw, me: Self) -> bool:
    """Tell whether a message is our own; the first one of a topic is no part of the talk."""
    ours = number(child(message, "from"), "id") == me.user_id
    return ours and "forum_topic_created" not in message


def _addressed(message: Raw, me: Self, albums: Albums) -> bool:
    """Tell whether a message is meant for us: all in private; in groups by name or reply."""
    chat = child(message, "chat")
    if chat.get("type") == "private":
        return True
    found = (
        not {*albums}.isdisjoint(_continued(message))
        or _is_ours(child(message, "reply_to_message"), me)
        or re.search(rf"@{re.escape(me.username)}\b", _words(message), re.IGNORECASE) is not None
        or any(number(child(each, "user"), "id") == me.user_id for each in _entities(message))
        or _command(message, me) is not None
    )
    if found and (mark := _begun(message)):
        albums.append(mark)
    return found


def _continued(message: Raw) -> set[str]:
    """Name the album, and the cut texts, of which a message may be a further part."""
    at, album = number(message, "date") or 0, _begun({**message, "text": ""})
    behind = {_behind(message, 0, at - late) for late in range(CUT_SECONDS + 1)}
    return behind | ({album} if album else set())


def _begun(message: Raw) -> str:
    """Name the album or cut text of which others may be further parts; empty: none."""
    if "media_group_id" in message:
        return f"{child(message, 'chat').get('id')}:{message['media_group_id']}"
    units = len(_words(message).encode("utf-16-le", "surrogatepass")) // 2
    return _behind(message, 1, number(message, "date") or 0) if units >= CUT_UNITS else ""


def _behind(message: Raw, step: int, at: int) -> str:
    sender, chat = child(message, "from").get("id"), child(message, "chat").get("id")
    return f"{chat}:{sender}>{(number(message, 'message_id') or 0) + step}@{at}"


def _origin(message: Raw) -> str | None:
    """Name whose words a person only passed on; `None` for their own."""
    if message.get("forward_origin"):
        return "forwarded message"
    return "message by another bot" if message.get("via_bot") else None


def _provenance(message: Raw) -> str:
    """Say where a forward comes from, as far as its sender lets that be known."""
    origin = child(message, "forward_origin") or child(message, "origin")
    if not origin:
        return ""
    chat = child(origin, "chat") or child(origin, "sender_chat")
    user = child(origin, "sender_user")
    name = line(chat.get("title") or origin.get("sender_user_name")) or person_name(user)
    handle = line(chat.get("username") or user.get("username"))
    kind = line(chat.get("type")) if chat else "user"
    at = number(origin, "date")
    when = f", {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at is not None else ""
    return f"{kind} {name or 'without a name'}{handle and f' (@{handle})'}{when}"


_BLOCKS = ("blocks", "items", "cells")
_RICH = (
    "summary",
    "label",
    "text",
    "expression",
    "alternative_text",
    *_BLOCKS,
    "caption",
    "credit",
)
"""Where the words of a rich message stand; several blocks stand on lines of their own."""


def _rich(node: Any, joint: str = "") -> str:
    """Return the words of a rich message, the cells of a table beside each other."""
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        inner = " | " if joint else ""
        return joint.join(text for each in node if (text := _rich(each, inner)))
    found = node if isinstance(node, dict) else {}
    there = [name for name in _RICH if name in found]
    texts = (_rich(found[name], "\n" if name in _BLOCKS else "") for name in there)
    return "\n".join(filter(None, texts))


def _words(message: Raw) -> str:
    """Return what is written in a message."""
    text = message.get("text") or message.get("caption")
    if isinstance(text, str) and text:
        return text
    return _rich(message.get("rich_message"))


def _content(message: Raw, said: str, label: str, me: Self) -> list[TextPart]:
    """Return the words of a message, where they come from, and what else words can tell."""
    thing = told(message)
    if label == OWNER:
        own = [TextPart(text=_without_mention(said, me))] if said else []
        return own if thing is None else [*own, thing]
    source = _provenance(message)
    texts = [f"(Forwarded from {source})" if source else "", said, thing.text if thing else ""]
    whole = clean("\n".join(filter(None, texts)))
    return [TextPart(text=whole, label=label)] if whole else []


def _replied_to(message: Raw, me: Self) -> tuple[list[TextPart], tuple[Enclosure, ...]]:
    """Return what a reply is to, if these are not our own words: history has those."""
    reply, elsewhere = child(message, "reply_to_message"), child(message, "external_reply")
    quote = child(message, "quote").get("text")
    if _is_ours(reply, me) or "forum_topic_created" in reply:
        reply = {}
    source = reply or elsewhere
    thing = told(source)
    said = str(quote) if quote else _words(source) or (thing.text if thing else "")
    place = _provenance(elsewhere)
    what = "a story" if message.get("reply_to_story") else named(source)
    mine = bool(reply) and reply.get("from") == message.get("from") and _origin(reply) is None
    label = (thing.label if thing else OWNER) if mine and not quote else QUOTED
    about = f"(in reply to {what or 'a message'}{place and f' from {place}'})"
    unframed = said and label == OWNER  # nothing else tells it from what is typed now
    text = "\n".join(filter(None, [about if what or place or unframed else "", said]))
    parts = [TextPart(text=clean(text), label=label, quoted=True)] if text else []
    return parts, enclosures(source, QUOTED)


def _entities(message: Raw) -> list[Raw]:
    found = message.get("entities") or message.get("caption_entities")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _command(message: Raw, me: Self) -> tuple[str, str] | None:
    """Return a command's name and the words after it; those of others are only text."""
    entities, text = _entities(message), message.get("text")
    if not entities or not isinstance(text, str) or _origin(message) is not None:
        return None
    first = entities[0]
    if first.get("type") != "bot_command" or first.get("offset") != 0:
        return None
    length = number(first, "length") or 0
    name, _, target = text[1:length].partition("@")
    if target and target.lower() != me.username.lower():
        return None
    rest = _as_typed(text, entities)[length:].rstrip()
    return name.lower(), re.sub(r"^[ \t]*\n*", "", rest)  # code keeps its first indentation


_TYPED = {"code": "`", "bold": "**", "italic": "__", "strikethrough": "~~", "spoiler": "||"}
"""What clients take for formatting, and away: `__init__` arrives as `init` in italics."""


def _as_typed(text: str, entities: list[Raw]) -> str:
    """Return the text with the signs that clients took for formatting, code blocks in fences."""
    units = text.encode("utf-16-le")
    marks: list[tuple[int, str]] = []
    for entity in entities:
        offset, length = number(entity, "offset") or 0, number(entity, "length") or 0
        start, end = 2 * offset, 2 * (offset + length)
        if entity.get("type") == "pre":
            fence = fence_for(units[start:end].decode("utf-16-le"))
            marks += [(start, f"\n{fence}{line(entity.get('language'))}\n"), (end, f"\n{fence}\n")]
        elif sign := _TYPED.get(str(entity.get("type"))):
            marks += [(start, sign), (end, sign)]
    for at, mark in sorted(marks, key=lambda each: each[0], reverse=True):
        units = units[:at] + mark.encode("utf-16-le") + units[at:]
    return units.decode("utf-16-le")


def _without_mention(text: str, me: Self) -> str:
    start = f"@{me.username}"
    rest = text[len(start) :].lstrip(" ,:") if text.lower().startswith(start.lower()) else ""
    return rest or text
