"""Whatever a client would make clickable by itself is put into code, where no client does so.

Drawn wider than Telegram's own rules, which change and differ between clients: any ending of two
letters counts as a domain's. Hidden characters count as absent, since the server drops some of
them. Source: td/telegram/MessageEntity.cpp (`find_entities`) and misc.cpp (`clean_input_string`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from assurebot.urls import parsed
from assurebot.values import Entity

_UNSEEN = (
    r"\xad\u030a\u0333\u033f\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufffd\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(rf"[{_UNSEEN}]")
_WORD = re.compile(r"[^\t\n \xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

_SUSPECT = re.compile(
    r"""
    ://  |  @[\w\[]  |  \#\d*[^\W\d]  |  \$(?:[A-Z]|1I)
    |  (?<![\w/<>])/\w
    |  (?i:mailto|tel|sms|data|geo|magnet):\S
    |  [\w~\xc0-\U0010ffff-]\.[^\W\d_](?:[^\W\d_]|[^\x00-\xbf\u2000-\u206f])
    |  \d{1,3}(?:\.\d{1,3}){3}  |  ::[0-9A-Fa-f]  |  (?:[0-9A-Fa-f]{1,4}:){5}
    """,
    re.VERBOSE,
)
_COMMAND = re.compile(r"/[A-Za-z0-9_]")
_UNCUT_CHARS = 40
"""A longer word may be cut between messages, and then begin with what stood within it."""

_PHONE = re.compile(rf"[+(]{{0,2}}\d(?:[ \xa0().\u2011{_UNSEEN}-]{{0,3}}\d){{6,}}")
_NUMBER = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d)?|\d+\.\d+")


def guard(
    text: str, entities: Sequence[Entity], links: frozenset[str]
) -> tuple[str, Sequence[Entity]]:
    """Return text and entities with all that must not be a link in code.

    Hidden characters in there are replaced; no length changes. Other styles are interrupted.

    Args:
        text: What will be shown.
        entities: As `split` takes them.
        links: The URLs that may be links, in their normal form.
    """
    widths = (1 if char <= "\uffff" else 2 for char in text)
    at = list(accumulate(widths, initial=0))
    blocks = [(one.offset, one.offset + one.length) for one in entities if one.type == "pre"]
    spans = [span for span in _spans(text, links) if not _within(at[span[0]], blocks)]
    shown, last = list[str](), 0
    for start, end in spans:
        shown += text[last:start], _HIDDEN.sub(_mark, text[start:end])
        last = end
    code = [(one.offset, one.offset + one.length) for one in entities if one.type == "code"]
    code = _merged(code + [(at[start], at[end]) for start, end in spans])
    ends = [end for _, end in code]
    kept = [part for one in entities if one.type != "code" for part in _around(one, code, ends)]
    kept += [Entity(type="code", offset=start, length=end - start) for start, end in code]
    return "".join((*shown, text[last:])), kept


def _spans(text: str, links: frozenset[str]) -> list[tuple[int, int]]:
    """Find what must be in code, in order."""
    found = [m.span() for m in _PHONE.finditer(text) if not _NUMBER.fullmatch(m.group())]
    for match in _WORD.finditer(text):
        word = match.group()
        seen = _HIDDEN.sub("", word).translate(_NARROW)
        cut = len(word) > _UNCUT_CHARS and _COMMAND.search(seen)
        if cut or _SUSPECT.search(seen) or _SUSPECT.search(word):
            start, end = _core(word)
            if not _may_link(word[start:end], links):
                found.append((match.start() + start, match.start() + end))
    return _merged(found)


def _core(word: str) -> tuple[int, int]:
    """Leave out the punctuation around a word, which belongs to no link."""
    start = len(word) - len(word.lstrip("(\"'"))
    return start, len(word.rstrip(".,;:!?\"'" if "(" in word[start:] else ").,;:!?\"'"))


def _may_link(word: str, links: frozenset[str]) -> bool:
    try:
        return bool(links) and "#" not in word and parsed(word).text in links
    except ValueError:
        return False


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _within(place: int, blocks: list[tuple[int, int]]) -> bool:
    """Tell whether a place is in one of the blocks, which are in order."""
    index = bisect_right(blocks, (place, place)) - 1
    return any(start <= place < end for start, end in blocks[max(index, 0) : index + 2])


def _around(entity: Entity, code: list[tuple[int, int]], ends: list[int]) -> Iterator[Entity]:
    """Cut code out of an entity; only quotes may hold it."""
    start, end = entity.offset, entity.offset + entity.length
    for index in range(bisect_right(ends, start), len(code)):
        first, last = code[index]
        if first >= end or entity.type == "blockquote":
            break
        if first > start:
            yield replace(entity, offset=start, length=first - start)
        start = last
    if start < end:
        yield replace(entity, offset=start, length=end - start)


def _mark(hidden: re.Match[str]) -> str:
    return "\ufffd" if hidden.group() <= "\uffff" else "\ufffd\ufffd"
