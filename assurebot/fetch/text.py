"""Readable text out of a page: run as a program of its own, with nothing of ours around it.

The parser is C code that meets a stranger's bytes. So it runs in a child without environment that
is limited and can be killed. It reads a line of JSON and then the body, and writes a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys

from assurebot.hypertext import decoded, readable

_MEMORY_BYTES = 500_000_000
_CPU_SECONDS = 6


def main() -> None:
    """Turn what is on standard input into text."""
    limits = {resource.RLIMIT_AS: _MEMORY_BYTES, resource.RLIMIT_CPU: _CPU_SECONDS}
    for kind, most in (limits | {resource.RLIMIT_FSIZE: 0}).items():
        resource.setrlimit(kind, (most, most))
    ask = json.loads(sys.stdin.buffer.readline())
    text, title = decoded(sys.stdin.buffer.read(), ask["charset"]), ""
    if ask["html"]:
        title, text = readable(text, ask["url"])
    chars = ask["chars"]
    answer = {"title": title, "text": text[:chars], "cut": len(text) > chars}
    sys.stdout.write(json.dumps(answer))
