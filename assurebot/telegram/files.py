"""`/files`: people see and remove what they sent."""

from __future__ import annotations

import secrets

from assurebot.agent.files import described
from assurebot.agent.prompt import one_line
from assurebot.agent.report import code_block
from assurebot.ports import Store
from assurebot.turns.worker import Reply
from assurebot.values import Button, StoredEvent

NOTHING = "I keep no files here. Send me a picture or a document."
HOW_TO_REMOVE = "`/files remove 3` removes file 3; /files shows the numbers."
WITH_BUTTONS, SHOWN = 10, 40
"""So many of the newest files have a button, and so many are in the list."""


class FilesCommand:
    """Answers the command; each chat has only its own files."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def answer(self, stored: StoredEvent) -> Reply:
        """List the files, or remove the one whose number is given."""
        chat, words = stored.event.place.chat_id, stored.event.text.split()
        if not words:
            return await self._list(chat)
        verb, number = words[0], words[-1]
        if verb != "remove" or not number.isdecimal():
            return Reply(text=HOW_TO_REMOVE)
        known = len(number) < len(str(2**63)) and await self._store.remove_file(chat, int(number))
        none = f"There is no file {number} here."
        return Reply(text=f"File {number} is removed." if known else none)

    async def _list(self, chat: int) -> Reply:
        files = await self._store.files(chat)
        if not files:
            return Reply(text=NOTHING)
        lines = [
            f"[{file.number}] {file.at:%Y-%m-%d}: {described(file, one_line(file.name))}"
            for file in files[-SHOWN:]
        ]
        older = f" The newest {SHOWN} are shown." if len(files) > SHOWN else ""
        numbers = [file.number for file in files[-WITH_BUTTONS:]]
        buttons = tuple(
            (Button(label=f"🗑 {number}", id=secrets.token_urlsafe(12)), f"file:{number}")
            for number in numbers
        )
        listed = code_block("\n".join(lines))
        text = f"{len(files)} kept here.{older}\n{listed}\n{HOW_TO_REMOVE}"
        return Reply(text=text, buttons=buttons)
