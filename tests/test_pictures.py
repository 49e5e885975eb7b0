"""What a picture is and how large, by its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.pictures import picture
from tests.pictures import jpeg, png

GIF = b"GIF89a\x20\0\x18\0" + bytes(9)
LOSSY = b"RIFF____WEBPVP8 ____\0\0\0\x9d\x01\x2a\x20\x40\x18\0"
LOSSLESS = b"RIFF____WEBPVP8L____\x2f" + (31 | 23 << 14).to_bytes(4, "little") + bytes(9)
EXTENDED = b"RIFF____WEBPVP8X____\0\0\0\0" + (31).to_bytes(3, "little") + b"\x17\0\0"


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (png(), "image/png"),
        (jpeg(), "image/jpeg"),
        (GIF, "image/gif"),
        (LOSSY, "image/webp"),
        (LOSSLESS, "image/webp"),
        (EXTENDED, "image/webp"),
    ],
)
def test_kind_and_sides(data: bytes, mime: str) -> None:
    """Each kind that a model looks at is known, with its sides; a cut header has none."""
    assert picture(data) == (mime, (32, 24))
    assert picture(data[:16]) == (mime, (0, 0) if mime != "image/gif" else (32, 24))


@pytest.mark.parametrize("data", [b"", b"GIF", b"RIFF____WAVE", b"%PDF-1.7", b"BM" + bytes(99)])
def test_all_else_is_no_picture(data: bytes) -> None:
    """What a model cannot look at has no kind."""
    assert picture(data) == ("", (0, 0))


@given(st.binary(max_size=60), st.sampled_from([GIF[:6], LOSSY[:16], LOSSLESS[:16], png()[:8]]))
def test_no_header_is_an_error(data: bytes, start: bytes) -> None:
    """Whatever follows a signature, the kind is told and the sides are numbers."""
    assert picture(start + data)[0]
