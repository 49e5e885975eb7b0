"""The program in the words that somebody wrote."""

from __future__ import annotations

import re
import textwrap

from assurebot.values import Program

_BLOCK = re.compile(r"(?ms)^(`{3,}) *([\w+#.-]*)[^\n`]*\n(.*?)(?:\n|^)\1[ \t]*$")


def code_in(text: str, language: str) -> Program | None:
    """Find the program in the words of a command; `None` if there is none.

    Args:
        text: Everything after the command. Of code blocks only what is in them counts, and all
            of it is taken literally.
        language: That of the command; where it has none, the first word, or the block's mark
            where more words stand before the block.
    """
    blocks = list(_BLOCK.finditer(text))
    if blocks:
        words = text[: blocks[0].start()].split()
        language = language or (words[0] if len(words) == 1 else blocks[0][2])
        text = "\n".join(block[3] for block in blocks)
    elif not language:
        language, *rest = text.split(maxsplit=1) or [""]
        text = text[len(language) :].lstrip(" \t") if rest else ""
    source = text.lstrip("\n")
    if source[:1].isspace():
        source = textwrap.dedent(source)
    if not re.fullmatch(r"[\w+#.-]{1,20}", language) or not source.strip():
        return None
    return Program(language=language.lower(), source=source)
