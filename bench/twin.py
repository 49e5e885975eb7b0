"""`python -m bench.twin model|echo`: the baselines, plain python-telegram-bot bots.

`model` asks the same model through the same SDK and sends its answer; `echo` sends the words back.
Neither stores, records or limits anything, and neither knows what was said before.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters

Context = ContextTypes.DEFAULT_TYPE


def _handler(model: Any | None) -> Any:
    async def answer(update: Update, context: Context) -> None:
        message = update.effective_message
        assert message is not None
        text = message.text or ""
        if model is not None:
            async with model.messages.stream(
                model="claude-sonnet-5-5",
                max_tokens=8192,
                messages=[{"role": "user", "content": text}],
            ) as stream:
                text = await stream.get_final_text()
        await context.bot.send_message(message.chat_id, text)

    return answer


def _main(kind: str) -> None:
    model = None
    if kind == "model":
        from anthropic import AsyncAnthropic  # noqa: PLC0415 - the echo bot does without

        model = AsyncAnthropic()
    application = (
        Application.builder()
        .token(os.environ["TELEGRAM_BOT_TOKEN"])
        .base_url(f"{os.environ['TELEGRAM_API_URL']}/bot")
        .concurrent_updates(True)
        .build()
    )
    application.add_handler(MessageHandler(filters.TEXT, _handler(model)))
    application.run_polling()


if __name__ == "__main__":
    _main(sys.argv[1])
