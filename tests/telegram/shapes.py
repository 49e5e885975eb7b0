"""Recorded shapes of what Telegram sends, of every kind of message; names and ids are made up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from assurebot.demo.telegram import TelegramServer
from tests.pictures import jpeg

_LINES = Path(__file__).with_name("updates.jsonl").read_text().splitlines()

SHAPES: dict[str, dict[str, Any]] = {
    shape["name"]: shape["update"] for shape in map(json.loads, _LINES)
}
"""Updates by name. Those of service messages begin with `service: `, of edits with `edit: `."""

SERVICE = frozenset(name for name in SHAPES if name.startswith("service: "))
EDITS = frozenset(name for name in SHAPES if name.startswith("edit: "))
SAID = tuple(name for name in SHAPES if name not in SERVICE | EDITS)


def cast(name: str, person: dict[str, Any], chat: dict[str, Any], message_id: int) -> Any:
    """Return an update as if this person had caused it here; so too what it replies to of them."""
    text = json.dumps(SHAPES[name])
    (kind, message), *_ = json.loads(text).items()
    actor = message["from"]
    message |= {"from": person, "chat": chat, "message_id": message_id}
    reply = message.get("reply_to_message", {})
    if reply.get("from") == actor:
        reply |= {"from": person, "chat": chat}
    return {kind: message}


def store_files(telegram: TelegramServer) -> None:
    """Have the stand-in know every file of the shapes, as what can be read as a picture."""
    for file_id in re.findall(r'"file_id": "(\w+)"', json.dumps(SHAPES)):
        telegram.world.files[file_id] = jpeg()
