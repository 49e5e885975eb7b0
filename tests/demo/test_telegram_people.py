"""What people do on the stand-in arrives at the bot as Telegram would tell it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from telegram.error import BadRequest, ChatMigrated

from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_chats import BOT_ID
from assurebot.demo.telegram_kinds import every_kind
from assurebot.demo.telegram_people import find_entities, private_chat
from tests.demo.clients import open_bot

OWNER = 11
GROUP = -1_001_234
KINDS_ASKED_FOR = {"chat_member", "message_reaction", "message_reaction_count"}


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    """A stand-in."""
    async with TelegramServer() as server:
        yield server


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[Bot]:
    """A client of it."""
    async with open_bot(server) as bot:
        yield bot


async def only_message(bot: Bot) -> Message:
    """Fetch the one update there is, confirm it, return its message."""
    (update,) = await bot.get_updates()
    await bot.get_updates(offset=update.update_id + 1)
    message = update.message or update.edited_message
    assert message is not None
    return message


async def test_words_arrive_with_sender_chat_reply_and_marks(
    server: TelegramServer, bot: Bot
) -> None:
    """A message has its sender, its place, the message it replies to and the server's entities."""
    owner = server.person(OWNER, "Owner")
    server.group(GROUP)
    first = owner.say("before", GROUP)
    await bot.get_updates(offset=server.last_update_id + 1)
    second = owner.say("/run@stand_in_bot x", GROUP, reply_to=first, thread_id=3)
    message = await only_message(bot)
    assert (message.message_id, message.text) == (second, "/run@stand_in_bot x")
    assert message.from_user is not None
    assert (message.from_user.id, message.chat.id, message.chat.type) == (
        OWNER,
        GROUP,
        "supergroup",
    )
    assert message.message_thread_id == 3
    assert message.reply_to_message is not None
    assert message.reply_to_message.text == "before"
    assert list(message.parse_entities().items()) == [(message.entities[0], "/run@stand_in_bot")]
    assert message.entities[0].type == "bot_command"


async def test_ids_grow_per_chat_and_updates_over_all(server: TelegramServer, bot: Bot) -> None:
    """Message ids count within a chat, the bot's own included; update ids count everywhere."""
    anna, ben = server.person(1), server.person(2)
    assert [anna.say("a"), anna.say("b"), ben.say("c")] == [1, 2, 1]
    assert (await bot.send_message(1, "answer")).message_id == 3
    assert anna.say("d") == 4
    first, *rest = [update.update_id for update in await bot.get_updates()]
    assert rest == [first + 1, first + 2, first + 3]


async def test_edits_forwards_and_pastes_look_like_telegrams(
    server: TelegramServer, bot: Bot
) -> None:
    """An edit has a date and new text, a forward its origin; a paste is cut at 4096 units."""
    owner = server.person(OWNER)
    message_id = owner.say("/one")
    await only_message(bot)
    owner.edit(message_id, "two")
    edited = await only_message(bot)
    assert (edited.message_id, edited.text, edited.entities) == (message_id, "two", ())
    assert edited.edit_date is not None
    owner.forward("click", origin="Mallory")
    forward = await only_message(bot)
    assert forward.forward_origin is not None
    assert forward.forward_origin.type == "hidden_user"
    owner.paste("\N{GRINNING FACE}" * 2049)
    long, short = await bot.get_updates()
    assert long.message is not None
    assert short.message is not None
    assert [len(str(m.text)) for m in (long.message, short.message)] == [2048, 1]


async def test_a_press_carries_the_data_and_is_answered_once(
    server: TelegramServer, bot: Bot
) -> None:
    """By label or id; the answer's text is kept; a second answer is too late."""
    owner = server.person(OWNER)
    markup = InlineKeyboardMarkup([[InlineKeyboardButton("Allow", callback_data="r-1")]])
    sent = await bot.send_message(OWNER, "May I?", reply_markup=markup)
    query_id = owner.press(sent.message_id, "Allow")
    assert owner.press(sent.message_id, "r-1") != query_id
    with pytest.raises(LookupError, match="no button 'Deny'"):
        owner.press(sent.message_id, "Deny")
    query = (await bot.get_updates())[0].callback_query
    assert query is not None
    assert query.message is not None
    assert (query.id, query.data, query.from_user.id, query.message.message_id) == (
        query_id,
        "r-1",
        OWNER,
        sent.message_id,
    )
    assert server.toast(query_id) is None
    await query.answer("done")
    assert server.toast(query_id) == "done"
    with pytest.raises(BadRequest, match="Query is too old"):
        await query.answer("again")


async def test_groups_take_people_and_the_bot_in_and_out(server: TelegramServer, bot: Bot) -> None:
    """Membership changes of the bot come always, those of others when asked for."""
    await bot.get_updates(allowed_updates=["my_chat_member", "chat_member"])
    owner, group = server.person(OWNER), server.group(GROUP, "Ops")
    group.remove_bot(owner)
    group.add_bot(owner)
    group.add(server.person(12, "Eve"), by=owner)
    changes = [
        (c.from_user.id, c.new_chat_member.user.id, c.new_chat_member.status)
        for update in await bot.get_updates()
        if (c := update.my_chat_member or update.chat_member) is not None
    ]
    assert changes == [
        (OWNER, BOT_ID, "kicked"),
        (OWNER, BOT_ID, "member"),
        (OWNER, 12, "member"),
    ]
    group.migrate(GROUP - 1)
    with pytest.raises(ChatMigrated) as caught:
        await bot.send_message(GROUP, "x")
    assert caught.value.new_chat_id == GROUP - 1


async def test_there_is_one_update_of_each_kind_and_the_library_reads_all(
    server: TelegramServer, bot: Bot
) -> None:
    """Every kind that the library knows, and the newer Stop button, in one go."""
    owner = server.person(OWNER)
    kinds = [next(iter(update)) for update in every_kind(owner.wire, private_chat(OWNER, "O"))]
    assert set(kinds) == {*Update.ALL_TYPES, "stopped_message_generation"}
    assert len(kinds) == len(set(kinds))
    assert owner.do_everything(unasked=True) == len(kinds)
    updates = await bot.get_updates()
    read = {name for update in updates for name in update.to_dict() if name != "update_id"}
    assert read == set(kinds)
    await bot.get_updates(offset=server.last_update_id + 1)
    assert owner.do_everything() == len(kinds) - len(KINDS_ASKED_FOR)


async def test_a_raw_update_goes_through_as_it_is(server: TelegramServer, bot: Bot) -> None:
    """Anything can be queued, also what no library knows."""
    update_id = server.raw_update({"telepathy": {"thought": "x"}})
    (update,) = await bot.get_updates()
    assert (update.update_id, dict(update.api_kwargs)) == (
        update_id,
        {"telepathy": {"thought": "x"}},
    )


async def test_waiting_for_a_message_sees_old_new_and_edited_ones(
    server: TelegramServer, bot: Bot
) -> None:
    """What is there counts, what comes counts, and `after` leaves out what was before."""
    server.person(OWNER)
    sent = await bot.send_message(OWNER, "draft answer")
    assert (await server.wait_for_message(OWNER, contains="answer")).text == "draft answer"
    waiting = asyncio.create_task(server.wait_for_message(OWNER, lambda m: m.edits == 1))
    later = asyncio.create_task(server.wait_for_message(OWNER, after=sent.message_id))
    drafted = asyncio.create_task(server.wait_for_draft(OWNER, contains="thi"))
    await asyncio.sleep(0)
    await bot.edit_message_text("final answer", OWNER, sent.message_id)
    await bot.send_message_draft(OWNER, 1, "thinking")
    await bot.send_message(OWNER, "second")
    assert (await waiting).text == "final answer"
    assert (await later).text == "second"
    assert (await drafted).text == "thinking"
    with pytest.raises(TimeoutError, match=r"no message 'never' .* \['final answer', 'second'\]"):
        await server.wait_for_message(OWNER, contains="never", timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/stop", [("bot_command", 0, 5)]),
        ("\N{GRINNING FACE} /py x", [("bot_command", 3, 3)]),
        ("see https://a.example/b?c, ok", [("url", 4, 21)]),
        ("hi @someone", [("mention", 3, 8)]),
        ("a/b 1/2 /usr/bin", []),
        ("mail x@y.example", []),
    ],
)
def test_plain_text_is_marked_as_by_the_server(
    text: str, found: list[tuple[str, int, int]]
) -> None:
    """Commands, links and mentions are entities, in UTF-16 units; paths and mail are not."""
    assert [(e["type"], e["offset"], e["length"]) for e in find_entities(text)] == found


async def test_deleted_message_can_be_replied_to_by_nobody(
    server: TelegramServer, bot: Bot
) -> None:
    """A reply to what was deleted is refused, unless the call does without; the bot is not told."""
    owner = server.person(OWNER)
    said = owner.say("one")
    owner.delete(said)
    with pytest.raises(BadRequest, match="essage to be replied not found"):
        await bot.send_message(OWNER, "x", reply_to_message_id=said)
    sent = await bot.send_message(
        OWNER, "x", reply_to_message_id=said, allow_sending_without_reply=True
    )
    assert (sent.reply_to_message, len(await bot.get_updates())) == (None, 1)
