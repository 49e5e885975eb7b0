"""What a message carries beside its words: files to be fetched, and things that words can name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal

from telegram import Message

from assurebot.telegram.raw import Raw, child, line, number
from assurebot.values import OWNER, Enclosure, TextPart, untrusted

PICTURE_BYTES = 5_000_000
"""The largest size of a photo that is fetched; models take no larger ones."""
_FACTS, _FACT_CHARS = 60, 1_000

_KINDS: Mapping[str, tuple[str, str]] = {
    "live_photo": ("a live photo", ""),
    "photo": ("a photo", ""),
    "voice": ("a voice message", ""),
    "audio": ("an audio file", ""),
    "video_note": ("a video message", ""),
    "video": ("a video", ""),
    "animation": ("an animation", ""),
    "document": ("a document", ""),
    "sticker": ("a sticker", "emoji"),
    "dice": ("dice", "emoji value"),
    "contact": ("a contact", "first_name last_name phone_number"),
    "venue": ("a venue", "title address latitude longitude"),
    "location": ("a location", "latitude longitude"),
    "poll": ("a poll", "question description text voter_count"),
    "checklist": ("a checklist", "title text completion_date"),
    "game": ("a game", "title description text"),
    "invoice": ("an invoice", "title description total_amount currency"),
    "giveaway": ("a giveaway", "prize_description winner_count"),
    "giveaway_winners": ("results of a giveaway", "prize_description winner_count first_name"),
    "gift": ("a gift", "text star_count"),
    "unique_gift": ("a gift", "base_name number"),
    "story": ("a story", ""),
    "paid_media": ("paid media", ""),
    "passport_data": ("passport data", ""),
}
"""In words, and which of its fields tell what it says; of twins (Telegram sends an animation also
as a document, a venue also as a location) the telling one comes first."""

_OF_THE_SENDER = ("sticker", "dice", "location")  # no words in them that another one chose

_FILES: Mapping[Literal["voice", "video_note", "audio", "document"], tuple[str, str]] = {
    "voice": ("audio/ogg", OWNER),
    "video_note": ("video/mp4", OWNER),
    "audio": ("", untrusted("audio file")),
    "document": ("", untrusted("document")),
}

_KNOWN = frozenset(
    [
        *("message_id", "date", "chat", "from", *Message.__slots__),
        # Former names that Telegram still sends beside the present ones.
        *("new_chat_member", "new_chat_participant", "left_chat_participant"),
        *("forward_from", "forward_from_chat", "forward_from_message_id"),
        *("forward_sender_name", "forward_signature", "forward_date"),
    ]
)


def named(message: Raw) -> str:
    """Name what a message carries, if it is of a kind that is known."""
    return _KINDS.get(_kind(message), ("", ""))[0]


def unread(message: Raw, words: str) -> str:
    """Name what a message carries if it can be neither fetched nor told.

    Empty for service messages, and for what a newer Telegram adds to mere words.
    """
    if _kind(message):
        lost = not enclosures(message, OWNER) and told(message) is None
        return named(message) if lost else ""
    return "" if words or message.keys() <= _KNOWN else "a message of a newer kind"


def told(message: Raw) -> TextPart | None:
    """Return in words what a message carries, where words can tell it."""
    kind = _kind(message)
    words, wanted = _KINDS.get(kind, ("", ""))
    facts = "; ".join(islice(_facts(message.get(kind), wanted.split()), _FACTS))
    if not facts:
        return None
    label = OWNER if kind in _OF_THE_SENDER else untrusted(kind.replace("_", " "))
    return TextPart(text=f"({words}) {facts}", label=label)


def enclosures(message: Raw, label: str) -> tuple[Enclosure, ...]:
    """Return the files in a message; `label` is that of its words."""
    pictures = message.get("photo") or child(message, "live_photo").get("photo")
    picture = _picture(pictures if isinstance(pictures, list) else [])
    if picture:
        shown = untrusted("picture") if label == OWNER else label
        return (_enclosure("photo", picture, "image/jpeg", shown),)
    kind = _kind(message)
    return tuple(
        _enclosure(name, file, mime, own if label == OWNER else label)
        for name, (mime, own) in _FILES.items()
        if name == kind and (file := child(message, name)).get("file_id")
    )


def _kind(message: Raw) -> str:
    return next((name for name in _KINDS if message.get(name)), "")


def _facts(node: Any, wanted: list[str]) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _facts(each, wanted)
    for name, value in node.items() if isinstance(node, dict) else ():
        if name in wanted and isinstance(value, str | int | float):
            yield f"{name.replace('_', ' ')}: {line(value, _FACT_CHARS)}"
        else:
            yield from _facts(value, wanted)


def _picture(sizes: list[Any]) -> Raw:
    """Return the largest size that is not too large; of those that all are, the smallest."""
    found = [size for size in sizes if isinstance(size, dict) and size.get("file_id")]
    found.sort(key=lambda size: (number(size, "width") or 0) * (number(size, "height") or 0))
    fitting = [size for size in found if (number(size, "file_size") or 0) <= PICTURE_BYTES]
    return (fitting[-1:] or found[:1] or [{}])[0]


def _enclosure(
    kind: Literal["photo", "voice", "video_note", "audio", "document"],
    file: Raw,
    mime: str,
    label: str,
) -> Enclosure:
    return Enclosure(
        kind=kind,
        file_id=str(file["file_id"]),
        name=line(file.get("file_name")),
        mime=line(file.get("mime_type")) or mime,
        size=number(file, "file_size"),
        seconds=max(0, number(file, "duration") or 0),
        label=label,
    )
