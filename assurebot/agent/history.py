"""What of a conversation reaches the model, and in a form that no provider refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, dropwhile
from typing import assert_never

from assurebot.values import (
    OWNER,
    AssistantMessage,
    Exchange,
    Message,
    StoredEvent,
    TextPart,
    ToolMessage,
    ToolResult,
    UserMessage,
    is_tainted,
    is_untrusted,
    labels,
    untrusted,
)

KEPT_EXCHANGES = 40
"""How many finished exchanges at most come back into a turn."""

KEPT_CHARS = 100_000
"""How much text of them at most; older ones are trimmed whole and stay readable by `recall`."""

UNTRUSTED_EXCHANGES = 4
UNTRUSTED_FOR = timedelta(minutes=30)
"""Untrusted content stays for so many exchanges and so long, whichever ends first."""

DERIVED = untrusted("answer")
"""The label of what was made in a tainted turn; it goes when what it was made from goes."""

INTERRUPTED = "Interrupted; the outcome is unknown. It was not run again."


def conversation(
    exchanges: Sequence[Exchange], now: datetime, *, afresh: bool = False
) -> tuple[Message, ...]:
    """Return the messages of past exchanges that a new turn shall see, in the order they ended.

    Args:
        exchanges: In any order: one that waited for a press ended after others.
        now: The present.
        afresh: Leave out all untrusted content at once.
    """
    kept: list[Exchange] = []
    room = KEPT_CHARS
    ended = sorted(exchanges, key=lambda each: (each.at, each.id))

    def passed(each: Exchange) -> bool:
        brought = any(labels(message) - {OWNER, DERIVED} for message in each.messages)
        return afresh or now - each.at > UNTRUSTED_FOR or not brought

    # An answer stays no longer than what it was made from, or one would taint the next for ever.
    fresh = {each.id for each in dropwhile(passed, ended[-UNTRUSTED_EXCHANGES:])}
    for exchange in reversed(ended[-KEPT_EXCHANGES:]):
        shown = exchange if exchange.id in fresh else stubbed(exchange)
        room -= sum(_length(message) for message in shown.messages)
        if room < 0 and kept:
            break
        kept.append(shown)
    messages = [message for exchange in reversed(kept) for message in exchange.messages]
    return repaired(messages)


def waiting(stored: StoredEvent, names: str) -> Exchange:
    """Return what other turns see of one that waits for a press."""
    answer = AssistantMessage(text=f"(This waits for approval {names}.)")
    messages = (UserMessage(parts=stored.event.parts), answer)
    return Exchange(id=stored.id, at=stored.event.received_at, messages=messages)


def stubbed(exchange: Exchange) -> Exchange:
    """Put a stub in the place of untrusted content and of answers made from it."""
    if not any(map(is_tainted, exchange.messages)):
        return exchange

    def stub(label: str, file: int = 0) -> str:
        origin = label.partition(":")[2] or "untrusted"
        when = exchange.at.strftime("%Y-%m-%d %H:%M")
        name, tool = (f" (file {file})", " or read_document") if file else ("", "")
        shown = f"{origin}{name} of {when} UTC is no longer shown"
        return f"[{shown}; recall({exchange.id}){tool} reads it]"

    shown: list[Message] = []
    for message in exchange.messages:
        if isinstance(message, AssistantMessage) and is_tainted(message):
            # Calls were made from it too, even their names; all that follows came of this answer.
            shown.append(AssistantMessage(text=stub(message.label)))
            break
        shown.append(_shortened(message, stub))
    return replace(exchange, messages=tuple(shown))


def _shortened(message: Message, stub: Callable[..., str]) -> Message:
    match message:
        case UserMessage():
            parts = tuple(
                TextPart(text=stub(part.label, part.file)) if is_untrusted(part.label) else part
                for part in message.parts
            )
            return replace(message, parts=parts)
        case AssistantMessage():
            return message
        case ToolMessage():
            results = tuple(
                replace(result, text=stub(result.label), label=OWNER)
                if is_untrusted(result.label)
                else result
                for result in message.results
            )
            return replace(message, results=results)
        case _:
            assert_never(message)


def repaired(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Make every tool call have exactly one result right behind it, and every result a call.

    A missing result becomes *outcome unknown*, an orphan is dropped, and so is whatever stands
    before the first words of a user; an id that was there before gets another name (own servers
    count from 0 in each answer). Providers refuse a conversation that breaks these rules.
    """
    done: list[Message] = []
    for message in _with_own_ids(messages):
        open_calls = _open_calls(done)
        if isinstance(message, ToolMessage):
            if open_calls is not None:
                done.append(_matching(open_calls, message))
            continue
        if open_calls is not None:
            done.append(_matching(open_calls, ToolMessage(results=())))
        if _is_empty(message):
            continue
        if done or isinstance(message, UserMessage):
            done.append(message)
    open_calls = _open_calls(done)
    if open_calls is not None:
        done.append(_matching(open_calls, ToolMessage(results=())))
    return tuple(done)


def _is_empty(message: UserMessage | AssistantMessage) -> bool:
    if isinstance(message, UserMessage):
        return not any(part.text.strip() for part in message.parts)
    return not (message.text or message.calls)


def _with_own_ids(messages: Iterable[Message]) -> Iterator[Message]:
    seen: set[str] = set()
    names: dict[str, str] = {}
    for message in messages:
        match message:
            case AssistantMessage(calls=(_, *_)):
                names = {call.id: _unused(call.id, seen) for call in message.calls}
                seen.update(names.values())
                same = all(old == new for old, new in names.items())
                yield message if same else _renamed(message, names)
            case ToolMessage(results=results):
                found = (names.get(result.call_id, result.call_id) for result in results)
                named = zip(results, found, strict=True)
                yield ToolMessage(
                    results=tuple(replace(each, call_id=name) for each, name in named)
                )
            case _:
                yield message


def _renamed(message: AssistantMessage, names: Mapping[str, str]) -> AssistantMessage:
    """Give calls other ids; the provider's own form, which has the old ones, is left out."""
    calls = tuple(replace(call, id=names[call.id]) for call in message.calls)
    return replace(message, calls=calls, native=None)


def _unused(name: str, seen: set[str]) -> str:
    return next(each for n in count() if (each := f"{name}-{n}" if n else name) not in seen)


def _open_calls(messages: Sequence[Message]) -> AssistantMessage | None:
    last = messages[-1] if messages else None
    return last if isinstance(last, AssistantMessage) and last.calls else None


def _matching(message: AssistantMessage, found: ToolMessage) -> ToolMessage:
    by_id = {result.call_id: result for result in found.results}
    unknown = [
        ToolResult(call_id=call.id, name=call.name, text=INTERRUPTED, failed=True)
        for call in message.calls
    ]
    return ToolMessage(results=tuple(by_id.get(result.call_id, result) for result in unknown))


def _length(message: Message) -> int:
    match message:
        case UserMessage():
            return sum(len(part.text) for part in message.parts)
        case AssistantMessage():
            return len(message.text) + sum(len(call.arguments) for call in message.calls)
        case ToolMessage():
            return sum(len(result.text) for result in message.results)
        case _:
            assert_never(message)
