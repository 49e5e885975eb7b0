"""Which files are photos, and which messages files make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.turns.media import ALBUM_BYTES, PHOTO_BYTES, attachment, media_pieces
from assurebot.values import Attachment, BoxFile, Piece
from tests.pictures import jpeg, png

EXIF = b"\xff\xe1\xff\xff" + bytes(0xFFFD)


def photo(blob: int, size: int = 9) -> Attachment:
    """A photo."""
    return Attachment(blob=blob, name=f"{blob}.png", size=size, kind="photo")


def document(blob: int, size: int = 9) -> Attachment:
    """A document."""
    return Attachment(blob=blob, name=f"{blob}.png", size=size)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(), "photo"),
        (png(1, 20), "photo"),
        (png(1, 21), "document"),
        (png(0, 5), "document"),
        (png(9_500, 500), "photo"),
        (png(9_501, 500), "document"),
        (png()[:23], "document"),
        (png(padding=PHOTO_BYTES), "document"),
        (jpeg(), "photo"),
        (jpeg(frame=0xC2, before=EXIF * 3 + b"\xff\xff"), "photo"),
        (jpeg(40_000, 30_000), "document"),
        (jpeg(before=b"\xff\xc4\0\x02"), "photo"),
        (jpeg(frame=0xC4), "document"),
        (jpeg(before=b"\xff\xe1\0\x02" * 600), "document"),
        (b"\xff\xd8" + b"\xff" * 5_000_000, "document"),
        (b"\xff\xd8\xff\xc0", "document"),
        (b"\x89PNG\r\n\x1a\n", "document"),
        (b"GIF89a" + bytes(99), "document"),
        (b"", "document"),
    ],
)
def test_kind_goes_by_the_content(data: bytes, kind: str) -> None:
    """PNG and JPEG within Telegram's limits are photos, whatever the name; all else is not."""
    made = attachment(7, BoxFile(name="a.txt", data=data))
    assert made == Attachment(blob=7, name="a.txt", size=len(data), kind=kind)  # type: ignore[arg-type] # of a parameter


@given(st.binary(max_size=200), st.sampled_from([b"", png()[:16], jpeg()[:20], b"\xff\xd8\xff"]))
def test_no_header_is_an_error(data: bytes, start: bytes) -> None:
    """Whatever stands in a file, it can be described."""
    assert attachment(1, BoxFile(name="x", data=start + data)).size == len(start + data)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("file:///etc/passwd", "passwd"),
        ("http://x", "x"),
        ("C:\\a\\b.txt", "b.txt"),
        ("..", ".."),
        ("a\nb\tc", "a b c"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("half \ud800", "half <U+D800>"),
        ("a" * 200 + ".csv", "a" * 96 + ".csv"),
        ("", "file"),
        ("a/", "file"),
        (" ", "file"),
    ],
)
def test_name_is_cleaned(name: str, shown: str) -> None:
    """A name has one component, nothing hidden in it, and an end."""
    assert attachment(1, BoxFile(name=name, data=b"x")).name == shown


def test_photos_come_first_in_albums_of_ten() -> None:
    """Eleven photos are ten and one; documents follow likewise; nothing is mixed."""
    files = [document(1), *(photo(n) for n in range(10, 21)), document(2), document(3)]
    assert media_pieces(files) == (
        Piece(text="", media=tuple(photo(n) for n in range(10, 20))),
        Piece(text="", media=(photo(20),)),
        Piece(text="", media=(document(1), document(2), document(3))),
    )


def test_what_telegram_does_not_take_as_it_is() -> None:
    """A photo that is too large goes as a document, an empty file not at all."""
    large = photo(1, PHOTO_BYTES + 1)
    assert media_pieces([large, document(2, 0), photo(3, 0), photo(4, PHOTO_BYTES)]) == (
        Piece(text="", media=(photo(4, PHOTO_BYTES),)),
        Piece(text="", media=(document(1, PHOTO_BYTES + 1),)),
    )
    assert media_pieces([]) == ()


def test_album_fits_into_one_request() -> None:
    """Files that together are more than Telegram takes at once go one after the other."""
    half = ALBUM_BYTES // 2
    files = [document(1, half), document(2, half), document(3, half), document(4, 2 * ALBUM_BYTES)]
    assert [[each.blob for each in piece.media] for piece in media_pieces(files)] == [
        [1, 2],
        [3],
        [4],
    ]
