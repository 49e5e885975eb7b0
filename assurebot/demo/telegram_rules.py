"""What Telegram's server demands of a message, and how it refuses one.

Error texts are those of Telegram's own Bot API server where they are known; a client may rely on
them. What Telegram mends or drops in silence is reported as a violation instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from assurebot.values import Button, Entity

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
MAX_ENTITIES = 100
MAX_BUTTON_BYTES = 64

_TYPES = frozenset(
    [
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
        "text_mention",
        "custom_emoji",
        "date_time",
    ]
)
_LINK = re.compile(r"(?:https?|tg|ton|tonsite)://\S+|(?:mailto|tel):\S+", re.IGNORECASE)


_PREFIXES = {400: "Bad Request: ", 403: "Forbidden: ", 409: "Conflict: "}


class Refused(Exception):
    """A call that is answered with `ok: false`.

    Attributes:
        description: Text without the prefix that goes with the status.
        retry_after: Seconds to stay away, for 429.
        migrate_to: The new id of a group that became a supergroup.
    """

    def __init__(
        self,
        description: str,
        status: int = HTTPStatus.BAD_REQUEST,
        *,
        retry_after: float | None = None,
        migrate_to: int | None = None,
    ) -> None:
        super().__init__(description)
        self.status = int(status)
        self.description = _PREFIXES.get(self.status, "") + description
        self.retry_after = retry_after
        self.migrate_to = migrate_to

    @classmethod
    def worded(cls, description: str, status: int, retry_after: float | None) -> Self:
        """Make one whose description is sent as it stands."""
        refused = cls("", status, retry_after=retry_after)
        refused.description = description
        return refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A text as Telegram would keep it, and what it had to mend in silence."""

    text: str
    entities: tuple[Entity, ...]
    violations: tuple[str, ...]


def units(text: str) -> int:
    """Count UTF-16 code units, Telegram's measure of length."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_text(
    text: str, raw_entities: object, *, limit: int = TEXT_UNITS, may_be_empty: bool = False
) -> Checked:
    """Accept a text with its entities, or refuse it, as Telegram would.

    Raises:
        Refused: Empty, too long, a lone surrogate, or entities that cannot be.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Refused("can't parse entities: text must be encoded in UTF-8")
    entities = _read_entities(raw_entities)
    _check_places(text, entities)
    trimmed = text.strip()
    if not trimmed and not may_be_empty:
        raise Refused("message text is empty")
    if units(trimmed) > limit:
        kind = "message is too long" if limit == TEXT_UNITS else "message caption is too long"
        raise Refused(kind)
    violations = _mended(entities)
    if len(entities) > MAX_ENTITIES:
        violations = (f"{len(entities)} entities, {MAX_ENTITIES} are kept", *violations)
        entities = entities[:MAX_ENTITIES]
    if len(trimmed) != len(text) and entities:
        violations = ("outer white space beside entities", *violations)
        entities = _shift(entities, units(text) - units(text.lstrip()), units(trimmed))
    return Checked(text=trimmed, entities=entities, violations=violations)


def check_markup(markup: object) -> tuple[Button, ...]:
    """Return the inline buttons of a reply markup, row after row.

    Raises:
        Refused: A button without text or action, or with callback data not of 1 to 64 bytes.
    """
    if not markup:
        return ()
    if not isinstance(markup, dict):
        raise Refused("object expected as reply markup")
    return tuple(
        _button(button) for row in markup.get("inline_keyboard") or () for button in row or ()
    )


def _button(button: dict[str, Any]) -> Button:
    label = str(button.get("text") or "")
    if not label.strip():
        raise Refused('can\'t parse inline keyboard button: Field "text" must be non-empty')
    if "url" in button:
        return Button(label=label, id=str(button["url"]))
    if "callback_data" not in button:
        raise Refused("can't parse inline keyboard button: Text buttons are unallowed")
    data = str(button["callback_data"])
    if not 1 <= len(data.encode()) <= MAX_BUTTON_BYTES:
        raise Refused("BUTTON_DATA_INVALID")
    return Button(label=label, id=data)


def _read_entities(raw: object) -> tuple[Entity, ...]:
    if not raw:
        return ()
    if not isinstance(raw, list):
        raise Refused("can't parse entities: expected an Array of MessageEntity")
    return tuple(_read_entity(item) for item in raw)


def _read_entity(item: object) -> Entity:
    if not isinstance(item, dict):
        raise Refused("can't parse entities: expected an Object as MessageEntity")
    kind, offset, length = item.get("type"), item.get("offset"), item.get("length")
    if kind not in _TYPES:
        raise Refused("can't parse entities: unsupported type specified")
    if not isinstance(offset, int) or not isinstance(length, int):
        raise Refused("can't parse entities: offset and length must be integers")
    if kind == "text_link" and not item.get("url"):
        raise Refused("can't parse entities: a text_link needs a URL")
    return Entity(
        type=kind, offset=offset, length=length, url=item.get("url"), language=item.get("language")
    )


def _check_places(text: str, entities: Sequence[Entity]) -> None:
    if not entities:
        return
    inside: set[int] = set()  # offsets between the two halves of a surrogate pair
    total = 0
    for char in text:
        total += 1
        if char > "\uffff":
            inside.add(total)
            total += 1
    for entity in entities:
        start, end = entity.offset, entity.offset + entity.length
        where = f"can't parse entities: entity beginning at UTF-16 offset {start}"
        if start < 0 or entity.length <= 0:
            raise Refused(f"{where} has a wrong offset or length")
        if end > total:
            raise Refused(f"{where} ends after the end of the text at UTF-16 offset {total}")
        if start in inside or end in inside:
            raise Refused(f"{where} ends in a middle of a UTF-16 symbol at offset {end}")


def _mended(entities: Sequence[Entity]) -> tuple[str, ...]:
    """Name what Telegram would split, drop or ignore: overlaps, forbidden nesting, odd links."""
    found = [
        f"text_link to {entity.url!r}"
        for entity in entities
        if entity.type == "text_link" and not _LINK.fullmatch(entity.url or "")
    ]
    open_ones: list[Entity] = []
    for inner in sorted(entities, key=lambda entity: (entity.offset, -entity.length)):
        open_ones = [one for one in open_ones if one.offset + one.length > inner.offset]
        found += [problem for outer in open_ones if (problem := _clash(outer, inner))]
        open_ones.append(inner)
    return tuple(found)


def _clash(outer: Entity, inner: Entity) -> str | None:
    where = f"{inner.type} at {inner.offset} in {outer.type} at {outer.offset}"
    if inner.offset + inner.length > outer.offset + outer.length:
        return f"partial overlap: {where}"
    if outer.type in ("pre", "code") or inner.type in ("pre", "code"):
        return f"nesting: {where}"
    if outer.type.endswith("blockquote") and inner.type.endswith("blockquote"):
        return f"nesting: {where}"
    return None


def _shift(entities: Sequence[Entity], lead: int, total: int) -> tuple[Entity, ...]:
    moved = []
    for entity in entities:
        start = max(0, entity.offset - lead)
        end = min(total, entity.offset + entity.length - lead)
        if end > start:
            moved.append(
                Entity(
                    type=entity.type,
                    offset=start,
                    length=end - start,
                    url=entity.url,
                    language=entity.language,
                )
            )
    return tuple(moved)
