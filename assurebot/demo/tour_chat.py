"""The end of the tour: chatting with the program over the stand-in for Telegram."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
from collections.abc import Callable
from contextlib import ExitStack

from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_faults import Fault
from assurebot.demo.telegram_wire import Received
from assurebot.demo.tour_files import SEND, send
from assurebot.demo.tour_world import OWNER, Stage

Write = Callable[[str], None]
"""Writes text to the terminal as it is, at once."""

QUIT = frozenset({"/quit", "/exit"})
PROMPT = "you> "
STATUS = re.compile(r"(^|\n\n)[^\w\s]+ [\w ]+, \d+ s$")
"""What goes on, at the end of a draft: a terminal cannot take it back."""

SHOWING = ("sendMessage", "sendMessageDraft", "sendPhoto", "sendDocument", "sendMediaGroup")


class Keyboard:
    """Lines typed at a file descriptor, without a thread: one that waits could not be ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self.lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read(self) -> None:
        """Take what is there; `None` among the lines is the end of the input."""
        data = os.read(self._descriptor, 65_536)
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self.lines.put_nowait(None)
            return
        *whole, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in whole:
            self.lines.put_nowait(line)


class Screen:
    """What the bot shows, as it comes: drafts by their growth, messages whole."""

    def __init__(self, stage: Stage, write: Write) -> None:
        self._telegram = stage.telegram
        self._write = write
        self._shown = ""
        self._drafts = 0
        self._last_id = 0

    async def on_call(self, _received: Received) -> Fault | None:
        """Show what is new after a call of the bot."""
        drafts = self._telegram.drafts(OWNER)
        for draft in drafts[self._drafts :]:
            self._grow(STATUS.sub("", plain(draft.text)))
        self._drafts = len(drafts)
        for message in self._telegram.messages(OWNER):
            if message.message_id > self._last_id:
                self._last_id = message.message_id
                self._finish(message)
        return None

    def _grow(self, text: str) -> None:
        if text and not self._shown:
            self._write("\rbot> ")
        if text.startswith(self._shown):
            self._write(text[len(self._shown) :])
            self._shown = text

    def _finish(self, message: SentMessage) -> None:
        text = plain(message.text)
        if message.file is not None:
            size = f"{len(message.file.content)} bytes"
            text = f"[{message.file.kind} {plain(message.file.name)}, {size}]"
        if self._shown and not text.startswith(self._shown):
            self._write("\n")  # it was shown otherwise than it ended: show it again, whole
            self._shown = ""
        self._grow(text)
        labels = " ".join(f"[{plain(button.label)}]" for button in message.buttons)
        self._write(f"\n{labels}\n{PROMPT}" if labels else f"\n{PROMPT}")
        self._shown = ""


def plain(text: str) -> str:
    """Return text without what a terminal would obey."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


async def chat(stage: Stage, descriptor: int, write: Write) -> None:
    """Pass lines to the bot and show what it does, until `/quit` or the end of the input."""
    keyboard, screen = Keyboard(descriptor), Screen(stage, write)
    owner = stage.telegram.person(OWNER)
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for method in SHOWING:
            stack.callback(stage.telegram.on_call(method, screen.on_call, "after"))
        loop.add_reader(descriptor, keyboard.read)
        stack.callback(loop.remove_reader, descriptor)
        ended = asyncio.create_task(stage.ended())
        stack.callback(ended.cancel)
        ended.add_done_callback(lambda _: keyboard.lines.put_nowait(None))
        write(PROMPT)
        while (line := await keyboard.lines.get()) is not None and line.strip() not in QUIT:
            if line.split()[:1] == [SEND]:
                wrong = send(owner, line)
                write(f"{plain(wrong)}\n{PROMPT}" if wrong else "")
            elif line.strip():
                owner.say(line.strip())
            else:
                write(PROMPT)
        write("\nThe program has ended.\n" if ended.done() else "\n")
