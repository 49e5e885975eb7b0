"""A plain python-telegram-bot program in a child process, for comparison.

Everything is the library's default: it keeps updates in memory
and has them acknowledged before they are worked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters

WORK_SECONDS = 0.010


async def answer(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    """Work for a moment and answer."""
    message = update.message
    if message is None or message.text is None:
        return
    await asyncio.sleep(WORK_SECONDS)
    await message.reply_text(f"done {message.text.split()[0]}")


def main(environment: Mapping[str, str]) -> None:
    """Poll until a signal comes."""
    address = environment["TELEGRAM_API_URL"]
    builder = Application.builder().token(environment["TELEGRAM_BOT_TOKEN"])
    application = builder.base_url(f"{address}/bot").base_file_url(f"{address}/file/bot").build()
    application.add_handler(MessageHandler(filters.TEXT, answer))
    application.run_polling()
