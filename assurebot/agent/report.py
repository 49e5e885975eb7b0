"""What a program came to, in words: for whoever asked, and for the model."""

from __future__ import annotations

import re

from assurebot.values import BoxFile, RunResult

SHOWN_CHARS = 3_000
"""As much of each stream stands in a message; the whole of it goes along as a file."""

MODEL_CHARS = 8_000

_SERVED = {"warm": "", "cold": ", cold start", "queued": ", after a wait"}


def for_person(
    result: RunResult, language: str, *, network: bool = False
) -> tuple[str, tuple[BoxFile, ...]]:
    """Return Markdown, and all files that go with it."""
    texts, files = [], []
    streams = (("output", result.stdout), ("errors", result.stderr))
    for name, text in streams:
        if len(text) > SHOWN_CHARS:
            files.append(BoxFile(name=f"{name}.txt", data=text.encode()))
        if text.strip():
            texts.append(code_block(_excerpt(text, SHOWN_CHARS, end=name == "errors")))
    if not texts and not result.files:
        texts.append("(no output)")
    reach = ", with network" if network else ""
    how = f"grade {result.grade} ({result.backend}{_SERVED[result.served]}{reach})"
    texts.append(f"{_outcome(result)} · {language} · {result.seconds:.2f} s · {how}")
    return "\n\n".join([*texts, *_notes(result)]), (*files, *result.files)


def for_model(result: RunResult) -> str:
    """Return plain text; its files are only named."""
    lines = [f"{_outcome(result)}, {result.seconds:.2f} s"]
    for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
        if text:
            lines.append(f"--- {name}\n{_excerpt(text, MODEL_CHARS, end=name == 'stderr')}")
    files = [f"{file.name} ({len(file.data)} bytes)" for file in result.files if file.data]
    if files:  # Telegram takes no empty ones
        lines.append(f"--- files, sent to the user with your answer: {', '.join(files)}")
    return "\n".join([*lines, *_notes(result)])


def code_block(text: str) -> str:
    """Put text into a fence that it cannot end."""
    fence = fence_for(text)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def fence_for(text: str) -> str:
    """Return a fence that is longer than any in a text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _excerpt(text: str, limit: int, *, end: bool) -> str:
    if len(text) <= limit:
        return text
    left = f"[{len(text) - limit} more characters]"
    return f"{left}\n{text[-limit:]}" if end else f"{text[:limit]}\n{left}"


def _outcome(result: RunResult) -> str:
    match result.outcome:
        case "ok":
            return "✅ exit 0"
        case "failed":
            return f"❌ exit {result.exit_code}"
        case "timeout":
            return "⏱ stopped at the time limit (SANDBOX_TIMEOUT_MS)"
        case "out_of_memory":
            return f"💥 out of memory (SANDBOX_MEMORY), exit {result.exit_code}"
        case "output_limit":
            return "✂️ stopped: it printed too much"


def _notes(result: RunResult) -> list[str]:
    notes = []
    if result.stdout_cut or result.stderr_cut:
        notes.append("✂️ The output was cut: there was more.")
    if result.files_left:
        notes.append(f"📎 {result.files_left} more files were too many or too large to come out.")
    return notes
