"""Bytes in and out: the ways of passing parameters to the Bot API, and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.web_request import FileField

from assurebot.demo.telegram_rules import Refused

Json = dict[str, Any]
Params = Mapping[str, Any]

_JSON_FIELDS = frozenset(
    [
        "allowed_updates",
        "caption_entities",
        "commands",
        "entities",
        "link_preview_options",
        "media",
        "reaction",
        "reply_markup",
        "reply_parameters",
        "scope",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that came inside a request."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A call as it came in, whatever became of it.

    Attributes:
        serial: Counts all calls, from 1.
        params: JSON fields and integers are parsed; a file is an `Upload`.
        body: The raw bytes; empty for multipart.
    """

    serial: int
    method: str
    params: Params
    at: datetime
    body: bytes

    @property
    def chat_id(self) -> int | None:
        """The chat that it names, if it names one by number."""
        value = self.params.get("chat_id")
        return value if isinstance(value, int) else None


async def read_params(request: web.Request) -> tuple[bytes, Json]:
    """Return body and parameters; those of the body win over those of the query.

    Raises:
        Refused: The body cannot be read.
    """
    params: Json = dict(request.query) if request.query_string else {}
    if request.content_type == "multipart/form-data":
        for name, value in (await request.post()).items():
            params[name] = _upload(value) if isinstance(value, FileField) else value
        return b"", _parse(params)
    body = await request.read()
    try:
        if request.content_type == "application/json" and body:
            params |= json.loads(body)
        elif body:
            params |= parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise Refused("strings must be encoded in UTF-8") from error
    except (ValueError, TypeError) as error:
        raise Refused("can't parse the request") from error
    return body, _parse(params)


def _upload(field: FileField) -> Upload:
    with field.file as file:
        return Upload(name=field.filename, content=file.read())


def _parse(params: Json) -> Json:
    for name, value in params.items():
        if not isinstance(value, str):
            continue
        if name in _JSON_FIELDS:
            params[name] = _from_json(name, value)
        elif name == "chat_id" or name.endswith(("_id", "offset", "limit", "timeout")):
            # Query ids are digits too, but they are names, not numbers.
            params[name] = value if name == "callback_query_id" else _integer(value)
    return params


def _from_json(name: str, value: str) -> Any:
    if not value:
        return None
    try:
        return json.loads(value)
    except ValueError as error:
        raise Refused(f"can't parse {name.replace('_', ' ')} JSON object") from error


def _integer(value: str) -> int | str:
    try:
        return int(value)
    except ValueError:
        return value


def truth(value: object) -> bool:
    """Read a Boolean parameter the way Telegram does."""
    return value is True or str(value).lower() in ("true", "yes", "1")


def integer(params: Params, name: str, default: int | None = None) -> int:
    """Return a parameter that has to be a number.

    Raises:
        Refused: It is missing (and there is no default) or not a number.
    """
    value = params.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Refused(f"parameter {name!r} must be an Integer")


def success(result: bytes) -> web.Response:
    """Answer with a result that is JSON already."""
    return web.Response(body=b'{"ok":true,"result":' + result + b"}", content_type=JSON_TYPE)


def refusal(refused: Refused) -> web.Response:
    """Answer with an error, as Telegram words it."""
    answer: Json = {
        "ok": False,
        "error_code": refused.status,
        "description": refused.description,
    }
    parameters = {
        "retry_after": refused.retry_after,
        "migrate_to_chat_id": refused.migrate_to,
    }
    if known := {name: value for name, value in parameters.items() if value is not None}:
        answer["parameters"] = known
    body = json.dumps(answer).encode()
    return web.Response(status=refused.status, body=body, content_type=JSON_TYPE)


JSON_TYPE = "application/json"
