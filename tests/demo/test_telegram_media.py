"""The stand-in takes and refuses files as Telegram's server does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from assurebot.demo.telegram_chats import Room, Violation, World
from assurebot.demo.telegram_media import MAX_UPLOAD_BYTES, media_methods
from assurebot.demo.telegram_people import private_chat
from assurebot.demo.telegram_rules import Refused
from assurebot.demo.telegram_wire import Upload
from tests.pictures import broken_png, jpeg, png

OWNER = 42
MB = 1 << 20


@pytest.fixture
def world() -> World:
    """A world with one chat."""
    made = World()
    made.rooms[OWNER] = Room(private_chat(OWNER, "Ann"))
    return made


def upload(content: bytes) -> Upload:
    """A file in a request."""
    return Upload(name="x", content=content)


def call(world: World, method: str, **params: Any) -> Any:
    """Call a method about the chat."""
    return media_methods(world)[method]({"chat_id": OWNER, **params})


@pytest.mark.parametrize("picture", [png(), png(1, 20), jpeg(9_000, 1_000), jpeg(frame=0xC2)])
def test_pictures_are_photos(world: World, picture: bytes) -> None:
    """PNG and JPEG within the limits are taken."""
    assert call(world, "sendphoto", photo=upload(picture))["message_id"] == 1


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("photo", b"text", "IMAGE_PROCESS_FAILED"),
        ("photo", broken_png(), "IMAGE_PROCESS_FAILED"),
        ("photo", png()[:-20], "IMAGE_PROCESS_FAILED"),
        ("photo", png().replace(b"\0", b"\1", 1), "IMAGE_PROCESS_FAILED"),
        ("photo", jpeg()[:-2], "IMAGE_PROCESS_FAILED"),
        ("photo", jpeg(frame=0xC4), "IMAGE_PROCESS_FAILED"),
        ("photo", png(1, 21), "PHOTO_INVALID_DIMENSIONS"),
        ("photo", png(0, 0), "PHOTO_INVALID_DIMENSIONS"),
        ("photo", jpeg(9_000, 1_001), "PHOTO_INVALID_DIMENSIONS"),
        ("photo", png(padding=10 * MB), "is too big for a photo"),
        ("photo", b"", "file must be non-empty"),
        ("document", b"", "file must be non-empty"),
        ("document", bytes(MAX_UPLOAD_BYTES + 1), "Request Entity Too Large"),
    ],
)
def test_what_telegram_refuses_is_refused(
    world: World, kind: str, content: bytes, reason: str
) -> None:
    """What is no picture, too large, too thin or empty leaves no message behind."""
    with pytest.raises(Refused) as caught:
        call(world, f"send{kind}", **{kind: upload(content)})
    assert reason in caught.value.description
    assert (world.rooms[OWNER].sent, world.rooms[OWNER].last_id) == ({}, 0)


@pytest.mark.parametrize(
    ("kinds", "allowed"),
    [
        (["photo", "video"], True),
        (["document", "document"], True),
        (["audio", "audio"], True),
        (["photo", "document"], False),
        (["document", "audio"], False),
        (["audio", "video"], False),
        (["voice", "voice"], False),
        (["photo"], False),
        (["photo"] * 11, False),
    ],
)
def test_albums_hold_what_goes_together(
    world: World, kinds: Sequence[str], *, allowed: bool
) -> None:
    """Photos and videos mix; documents and audio keep to themselves; two to ten make an album."""
    files = {f"f{n}": upload(png()) for n in range(len(kinds))}
    media = [{"type": kind, "media": f"attach://f{n}"} for n, kind in enumerate(kinds)]
    if allowed:
        assert len(call(world, "sendmediagroup", media=media, **files)) == len(kinds)
    else:
        with pytest.raises(Refused):
            call(world, "sendmediagroup", media=media, **files)
    assert len(world.rooms[OWNER].sent) == (len(kinds) if allowed else 0)


def test_album_is_taken_whole_or_not_at_all(world: World) -> None:
    """One bad photo keeps the others from being shown."""
    media = [{"type": "photo", "media": f"attach://{name}"} for name in ("good", "bad")]
    with pytest.raises(Refused, match="IMAGE_PROCESS_FAILED"):
        call(world, "sendmediagroup", media=media, good=upload(png()), bad=upload(b"text"))
    assert (world.rooms[OWNER].sent, world.rooms[OWNER].last_id) == ({}, 0)


@pytest.mark.parametrize("given", ["file:///etc/passwd", "/etc/passwd", "https://example.com/a"])
def test_files_by_name_are_violations(world: World, given: str) -> None:
    """A path or a URL where a file could be meant is refused, and noted."""
    media = [{"type": "document", "media": given}, {"type": "document", "media": "attach://a"}]
    for method, params in (
        ("senddocument", {"document": given}),
        ("sendmediagroup", {"media": media, "a": upload(b"1")}),
    ):
        with pytest.raises(Refused):
            call(world, method, **params)
    rule = f"document by a URL or path: {given!r}"
    noted = Violation(method="send document", chat_id=OWNER, rule=rule)
    assert world.violations == [noted, noted]
