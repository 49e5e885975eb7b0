"""Files by their path in the demo's chat: what a client's paper clip is for."""

from __future__ import annotations

import mimetypes
import shlex
from pathlib import Path

from assurebot.demo.telegram_people import Person

SEND = "/send"
USAGE = f"{SEND} PATH [words]: a picture, a voice file, or any other as a document"
MAX_BYTES = 20 << 20
"""What Telegram lets a bot fetch."""

KINDS = {
    **dict.fromkeys((".jpg", ".jpeg", ".png"), "photo"),
    **dict.fromkeys((".ogg", ".oga", ".opus"), "voice"),
    **dict.fromkeys((".mp3", ".m4a", ".wav", ".flac"), "audio"),
}
VOICE_BYTES_PER_SECOND = 4_000


def send(person: Person, line: str) -> str | None:
    """Send the file that a line names, with the words after it; return what was wrong with it."""
    try:
        _, path, *words = shlex.split(line)
    except ValueError:
        return USAGE
    file = Path(path).expanduser()
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not 0 < len(content) <= MAX_BYTES:
        return f"{path}: a file of 1 byte to 20 MB can be sent"
    kind = KINDS.get(file.suffix.lower(), "document")
    mime = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    seconds = 1 + len(content) // VOICE_BYTES_PER_SECOND if kind in ("voice", "audio") else 0
    caption = " ".join(words)
    person.attach(kind, content, name=file.name, mime=mime, seconds=seconds, caption=caption)
    return None
