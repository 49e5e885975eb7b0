"""Files in, over a real socket: bounded in size and time, and never from anywhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_faults import Answer, Cut, Delay, Drop, Fault, Hang, Refuse
from assurebot.errors import ChatError, ChatRejected, ChatUnavailable
from assurebot.telegram.client import TelegramClient

OWNER = 42
MB = 1 << 20
DATA = bytes(range(256)) * 1_000


def stored(server: TelegramServer, data: bytes = DATA) -> str:
    """Have the owner send a file; return its id."""
    server.person(OWNER).attach("document", data)
    return f"file-{len(server.world.files)}"


async def fetch(
    server: TelegramServer, file_id: str, limit_bytes: int = MB, seconds: float = 30
) -> bytes:
    """Download by a client of its own."""
    async with TelegramClient(server.token, server.api_url, download_seconds=seconds) as client:
        return await client.download(file_id, limit_bytes)


def located(path: object, size: int | None = 3) -> Answer:
    """An answer of `getFile` that leads to this path."""
    file = {"file_id": "a", "file_unique_id": "b", "file_path": path, "file_size": size}
    return Answer(body=json.dumps({"ok": True, "result": file}).encode())


async def test_file_comes_whole() -> None:
    """The bytes that were sent, for one look-up and one request; as many as the limit are fine."""
    async with TelegramServer() as server:
        file_id = stored(server)
        assert await fetch(server, file_id, len(DATA)) == DATA
        (asked,) = server.calls("file")
        assert (asked.params["path"], len(server.calls("getFile"))) == (f"files/{file_id}", 1)


async def test_file_that_is_said_to_be_too_large_is_not_fetched() -> None:
    """What is over the limit, or Telegram's own of 20 MB, is refused by what is said of it."""
    async with TelegramServer() as server:
        for file_id, text in ((stored(server), "too large"), (stored(server, bytes(21 * MB)), "")):
            with pytest.raises(ChatRejected, match=text or "(?i)file is too big"):
                await fetch(server, file_id, len(DATA) - 1)
        assert server.calls("file") == ()


@pytest.mark.parametrize("size", [None, 3])
async def test_file_that_is_larger_than_said_is_read_no_further(size: int | None) -> None:
    """A body without an end is left at the limit."""
    async with TelegramServer() as server:
        server.faults.add("getFile", 1, located("files/a", size))
        server.faults.add("file", 1, Cut(body=bytes(2 * MB), stall=True))
        with pytest.raises(ChatRejected, match="too large"):
            await fetch(server, "a", seconds=60)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refuse(status=404, description="Not Found"), ChatRejected),
        (Refuse(status=302, description="Found"), ChatRejected),
        (Refuse(status=429, description="Too Many Requests"), ChatUnavailable),
        (Refuse(status=502, description="Bad Gateway"), ChatUnavailable),
        (Cut(body=DATA[:99]), ChatUnavailable),
        (Answer(body=DATA[:99]), ChatUnavailable),
        (Cut(body=DATA[:99], stall=True), ChatUnavailable),
        (Delay(seconds=20), ChatUnavailable),
        (Hang(), ChatUnavailable),
        (Drop(), ChatUnavailable),
    ],
)
async def test_file_that_does_not_come_is_an_error(fault: Fault, error: type[ChatError]) -> None:
    """Slow, cut, gone or refused: an error of ours in time, without the token in its text."""
    async with TelegramServer() as server:
        file_id = stored(server)
        server.faults.add("file", None, fault)
        with pytest.raises(error) as caught:
            await fetch(server, file_id, seconds=0.5)
        assert server.token not in str(caught.value)


async def test_unknown_file_and_server_that_is_gone() -> None:
    """An id that Telegram does not know is refused for good; no answer is worth another try."""
    async with TelegramServer() as server:
        with pytest.raises(ChatRejected, match=r"(?i)wrong file_id"):
            await fetch(server, "file-99")
        await server.go_away()
        with pytest.raises(ChatUnavailable) as caught:
            await fetch(server, "file-1")
        assert server.token not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "../x", "files/../../x", "files/./x", "files//x", "files/", "a/.."),
        *("http://evil.example/x", "//evil.example/x", "file:x", "C:\\x", "a\\..\\b"),
        *("files/a?x=1", "files/a#x", "files/%2e%2e/x", "files/a\r\nX: y", "files/a b", None),
    ],
)
async def test_odd_path_is_not_requested(path: str | None) -> None:
    """What the server says of where a file is never leads out of its folder of files."""
    async with TelegramServer() as server:
        stored(server)
        server.faults.add("getFile", 1, located(path))
        with pytest.raises(ChatRejected):
            await fetch(server, "file-1")
        assert server.calls("file") == ()


async def test_local_path_is_not_read(tmp_path: Path) -> None:
    """A path on the disk, as a server in local mode gives it, is refused with what would help."""
    (tmp_path / "secret").write_bytes(b"abc")
    async with TelegramServer() as server:
        server.faults.add("getFile", 1, located(str(tmp_path / "secret")))
        with pytest.raises(ChatRejected, match="without --local"):
            await fetch(server, "a")
        assert server.calls("file") == ()


async def test_names_in_a_path_are_only_names() -> None:
    """Letters of any kind in the path are those of the file that is asked for."""
    async with TelegramServer() as server:
        server.world.files["é+&=@..x"] = b"abc"
        server.faults.add("getFile", 1, located("files/é+&=@..x"))
        assert await fetch(server, "a") == b"abc"
