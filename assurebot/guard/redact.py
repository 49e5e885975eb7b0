"""Every configured secret, in every usual encoding, replaced by its name.

The encodings: as it is, escaped for JSON, Python, HTML and the shell, percent-encoded once and
twice, base64 and URL-safe base64 at each of its three offsets, hex in both cases, UTF-16 read as
single bytes, and any of these broken over lines. Not covered: a secret that is cut in two by
its sender, for example over two log records; each record is redacted by itself.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from urllib.parse import quote

MIN_SECRET_CHARS = 8
MIN_BEGINNING_CHARS = 4
_NEEDLE_CHARS = 24
_SLACK = 8  # an escape at the edge of a form may be misread as a few single characters

_GAP = r"(?:\0|\\(?:x00|u0000)|(?:\\?\r?\n|\\?\r|(?:\\r)?\\n)[ \t]*)?"
"""What may stand between any two characters: half of a UTF-16 unit, or a line break."""

_ESCAPED_GAP = re.compile(r"\\(?:[nr\s]|x00|u0000)")
_UNIT = re.compile(
    r"""
    (?P<gap> [\s\0]+ | \\(?:[nr\s]|x00|u0000) )
    | %(?:25)*[0-9A-Fa-f]{2} | &\#?\w{1,8}; | '(?:"'"|\\')'
    | \\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|.) | .
    """,
    re.VERBOSE | re.DOTALL,
)


class Redactor:
    """Replaces secrets in text; it is a `ports.Redact`.

    Time is linear in the text; 1 KB without a secret takes some 10 us.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Prepare for the given values by name; those of fewer than 8 characters are ignored."""
        values: dict[str, str] = {}
        for name, value in secrets.items():
            if len(value.strip()) >= MIN_SECRET_CHARS:
                values.setdefault(value.strip(), name)
        longest_first = sorted(values, key=len, reverse=True)
        self._exact = _forms(_exact_case, longest_first, values)
        self._hex = _forms(_hex_digits, longest_first, values)
        self._percent = _forms(_all_percent, longest_first, values)
        self._plain = [form for value in values for form in _plain_forms(value)]
        self._longest = max((2 * len(_utf8(value)) for value in values), default=0)

    @property
    def longest(self) -> int:
        """Length of the longest form in characters; an escape sequence counts as one."""
        return self._longest

    def __call__(self, text: str) -> str:
        """Return the text with `[redacted:NAME]` in place of each secret."""
        spans = self._spans(text)
        return _filled(text, spans, len(text)) if spans else text

    def streaming(self, text_so_far: str) -> str:
        """Redact a text that goes on, without the tail in which a secret may have begun.

        What is returned for a text and for a longer one agree as far as both go. For the whole
        text, once it is complete, call the redactor itself.
        """
        spans = self._spans(text_so_far)
        end = self._settled(text_so_far)
        end = next((start for start, stop, _ in spans if start < end < stop), end)
        return _filled(text_so_far, [span for span in spans if span[1] <= end], end)

    def cut_off(self, text: str) -> str:
        """Redact a text that was cut off; the beginning of a secret at its end is left out."""
        clean = self(text)
        sizes = (
            size
            for form in self._plain
            for size in range(min(len(form) - 1, len(clean)), MIN_BEGINNING_CHARS - 1, -1)
            if clean.endswith(form[:size])
        )
        return clean[: len(clean) - max(sizes, default=0)]

    def _spans(self, text: str) -> list[tuple[int, int, str]]:
        """Find the stretches to be replaced, in order, with the names to put there."""
        exact = _without_gaps(text)
        folded = exact.lower()
        # Each form has a part that no encoder alters: a plain search for it is the fast path.
        forms = [form for needle, form in self._exact if needle in exact]
        forms += [form for needle, form in self._hex if needle in folded]
        if "%" in exact:
            forms += [form for needle, form in self._percent if needle in folded]
        if not forms:
            return []
        found = [
            (*match.span(), form.name) for form in forms for match in form.pattern.finditer(text)
        ]
        merged: list[tuple[int, int, str]] = []
        for start, end, name in sorted(found, key=lambda span: (span[0], -span[1])):
            if merged and start < merged[-1][1]:
                first, last, kept = merged[-1]
                merged[-1] = (first, max(last, end), kept)
            else:
                merged.append((start, end, name))
        return merged

    def _settled(self, text: str) -> int:
        """Return where the tail begins that is long enough to hold any form."""
        if not self._longest:
            return len(text)
        units = self._longest + _SLACK
        for offset in (max(0, len(text) - 8 * units), 0):
            matches = _UNIT.finditer(text, offset)
            starts = [match.start() for match in matches if match.lastgroup is None]
            if len(starts) >= units:
                return starts[-units]
        return 0


class _Form:
    """One way to write a secret."""

    def __init__(self, name: str, parts: Iterable[str]) -> None:
        self.name = name
        self._parts = tuple(parts)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The whole form; compiled when it is first met, which takes some milliseconds."""
        return re.compile(_GAP.join(self._parts))


_Written = Iterator[tuple[str, Iterable[str]]]
"""Needles (each stands in every text with the form, gaps left out) and patterns by character."""


def _forms(
    write: Callable[[str], _Written], values: Iterable[str], names: Mapping[str, str]
) -> list[tuple[str, _Form]]:
    return [
        (needle, _Form(names[value], parts)) for value in values for needle, parts in write(value)
    ]


def _exact_case(value: str) -> _Written:
    yield _needle(value), map(_written, re.findall(r"[\\'\"]+|.", value, re.DOTALL))
    data = _utf8(value)
    for shift in range(3):
        code = b64encode(b"\0" * shift + data + b"\0\0").decode()
        known = code[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
        yield _needle(known), map(_base64, known)


def _hex_digits(value: str) -> _Written:
    data = _utf8(value)
    yield data[1:].hex()[:_NEEDLE_CHARS], map(_any_case, data.hex())


def _all_percent(value: str) -> _Written:
    for sign in ("%", "%25"):
        form = "".join(f"{sign}{byte:02x}" for byte in _utf8(value))
        yield form[: 3 * len(sign) + 6], map(_any_case, form)


def _plain_forms(value: str) -> Iterator[str]:
    """Return the usual forms as plain text, for what is only begun."""
    data = _utf8(value)
    yield value
    yield data.hex()
    yield quote(data, safe="")
    yield "".join(f"%{byte:02X}" for byte in data)
    for shift in range(3):
        code = b64encode(b"\0" * shift + data).decode()
        known = code[-(-shift * 8 // 6) :]
        yield known
        yield known.translate(str.maketrans("+/", "-_"))


def _needle(form: str) -> str:
    """Choose letters and digits that no encoder touches, and none that a backslash may precede."""
    runs = re.findall(r"(?<=[A-Za-z0-9])[A-Za-z0-9]{3,}", form)
    return max(runs, key=len, default="")[:_NEEDLE_CHARS]


def _written(char: str) -> str:
    """Return a pattern of the ways in which encoders write a character, or a run of quotes."""
    if char[0] in _QUOTES:  # a run as one, for how many each of them became cannot be told
        return f"(?:{_QUOTE}{_GAP}){{{len(char)},{5 * len(char)}}}?"
    if char.isascii() and char.isalnum():
        return char
    raw = re.escape(char)
    halves = char.encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(halves[at : at + 2], "big") for at in range(0, len(halves), 2)]
    code = "".join(map(_any_case, f"{ord(char):x}"))
    ways = [
        rf"\\{{0,4}}{raw}",
        "".join(rf"%(?:25){{0,2}}{_hex(byte)}" for byte in _utf8(char)),
        "".join(rf"\\{{1,2}}x{_hex(byte)}" for byte in _utf8(char)),
        "".join(rf"\\{{1,2}}u{_hex(unit >> 8)}{_hex(unit & 255)}" for unit in units),
        rf"&#(?:0{{0,4}}{ord(char)}|[xX]0{{0,4}}{code});",
    ]
    if ord(char) < 256:  # noqa: PLR2004 - one byte
        ways.append(rf"\\{{1,2}}x{_hex(ord(char))}")
    else:
        ways += [
            re.escape(char.encode(f"utf-16-{end}", "surrogatepass").decode("latin-1"))
            for end in ("le", "be")
        ]
    ways += _SPECIAL.get(char, ())
    return f"(?:{'|'.join(ways)})"


_QUOTES = "\\'\""
_QUOTE = (
    r"""(?:[\\'"]|(?:%(?:25){0,2}|\\u00|\\x)(?:5[cC]|2[27])"""
    r"|&(?:quot|apos|#(?:0{0,4}(?:92|39|34)|[xX]0{0,4}(?:5[cC]|2[27])));)"
)
_SPECIAL = {
    " ": (r"\+",),
    "\n": (r"\r?\n[ \t]*", r"(?:\\{1,2}r)?\\{1,2}n"),
    "\t": (r"\\{1,2}t",),
    "&": ("&amp;",),
    "<": ("&lt;",),
    ">": ("&gt;",),
}


def _base64(char: str) -> str:
    return {"+": "(?:[+-]|%2[Bb])", "/": r"(?:[/_]|%2[Ff]|\\/)"}.get(char, char)


def _hex(byte: int) -> str:
    """Return a pattern of two hex digits in either case."""
    return "".join(map(_any_case, f"{byte:02x}"))


def _any_case(char: str) -> str:
    return f"[{char}{char.upper()}]" if char.isalpha() else char


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _without_gaps(text: str) -> str:
    """Leave out everything that may stand inside a form, and other white space with it."""
    if "\\" in text:
        text = _ESCAPED_GAP.sub("", text)
    return "".join(text.replace("\0", "").split())


def _filled(text: str, spans: Iterable[tuple[int, int, str]], end: int) -> str:
    parts = []
    at = 0
    for start, stop, name in spans:
        parts += [text[at:start], f"[redacted:{name}]"]
        at = stop
    return "".join((*parts, text[at:end]))
