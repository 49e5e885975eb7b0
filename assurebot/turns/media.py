"""Files for a chat: which of them are pictures, and which messages they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from assurebot.guard.visible import visible
from assurebot.ports import Store
from assurebot.turns.commits import patiently
from assurebot.values import Attachment, BoxFile, Piece

PHOTO_BYTES = 10 << 20
PHOTO_SIDES = 10_000
PHOTO_RATIO = 20
ALBUM = 10
ALBUM_BYTES = 45 << 20
"""What Telegram takes as a photo and as an album. Source: Bot API, `sendPhoto`, `sendMediaGroup`;
one request must not be much larger than the 50 MB of the largest single file."""

NAME_CHARS = 100

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers of frames, which hold the size; the three others are tables and extensions."""

_SEGMENTS = 500
"""A JPEG with more segments before its frame is no picture that we know of."""


def attachment(blob: int, file: BoxFile) -> Attachment:
    """Describe a file that is stored under `blob`; a picture that Telegram may show is a photo."""
    name = visible(file.name.replace("\\", "/").rpartition("/")[2])
    name = " ".join(name.split())[-NAME_CHARS:] or "file"  # the end tells what it is
    size = len(file.data)
    kind: Literal["photo", "document"] = "document"
    if size <= PHOTO_BYTES and _fits(_sides(file.data)):
        kind = "photo"
    return Attachment(blob=blob, name=name, size=size, kind=kind)


async def kept(
    store: Store, event_id: int, files: Sequence[BoxFile], disk_seconds: float
) -> tuple[Attachment, ...]:
    """Store files for the answer to an event, however long the disk takes."""
    if not files:
        return ()
    blobs = await patiently(lambda: store.keep(event_id, files), disk_seconds)
    return tuple(map(attachment, blobs, files))


def media_pieces(attachments: Sequence[Attachment]) -> tuple[Piece, ...]:
    """Return the messages that carry the files: photos, then documents; empty files none does."""
    photos, documents = [], []
    for each in attachments:
        if each.kind == "photo" and 0 < each.size <= PHOTO_BYTES:
            photos.append(each)
        elif each.size:
            documents.append(replace(each, kind="document"))
    albums = (*_albums(photos), *_albums(documents))
    return tuple(Piece(text="", media=album) for album in albums)


def _albums(files: Sequence[Attachment]) -> Iterator[tuple[Attachment, ...]]:
    album: list[Attachment] = []
    for file in files:
        full = len(album) == ALBUM or file.size + sum(e.size for e in album) > ALBUM_BYTES
        if album and full:
            yield tuple(album)
            album = []
        album.append(file)
    if album:
        yield tuple(album)


def _fits(sides: tuple[int, int]) -> bool:
    return 0 < max(sides) <= PHOTO_RATIO * min(sides) and sum(sides) <= PHOTO_SIDES


def _sides(data: bytes) -> tuple[int, int]:
    """Read width and height from the header of a PNG or JPEG; (0, 0) for all else."""
    if data.startswith(_PNG) and data[23:]:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_sides(data)
    return 0, 0


def _jpeg_sides(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_SEGMENTS):
        if data[at : at + 1] != b"\xff" or not data[at + 8 :]:
            break
        if data[at + 1] in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        fill = data[at + 1 : at + 2] == b"\xff"
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0, 0
