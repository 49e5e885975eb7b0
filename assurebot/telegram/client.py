"""Telegram's Bot API out, by python-telegram-bot's `Bot`; every wait on it is bounded."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, Self

import telegram
from telegram.request import HTTPXRequest
from telegram.warnings import PTBDeprecationWarning, PTBUserWarning

from assurebot.errors import ChatConflict, ChatRejected, ChatTokenRefused, ChatUnavailable
from assurebot.telegram.downloads import fetch_file
from assurebot.values import Entity, Piece, Place

CALL_SECONDS = 20.0
POLL_SLACK_SECONDS = 10.0
UPLOAD_SECONDS = 300.0
"""For all files of a message together: the 50 MB that Telegram takes, on a slow line."""

DOWNLOAD_SECONDS = 120.0
"""For all of a file: the 20 MB that Telegram gives, on a slow line."""

_REFUSALS = (telegram.error.BadRequest, telegram.error.Forbidden, telegram.error.ChatMigrated)


@contextmanager
def _translated() -> Iterator[None]:
    """Map python-telegram-bot's errors; its `BadRequest` is a `NetworkError`, so order matters."""
    try:
        yield
    except telegram.error.RetryAfter as error:
        seconds = error.retry_after
        wait = seconds if isinstance(seconds, int) else seconds.total_seconds()
        raise ChatUnavailable("flood control", retry_after=float(wait)) from error
    except (telegram.error.InvalidToken, telegram.error.EndPointNotFound) as error:
        raise ChatTokenRefused("Telegram does not accept TELEGRAM_BOT_TOKEN") from error
    except telegram.error.Conflict as error:
        raise ChatConflict("another process polls with the same token") from error
    except _REFUSALS as error:
        raise ChatRejected(error.message) from error
    except TimeoutError as error:
        raise ChatUnavailable("the time is up", maybe_delivered=True) from error
    except telegram.error.TelegramError as error:
        if "Too Large" in error.message:  # HTTP 413, which the library counts among network errors
            raise ChatRejected("too large") from error
        # The text may quote the address that was called, and so the token: give the kind only.
        cause = error.__cause__
        kind = type(error if cause is None else cause).__name__
        raise ChatUnavailable(kind, maybe_delivered=True) from error


class TelegramClient:
    """`ports.Chat`, and the calls that the poller needs.

    No link previews, no `parse_mode`, and never a string where a file could be meant.
    """

    def __init__(
        self,
        token: str,
        api_url: str | None = None,
        *,
        upload_seconds: float = UPLOAD_SECONDS,
        download_seconds: float = DOWNLOAD_SECONDS,
    ) -> None:
        self._token = token
        self._download_seconds = download_seconds
        self._upload_seconds = upload_seconds
        self._can_stop = True
        self._base = (api_url or "https://api.telegram.org").rstrip("/")

    async def __aenter__(self) -> Self:
        # Two methods of its own are passed over on purpose; and both forms of a wait are read.
        warnings.filterwarnings("ignore", "Please use 'Bot.get(Updates|File)'", PTBUserWarning)
        warnings.filterwarnings("ignore", ".*retry_after", PTBDeprecationWarning)
        # `Bot.initialize` is not called: it asks the network, which a start must not need.
        self._requests = (_request(16), _request(1))
        self._bot = telegram.Bot(
            self._token,
            base_url=f"{self._base}/bot",
            base_file_url=f"{self._base}/file/bot",
            request=self._requests[0],
            get_updates_request=self._requests[1],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for request in self._requests:
            await request.shutdown()

    # --- ports.Chat

    async def send(self, place: Place, piece: Piece, media: Sequence[bytes] = ()) -> int:
        """See `Chat.send`."""
        if piece.media:
            with _translated():
                async with asyncio.timeout(self._upload_seconds):
                    return await self._upload(place, piece, media)
        if piece.replaces is not None and await self._edit(place, piece):
            return piece.replaces
        with _translated():
            message = await self._bot.send_message(
                place.chat_id,
                message_thread_id=place.thread_id,
                reply_to_message_id=piece.reply_to,
                allow_sending_without_reply=True,
                **_content(piece),
            )
        return message.message_id

    async def _upload(self, place: Place, piece: Piece, media: Sequence[bytes]) -> int:
        photos = piece.media[0].kind == "photo"
        given: dict[str, Any] = {
            "message_thread_id": place.thread_id,
            "reply_to_message_id": piece.reply_to,
            "allow_sending_without_reply": True,
            "caption": piece.text or None,
            "caption_entities": _entities(piece.entities),
            "read_timeout": self._upload_seconds,  # Telegram works on the last of it
        }
        # Bytes in an `InputFile` alone: a string would be looked up as a path, an id or a URL.
        files = [
            telegram.InputFile(data, filename=each.name, attach=len(piece.media) > 1)
            for each, data in zip(piece.media, media, strict=True)
        ]
        if len(files) > 1:
            album = [_item(file, photo=photos) for file in files]
            return (await self._bot.send_media_group(place.chat_id, album, **given))[0].message_id
        given["reply_markup"] = _markup(piece)
        if photos:
            return (await self._bot.send_photo(place.chat_id, files[0], **given)).message_id
        if piece.media[0].kind == "voice":
            return (await self._bot.send_voice(place.chat_id, files[0], **given)).message_id
        given["disable_content_type_detection"] = True
        return (await self._bot.send_document(place.chat_id, files[0], **given)).message_id

    async def _edit(self, place: Place, piece: Piece) -> bool:
        """Tell whether the message to be replaced now shows the piece; it may be gone."""
        try:
            with _translated():
                await self._bot.edit_message_text(
                    chat_id=place.chat_id, message_id=piece.replaces, **_content(piece)
                )
        except ChatRejected as error:
            return "not modified" in str(error)
        return True

    async def draft(
        self, place: Place, draft_id: int, text: str, entities: Sequence[Entity]
    ) -> None:
        """See `Chat.draft`."""

        async def show(*, can_stop: bool) -> None:
            with _translated():
                await self._bot.send_message_draft(
                    place.chat_id,
                    draft_id,
                    text,
                    entities=_entities(entities),
                    message_thread_id=place.thread_id,
                    api_kwargs={"can_stop": True} if can_stop else None,
                )

        try:
            await show(can_stop=self._can_stop)
        except ChatRejected:
            await show(can_stop=False)
            self._can_stop = False  # an older server: it takes drafts, but none with a button

    async def typing(self, place: Place) -> None:
        """See `Chat.typing`."""
        with _translated():
            await self._bot.send_chat_action(
                place.chat_id, "typing", message_thread_id=place.thread_id
            )

    async def acknowledge(self, press: str, text: str) -> None:
        """See `Chat.acknowledge`."""
        with _translated():
            await self._bot.answer_callback_query(press, text)

    async def leave(self, chat_id: int) -> None:
        """See `Chat.leave`."""
        with _translated():
            await self._bot.leave_chat(chat_id)

    async def download(self, file_id: str, limit_bytes: int) -> bytes:
        """See `Chat.download`."""
        with _translated():
            # The library's own helper would look for the path on the local disk.
            found = await self._bot.do_api_request("getFile", api_kwargs={"file_id": file_id})
        file = found if isinstance(found, dict) else {}
        path, size = str(file.get("file_path") or ""), file.get("file_size") or 0
        if size > limit_bytes:
            raise ChatRejected("too large")
        root, seconds = f"{self._base}/file/bot{self._token}", self._download_seconds
        data = await fetch_file(root, path, limit_bytes, seconds)
        if len(data) < size:
            raise ChatUnavailable("the file was cut")
        return data

    # --- for the poller

    async def identify(self) -> tuple[int, str]:
        """Return the bot's own user id and username.

        Raises:
            ChatTokenRefused: The token is wrong.
            ChatUnavailable: No answer.
        """
        with _translated():
            me = await self._bot.get_me()
        return me.id, me.username or ""

    async def prepare(self, commands: Sequence[tuple[str, str]]) -> None:
        """Remove a webhook that would keep updates from us, and register the commands."""
        with _translated():
            await self._bot.delete_webhook(drop_pending_updates=False)
        with suppress(ChatRejected), _translated():  # a list that is refused must not stop polling
            await self._bot.set_my_commands([telegram.BotCommand(*command) for command in commands])

    async def updates(
        self, offset: int | None, wait_seconds: int, kinds: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Wait for updates and return them raw; asking with an offset confirms those before it.

        Raises:
            ChatUnavailable, ChatConflict, ChatTokenRefused, ChatRejected: As named.
        """
        arguments = {"timeout": wait_seconds, "allowed_updates": list(kinds), "offset": offset}
        with _translated():
            # The typed method parses all or nothing: one bad update would block all others.
            raw = await self._bot.do_api_request(
                "getUpdates",
                api_kwargs=arguments,
                read_timeout=wait_seconds + POLL_SLACK_SECONDS,
            )
        if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
            raise ChatUnavailable("not a list of updates")
        return raw


def _request(connections: int) -> HTTPXRequest:
    return HTTPXRequest(
        connection_pool_size=connections,
        connect_timeout=5.0,
        read_timeout=CALL_SECONDS,
        write_timeout=CALL_SECONDS,
        media_write_timeout=60.0,
        pool_timeout=5.0,
        httpx_kwargs={"trust_env": False},
    )


def _entities(entities: Sequence[Entity]) -> list[telegram.MessageEntity]:
    return [telegram.MessageEntity(**asdict(each)) for each in entities]


def _item(
    file: telegram.InputFile, *, photo: bool
) -> telegram.InputMediaPhoto | telegram.InputMediaDocument:
    if photo:
        return telegram.InputMediaPhoto(file)
    return telegram.InputMediaDocument(file, disable_content_type_detection=True)


def _markup(piece: Piece) -> telegram.InlineKeyboardMarkup | None:
    buttons = [telegram.InlineKeyboardButton(b.label, callback_data=b.id) for b in piece.buttons]
    rows = [buttons[n : n + 2] for n in range(0, len(buttons), 2)]  # a yes and a no beside it
    return telegram.InlineKeyboardMarkup(rows) if rows else None


def _content(piece: Piece) -> dict[str, Any]:
    return {
        "text": piece.text,
        "entities": _entities(piece.entities),
        "reply_markup": _markup(piece),
        "link_preview_options": telegram.LinkPreviewOptions(is_disabled=True),
    }
