"""The methods of the Bot API that change or read the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assurebot.demo.telegram_chats import (
    BOT,
    Room,
    SentMessage,
    ShownDraft,
    World,
    moment,
)
from assurebot.demo.telegram_rules import Refused, check_markup, check_text
from assurebot.demo.telegram_wire import Json, Params, integer, truth

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the "
    "same as a current content and reply markup of the message"
)
STALE_QUERY = "query is too old and response timeout expired or query ID is invalid"
FOLDER = "files/"
MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024

_ACTIONS = frozenset(
    [
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    ]
)

Method = Callable[[Params], Any]


class Methods:
    """One function per method; each takes parsed parameters and returns the result as JSON values.

    Raises (all methods):
        Refused: What Telegram would refuse.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> dict[str, Method]:
        """Return the methods by their name in lower case: Telegram does not mind the case."""
        return {
            "getme": self._get_me,
            "sendmessage": self._send_message,
            "editmessagetext": self._edit_text,
            "editmessagereplymarkup": self._edit_markup,
            "sendmessagedraft": self._send_draft,
            "deletemessage": self._delete_message,
            "sendchataction": self._send_action,
            "answercallbackquery": self._answer_query,
            "setmessagereaction": self._set_reaction,
            "leavechat": self._leave_chat,
            "getchat": self._get_chat,
            "getfile": self._get_file,
        }

    def _get_me(self, _params: Params) -> Json:
        abilities = {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }
        return BOT | abilities

    def _send_message(self, params: Params) -> Json:
        room = self._world.room(params.get("chat_id"))
        checked = check_text(str(params.get("text", "")), params.get("entities"))
        buttons = check_markup(params.get("reply_markup"))
        reply_to = answered(params, room)
        self._world.add_violations("sendMessage", room.chat_id, checked.violations)
        message = SentMessage(
            message_id=room.next_id(),
            chat_id=room.chat_id,
            text=checked.text,
            entities=checked.entities,
            reply_to=reply_to,
            buttons=buttons,
            at=moment(),
            thread_id=params.get("message_thread_id"),
            link_preview_disabled=_previews_off(params),
            parse_mode=params.get("parse_mode"),
        )
        return self._world.show(room, message)

    def _edit_text(self, params: Params) -> Json:
        room = self._world.room(params.get("chat_id"))
        old = _own(room, params)
        checked = check_text(str(params.get("text", "")), params.get("entities"))
        new = replace(
            old,
            text=checked.text,
            entities=checked.entities,
            buttons=check_markup(params.get("reply_markup")),
            link_preview_disabled=_previews_off(params),
            parse_mode=params.get("parse_mode"),
        )
        self._world.add_violations("editMessageText", room.chat_id, checked.violations)
        return self._change(room, old, new)

    def _edit_markup(self, params: Params) -> Json:
        room = self._world.room(params.get("chat_id"))
        old = _own(room, params)
        new = replace(old, buttons=check_markup(params.get("reply_markup")))
        return self._change(room, old, new)

    def _change(self, room: Room, old: SentMessage, new: SentMessage) -> Json:
        if (new.text, new.entities, new.buttons) == (old.text, old.entities, old.buttons):
            raise Refused(NOT_MODIFIED)
        return self._world.show(room, replace(new, edits=old.edits + 1, edited_at=moment()))

    def _send_draft(self, params: Params) -> bool:
        room = self._world.room(params.get("chat_id"))
        if not room.private:
            raise Refused("TEXTDRAFT_PEER_INVALID")
        draft_id = integer(params, "draft_id")
        if not draft_id:
            raise Refused("RANDOM_ID_INVALID")
        text = str(params.get("text") or "")
        checked = check_text(text, params.get("entities"), may_be_empty=True)
        self._world.add_violations("sendMessageDraft", room.chat_id, checked.violations)
        draft = ShownDraft(
            draft_id=draft_id,
            chat_id=room.chat_id,
            text=checked.text,
            entities=checked.entities,
            at=moment(),
            thread_id=params.get("message_thread_id"),
            parse_mode=params.get("parse_mode"),
            can_stop=truth(params.get("can_stop")),
        )
        self._world.show_draft(room, draft)
        return True

    def _delete_message(self, params: Params) -> bool:
        room = self._world.room(params.get("chat_id"))
        message_id = integer(params, "message_id")
        if not room.exists(message_id):
            raise Refused("message to delete not found")
        room.delete(message_id)
        return True

    def _send_action(self, params: Params) -> bool:
        self._world.room(params.get("chat_id"))
        if params.get("action") not in _ACTIONS:
            raise Refused("wrong parameter action in request")
        return True

    def _answer_query(self, params: Params) -> bool:
        query, text = str(params.get("callback_query_id", "")), str(params.get("text") or "")
        if query not in self._world.open_queries:
            raise Refused(STALE_QUERY)
        if len(text) > 200:
            raise Refused("MESSAGE_TOO_LONG")
        self._world.open_queries.remove(query)
        self._world.toasts[query] = text
        return True

    def _set_reaction(self, params: Params) -> bool:
        room = self._world.room(params.get("chat_id"))
        message_id = integer(params, "message_id")
        if not room.exists(message_id):
            raise Refused("message to react not found")
        emoji = tuple(str(one.get("emoji", "")) for one in params.get("reaction") or ())
        self._world.reactions[room.chat_id, message_id] = emoji
        return True

    def _leave_chat(self, params: Params) -> bool:
        room = self._world.room(params.get("chat_id"))
        if room.private:
            raise Refused("chat member status can't be changed in private chats")
        room.standing = "left"
        self._world.queue.put(membership(room, BOT, "member", "left"))
        return True

    def _get_chat(self, params: Params) -> Json:
        room = self._world.room(params.get("chat_id"))
        return room.wire | {"accent_color_id": 0, "max_reaction_count": 11}

    def _get_file(self, params: Params) -> Json:
        file_id = str(params.get("file_id", ""))
        content = self._world.files.get(file_id)
        if content is None:
            raise Refused("wrong file_id or the file is temporarily unavailable")
        if len(content) > MAX_DOWNLOAD_BYTES:
            raise Refused("file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": f"u-{file_id}",
            "file_size": len(content),
            "file_path": f"{FOLDER}{file_id}",
        }


def answered(params: Params, room: Room) -> int | None:
    """Return the message that a new one replies to.

    Raises:
        Refused: There is no such message, and the call insists on it.
    """
    reply = params.get("reply_parameters") or {}
    message_id = reply.get("message_id", params.get("reply_to_message_id"))
    if message_id is None:
        return None
    if isinstance(message_id, int) and room.exists(message_id):
        return message_id
    relaxed = reply.get("allow_sending_without_reply", params.get("allow_sending_without_reply"))
    if truth(relaxed):
        return None
    raise Refused("message to be replied not found")


def membership(room: Room, actor: Json, old: str, new: str) -> Json:
    """Make the update that tells the bot of its own place in a chat."""
    return {
        "my_chat_member": {
            "chat": room.wire,
            "from": actor,
            "date": int(moment().timestamp()),
            "old_chat_member": _member(old),
            "new_chat_member": _member(new),
        }
    }


def _member(status: str) -> Json:
    until = {"until_date": 0} if status == "kicked" else {}
    return {"user": BOT, "status": status, **until}


def _own(room: Room, params: Params) -> SentMessage:
    message_id = integer(params, "message_id")
    if message_id in room.sent:
        return room.sent[message_id]
    if room.exists(message_id):
        raise Refused("message can't be edited")
    raise Refused("message to edit not found")


def _previews_off(params: Params) -> bool:
    options = params.get("link_preview_options")
    if isinstance(options, dict):
        return truth(options.get("is_disabled"))
    return truth(params.get("disable_web_page_preview"))
