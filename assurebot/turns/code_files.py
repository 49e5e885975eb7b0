"""Long code in an answer: it goes along as a file, and its first lines stay in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assurebot.values import BoxFile

LONG_LINES, LONG_CHARS = 60, 3_000
SHOWN_LINES = 5

_OPENING = re.compile(r"( *(?:(?:[-*+]|\d{1,9}[.)]) +)*)(`{3,}|~{3,})([^`]*)")
_CUT = re.compile(r"(?<=^.{200}).+")
_KINDS = (
    "py python python3|js javascript node|ts typescript|tsx|jsx|sh bash shell zsh|rb ruby|go|c|h|"
    "cpp c++|cs csharp c#|java|kt kotlin|rs rust|php|pl perl|lua|r|swift|scala|sql|ps1|html|css|"
    "scss|xml svg|json|yaml yml|toml|ini|csv|md markdown|tex latex|diff patch|tf hcl|vue"
)
_EXTENSIONS = {name: kind.split()[0] for kind in _KINDS.split("|") for name in kind.split()}


def lifted(markdown: str) -> tuple[str, tuple[BoxFile, ...]]:
    """Return Markdown with only the first lines of each long code block, and the blocks as files.

    A block that has no end stays as it is: what stands behind it may not belong to it.
    """
    lines, shown, files = markdown.split("\n"), list[str](), list[BoxFile]()
    at = 0
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at])
        end = at if opening is None else _end(lines, at, opening)
        if opening is None or end == len(lines) or not _is_long(lines[at + 1 : end]):
            shown += lines[at : end + 1]
        else:
            indent = len(opening[1])
            code = [re.sub(f"^ {{0,{indent}}}", "", line) for line in lines[at + 1 : end]]
            file = _file(code, opening[3].strip(), len(files) + 1)
            files.append(file)
            first = (re.sub(_CUT, "…", line) for line in code[:SHOWN_LINES])
            note = f"({len(code)} lines: `{file.name}` below)"
            block = (*first, lines[end].lstrip(" "), "", note)
            shown += [lines[at], *(f"{' ' * indent}{line}".rstrip(" ") for line in block)]
        at = end + 1
    return "\n".join(shown), tuple(files)


def _end(lines: Sequence[str], at: int, opening: re.Match[str]) -> int:
    """Return the line that ends a block; with more indentation it is code like any other."""
    indent, fence = len(opening[1]) + 3, opening[2]
    closing = re.compile(f" {{0,{indent}}}{fence[0]}{{{len(fence)},}} *")
    places = (n for n in range(at + 1, len(lines)) if closing.fullmatch(lines[n]))
    return next(places, len(lines))


def _is_long(code: Sequence[str]) -> bool:
    return len(code) > LONG_LINES or sum(len(line) + 1 for line in code) > LONG_CHARS


def _file(code: Sequence[str], header: str, number: int) -> BoxFile:
    language = re.split("[^a-z0-9+#-]", header.lower(), maxsplit=1)[0]
    data = "".join(f"{line}\n" for line in code).encode(errors="replace")
    return BoxFile(name=f"code-{number}.{_EXTENSIONS.get(language, 'txt')}", data=data)
