"""Pictures made from nothing, for tests."""

from __future__ import annotations

import zlib


def png(width: int = 32, height: int = 24, *, padding: int = 0) -> bytes:
    """A black PNG that can be read to its end; `padding` bytes make it larger."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + b"\x08\0\0\0\0"
    pixels = zlib.compress(bytes((width + 1) * height))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"tEXt", bytes(padding))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def broken_png() -> bytes:
    """A PNG whose header is fine and whose pixels are not: only a reader of all of it can tell."""
    return png().replace(b"IDAT", b"IDAX")


def jpeg(width: int = 32, height: int = 24, *, frame: int = 0xC0, before: bytes = b"") -> bytes:
    """A JPEG as far as its segments go; `before` stands before the frame."""
    sides = height.to_bytes(2) + width.to_bytes(2)
    start = bytes((0xFF, frame)) + b"\0\x11\x08" + sides + b"\x03" + bytes(9)
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9) + before + start + b"\xff\xd9"
