"""Files of a chat: in words, and before the eyes of a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from assurebot.values import ChatFile, Message, UserMessage

Load = Callable[[Sequence[int]], Awaitable[Mapping[int, bytes]]]
"""`Store.file_data`."""

MEDIA_COUNT, MEDIA_BYTES = 10, 20 << 20
"""So many of the newest pictures and PDFs go with one request, and so much of them: providers take
32 MB, and on the wire they are a third longer. Source: Anthropic's documentation of its limits."""


async def looked_at(messages: Sequence[Message], load: Load) -> Mapping[int, bytes]:
    """Return the bytes of the newest media in the messages, one by one as far as there is room."""
    media = [
        part.media.file
        for message in reversed(messages)
        if isinstance(message, UserMessage)
        for part in reversed(message.parts)
        if part.media is not None
    ]
    found: dict[int, bytes] = {}
    room = MEDIA_BYTES
    for file in tuple(dict.fromkeys(media))[:MEDIA_COUNT]:
        data = (await load((file,))).get(file, b"")
        room -= len(data)
        if room < 0:
            break
        if data:
            found[file] = data
    return found


def described(file: ChatFile, name: str) -> str:
    """Say in a few words what a file is; `name` is how it is shown here."""
    match file.kind:
        case "picture":
            about = f"picture {name}, {file.sides[0]} x {file.sides[1]}"
        case "pdf":
            about = f"PDF {name}, {_pages(file.leaves or file.pages)}"
        case "text":
            about = f"{name}, {_pages(file.pages)}"
        case _:
            about = f"{name} ({file.mime})"
    return f"{about}, {sized(file.size)}"


def _pages(count: int) -> str:
    return f"{count} page{'s' * (count != 1)}"


def sized(count: int) -> str:
    """Return a number of bytes as people read it."""
    if count < 1 << 20:
        return f"{count / (1 << 10):.1f} KB"
    return f"{count / (1 << 20):.1f} MB"
