"""One update of each kind that the Bot API knows, for whoever has to treat them all alike."""

from __future__ import annotations

from assurebot.demo.telegram_chats import BOT, moment
from assurebot.demo.telegram_wire import Json


def every_kind(user: Json, chat: Json, *, text: str = "hello", message_id: int = 1) -> list[Json]:
    """Return one update of each kind, caused by `user` and, where it has a chat, in `chat`.

    Those that Telegram says come without a user (anonymous counts, channel posts, boosts) have
    none. They carry no update id yet.
    """
    now = int(moment().timestamp())
    message: Json = {"message_id": message_id, "chat": chat, "date": now, "text": text}
    personal: Json = {**message, "from": user}
    return [
        *_messages(message, personal, now),
        *_chats(user, chat, now),
        *_reactions(user, chat, message_id, now),
        *_queries(user, personal, text),
        *_polls(user),
    ]


def _messages(message: Json, personal: Json, now: int) -> list[Json]:
    edited = {"edit_date": now}
    business = {**personal, "business_connection_id": "business-1"}
    channel = {**message, "chat": {"id": -1_001_000_000_001, "type": "channel", "title": "News"}}
    connection = {
        "id": "business-1",
        "user": personal["from"],
        "user_chat_id": personal["from"]["id"],
        "date": now,
        "is_enabled": True,
    }
    deleted = {
        "business_connection_id": "business-1",
        "chat": message["chat"],
        "message_ids": [message["message_id"]],
    }
    return [
        {"message": personal},
        {"edited_message": {**personal, **edited}},
        {"channel_post": channel},
        {"edited_channel_post": {**channel, **edited}},
        {"business_connection": connection},
        {"business_message": business},
        {"edited_business_message": {**business, **edited}},
        {"deleted_business_messages": deleted},
        {"guest_message": personal},
    ]


def _chats(user: Json, chat: Json, now: int) -> list[Json]:
    def member(who: Json, status: str) -> Json:
        return {"user": who, "status": status}

    change = {"chat": chat, "from": user, "date": now}
    boost = {
        "boost_id": "boost-1",
        "add_date": now,
        "expiration_date": now + 60,
        "source": {"source": "premium", "user": user},
    }
    removed = {
        "chat": chat,
        "boost_id": "boost-1",
        "remove_date": now,
        "source": {"source": "premium", "user": user},
    }
    return [
        {
            "my_chat_member": {
                **change,
                "old_chat_member": member(BOT, "left"),
                "new_chat_member": member(BOT, "member"),
            }
        },
        {
            "chat_member": {
                **change,
                "old_chat_member": member(user, "left"),
                "new_chat_member": member(user, "member"),
            }
        },
        {"chat_join_request": {**change, "user_chat_id": user["id"]}},
        {"chat_boost": {"chat": chat, "boost": boost}},
        {"removed_chat_boost": removed},
        {"stopped_message_generation": {"chat": chat, "draft_id": 1}},
        {"managed_bot": {"user": user, "bot": BOT}},
    ]


def _reactions(user: Json, chat: Json, message_id: int, now: int) -> list[Json]:
    thumb = {"type": "emoji", "emoji": "\N{THUMBS UP SIGN}"}
    place = {"chat": chat, "message_id": message_id, "date": now}
    counts = [{"type": thumb, "total_count": 1}]
    return [
        {"message_reaction": {**place, "user": user, "old_reaction": [], "new_reaction": [thumb]}},
        {"message_reaction_count": {**place, "reactions": counts}},
    ]


def _queries(user: Json, message: Json, text: str) -> list[Json]:
    address = {
        "country_code": "DE",
        "state": "",
        "city": "Berlin",
        "street_line1": "1",
        "street_line2": "",
        "post_code": "10115",
    }
    query = {"id": "query-1", "from": user}
    payment = {**query, "invoice_payload": text}
    pressed = {**query, "chat_instance": "1", "message": message, "data": text}
    return [
        {"inline_query": {**query, "query": text, "offset": ""}},
        {"chosen_inline_result": {"result_id": "1", "from": user, "query": text}},
        {"callback_query": pressed},
        {"shipping_query": {**payment, "shipping_address": address}},
        {"pre_checkout_query": {**payment, "currency": "EUR", "total_amount": 1}},
        {"purchased_paid_media": {"from": user, "paid_media_payload": text}},
    ]


def _polls(user: Json) -> list[Json]:
    poll = {
        "id": "poll-1",
        "question": "?",
        "options": [{"text": "a", "voter_count": 1, "persistent_id": "a"}],
        "total_voter_count": 1,
        "is_closed": False,
        "is_anonymous": True,
        "type": "regular",
        "allows_multiple_answers": False,
        "allows_revoting": True,
        "members_only": False,
    }
    answer = {
        "poll_id": "poll-1",
        "user": user,
        "option_ids": [0],
        "option_persistent_ids": ["a"],
    }
    return [{"poll": poll}, {"poll_answer": answer}]
