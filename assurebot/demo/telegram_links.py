"""What can be tapped in a message: what is marked as a link, and what clients make one of.

By Telegram's own rules (td/telegram/MessageEntity.cpp, `find_entities`; misc.cpp,
`clean_input_string`), and wider where they go by a list that grows: any ending of letters is a
domain's here, and a text is read a second time as if its invisible characters were not there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from assurebot.demo.telegram_rules import units
from assurebot.values import Entity

_MARKED = frozenset(
    [
        *("url", "text_link", "mention", "text_mention", "hashtag", "cashtag"),
        *("bot_command", "email", "phone_number"),
    ]
)
_DROPPED = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u0333\u033f\u030a")
_PUNCTUATION = range(0x2000, 0x2070)
_JOINING = (*range(0x200C, 0x200E), *range(0x2010, 0x2016))
_ENDS = '\n<>"\xab\xbb'
_LOOSE = ".:;,('?!`"
_SCHEMES = ("http", "https", "ftp", "tg", "ton", "tonsite")

_WORDS = (
    re.compile(r"(?<!\w)@[A-Za-z0-9_]{2,32}(?!\w)"),
    re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>])"),
    re.compile(r"(?<!\w)#(?=\w*[^\W\d_])\w{1,256}(?:@[A-Za-z0-9_]{3,32})?"),
    re.compile(r"(?<![$\w])\$(?:1INCH|[A-Z]{1,8})(?![$\w])"),
    re.compile(r"[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"),
    re.compile(r"\b(?:mailto|tel):[^\s<>\"]*\w", re.IGNORECASE),
    re.compile(
        r"(?<!\w)(?!\d{4}-\d\d-\d\d)(?:\+|\d(?=\d{1,3}[ ().-]))(?:[ ().-]{0,2}\d){6,15}(?!\w)"
    ),
)


def clickable(text: str, entities: Sequence[Entity]) -> tuple[str, ...]:
    """Return what a reader can tap, each once, in order; a marked link by its target.

    What lies wholly in one stretch of code cannot be tapped.
    """
    at = [0]
    for char in text:
        at.append(at[-1] + units(char))
    found = [(one.offset, one.url or text) for one in entities if one.type in _MARKED]
    code = [
        (one.offset, one.offset + one.length) for one in entities if one.type in ("code", "pre")
    ]
    for start, end in sorted({*_read(text, _is_dropped), *_read(text, _is_invisible)}):
        if not any(first <= at[start] and at[end] <= last for first, last in code):
            found.append((at[start], text[start:end]))
    return tuple(dict.fromkeys(what for _, what in sorted(found)))


def _is_dropped(char: str) -> bool:
    return char in _DROPPED


def _is_invisible(char: str) -> bool:
    return char in _DROPPED or unicodedata.category(char) == "Cf"


def _read(text: str, gone: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Find links in a text without some characters; their places in the whole one."""
    places = [place for place, char in enumerate(text) if not gone(char)]
    seen = "".join(text[place] for place in places)
    for start, end in (*_urls(seen), *(m.span() for each in _WORDS for m in each.finditer(seen))):
        yield places[start], places[end - 1] + 1


def _urls(text: str) -> Iterator[tuple[int, int]]:
    for middle in range(1, len(text) - 1):
        if text[middle] == "." and _in_domain(text[middle - 1]):
            start = middle
            while start and _in_domain(text[start - 1]):
                start -= 1
            end = middle
            while end < len(text) and _in_domain(text[end]):
                end += 1
            schemed = text[:start].endswith("://")
            if _is_host(text[start:end].strip("."), schemed=schemed):
                yield _whole(text, start, end)
        if text.startswith("://", middle) and text[:middle].lower().endswith(_SCHEMES):
            yield _whole(text, middle + 3, middle + 3)


def _is_host(domain: str, *, schemed: bool) -> bool:
    labels = domain.split(".")
    if not all(labels) or (len(labels) == 1 and not schemed):
        return False
    if all(label.isascii() and label.isdigit() for label in labels):
        return len(labels) == 4 and all(int(label) < 256 for label in labels)
    last = labels[-1].lower()
    return last.startswith("xn--") or (len(last) > 1 and not re.search(r"[\d_-]", last))


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a host to the left by scheme and user, to the right by port and path."""
    while end < len(text) and _is_url_symbol(text[end]) and text[end] not in _ENDS:
        end += 1
    while end > start and (
        text[end - 1] in _LOOSE
        or (text[end - 1] == ")" and text.count(")", start, end) > text.count("(", start, end))
    ):
        end -= 1
    while start and _is_url_symbol(text[start - 1]) and text[start - 1] not in "<>\"'()[]{}`":
        start -= 1
    return start, end


def _in_domain(char: str) -> bool:
    if char < "\xc0":
        return char in ".~-_" or (char.isascii() and char.isalnum())
    return _is_url_symbol(char)


def _is_url_symbol(char: str) -> bool:
    if ord(char) in _PUNCTUATION:
        return ord(char) in _JOINING
    return char not in "\t\n" and unicodedata.category(char)[0] != "Z"
