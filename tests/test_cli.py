"""The command line as a person meets it: exit codes, words, and never a traceback."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from assurebot.demo.model import Turn, always
from assurebot.demo.telegram import TOKEN, TelegramServer
from assurebot.demo.telegram_faults import Refuse
from tests.scripts import LIMIT_SECONDS
from tests.world import running

IMPATIENT = """
import functools, sys
from assurebot import app, cli
app.Parts = functools.partial(app.Parts, holder_seconds=0.3)
sys.exit(cli.main(["run"]))
"""


@asynccontextmanager
async def assurebot(*arguments: str, code: str = "", **environ: str) -> AsyncIterator[Process]:
    """Start the real program, with nothing in the environment but what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    how = ("-c", code) if code else ("-m", "assurebot", *arguments)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *how), stdout=PIPE, stderr=PIPE, env=kept | environ
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ending(process: Process) -> tuple[int | None, str, str]:
    """Wait for the end; return exit code, output and errors."""
    async with asyncio.timeout(LIMIT_SECONDS + 50):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def outcome(*arguments: str, code: str = "", **environ: str) -> tuple[int | None, str, str]:
    """Run the real program to its end."""
    async with assurebot(*arguments, code=code, **environ) as process:
        return await ending(process)


async def next_line(stream: asyncio.StreamReader | None) -> str:
    """Read one line of the output; it must not have ended."""
    assert stream is not None
    async with asyncio.timeout(LIMIT_SECONDS + 10):
        line = await stream.readline()
    assert line, "the output ended"
    return line.decode()


def started_with(telegram: TelegramServer, folder: Path) -> dict[str, str]:
    """What a start needs."""
    return {
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.api_url,
        "ALLOWED_USERS": "42",
        "ANTHROPIC_API_KEY": "made-up-0123",
        "DATA_DIR": str(folder),
        "PORT": "0",
    }


async def test_a_start_with_mistakes_names_them_all() -> None:
    """Exit code 2, and each mistake has a line of its own."""
    said = (
        "AssureBot cannot start: 3 problems\n"
        "- TELEGRAM_BOT_TOKEN does not look like a bot token; copy the whole of it from"
        " @BotFather\n"
        "- ALLOWED_USERS is missing: Telegram user ids, separated by commas; the first is the"
        " owner\n"
        "- ANTHROPIC_API_KEY or OPENAI_API_KEY is missing: one of them is required\n"
    )
    assert await outcome("run", ALLOWED_USERS="", TELEGRAM_BOT_TOKEN="x") == (2, "", said)


async def test_a_policy_for_an_unknown_tool_stops_the_start(tmp_path: Path) -> None:
    """A misspelt rule would hold nothing: each is told with the nearest name, before all else."""
    policy = {"POLICY_DENY": "recall,fetch_ulr", "POLICY_ASK": "rember", "AI_MODEL": "unheard-of"}
    async with TelegramServer() as telegram:
        found = await outcome("run", **started_with(telegram, tmp_path / "data") | policy)
        assert list(telegram.requests) == []
    said = (
        "AssureBot cannot start: 3 problems\n"
        "- POLICY_DENY: no tool is named fetch_ulr; is fetch_url meant?\n"
        "- POLICY_ASK: no tool is named rember; is remember meant?\n"
        "- AI_MODEL: nobody knows the price of anthropic:unheard-of; set AI_PRICE to what it costs"
        " (USD per million tokens as in,out; 0,0 for an own server)\n"
    )
    assert found == (2, "", said)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("taken", ["assurebot.db", "lock"])
async def test_data_that_cannot_be_opened_is_named(tmp_path: Path, taken: str) -> None:
    """What another user left in the data folder is no crash: a supervisor cannot mend it."""
    (tmp_path / taken).mkdir()
    async with TelegramServer() as telegram:
        code, _, errors = await outcome("run", **started_with(telegram, tmp_path))
    *_, first, second = errors.splitlines()
    assert (code, first) == (2, "AssureBot cannot start: 1 problem")
    assert second.startswith("- DATA_DIR: ")
    assert "exception" not in errors


async def test_held_data_has_its_own_exit_code(tmp_path: Path) -> None:
    """A second process on the same data ends with 3 and names the first."""
    async with running(tmp_path) as world:
        code, _, errors = await outcome(code=IMPATIENT, **world.environ | {"PORT": "0"})
    expected = f"AssureBot cannot start: the data folder is held by process {os.getpid()} on "
    assert (code, errors.splitlines()[-1].startswith(expected)) == (3, True)


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Whatever the first one waits for, the second does not."""
    async with running(tmp_path) as world:
        started = started_with(world.telegram, tmp_path / "other")
        await world.stop()
        serial = world.telegram.requests[-1].serial
        world.model.script = always(Turn(delay_seconds=60))
        more = {"ANTHROPIC_BASE_URL": world.model.url, "AI_PRICE": "1,2"}
        async with assurebot("run", **started | more) as process:
            await world.telegram.wait_for("getUpdates", after=serial, timeout_seconds=20)
            world.owner.say("hang")
            await world.telegram.wait_for("sendChatAction", timeout_seconds=20)
            process.send_signal(signal.SIGTERM)
            while "stopping" not in await next_line(process.stderr):
                pass
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(2):
                assert await process.wait() == 128 + signal.SIGTERM


async def test_whoami_names_who_writes() -> None:
    """It needs only the token, says the id at once, and confirms nothing."""
    async with TelegramServer() as telegram:
        person = telegram.person(4711, "Ann")
        async with assurebot(
            *("whoami", "--seconds", "4"),
            TELEGRAM_BOT_TOKEN=TOKEN,
            TELEGRAM_API_URL=telegram.api_url,
        ) as process:
            assert (await next_line(process.stdout)).startswith("Write anything to @stand_in_bot")
            person.say("hello")
            assert await next_line(process.stdout) == "Ann: id 4711\n"
            code, output, errors = await ending(process)
        assert (code, errors) == (0, "")
        assert output == "Put the id into ALLOWED_USERS, for example ALLOWED_USERS=4711\n"
        assert telegram.pending() == 1


async def test_whoami_says_why_it_cannot_listen() -> None:
    """A wrong token and a Telegram that is not there are told in words."""
    async with TelegramServer() as telegram:
        url = telegram.api_url
        wrong = await outcome("whoami", TELEGRAM_BOT_TOKEN="1:" + "x" * 30, TELEGRAM_API_URL=url)
    away = await outcome("whoami", TELEGRAM_BOT_TOKEN=TOKEN, TELEGRAM_API_URL=url)
    start = "AssureBot cannot start: 1 problem\n- "
    assert wrong == (
        2,
        "",
        f"{start}TELEGRAM_BOT_TOKEN is not accepted by Telegram; copy it from @BotFather again\n",
    )
    assert away == (2, "", f"{start}TELEGRAM_API_URL: Telegram cannot be reached: ConnectError\n")


async def test_whoami_tells_of_another_listener() -> None:
    """Beside a running bot it does not say that nobody wrote."""
    async with TelegramServer() as telegram:
        refuse = Refuse(status=409, description="Conflict: terminated by other getUpdates request")
        telegram.faults.add("getUpdates", None, refuse)
        code, said, _ = await outcome(
            "whoami", TELEGRAM_BOT_TOKEN=TOKEN, TELEGRAM_API_URL=telegram.api_url
        )
    assert (code, said.count("\n")) == (1, 2)
    assert "Another program listens with this token" in said


async def test_whoami_can_be_interrupted() -> None:
    """Ctrl-C is no crash."""
    async with TelegramServer() as telegram:
        environ = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.api_url}
        async with assurebot("whoami", **environ) as process:
            await next_line(process.stdout)
            process.send_signal(signal.SIGINT)
            assert await ending(process) == (130, "", "")


async def test_audit_commands_look_at_the_log(tmp_path: Path) -> None:
    """`verify` tells good from changed by its exit code; `tail` prints lines as they are."""
    async with running(tmp_path) as world:
        await world.ask("hello")
        await world.stop()
        environ, log = world.environ, world.folder / "audit.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    code, said, _ = await outcome("audit", "verify", **environ)
    assert (code, said.splitlines()[0]) == (0, f"ok: {len(lines)} good lines in 1 files")
    assert await outcome("audit", "tail", "-n", "2", **environ) == (0, "".join(lines[-2:]), "")
    log.write_text("".join([*lines[:2], lines[2].replace('"seq":3', '"seq":4'), *lines[3:]]))
    code, said, _ = await outcome("audit", "verify", **environ)
    assert (code, "first bad line: audit.jsonl line 3 (seq 3)" in said) == (1, True)


@pytest.mark.parametrize("what", ["verify", "tail"])
async def test_a_log_that_is_not_there_is_told(tmp_path: Path, what: str) -> None:
    """A mistyped name is an error and not an empty log."""
    code, said, errors = await outcome("audit", what, str(tmp_path / "none.jsonl"))
    assert (code, said, errors.count("\n")) == (2, "", 1)
    assert "none.jsonl" in errors


async def test_tail_takes_no_negative_number() -> None:
    """It is told as argparse tells it."""
    code, _, errors = await outcome("audit", "tail", "-n", "-3")
    assert (code, "must be a whole number, 0 or more" in errors) == (2, True)


NO_ENGINE = "unix:///nowhere/docker.sock"


@pytest.mark.usefixtures("component")
async def test_sandbox_says_which_box_there_is() -> None:
    """`status` names the grade of each box or why there is none; exit 1 without any."""
    code, said, told = await outcome("sandbox", "status", DOCKER_HOST=NO_ENGINE)
    engine, embedded = said.splitlines()
    assert (code, embedded, told) == (0, "embedded: grade C, python", "")
    assert engine.startswith(f"docker: no container engine answers at {NO_ENGINE}; start Docker")
    only = {"DOCKER_HOST": NO_ENGINE, "SANDBOX_BACKEND": "docker"}
    code, said, told = await outcome("sandbox", "status", **only)
    assert (code, said.splitlines(), told) == (1, [engine], "")


@pytest.mark.usefixtures("component")
async def test_sandbox_test_tries_every_promise() -> None:
    """`test` has a line for each probe and each case of the contract, all of them ok."""
    code, said, told = await outcome("sandbox", "test", SANDBOX_BACKEND="embedded")
    first, *lines = said.splitlines()
    assert (code, first, told) == (0, "embedded: grade C, python", "")
    assert {line[:8] for line in lines} == {"ok      "}
    assert len(lines) > 30


async def test_sandbox_settings_are_checked() -> None:
    """A misspelt setting of the box is told by name, as at the start of the bot."""
    code, said, told = await outcome("sandbox", "status", SANDBOX_RUNTIM="runsc")
    assert (code, said) == (2, "")
    assert "SANDBOX_RUNTIM is no setting of this version: is SANDBOX_RUNTIME meant?" in told
