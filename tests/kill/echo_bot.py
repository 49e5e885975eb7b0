"""A plain python-telegram-bot program as a child process, for comparison.

`python -m tests.kill.echo_bot`. Everything is the library's default: it keeps updates in memory
and has them acknowledged before they are worked.
"""

from __future__ import annotations

import asyncio
import os

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


def main() -> None:
    """Poll until a signal comes."""
    address = os.environ["TELEGRAM_API_URL"]
    builder = Application.builder().token(os.environ["TELEGRAM_BOT_TOKEN"])
    application = builder.base_url(f"{address}/bot").base_file_url(f"{address}/file/bot").build()
    application.add_handler(MessageHandler(filters.TEXT, answer))
    application.run_polling()


if __name__ == "__main__":
    main()
