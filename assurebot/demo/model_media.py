"""Pictures, documents and sound at the stand-in for model APIs: read, and refused as there."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from assurebot.demo.model_script import Ask, Shown

MOST_PICTURE_BYTES = 5 << 20
"""Anthropic's limit of one picture; OpenAI's is higher."""

MOST_DOCUMENT_BYTES = 32 << 20
MOST_SPOKEN_CHARS = 4096

SIGNATURES = {
    "image/jpeg": rb"\xff\xd8\xff",
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
    "application/pdf": rb"%PDF-",
}
SOUNDS = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")


def shown(mime: str, data: str) -> Shown:
    """Read base64; what is none has no bytes, which is refused."""
    try:
        return Shown(mime=mime, data=base64.b64decode(data, validate=True))
    except binascii.Error:
        return Shown(mime=mime, data=b"")


def from_url(url: str) -> Shown:
    """Read a data URL; the real API would fetch any other, which is refused here."""
    found = re.fullmatch(r"data:([a-z/.+-]+);base64,(.*)", url)
    return shown(found[1], found[2]) if found else Shown(mime="", data=b"")


def split(seen: Sequence[Shown]) -> dict[str, tuple[Shown, ...]]:
    """Sort what was shown into the two fields of an `Ask`."""
    files = tuple(one for one in seen if one.mime == "application/pdf")
    return {"pictures": tuple(one for one in seen if one not in files), "files": files}


def refused(ask: Ask) -> str:
    """Return why the real API would refuse what is shown or said, or ''."""
    if ask.wire == "transcription":
        return _refused_sound(ask)
    if ask.wire == "speech":
        fair = 0 < len(ask.last_user_text) <= MOST_SPOKEN_CHARS and ask.raw.get("voice")
        return "" if fair else "string_too_long"
    for one in (*ask.pictures, *ask.files):
        most = MOST_DOCUMENT_BYTES if one in ask.files else MOST_PICTURE_BYTES
        if not re.match(SIGNATURES.get(one.mime, b"(?!)"), one.data, re.DOTALL):
            return "invalid_image_format"
        if len(one.data) > most:
            return "image_too_large"
    return ""


def _refused_sound(ask: Ask) -> str:
    suffix = ask.raw.get("filename", "").rpartition(".")[2]
    if suffix not in SOUNDS or not ask.files or not ask.files[0].data:
        return "unsupported_format"
    return "" if ask.model else "missing_model"


def ogg_opus(milliseconds: int = 100) -> bytes:
    """Make silence as Ogg with Opus, in steps of 20 ms."""
    head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0"
    tags = b"OpusTags\x04\0\0\0none\0\0\0\0"
    steps = max(1, milliseconds // 20)
    pages = (
        (2, 0, [head]),
        (0, 0, [tags]),
        (4, 960 * steps, [b"\xf8\xff\xfe"] * steps),  # frames of silence: RFC 6716
    )
    return b"".join(_page(n, *page) for n, page in enumerate(pages))


def _page(n: int, flags: int, granule: int, packets: list[bytes]) -> bytes:
    """Make a page (RFC 3533) of packets shorter than 255 bytes."""
    fields = b"OggS\0" + bytes([flags]) + granule.to_bytes(8, "little") + b"demo"
    lengths = bytes([len(packets), *map(len, packets)])
    rest = lengths + b"".join(packets)
    start = fields + n.to_bytes(4, "little")
    return start + _crc(start + bytes(4) + rest).to_bytes(4, "little") + rest


def _crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
            crc &= 0xFFFFFFFF
    return crc
