"""The stand-in's audio API: what was said comes from the script, what is spoken is silence."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from assurebot.demo.model_media import ogg_opus
from assurebot.demo.model_responses import refusal
from assurebot.demo.model_script import Ask, Shown, Spoken, Turn, Wire

__all__ = ["hear", "parsed", "read", "refusal", "speak"]


async def parsed(request: web.Request) -> dict[str, Any]:
    """Return the fields of a request: of a form, with the file's bytes in `file`, or of JSON."""
    if request.content_type != "multipart/form-data":
        return dict(json.loads(await request.read()))
    form = dict(await request.post())
    if isinstance(file := form.get("file"), web.FileField):
        named = {"filename": file.filename, "mime": file.content_type}
        with file.file as opened:
            return {**form, **named, "file": opened.read()}
    return dict(form)


def read(wire: Wire, n: int, authorization: str, raw: dict[str, Any]) -> Ask:
    """Read a request."""
    file = raw.get("file")
    sound = (Shown(mime=raw.get("mime", ""), data=file),) if isinstance(file, bytes) else ()
    return Ask(
        wire=wire,
        n=n,
        model=raw.get("model", ""),
        system="",
        user_texts=(raw["input"],) if "input" in raw else (),
        tool_names=(),
        tool_results=(),
        authorization=authorization,
        raw=raw,
        files=sound,
    )


def hear(turn: Turn) -> Spoken:
    """Make a transcript in bytes; the first half is its only piece."""
    answer: dict[str, Any] = {"text": turn.text}
    if turn.seconds is not None:
        answer["usage"] = {"type": "duration", "seconds": turn.seconds}
    return _halves(json.dumps(answer).encode())


def speak(turn: Turn) -> Spoken:
    """Make sound."""
    return _halves(b"<html>" if turn.fault == "nonsense" else ogg_opus())


def _halves(body: bytes) -> Spoken:
    half = len(body) // 2
    return Spoken(start=b"", pieces=(body[:half],), end=body[half:], error=b"")
