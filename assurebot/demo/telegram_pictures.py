"""What Telegram's server takes for a photo: pictures that can be read to their end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from assurebot.demo.telegram_rules import Refused

MAX_PHOTO_BYTES = 10 << 20
MAX_SIDES = 10_000
MAX_RATIO = 20

_PNG = b"\x89PNG\r\n\x1a\n"
_READ_BYTES = 64 << 20  # of a PNG, unpacked


def check_photo(content: bytes) -> None:
    """Accept a PNG or JPEG, or refuse what is sent as a photo, as Telegram would.

    Raises:
        Refused: Too large, too long and thin, or no whole picture.
    """
    if len(content) > MAX_PHOTO_BYTES:
        limit = f"the maximum size is {MAX_PHOTO_BYTES} bytes"
        raise Refused(f"file of size {len(content)} bytes is too big for a photo; {limit}")
    sides = _png(content) if content.startswith(_PNG) else _jpeg(content)
    if sides is None:
        raise Refused("IMAGE_PROCESS_FAILED")
    if sum(sides) > MAX_SIDES or not 0 < max(sides) <= MAX_RATIO * min(sides):
        raise Refused("PHOTO_INVALID_DIMENSIONS")


def _png(content: bytes) -> tuple[int, int] | None:
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        return None
    header = chunks[0][1]
    unpack = zlib.decompressobj()
    try:
        unpack.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"), _READ_BYTES)
    except zlib.error:
        return None
    whole = unpack.eof and len(header) == 13
    return (int.from_bytes(header[:4]), int.from_bytes(header[4:8])) if whole else None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of each chunk, up to the first damaged one."""
    at = len(_PNG)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : end]
        if zlib.crc32(kind + body).to_bytes(4) != content[end : end + 4]:
            return
        yield kind, body
        at = end + 4


def _jpeg(content: bytes) -> tuple[int, int] | None:
    """Look for the frame in a JPEG that has its beginning and its end; no pixel is read."""
    if not (content.startswith(b"\xff\xd8\xff") and content.endswith(b"\xff\xd9")):
        return None
    at = 2
    while content[at : at + 1] == b"\xff" and at + 9 <= len(content):
        kind = content[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = content[at + 5 : at + 7], content[at + 7 : at + 9]
            return int.from_bytes(width), int.from_bytes(height)
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return None
