"""No leaks: configured secrets are gone from all that is sent, stored, recorded or logged."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from assurebot.demo.model import Ask, Call, ModelServer, Turn
from assurebot.demo.telegram import TelegramServer
from tests.doubles import CallingTool
from tests.scripts import LIMIT_SECONDS, by_words, steps
from tests.world import API_KEY, World, quick, running

TOKEN = "555000111:AAH-canary_token-0123456789abcdefXYZ"
AUDIT_KEY = "canary-audit-key/with+odd=chars-0123456789"
SECRETS = (TOKEN, API_KEY, AUDIT_KEY)


def forms(secret: str) -> Iterator[str]:
    """The ways in which the script says a secret."""
    yield secret
    yield b64encode(secret.encode()).decode()
    yield b64encode(b"x" + secret.encode() + b"y").decode()
    yield urlsafe_b64encode(secret.encode()).decode()
    yield quote(secret, safe="")
    yield quote(quote(secret, safe=""), safe="")
    yield "".join(f"%{byte:02X}" for byte in secret.encode())
    yield secret.encode().hex()
    yield secret.encode().hex().upper()


def said() -> str:
    """Every form of every secret, with words around them."""
    return "\n".join(f"It is {form} indeed." for secret in SECRETS for form in forms(secret))


def leaks(place: str, data: bytes) -> list[str]:
    """Name what of the secrets stands in some bytes, read as they are and percent-decoded."""
    texts = (data, unquote_to_bytes(data.replace(b"+", b" ")))
    return [
        f"{place}: {secret[:6]} as {form[:12]}"
        for secret in SECRETS
        for form in forms(secret)
        if any(form.encode() in text for text in texts)
    ]


def stored(world: World) -> bytes:
    """Every value in the database, and the files of the data folder."""
    with sqlite3.connect(world.database) as connection:
        values = "\n".join(connection.iterdump())
    connection.close()
    return values.encode() + world.stored_bytes()


def all_leaks(world: World) -> list[str]:
    """Look at all that was sent to Telegram, at the database and at the audit."""
    found = [
        leak
        for call in world.telegram.requests
        for leak in leaks(call.method, call.body + str(call.params).encode())
    ]
    found += leaks("audit", world.settings.audit_log_path.read_bytes())
    return found + leaks("data", stored(world))


def pieces(text: str, size: int = 3) -> tuple[str, ...]:
    """Cut a text so that each secret is split over many chunks."""
    return tuple(text[at : at + size] for at in range(0, len(text), size))


async def test_secrets_that_the_model_says_reach_nobody(tmp_path: Path) -> None:
    """In text, drafts, calls, thoughts and results: no byte of a secret is sent or kept."""

    async def tell(_arguments: str) -> str:
        return said()

    def turns() -> Iterator[Turn]:
        arguments = f'{{"id": "{said()}"}}'.replace("\n", " ")
        yield Turn(
            thinking=said(),
            chunks=pieces(said()),
            chunk_seconds=0.0005,
            calls=(Call(name="act", arguments=arguments), Call(name=API_KEY)),
        )
        yield Turn(text=f"In between {API_KEY}", calls=(Call(name="recall", arguments=said()),))
        yield Turn(chunks=pieces(said(), 7), chunk_seconds=0.001)

    parts = quick(tools=[CallingTool(tell)])
    async with running(
        tmp_path, steps(turns), parts=parts, token=TOKEN, AUDIT_KEY=AUDIT_KEY
    ) as world:
        await world.ask("tell me")
        await world.answer(contains="[redacted:AUDIT_KEY]")
        await world.stop()
        assert len(world.telegram.drafts(42)) > 3
        assert all_leaks(world) == []
        later = [str(ask.raw["messages"]) for ask in list(world.model.requests)[1:]]
        assert [leak for text in later for leak in leaks("model", text.encode())] == []


async def test_secrets_that_a_person_types_are_not_repeated(tmp_path: Path) -> None:
    """What somebody pastes is neither kept nor passed on to the model or back to the chat."""
    async with running(tmp_path, token=TOKEN, AUDIT_KEY=AUDIT_KEY) as world:
        await world.ask(said()[:4_000])
        await world.ask(f"/model {TOKEN}")
        await world.stop()
        assert all_leaks(world) == []
        asked = str([ask.raw for ask in world.model.requests])
        assert leaks("model", asked.encode()) == []


async def test_stop_in_the_middle_of_a_secret_sends_no_part_of_it(tmp_path: Path) -> None:
    """The partial text of a stopped turn does not end in the beginning of a secret."""
    words = "word " * 60
    talk = Turn(chunks=(words, TOKEN[:-4]), chunk_seconds=0.01, fault="stall")
    async with running(tmp_path, by_words({"talk": talk}), token=TOKEN) as world:
        world.owner.say("talk")
        await world.meanwhile(world.telegram.wait_for_draft(42, contains="word word"))
        await asyncio.sleep(0.1)
        answer = await world.ask("/stop", "Stopped")
        assert TOKEN[:20] not in answer.text
        assert "word word" in answer.text


async def test_log_of_the_process_holds_no_secret_and_sigterm_ends_it(tmp_path: Path) -> None:
    """The real process, at DEBUG, with faults: no secret in its output; exit 0 within 10 s."""

    def script(ask: Ask) -> Turn:
        if "hang" in ask.last_user_text:
            hanging.set()
            return Turn(delay_seconds=60)
        return Turn(
            text=said(), calls=() if ask.tool_results else (Call(name=TOKEN, arguments=API_KEY),)
        )

    hanging = asyncio.Event()
    log = tmp_path / "log"
    async with TelegramServer(token=TOKEN) as telegram, ModelServer(script) as model:
        owner = telegram.person(42)
        environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": telegram.api_url,
            "ALLOWED_USERS": "42",
            "ANTHROPIC_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": model.url,
            "AI_PRICE": "1,2",
            "AUDIT_KEY": AUDIT_KEY,
            "DATA_DIR": str(tmp_path / "data"),
            "PORT": "0",
            "LOG_LEVEL": "DEBUG",
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "assurebot", "run"),
                stdout=output,
                stderr=output,
                env=environ,
            )
        try:
            owner.say("hello")
            await telegram.wait_for_message(42, contains="[redacted:", timeout_seconds=20)
            odd = {"type": TOKEN, "date": 10**30}
            telegram.raw_update({"message": {**_message(), "forward_origin": odd, "text": said()}})
            await telegram.wait_for_message(42, contains="set aside", timeout_seconds=10)
            await telegram.go_away()
            await asyncio.sleep(0.3)
            await telegram.come_back()
            owner.say("hang")
            async with asyncio.timeout(LIMIT_SECONDS):
                await hanging.wait()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    output_bytes = log.read_bytes()
    assert (code, b"stopping" in output_bytes) == (0, True)
    assert leaks("log", output_bytes) == []


def _message() -> dict[str, object]:
    chat = {"id": 42, "type": "private", "first_name": "Ann"}
    return {"message_id": 900, "chat": chat, "from": {"id": 42, "is_bot": False, "first_name": "A"}}
