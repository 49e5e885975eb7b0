"""Pictures and PDFs in a request: the very bodies, on every wire."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from assurebot.agent.prompt import framed
from assurebot.demo.model import ModelServer, Shown, Turn, Wire, always, echo
from assurebot.values import Media, ModelRequest, TextPart, Usage, UserMessage, untrusted
from tests.pictures import jpeg, png
from tests.providers.test_openai_chat import chunk, server
from tests.providers.wires import WIRES, ignore, question, said, talk

PICTURE, PHOTO, PDF = png(), jpeg(), b"%PDF-1.7\nhello"
FILES = {1: PICTURE, 2: PHOTO, 3: PDF}
MESSAGE = UserMessage(
    parts=(
        TextPart(text="Look."),
        TextPart(
            text="Picture 1: a.png",
            label=untrusted("picture"),
            media=Media(file=1, mime="image/png", tokens=1600),
        ),
        TextPart(
            text="Document 3: b.pdf",
            label=untrusted("document"),
            media=Media(file=3, mime="application/pdf", tokens=6000),
        ),
    )
)


def b64(data: bytes) -> str:
    """Encode as all wires do."""
    return base64.b64encode(data).decode()


def showing(wire: Wire, **more: Any) -> ModelRequest:
    """A request with a picture and a PDF in their frames."""
    asked = question(wire, *framed([MESSAGE], "k3y"), tools=())
    return replace(asked, **{"files": FILES, **more})


OPEN = "<<<untrusted k3y picture>>>\nPicture 1: a.png"
OPEN_PDF = "<<<untrusted k3y document>>>\nDocument 3: b.pdf"
END = "<<<end k3y>>>"

ANTHROPIC = [
    {"type": "text", "text": "Look."},
    {"type": "text", "text": OPEN},
    {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": b64(PICTURE)},
    },
    {"type": "text", "text": END},
    {"type": "text", "text": OPEN_PDF},
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": b64(PDF)},
    },
    {"type": "text", "text": END},
]
RESPONSES = [
    {"type": "input_text", "text": "Look."},
    {"type": "input_text", "text": OPEN},
    {
        "type": "input_image",
        "detail": "auto",
        "image_url": f"data:image/png;base64,{b64(PICTURE)}",
    },
    {"type": "input_text", "text": END},
    {"type": "input_text", "text": OPEN_PDF},
    {
        "type": "input_file",
        "filename": "document.pdf",
        "file_data": f"data:application/pdf;base64,{b64(PDF)}",
    },
    {"type": "input_text", "text": END},
]
CHAT = [
    {"type": "text", "text": "Look."},
    {"type": "text", "text": OPEN},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(PICTURE)}"}},
    {"type": "text", "text": END},
    {"type": "text", "text": OPEN_PDF},
    {"type": "text", "text": END},
]
BODIES: dict[Wire, dict[str, Any]] = {
    "anthropic": {
        "model": "claude-sonnet-5-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": ANTHROPIC}],
        "cache_control": {"type": "ephemeral"},
        "stream": True,
    },
    "responses": {
        "model": "gpt-6.1-sol",
        "input": [{"role": "user", "content": RESPONSES}],
        "max_output_tokens": 100,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "safety_identifier": "73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049",
        "stream": True,
    },
    "chat": {
        "model": "gpt-6.1-sol",
        "messages": [{"role": "user", "content": CHAT}],
        "max_tokens": 100,
        "stream_options": {"include_usage": True},
        "stream": True,
    },
}


@pytest.mark.parametrize("wire", WIRES)
async def test_the_whole_body_with_a_picture_and_a_pdf(wire: Wire) -> None:
    """Each stands behind its text and inside its frame; Chat Completions have no PDF."""
    async with ModelServer(echo()) as stand_in, talk(stand_in, wire) as asked:
        await asked.ask(showing(wire), ignore)
        (ask,) = stand_in.requests
    assert ask.raw == BODIES[wire]
    assert (ask.pictures, ask.files) == (
        (Shown(mime="image/png", data=PICTURE),),
        () if wire == "chat" else (Shown(mime="application/pdf", data=PDF),),
    )


@pytest.mark.parametrize("wire", WIRES)
async def test_what_has_no_bytes_is_not_shown(wire: Wire) -> None:
    """Only the text is left of what is not in `files`, on the wire that has one string too."""
    async with ModelServer(echo()) as stand_in, talk(stand_in, wire) as asked:
        reply = await asked.ask(showing(wire, files={3: b"", 9: PICTURE}), ignore)
        (ask,) = stand_in.requests
    joint = "\n\n" if wire == "chat" else "\n"
    assert (ask.pictures, ask.files) == ((), ())
    assert reply.message.text == joint.join(["Look.", OPEN, END, OPEN_PDF, END])


@pytest.mark.parametrize("wire", WIRES)
async def test_pictures_of_earlier_messages_keep_their_place(wire: Wire) -> None:
    """Each message shows its own, of whatever type it is."""
    photo = Media(file=2, mime="image/jpeg", tokens=900)
    first = UserMessage(parts=(TextPart(text="", media=photo),))
    asked_for = replace(showing(wire), messages=(first, said("And this?"), MESSAGE))
    async with ModelServer(echo()) as stand_in, talk(stand_in, wire) as asked:
        await asked.ask(asked_for, ignore)
        (ask,) = stand_in.requests
    assert ask.pictures == (
        Shown(mime="image/jpeg", data=PHOTO),
        Shown(mime="image/png", data=PICTURE),
    )
    messages = ask.raw["input" if wire == "responses" else "messages"]
    assert [len(message["content"]) for message in messages[:1]] == [1]


async def test_use_that_is_not_reported_is_guessed_by_what_is_shown() -> None:
    """Megabytes in base64 are not taken for text, nor a picture for nothing."""
    large = {1: png(padding=300_000)}
    async with server(chunk({"content": "fine"}), chunk({}, "stop")) as asked:
        reply = await asked.ask(replace(showing("chat"), files=large), ignore)
    assert 1600 < reply.usage.input_tokens < 1800


@pytest.mark.parametrize("wire", WIRES)
async def test_the_price_of_what_is_shown_is_what_is_reported(wire: Wire) -> None:
    """Pictures are paid as the input tokens that the provider counts."""
    turn = Turn(text="fine", input_tokens=2000)
    async with ModelServer(always(turn)) as stand_in, talk(stand_in, wire) as asked:
        reply = await asked.ask(showing(wire), ignore)
    assert reply.usage == Usage(input_tokens=2000, output_tokens=5, cost_usd=Decimal("0.00201"))


@pytest.mark.parametrize("wire", WIRES)
async def test_large_pictures_are_encoded_off_the_loop(wire: Wire) -> None:
    """A body with pictures is put together in a thread; one without needs none."""
    made: list[bool] = []
    loop = threading.get_ident()

    class Watched(dict[int, bytes]):
        def get(self, key: int, default: Any = None) -> Any:
            made.append(threading.get_ident() == loop)
            return super().get(key, default)

    files = Watched(FILES)
    async with ModelServer(echo()) as stand_in, talk(stand_in, wire) as asked:
        await asked.ask(showing(wire, files=files), ignore)
    assert made == [False] * len(made) != []
