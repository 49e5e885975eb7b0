"""The stand-in for Telegram, seen through the client library over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from telegram import (
    Bot,
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
    Update,
)
from telegram.error import BadRequest, Conflict, EndPointNotFound, Forbidden, InvalidToken

from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_chats import BOT_ID, SentFile
from assurebot.values import Button, Entity
from tests.demo.clients import open_bot
from tests.pictures import png

OWNER = 11


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    """A stand-in whose owner has started the bot."""
    async with TelegramServer() as server:
        server.person(OWNER, "Owner")
        yield server


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[Bot]:
    """A client of it."""
    async with open_bot(server) as bot:
        yield bot


def ids(updates: tuple[Update, ...]) -> list[int]:
    """The update ids."""
    return [update.update_id for update in updates]


def texts(updates: tuple[Update, ...]) -> list[str | None]:
    """The texts of message updates."""
    return [update.message.text if update.message else None for update in updates]


# --- sending ----------------------------------------------------------------------------------


async def test_a_send_is_kept_with_all_that_was_asked_for(server: TelegramServer, bot: Bot) -> None:
    """Text, entities, buttons, reply and preview setting arrive as the client meant them."""
    asked = server.person(OWNER).say("question")
    sent = await bot.send_message(
        OWNER,
        "hi \N{GRINNING FACE} code",
        entities=[MessageEntity("pre", 6, 4, language="py")],
        reply_markup=InlineKeyboardMarkup([[InlineKeyboardButton("Go", callback_data="id-1")]]),
        reply_parameters=ReplyParameters(asked),
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )
    (message,) = server.messages(OWNER)
    assert (message.message_id, message.chat_id, message.text, message.edits) == (
        sent.message_id,
        OWNER,
        "hi \N{GRINNING FACE} code",
        0,
    )
    assert message.entities == (Entity(type="pre", offset=6, length=4, language="py"),)
    assert message.buttons == (Button(label="Go", id="id-1"),)
    assert (message.reply_to, message.link_preview_disabled, message.parse_mode) == (
        asked,
        True,
        None,
    )
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "question"
    assert server.violations == []


async def test_an_edit_changes_the_message_in_its_place(server: TelegramServer, bot: Bot) -> None:
    """The view shows final texts; an edit without buttons takes them away."""
    markup = InlineKeyboardMarkup([[InlineKeyboardButton("Go", callback_data="id-1")]])
    first = await bot.send_message(OWNER, "one", reply_markup=markup)
    await bot.send_message(OWNER, "two")
    await bot.edit_message_text("one, changed", OWNER, first.message_id)
    view = [(m.text, m.edits, m.buttons) for m in server.messages(OWNER)]
    assert view == [("one, changed", 1, ()), ("two", 0, ())]


async def test_edits_are_refused_as_telegram_does(server: TelegramServer, bot: Bot) -> None:
    """The same content, an unknown message and a person's message cannot be edited."""
    own = await bot.send_message(OWNER, "same")
    theirs = server.person(OWNER).say("mine")
    for message_id, reason in (
        (own.message_id, "Message is not modified"),
        (999, "Message to edit not found"),
        (theirs, "Message can't be edited"),
    ):
        with pytest.raises(BadRequest, match=reason):
            await bot.edit_message_text("same", OWNER, message_id)


async def test_drafts_are_shown_in_private_chats_only(server: TelegramServer, bot: Bot) -> None:
    """A draft is no message, may be empty, needs an id, and is refused in groups."""
    server.group(-5)
    await bot.send_message_draft(OWNER, 7, "")
    await bot.send_message_draft(OWNER, 7, "so far", api_kwargs={"can_stop": True})
    shown = [(d.draft_id, d.text, d.can_stop) for d in server.drafts(OWNER)]
    assert shown == [(7, "", False), (7, "so far", True)]
    assert server.messages(OWNER) == ()
    with pytest.raises(BadRequest, match=r"(?i)textdraft_peer_invalid"):
        await bot.send_message_draft(-5, 7, "x")
    with pytest.raises(BadRequest, match=r"(?i)random_id_invalid"):
        await bot.send_message_draft(OWNER, 0, "x")


async def test_sends_to_where_the_bot_is_not_welcome_are_refused(
    server: TelegramServer, bot: Bot
) -> None:
    """Unknown chats, a block and an expulsion have Telegram's own errors."""
    person, group = server.person(OWNER), server.group(-5)
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.send_message(404, "x")
    person.block()
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(OWNER, "x")
    person.unblock()
    await bot.send_message(OWNER, "x")
    group.remove_bot(person)
    with pytest.raises(Forbidden, match="bot was kicked from the supergroup chat"):
        await bot.send_message(-5, "x")
    with pytest.raises(BadRequest, match="Message to be replied not found"):
        await bot.send_message(OWNER, "x", reply_to_message_id=999)


async def test_leaving_a_group_is_told_and_ends_sending(server: TelegramServer, bot: Bot) -> None:
    """After leaveChat the bot is out: it gets the update about itself, and none from inside."""
    group = server.group(-5)
    await bot.leave_chat(-5)
    server.person(OWNER).say("unheard", -5)
    (update,) = await bot.get_updates()
    assert update.my_chat_member is not None
    assert update.my_chat_member.new_chat_member.status == "left"
    assert update.my_chat_member.from_user.id == BOT_ID
    assert not group.bot_is_in
    with pytest.raises(Forbidden, match="not a member"):
        await bot.send_message(-5, "x")


async def test_small_methods_do_what_they_say(server: TelegramServer, bot: Bot) -> None:
    """Delete, action, reaction, commands, chat and bot data work through the library."""
    message = await bot.send_message(OWNER, "x")
    assert await bot.send_chat_action(OWNER, "typing")
    assert await bot.set_message_reaction(OWNER, message.message_id, "\N{EYES}")
    assert server.world.reactions == {(OWNER, message.message_id): ("\N{EYES}",)}
    assert await bot.delete_message(OWNER, message.message_id)
    assert server.messages(OWNER) == ()
    assert await bot.set_my_commands([BotCommand("stop", "Stop it")])
    assert await bot.get_my_commands() == (BotCommand("stop", "Stop it"),)
    assert (await bot.get_chat(OWNER)).first_name == "Owner"
    assert (await bot.get_me()).id == BOT_ID
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(OWNER, message.message_id)


async def test_files_go_both_ways(server: TelegramServer, bot: Bot) -> None:
    """A person's file can be downloaded; files of the bot arrive with name, caption and bytes."""
    server.person(OWNER).attach("document", b"theirs", name="a.txt", mime="text/plain", caption="c")
    (update,) = await bot.get_updates()
    assert update.message is not None
    assert update.message.document is not None
    file = await update.message.document.get_file()
    assert bytes(await file.download_as_bytearray()) == b"theirs"
    await bot.send_document(OWNER, b"ours", filename="b.txt", caption="long arguments")
    await bot.send_photo(OWNER, png())
    await bot.send_media_group(OWNER, [InputMediaDocument(b"1"), InputMediaDocument(b"2")])
    document, photo, one, two = server.messages(OWNER)
    assert document.text == "long arguments"
    assert document.file == SentFile(kind="document", name="b.txt", content=b"ours")
    assert photo.file is not None
    assert (photo.file.kind, photo.file.content) == ("photo", png())
    assert one.album == two.album is not None
    assert [m.file.content for m in (one, two) if m.file] == [b"1", b"2"]


async def test_wrong_tokens_and_unknown_methods_have_their_own_errors(
    server: TelegramServer, bot: Bot
) -> None:
    """401 for another token; 404 for a method that does not exist."""
    with pytest.raises(InvalidToken):
        async with open_bot(server, token="1:other"):
            pass
    with pytest.raises(EndPointNotFound):
        await bot.do_api_request("sendRichMessage", api_kwargs={"chat_id": OWNER})
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.base_url}{server.token}/nothing") as answer,
    ):
        assert (answer.status, await answer.json()) == (
            404,
            {"ok": False, "error_code": 404, "description": "Not Found"},
        )


async def test_parameters_may_come_as_json_form_or_query(server: TelegramServer) -> None:
    """All three ways of the Bot API lead to the same message; raw bytes are kept."""
    url = f"{server.base_url}{server.token}/sendMessage"
    params = {
        "chat_id": OWNER,
        "text": "x",
        "entities": [{"type": "bold", "offset": 0, "length": 1}],
    }
    flat = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in params.items()
    }
    async with aiohttp.ClientSession() as session:
        for answer in (
            await session.post(url, json=params),
            await session.post(url, data=flat),
            await session.get(url, params=flat),
        ):
            assert answer.status == 200
    bold = (Entity(type="bold", offset=0, length=1),)
    assert [(m.text, m.entities) for m in server.messages(OWNER)] == [("x", bold)] * 3
    assert [call.params for call in server.calls("sendMessage")] == [params] * 3
    assert server.requests[0].body == json.dumps(params).encode()


# --- updates ----------------------------------------------------------------------------------


async def test_an_update_comes_again_until_a_higher_offset_confirms_it(
    server: TelegramServer, bot: Bot
) -> None:
    """Fetching confirms nothing; offset N confirms all below N, and a new client sees the rest."""
    person = server.person(OWNER)
    for text in ("a", "b", "c"):
        person.say(text)
    first = await bot.get_updates(limit=2)
    assert texts(first) == ["a", "b"]
    assert server.pending() == 3
    async with open_bot(server) as restarted:
        assert texts(await restarted.get_updates()) == ["a", "b", "c"]
        assert texts(await restarted.get_updates(offset=ids(first)[1])) == ["b", "c"]
        assert (server.pending(), server.confirmed_offset) == (2, ids(first)[1])
        assert await restarted.get_updates(offset=server.last_update_id + 1, timeout=0) == ()
    assert (server.pending(), server.confirmed_offset) == (0, server.last_update_id + 1)


async def test_a_negative_offset_keeps_only_the_newest(server: TelegramServer, bot: Bot) -> None:
    """Offset -2 returns the last two and forgets all before them."""
    person = server.person(OWNER)
    for text in ("a", "b", "c"):
        person.say(text)
    assert texts(await bot.get_updates(offset=-2)) == ["b", "c"]
    assert texts(await bot.get_updates()) == ["b", "c"]
    assert texts(await bot.get_updates(offset=-99)) == ["b", "c"]


async def test_a_long_poll_wakes_at_once_and_else_ends_empty(
    server: TelegramServer, bot: Bot
) -> None:
    """A waiting poll returns as an update comes, far before its timeout."""
    assert await bot.get_updates(timeout=1) == ()
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await server.wait_for("getUpdates", lambda call: call.params["timeout"] == 30)
    server.person(OWNER).say("now")
    async with asyncio.timeout(2):
        assert texts(await poll) == ["now"]


async def test_a_second_poll_ends_the_first_with_a_conflict(
    server: TelegramServer, bot: Bot
) -> None:
    """The older poll gets 409; the younger one goes on and gets the update."""
    async with open_bot(server) as other:
        first = asyncio.create_task(bot.get_updates(timeout=30))
        call = await server.wait_for("getUpdates")
        second = asyncio.create_task(other.get_updates(timeout=30))
        await server.wait_for("getUpdates", after=call.serial)
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await first
        server.person(OWNER).say("hello")
        assert texts(await second) == ["hello"]


async def test_a_poll_whose_client_left_is_no_rival(server: TelegramServer) -> None:
    """After a kill in the middle of a poll the next process gets the update, without a 409."""
    async with open_bot(server) as killed:
        poll = asyncio.create_task(killed.get_updates(timeout=30))
        await server.wait_for("getUpdates")
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
    async with open_bot(server) as bot:
        next_poll = asyncio.create_task(bot.get_updates(timeout=30))
        await server.wait_for("getUpdates", after=server.requests[-1].serial)
        server.person(OWNER).say("kept")
        assert texts(await next_poll) == ["kept"]
    assert server.statuses["getUpdates", 409] == 0


async def test_allowed_updates_are_remembered(server: TelegramServer, bot: Bot) -> None:
    """A list stays in force until the next one; an empty list means the default kinds."""
    person = server.person(OWNER)
    await bot.get_updates(allowed_updates=["message"])
    edited = person.say("a")
    person.edit(edited, "b")
    assert texts(await bot.get_updates()) == ["a"]
    assert (await bot.get_webhook_info()).allowed_updates == ("message",)
    await bot.get_updates(allowed_updates=[])
    person.edit(edited, "c")
    person.react(edited, "\N{THUMBS UP SIGN}")
    kinds = [update.edited_message is not None for update in await bot.get_updates()]
    assert kinds == [False, True]


async def test_polls_and_a_webhook_exclude_each_other(server: TelegramServer, bot: Bot) -> None:
    """While a webhook is set, polls get 409; deleting it may drop what waits."""
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await server.wait_for("getUpdates")
    await bot.set_webhook("https://bot.example/telegram")
    with pytest.raises(Conflict, match="setWebhook"):
        await poll
    server.person(OWNER).say("x")
    with pytest.raises(Conflict, match="while webhook is active"):
        await bot.get_updates()
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count) == ("https://bot.example/telegram", 1)
    await bot.delete_webhook()
    assert texts(await bot.get_updates()) == ["x"]
    await bot.delete_webhook(drop_pending_updates=True)
    assert await bot.get_updates() == ()


async def test_a_repeated_update_comes_although_it_was_confirmed(
    server: TelegramServer, bot: Bot
) -> None:
    """Duplicates and updates out of order can be made, each is handed out once."""
    server.person(OWNER).say("a")
    (update,) = await bot.get_updates()
    server.repeat_update(update.to_dict())
    assert ids(await bot.get_updates(offset=update.update_id + 1)) == [update.update_id]
    assert await bot.get_updates(offset=update.update_id + 1) == ()


async def test_waiting_for_a_confirmation_ends_with_it(server: TelegramServer, bot: Bot) -> None:
    """A harness can wait until the bot acknowledged an update, and is told if it did not."""
    server.person(OWNER).say("a")
    with pytest.raises(TimeoutError, match="is not confirmed"):
        await server.wait_confirmed(timeout_seconds=0.05)
    waiting = asyncio.create_task(server.wait_confirmed())
    await asyncio.sleep(0)
    await bot.get_updates(offset=server.last_update_id + 1)
    await waiting
    await server.wait_confirmed()
