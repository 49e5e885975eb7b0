"""People on the other side of the stand-in: what they do becomes updates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from assurebot.demo.telegram_chats import Room, SentFile, Standing, World, moment, show_file
from assurebot.demo.telegram_kinds import every_kind
from assurebot.demo.telegram_methods import membership
from assurebot.demo.telegram_rules import TEXT_UNITS, units
from assurebot.demo.telegram_wire import Json

# What Telegram's server marks in plain text by itself, as far as a bot cares.
_MARKS = {
    "bot_command": re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?(?![\w/])"),
    "url": re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)]"),
    "mention": re.compile(r"(?<![\w@])@\w{4,32}"),
}
_COVERING = ("url", "bot_command")  # a mention inside one of these is no mention


def find_entities(text: str) -> list[Json]:
    """Return the entities that Telegram finds in what a person typed."""
    found: list[Json] = []
    taken: list[tuple[int, int]] = []
    for kind in (*_COVERING, "mention"):
        for match in _MARKS[kind].finditer(text):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            offset, length = units(text[: match.start()]), units(match[0])
            found.append({"type": kind, "offset": offset, "length": length})
    return sorted(found, key=lambda entity: int(entity["offset"]))


class Person:
    """Somebody with a Telegram account; their private chat with the bot has their id.

    Every `chat` below is a chat id; without it, the private chat is meant.
    """

    def __init__(self, world: World, user_id: int, name: str) -> None:
        self._world = world
        self.user_id = user_id
        self.name = name
        self.wire: Json = {
            "id": user_id,
            "is_bot": False,
            "first_name": name,
            "language_code": "en",
        }

    def say(
        self,
        text: str,
        chat: int | None = None,
        *,
        reply_to: int | None = None,
        thread_id: int | None = None,
        entities: Sequence[Json] | None = None,
        **fields: Any,
    ) -> int:
        """Write a message and return its id; `fields` go into the message as they are."""
        marks = find_entities(text) if entities is None else list(entities)
        content: Json = {"text": text, **fields}
        if marks:
            content["entities"] = marks
        if thread_id is not None:
            content |= {"message_thread_id": thread_id, "is_topic_message": True}
        return self._post(self._room(chat), content, reply_to)

    def paste(self, text: str, chat: int | None = None) -> list[int]:
        """Write a long text as a client does, cut into messages of the greatest length."""
        ids, rest = [], text
        while rest:
            size = min(len(rest), TEXT_UNITS)
            while units(rest[:size]) > TEXT_UNITS:
                size -= 1
            ids.append(self.say(rest[:size], chat))
            rest = rest[size:]
        return ids

    def edit(self, message_id: int, text: str, chat: int | None = None) -> None:
        """Change the text of a message of theirs, or its caption."""
        room = self._room(chat)
        old = room.said[message_id]
        prefix, name = ("", "text") if "text" in old else ("caption_", "caption")
        message = {**old, name: text, "edit_date": _now()}
        message.pop(f"{prefix}entities", None)
        if marks := find_entities(text):
            message[f"{prefix}entities"] = marks
        room.keep_said(message)
        self._world.tell(room, {"edited_message": message})

    def delete(self, message_id: int, chat: int | None = None) -> None:
        """Take a message away for everybody; a bot is not told."""
        self._room(chat).delete(message_id)

    def forward(
        self, text: str, chat: int | None = None, *, origin: Json | str = "Somebody", **fields: Any
    ) -> int:
        """Forward a message of another; `origin` is a hidden user's name or a `MessageOrigin`."""
        if isinstance(origin, str):
            origin = {"type": "hidden_user", "sender_user_name": origin}
        return self.say(text, chat, forward_origin={"date": _now() - 60, **origin}, **fields)

    def send(
        self, content: Json, chat: int | None = None, *, reply_to: int | None = None, **fields: Any
    ) -> int:
        """Send what `telegram_shapes` makes, or any content, and return the message's id."""
        return self._post(self._room(chat), {**content, **fields}, reply_to)

    def attach(
        self,
        kind: str,
        content: bytes,
        chat: int | None = None,
        *,
        name: str = "file.bin",
        mime: str = "",
        seconds: int = 1,
        reply_to: int | None = None,
        **fields: Any,
    ) -> int:
        """Send a `photo` (in three sizes), `document`, `voice`, `audio`, `video` or `video_note`.

        `fields` go into the message as they are, such as `caption`; bots are told that it sounds
        for `seconds`.
        """
        file_id = f"file-{len(self._world.files) + 1}"
        self._world.files[file_id] = content
        media = show_file(SentFile(kind=kind, name=name, content=content), file_id)
        if kind == "photo":
            media["photo"] = self._sizes(file_id, media["photo"][0])
        elif mime:
            media[kind]["mime_type"] = mime
        if "duration" in media[kind]:
            media[kind]["duration"] = seconds
        return self.send(media, chat, reply_to=reply_to, **fields)

    def _sizes(self, file_id: str, whole: Json) -> list[Json]:
        """Return a photo as updates show it: smaller ones first."""
        sizes = []
        for width in (90, 320):
            small = f"{file_id}-{width}"
            self._world.files[small] = bytes(width)
            about = {"file_id": small, "file_unique_id": f"u-{small}", "file_size": width}
            sizes.append({**about, "width": width, "height": width * 3 // 4})
        return [*sizes, {**whole, "width": 1280, "height": 960}]

    def album(
        self,
        items: Sequence[tuple[str, bytes]],
        chat: int | None = None,
        *,
        caption: str = "",
        **fields: Any,
    ) -> list[int]:
        """Send files, each of a kind, together; the first of the messages has the caption."""
        name = f"album-{len(self._world.files) + 1}"
        words: dict[str, Any] = (
            {"caption": caption, "caption_entities": find_entities(caption)} if caption else {}
        )
        ids = []
        for kind, content in items:
            ids.append(self.attach(kind, content, chat, media_group_id=name, **words, **fields))
            words = {}
        return ids

    def press(self, message_id: int, button: str, chat: int | None = None) -> str:
        """Press a button of the bot's message, given by its label or id; return the query's id.

        Raises:
            LookupError: The message shows no such button now.
        """
        room = self._room(chat)
        message = room.sent.get(message_id)
        for shown in message.buttons if message else ():
            if button in (shown.id, shown.label):
                return self.press_data(message_id, shown.id, chat)
        raise LookupError(f"no button {button!r} under message {message_id}: {message}")

    def press_data(self, message_id: int, data: str, chat: int | None = None) -> str:
        """Press a button that a client still shows, or forges; return the query's id."""
        room = self._room(chat)
        query_id = f"query-{self._world.queue.last_id + 1}"
        old = {"message_id": message_id, "chat": room.wire, "date": 0}
        query = {
            "id": query_id,
            "from": self.wire,
            "chat_instance": str(room.chat_id),
            "message": room.message(message_id) or old,
            "data": data,
        }
        self._world.open_queries.add(query_id)
        self._world.tell(room, {"callback_query": query})
        return query_id

    def react(self, message_id: int, emoji: str, chat: int | None = None) -> None:
        """React to a message."""
        room = self._room(chat)
        reaction = {
            "chat": room.wire,
            "message_id": message_id,
            "user": self.wire,
            "date": _now(),
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": emoji}],
        }
        self._world.tell(room, {"message_reaction": reaction})

    def stop_draft(self, draft_id: int) -> None:
        """Press the Stop button of a draft."""
        stop = {"chat": self._room(None).wire, "draft_id": draft_id}
        self._world.queue.put({"stopped_message_generation": stop})

    def do_everything(
        self, chat: int | None = None, *, text: str = "hello", unasked: bool = False
    ) -> int:
        """Cause one update of each kind there is and return how many were queued.

        Kinds that the bot did not ask for are left out, but for `unasked`.
        """
        room = self._room(chat)
        updates = every_kind(self.wire, room.wire, text=text, message_id=room.next_id())
        ids = [self._world.queue.put(update, unasked=unasked) for update in updates]
        return sum(update_id is not None for update_id in ids)

    def block(self) -> None:
        """Block the bot: it may not write here any more."""
        self._stand("blocked", "member", "kicked")

    def unblock(self) -> None:
        """Let the bot write again."""
        self._stand("in", "kicked", "member")

    def _stand(self, standing: Standing, old: str, new: str) -> None:
        room = self._room(None)
        room.standing = standing
        self._world.queue.put(membership(room, self.wire, old, new))

    def _room(self, chat: int | None) -> Room:
        return self._world.rooms[self.user_id if chat is None else chat]

    def _post(self, room: Room, content: Mapping[str, Any], reply_to: int | None) -> int:
        message: Json = {
            "message_id": room.next_id(),
            "from": self.wire,
            "chat": room.wire,
            "date": _now(),
            **content,
        }
        if reply_to is not None and (parent := room.message(reply_to)) is not None:
            shown = {name: value for name, value in parent.items() if name != "reply_to_message"}
            message["reply_to_message"] = shown
        room.keep_said(message)
        self._world.tell(room, {"message": message})
        return int(message["message_id"])


def private_chat(user_id: int, name: str) -> Json:
    """Make the JSON of a private chat."""
    return {"id": user_id, "type": "private", "first_name": name}


def _now() -> int:
    return int(moment().timestamp())
