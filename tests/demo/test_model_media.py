"""The stand-in for the model APIs sees, hears and refuses as those do."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import aiohttp
import pytest

from assurebot.demo.model import Ask, ModelServer, Shown, Turn, always, chatty, echo
from assurebot.demo.model_media import MOST_PICTURE_BYTES, ogg_opus
from tests.demo.test_model import PATHS
from tests.pictures import jpeg, png

PDF = b"%PDF-1.7\n"


def block(wire: str, mime: str, data: str) -> dict[str, Any]:
    """A picture or a document as this wire has it."""
    pdf = mime == "application/pdf"
    url = f"data:{mime};base64,{data}"
    if wire == "anthropic":
        source = {"type": "base64", "media_type": mime, "data": data}
        return {"type": "document" if pdf else "image", "source": source}
    if wire == "chat":
        return {"type": "image_url", "image_url": {"url": url}}
    if pdf:
        return {"type": "input_file", "filename": "a.pdf", "file_data": url}
    return {"type": "input_image", "detail": "auto", "image_url": url}


async def post(server: ModelServer, path: str, **sent: Any) -> tuple[int, bytes]:
    """Send and return status and body."""
    url = server.url + path
    async with aiohttp.ClientSession() as session, session.post(url, **sent) as response:
        return response.status, await response.read()


async def show(server: ModelServer, wire: str, *blocks: dict[str, Any]) -> int:
    """Send blocks behind a text; return the status."""
    kind = "input_text" if wire == "responses" else "text"
    content = [{"type": kind, "text": "Look."}, *blocks]
    body: dict[str, Any] = {"model": "m", "stream": True}
    body["input" if wire == "responses" else "messages"] = [{"role": "user", "content": content}]
    return (await post(server, PATHS[wire], data=io.BytesIO(json.dumps(body).encode())))[0]


def b64(data: bytes) -> str:
    """Encode."""
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("wire", PATHS)
async def test_the_script_sees_what_is_shown(wire: str) -> None:
    """On every wire, in order, pictures apart from documents."""
    blocks = [block(wire, "image/png", b64(png())), block(wire, "image/jpeg", b64(jpeg()))]
    files = () if wire == "chat" else (Shown(mime="application/pdf", data=PDF),)
    blocks += [block(wire, one.mime, b64(one.data)) for one in files]
    async with ModelServer(echo()) as server:
        assert await show(server, wire, *blocks) == 200
        (ask,) = server.requests
    pictures = (Shown(mime="image/png", data=png()), Shown(mime="image/jpeg", data=jpeg()))
    assert (ask.pictures, ask.files, ask.last_user_text) == (pictures, files, "Look.")


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize(
    ("mime", "data"),
    [
        ("image/png", ""),
        ("image/png", b64(jpeg())),
        ("image/png", "no base64!"),
        ("image/bmp", b64(b"BM")),
        ("image/png", b64(png(padding=MOST_PICTURE_BYTES))),
        ("application/pdf", b64(png())),
        ("text/plain", b64(b"hello")),
    ],
)
async def test_what_the_real_one_refuses_is_refused(wire: str, mime: str, data: str) -> None:
    """Empty, too large, of another type than is said, or of none that is taken."""
    async with ModelServer(echo()) as server:
        assert await show(server, wire, block(wire, mime, data)) == 400


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "input_image", "image_url": f"data:image/png;base64,{b64(png())}"},
        {"type": "input_image", "detail": "auto", "image_url": "https://a.example/b.png"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{b64(PDF)}"},
    ],
)
async def test_fields_that_are_required(bad: dict[str, Any]) -> None:
    """A picture without a detail, a file without a name, and an address that would be fetched."""
    async with ModelServer(echo()) as server:
        assert await show(server, "responses", bad) == 400


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [("a.ogg", b"x", 200), ("a.mp3", b"x", 200), ("a.oga", b"x", 400), ("a.ogg", b"", 400)],
)
async def test_sound_goes_by_its_name(name: str, data: bytes, status: int) -> None:
    """Telegram's `.oga` is refused, as by OpenAI, and so is an empty file."""
    form = aiohttp.FormData({"model": "whisper-1"})
    form.add_field("file", data, filename=name, content_type="audio/ogg")
    hears = always(Turn(text="hello", seconds=2))
    async with ModelServer(echo(), hearing=hears) as server:
        found, body = await post(server, "/v1/audio/transcriptions", data=form)
    heard = b'{"text": "hello", "usage": {"type": "duration", "seconds": 2}}'
    assert (found, body == heard) == (status, status == 200)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"input": "a", "voice": "alloy"}, 200),
        ({"input": "a" * 4096, "voice": "alloy"}, 200),
        ({"input": "a" * 4097, "voice": "alloy"}, 400),
        ({"input": "", "voice": "alloy"}, 400),
        ({"input": "a"}, 400),
    ],
)
async def test_only_so_much_is_spoken(fields: dict[str, str], status: int) -> None:
    """At most 4,096 characters, in a voice."""
    async with ModelServer(echo()) as server:
        found, body = await post(server, "/v1/audio/speech", json={"model": "tts-1"} | fields)
    assert (found, body == ogg_opus()) == (status, status == 200)


def test_what_is_spoken_is_ogg_with_opus() -> None:
    """Pages in order with their checksums (RFC 3533): head, tags, and frames of 20 ms."""
    data, pages = ogg_opus(60), []
    while data:
        assert data[:5] == b"OggS\0"
        lengths = data[27 : 27 + data[26]]
        end = 27 + len(lengths) + sum(lengths)
        page, data = data[:end], data[end:]
        blank = page[:22] + bytes(4) + page[26:]
        assert int.from_bytes(page[22:26], "little") == checksum(blank)
        number, granule = (int.from_bytes(page[a:b], "little") for a, b in ((18, 22), (6, 14)))
        pages.append((number, page[5], granule, page[27 + len(lengths) :]))
    head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0"
    assert pages == [
        (0, 2, 0, head),
        (1, 0, 0, b"OpusTags\x04\0\0\0none\0\0\0\0"),
        (2, 4, 2880, b"\xf8\xff\xfe" * 3),
    ]


def checksum(data: bytes) -> int:
    """Divide by the polynomial 0x04c11db7, as one long number."""
    number = int.from_bytes(data) << 32
    for bit in range(number.bit_length() - 1, 31, -1):
        if number >> bit & 1:
            number ^= 0x104C11DB7 << (bit - 32)
    return number


def test_chatty_tells_what_it_is_shown() -> None:
    """The demo says that a picture and a document arrived."""
    ask = Ask(
        wire="anthropic",
        n=1,
        model="m",
        system="",
        user_texts=("hi",),
        tool_names=(),
        tool_results=(),
        authorization="",
        raw={},
        pictures=(Shown(mime="image/png", data=png()),),
        files=(Shown(mime="application/pdf", data=PDF),),
    )
    text = "".join(chatty()(ask).pieces)
    assert "1 of your messages and 2 of your files (application/pdf, image/png). Say" in text
