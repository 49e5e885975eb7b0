"""Pictures by their first bytes: what kind one is and how large, without decoding any of it."""

from __future__ import annotations

from typing import Literal

PNG, JPEG, GIF, WEBP = "image/png", "image/jpeg", "image/gif", "image/webp"

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers of frames, which hold the size; the three others are tables and extensions."""

_SEGMENTS = 500
"""A JPEG with more segments before its frame is no picture that we know of."""


def picture(data: bytes) -> tuple[str, tuple[int, int]]:
    """Return MIME type, width and height; the type is empty for all that is no picture of ours.

    A picture whose header is cut or tangled has sides of 0.
    """
    if data.startswith(_PNG[:8]):
        whole = data.startswith(_PNG) and data[23:]
        return PNG, _sides(data[16:20], data[20:24], "big") if whole else (0, 0)
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG, _jpeg_sides(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GIF, _sides(data[6:8], data[8:10], "little")
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WEBP, _webp_sides(data[12:30])
    return "", (0, 0)


def _sides(width: bytes, height: bytes, order: Literal["big", "little"]) -> tuple[int, int]:
    return int.from_bytes(width, order), int.from_bytes(height, order)


def _jpeg_sides(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_SEGMENTS):
        if data[at : at + 1] != b"\xff" or not data[at + 8 :]:
            break
        if data[at + 1] in _FRAMES:
            return _sides(data[at + 7 : at + 9], data[at + 5 : at + 7], "big")
        fill = data[at + 1 : at + 2] == b"\xff"
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0, 0


def _webp_sides(chunk: bytes) -> tuple[int, int]:
    """Read the first chunk's header: lossy, lossless or extended. Source: RFC 9649, 2.5-2.7."""
    kind, body = chunk[:4], chunk[8:]
    if len(body) < 10:  # noqa: PLR2004 - the shortest header
        return 0, 0
    if kind == b"VP8 ":
        width, height = _sides(body[6:8], body[8:10], "little")
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = _sides(body[4:7], body[7:10], "little")
        return width + 1, height + 1
    return 0, 0
