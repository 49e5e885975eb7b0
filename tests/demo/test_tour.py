"""The tour sees what it claims: it is green as shipped, and red when a control is broken."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.model import always, echo
from assurebot.demo.model_media import ogg_opus
from assurebot.demo.model_script import Turn, chatty
from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_people import Person
from assurebot.demo.tour import ranges, tour
from assurebot.demo.tour_chat import chat, plain
from assurebot.demo.tour_files import USAGE
from assurebot.demo.tour_steps import STEPS, STREAMED, tour_script
from assurebot.demo.tour_world import OWNER, STRANGER, Stage, World
from assurebot.errors import ConfigError
from tests.documents.making import lines, pdf
from tests.pictures import png

ROOT = Path(__file__).parents[2]
SLOW = pytest.mark.slow
LISTENED = ("AI_MODEL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY")


async def start_demo(folder: Path, **environment: str) -> asyncio.subprocess.Process:
    """Start `assurebot demo` without a terminal, with `folder` for its temporary files."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "assurebot", "demo"),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder), **environment},
    )


def left_in(folder: Path) -> list[Path]:
    """Return what is in a folder."""
    return list(folder.iterdir())


def pid_of(data: Path) -> int:
    """Return the process id of the program that holds a data folder."""
    return int(json.loads((data / "lock").read_text())["pid"])


@SLOW
async def test_the_tour_is_green_whatever_the_environment_holds(tmp_path: Path) -> None:
    """All steps are ok, each with its audit lines, in 80 columns; settings outside do nothing."""
    nothing = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "MAX_STEPS": "no number"}
    demo = await start_demo(tmp_path, ANTHROPIC_API_KEY="sk-of-somebody", **nothing)
    async with asyncio.timeout(90):
        said, errors = await demo.communicate()
    text = said.decode()
    assert (demo.returncode, errors) == (0, b""), text
    assert re.findall(r"^(ok|FAILED) +(\d)\. (.*)", text, re.MULTILINE) == [
        ("ok", str(number), step.title) for number, step in enumerate(STEPS, start=1)
    ]
    rows = re.findall(r"^        (?:expected  |observed  |audit     seq \d)", text, re.MULTILINE)
    assert len(rows) == 3 * len(STEPS)
    ignored = "Ignored in your environment: ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, MAX_STEPS."
    assert ignored in text.replace("\n", " ")
    assert f"{len(STEPS)} of {len(STEPS)} ok" in text
    assert "sk-of-somebody" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert left_in(tmp_path) == []


class DeafPerson(Person):
    """Somebody whose `/stop` gets lost on the way."""

    def say(self, text: str, *more: Any, **fields: Any) -> int:
        """Write a message."""
        return 0 if text == "/stop" else super().say(text, *more, **fields)


class LossyTelegram(TelegramServer):
    """A Telegram that loses every `/stop`."""

    def person(self, user_id: int, name: str = "Owner") -> Person:
        """Return somebody."""
        super().person(user_id, name)
        return DeafPerson(self.world, user_id, name)


AS_SHIPPED = World(patience_seconds=20)
"""What is expected may come late on a busy machine. Only the steps after a kill wait this long for
what never comes: in the others what is wrong shows, and ends the wait."""

BROKEN = {
    "the stranger is on the list": (
        0,
        replace(AS_SHIPPED, script=echo(), allowed=f"{OWNER},{STRANGER}"),
        ["1 answer", "1 model request", "0 denied lines", "0 notices"],
    ),
    "the answer comes in one piece": (
        1,
        replace(AS_SHIPPED, script=always(Turn(text=STREAMED))),
        [r"drafts of \d+ characters"],
    ),
    "the data is gone after the kill": (
        2,
        replace(AS_SHIPPED, script=tour_script(), data_folder="data-{}".format),
        ["0 after the restart", "model asked 2 times", "tool run 0 times", "0 recovered lines"],
    ),
    "the stop does not arrive": (
        3,
        replace(AS_SHIPPED, script=tour_script(), telegram=LossyTelegram()),
        [r"not stopped after 2\.\d\d s", r"[12] more in the next 1.0 s"],
    ),
    "the gate is off": (
        5,
        replace(AS_SHIPPED, script=tour_script(), program="tests.demo.ungated"),
        [
            "nothing was asked",
            "nothing to press",
            "1 leaking request",
            "on record: tool allow fetch_url; tool allow fetch_url",
        ],
    ),
    "no post is known again": (
        6,
        World(script=tour_script(), program="tests.demo.forgetful"),
        ["the same again: 202", "2 summary messages", "2 model requests"],
    ),
    "the task is gone after the kill": (
        7,
        replace(AS_SHIPPED, data_folder="data-{}".format),
        ["0 reminders", "0 schedule lines"],
    ),
    "the byte is not changed": (
        8,
        replace(AS_SHIPPED, damage=bytes),
        ["copy changed in line none: exit 0", "no line is named"],
    ),
}


BESIDE = {"the stop does not arrive": r"[0-2] model requests"}
"""What may be wrong besides, where the machine is busy: the loop had not begun to turn."""


@pytest.mark.parametrize(
    "control", [pytest.param(name, marks=SLOW if "kill" in name else ()) for name in BROKEN]
)
async def test_a_broken_control_is_seen(control: str) -> None:
    """The step of the control fails for the reason that was brought about, and the exit is 1."""
    number, world, wrong = BROKEN[control]
    texts: list[str] = []
    world = replace(world, telegram=type(world.telegram)())
    code = await tour(world=world, steps=STEPS[number : number + 1], write=texts.append)
    text = re.sub(r"\s+", " ", "".join(texts))
    seen = re.findall(r"(?:^|, )([^,]*?) \(wrong\)", text.partition("observed ")[2])
    if control in BESIDE and seen and re.fullmatch(BESIDE[control], seen[0]):
        seen = seen[1:]
    assert len(seen) == len(wrong), text
    assert all(map(re.fullmatch, wrong, seen)), text
    assert f"FAILED 1. {STEPS[number].title}" in text
    assert code == 1


async def test_a_signal_ends_everything(tmp_path: Path) -> None:
    """A demo that is told to end kills its program, removes its folder, and exits 1."""
    demo = await start_demo(tmp_path)
    assert demo.stdout is not None
    async with asyncio.timeout(60):
        await demo.stdout.readuntil(b"\nok  ")
        (folder,) = left_in(tmp_path)
        pid = pid_of(folder / "data")
        demo.send_signal(signal.SIGTERM)
        said, errors = await demo.communicate()
    assert (demo.returncode, errors) == (1, b"")
    assert said.endswith(b"\nInterrupted; everything is ended and removed.\n")
    assert left_in(tmp_path) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_does_not_start_is_told() -> None:
    """Its last words are shown, and the exit is 1."""
    texts: list[str] = []
    code = await tour(world=World(allowed="nobody"), write=texts.append)
    text = "".join(texts)
    assert code == 1
    assert "FAILED  the program ended at its start (exit 2)" in text
    assert "ALLOWED_USERS" in text


async def test_the_real_model_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one nothing is begun, and what is missing is named."""
    for name in LISTENED:
        monkeypatch.delenv(name, raising=False)
    texts: list[str] = []
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY or OPENAI_API_KEY is missing"):
        await tour(real_model=True, write=texts.append)
    assert texts == []


async def test_one_can_chat() -> None:
    """What is typed gets there; what comes back is shown once and whole; `/quit` ends it."""
    reading, writing = os.pipe()
    texts: list[str] = []
    slow = always(Turn(chunks=tuple(STREAMED.split(" ")), chunk_seconds=0.03))
    try:
        async with Stage(World(script=slow)) as stage:
            chatting = asyncio.create_task(chat(stage, reading, texts.append))
            os.write(writing, b"hel")
            await asyncio.sleep(0.05)
            os.write(writing, b"lo\n")
            answer = await stage.telegram.wait_for_message(OWNER, timeout_seconds=20)
            grown = len(stage.telegram.drafts(OWNER))
            os.write(writing, b"/quit\n")
            async with asyncio.timeout(5):
                await chatting
            asked = stage.model.requests[0].last_user_text
    finally:
        os.close(reading)
        os.close(writing)
    assert asked == "hello"
    assert grown > 0
    assert "".join(texts) == f"you> \rbot> {answer.text}\nyou> \n"


async def test_the_chat_takes_files_by_their_path(tmp_path: Path) -> None:
    """A picture, a PDF and a voice file arrive as what they are; what is no file is told."""
    (tmp_path / "a plot.png").write_bytes(png())
    (tmp_path / "paper.pdf").write_bytes(pdf([lines("words of the paper")]))
    (tmp_path / "note.ogg").write_bytes(ogg_opus())
    reading, writing = os.pipe()
    texts: list[str] = []
    try:
        async with Stage(World(script=chatty(chunk_seconds=0.0))) as stage:
            chatting = asyncio.create_task(chat(stage, reading, texts.append))
            wait = partial(stage.telegram.wait_for_message, OWNER, timeout_seconds=30)
            os.write(writing, f"/send '{tmp_path}/a plot.png' what is this?\n".encode())
            await wait(contains="image/png")
            os.write(writing, f"/send {tmp_path}/paper.pdf\n".encode())
            await wait(contains="application/pdf")
            os.write(writing, f"/send {tmp_path}/note.ogg\n".encode())
            heard = await wait(contains="🎧")
            os.write(writing, f"/send {tmp_path}/none\n/send\n".encode())
            await wait(after=heard.message_id)
            os.write(writing, b"/quit\n")
            async with asyncio.timeout(5):
                await chatting
            asked = [each.last_user_text for each in stage.model.requests if not each.files]
    finally:
        os.close(reading)
        os.close(writing)
    assert heard.text == "🎧 “This is what was said.”"
    assert any("what is this?" in each for each in asked)
    assert f"{tmp_path}/none: No such file or directory\n" in "".join(texts)
    assert f"{USAGE}\n" in "".join(texts)


async def test_the_chat_ends_with_its_input_and_with_the_program() -> None:
    """The end of the input ends it, and so does the end of the program, which is told."""
    reading, writing = os.pipe()
    texts: list[str] = []
    try:
        async with Stage(World()) as stage, asyncio.timeout(20):
            chatting = asyncio.create_task(chat(stage, reading, texts.append))
            os.kill(pid_of(stage.data), signal.SIGKILL)
            await chatting
            os.close(writing)
            await chat(stage, reading, texts.append)
    finally:
        os.close(reading)
    assert "".join(texts).startswith("you> \nThe program has ended.\nyou> \n")


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    """Escapes and returns are left out of what others wrote; lines and tabs stay."""
    assert plain("a\x1b[2Jb\r\n\tc\u202e\x07 d") == "a[2Jb\n\tc d"


def test_numbers_are_written_as_ranges() -> None:
    """Neighbours become ranges, whatever their order."""
    assert ranges([]) == ""
    assert ranges([5, 1, 2, 3, 7, 8]) == "1-3,5,7-8"
