"""Files for a chat: which of them are pictures, and which messages they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from assurebot.guard.visible import visible
from assurebot.pictures import JPEG, PNG, picture
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


def attachment(blob: int, file: BoxFile) -> Attachment:
    """Describe a file that is stored under `blob`; a picture that Telegram may show is a photo."""
    name = visible(file.name.replace("\\", "/").rpartition("/")[2])
    name = " ".join(name.split())[-NAME_CHARS:] or "file"  # the end tells what it is
    size = len(file.data)
    kind: Literal["photo", "document"] = "document"
    mime, sides = picture(file.data)
    if size <= PHOTO_BYTES and mime in {JPEG, PNG} and _fits(sides):
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
