"""Which pictures and PDFs go with a request, and how their words stay behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assurebot.agent.files import MEDIA_BYTES, MEDIA_COUNT, looked_at
from assurebot.agent.history import stubbed
from assurebot.values import Exchange, Media, TextPart, UserMessage, untrusted
from tests.agent.stage import Stage, reply
from tests.store.making import NOW, exchange


def shown(*files: int) -> UserMessage:
    """Make a message with these pictures."""
    label = untrusted("picture")
    return UserMessage(
        parts=tuple(
            TextPart(
                text=f"[file {file}: secret name]",
                label=label,
                media=Media(file=file, mime="image/png", tokens=1),
                file=file,
            )
            for file in files
        )
    )


async def test_a_request_carries_the_bytes() -> None:
    """Of all media in view; the frame around their words keeps them."""
    stage = Stage(reply("a cat"))
    await stage.run(past=(shown(2), *exchange(1).messages[1:], shown(3)))
    (request,) = stage.provider.asked
    assert request.files == {2: b"xx", 3: b"xxx"}
    last = request.messages[-2]
    assert isinstance(last, UserMessage)
    assert last.parts[0].media == Media(file=3, mime="image/png", tokens=1)
    assert last.parts[0].text.startswith("<<<untrusted ")


async def test_only_so_many_go() -> None:
    """The newest are taken, each once; what is gone takes no room."""
    asked: list[int] = []

    async def load(ids: Sequence[int]) -> Mapping[int, bytes]:
        asked.extend(ids)
        return {file: b"x" for file in ids if file != 20}

    found = await looked_at((shown(*range(9)), shown(*range(10, 21), 10)), load)
    assert asked == [10, *range(20, 11, -1)]
    assert sorted(found) == [10, *range(12, 20)]
    assert len(asked) == MEDIA_COUNT


async def test_only_so_much_goes() -> None:
    """The first that does not fit ends it."""

    async def load(ids: Sequence[int]) -> Mapping[int, bytes]:
        return {file: bytes(MEDIA_BYTES // 2) for file in ids}

    assert sorted(await looked_at((shown(1, 2, 3),), load)) == [2, 3]


def test_a_stub_names_the_number_alone() -> None:
    """Neither the name nor the picture is left."""
    said = Exchange(id=7, at=NOW, messages=(shown(3), *exchange(1).messages[1:]))
    (stub,) = stubbed(said).messages[0].parts  # type: ignore[union-attr]
    assert stub == TextPart(
        text="[picture (file 3) of 2026-05-06 07:08 UTC is no longer shown; "
        "recall(7) or read_document reads it]"
    )
    assert stubbed(replace(said, messages=exchange(1).messages)).messages == exchange(1).messages
