"""What the stand-in for a model API is asked and what it answers, in words of no wire format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Wire = Literal["anthropic", "responses", "chat", "transcription", "speech"]

Fault = Literal["none", "cut", "drop", "stall", "error_event", "nonsense", "half_call"]
"""How an answer that began goes wrong.

`cut`: the stream ends in good order but without a stop reason. `drop`: the connection is closed in
the middle. `stall`: nothing comes for `stall_seconds` before the end. `error_event`: an error event
after the 200. `nonsense`: an event that is not JSON. `half_call`: the last call stops in the middle
of its arguments, at the token limit.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture, a document or a sound in a request."""

    mime: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request as the script sees it.

    Attributes:
        n: Number of the request, from 1.
        user_texts: One text per user message, oldest first; its parts are joined by line ends.
        tool_results: Texts of the results since the last user text.
        authorization: The header, to check where a key went.
        raw: The body as it came.
        search: A web search on the server's side is offered; `tool_names` are the other tools.
        pictures, files: What all messages show, in order; the sound of a transcription is a file.
    """

    wire: Wire
    n: int
    model: str
    system: str
    user_texts: tuple[str, ...]
    tool_names: tuple[str, ...]
    tool_results: tuple[str, ...]
    authorization: str
    raw: dict[str, Any]
    search: bool = False
    pictures: tuple[Shown, ...] = ()
    files: tuple[Shown, ...] = ()

    @property
    def last_user_text(self) -> str:
        """The text of the newest user message, or nothing."""
        return self.user_texts[-1] if self.user_texts else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call of the stand-in; `arguments` is sent as it is, valid JSON or not."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer, or one misbehaviour.

    Attributes:
        chunks: The text in pieces; they come after `text`, each after `chunk_seconds`.
        thinking: Goes ahead of the text in the opaque form that the wire has for it.
        stop: `end`, `tools`, `max_tokens`, `refusal`, or a word of the wire itself; left empty it
            is `tools` if there are calls, else `end`.
        input_tokens: All of them; `cached_tokens` and `written_tokens` are parts of it.
        delay_seconds: Wait before the first byte.
        status: Anything but 200 is an HTTP error with the type and code below.
        html: The HTTP error has a page of a proxy as its body.
        sources: (URL, title) of the pages of a search, if one is offered; the first is cited.
        search_error: The search fails with this code instead.
        seconds: How long a sound is said to be, in the answer with its transcript.
    """

    text: str = ""
    chunks: tuple[str, ...] = ()
    chunk_seconds: float = 0.0
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    stop: str = ""
    input_tokens: int = 10
    cached_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 5
    delay_seconds: float = 0.0
    fault: Fault = "none"
    stall_seconds: float = 60.0
    status: int = 200
    error_type: str = "api_error"
    error_code: str = ""
    retry_after: str = ""
    html: bool = False
    sources: tuple[tuple[str, str], ...] = ()
    search_error: str = ""
    seconds: float | None = 1.0

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text as it is streamed."""
        return (self.text, *self.chunks) if self.text else self.chunks

    @property
    def ending(self) -> str:
        """The stop reason, in our words."""
        if self.fault == "half_call":
            return "max_tokens"
        return self.stop or ("tools" if self.calls else "end")

    def sent_arguments(self, index: int) -> str:
        """Return what is sent of a call's arguments."""
        arguments = self.calls[index].arguments
        if self.fault == "half_call" and index == len(self.calls) - 1:
            return arguments[: len(arguments) // 2]
        return arguments


def is_ours(tool: dict[str, Any]) -> bool:
    """Tell whether the client runs this tool; the server would run the others itself."""
    return tool.get("type", "function") in {"function", "custom"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A turn in bytes: the opening, text and calls piece by piece, and the proper or bad end."""

    start: bytes
    pieces: tuple[bytes, ...]
    end: bytes
    error: bytes


Script = Callable[[Ask], Turn]
"""Decides the answer to a request."""


def echo() -> Script:
    """Answer with the last user text."""
    return lambda ask: Turn(text=ask.last_user_text)


def always(turn: Turn) -> Script:
    """Answer every request alike."""
    return lambda _ask: turn


def sequence(turns: Sequence[Turn]) -> Script:
    """Give these answers one after the other; the last one for ever."""
    rest: Iterator[Turn] = iter(turns)
    last = turns[-1]
    return lambda _ask: next(rest, last)


def chatty(*, chunk_seconds: float = 0.03) -> Script:
    """Behave as a plain assistant that says that it is a stand-in; always the same to the same.

    Told "recall N" it calls the tool `recall` and reports the result; told "loop" it calls a tool
    for ever, until the program's own limits end the turn.
    """

    def script(ask: Ask) -> Turn:
        words = ask.last_user_text
        if re.search(r"\bloop\b", words, re.IGNORECASE) and ask.tool_names:
            name = "recall" if "recall" in ask.tool_names else ask.tool_names[0]
            return Turn(calls=(Call(name=name, arguments='{"id": 1}'),))
        if ask.tool_results:
            return _said(f"The tool answered:\n\n{ask.tool_results[-1][:600]}", chunk_seconds)
        wanted = re.search(r"\brecall\s+#?(\d+)", words, re.IGNORECASE)
        if wanted and "recall" in ask.tool_names:
            return Turn(calls=(Call(name="recall", arguments=f'{{"id": {wanted[1]}}}'),))
        return _said(
            "I am a **stand-in** for a language model: I run on this machine, think nothing and "
            f"cost nothing. Your last message has {len(words)} characters, and this conversation "
            f"shows me {len(ask.user_texts)} of your messages{_sights(ask)}. "
            "Say `recall 1` to see a tool call, or `loop` to see how endless tool calls are ended.",
            chunk_seconds,
        )

    return script


def _sights(ask: Ask) -> str:
    kinds = sorted(one.mime for one in (*ask.pictures, *ask.files))
    return f" and {len(kinds)} of your files ({', '.join(kinds)})" if kinds else ""


def _said(text: str, chunk_seconds: float) -> Turn:
    pieces = re.findall(r"\S+\s*|\s+", text)
    chunks = tuple("".join(pieces[i : i + 4]) for i in range(0, len(pieces), 4))
    return Turn(chunks=chunks, chunk_seconds=chunk_seconds, output_tokens=len(pieces))
