"""What is said of a program's end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.agent.report import code_block, for_model, for_person
from assurebot.values import BoxFile, RunResult


def result(**fields: Any) -> RunResult:
    """A result on grade C."""
    given: dict[str, Any] = {"outcome": "ok", "exit_code": 0, "backend": "embedded", "grade": "C"}
    return RunResult(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "(no output)\n\n✅ exit 0 · python · 0.00 s · grade C (embedded, cold start)"),
        (
            {"outcome": "failed", "exit_code": 7, "stderr": "bad\n", "served": "warm"},
            "```\nbad\n```\n\n❌ exit 7 · python · 0.00 s · grade C (embedded)",
        ),
        (
            {"outcome": "timeout", "exit_code": 137, "seconds": 60.0, "stdout": "so far"},
            (
                "```\nso far\n```\n\n⏱ stopped at the time limit (SANDBOX_TIMEOUT_MS) · python · "
                "60.00 s · grade C (embedded, cold start)"
            ),
        ),
        (
            {"outcome": "out_of_memory", "exit_code": 137, "served": "queued"},
            (
                "(no output)\n\n💥 out of memory (SANDBOX_MEMORY), exit 137 · python · 0.00 s · "
                "grade C (embedded, after a wait)"
            ),
        ),
        (
            {"outcome": "output_limit", "stdout": "x", "stdout_cut": True, "files_left": 2},
            (
                "```\nx\n```\n\n✂️ stopped: it printed too much · python · 0.00 s · grade C "
                "(embedded, cold start)\n\n✂️ The output was cut: there was more.\n\n"
                "📎 2 more files were too many or too large to come out."
            ),
        ),
    ],
)
def test_each_outcome_is_told_to_the_person(fields: dict[str, Any], told: str) -> None:
    """Output as code, then outcome, language, time, grade and how it was served."""
    assert for_person(result(**fields), "python") == (told, ())


def test_of_long_errors_the_end_is_shown() -> None:
    """A traceback ends with what went wrong; the whole of it goes along as a file."""
    text, files = for_person(result(stderr="x" * 5_000 + "Error: so"), "python")
    assert text.startswith("```\n[2009 more characters]\nxxx")
    assert "Error: so\n```" in text
    assert files == (BoxFile(name="errors.txt", data=b"x" * 5_000 + b"Error: so"),)


def test_the_model_reads_both_streams_and_the_names_of_files() -> None:
    """Streams are told apart; of a long stdout the beginning is kept."""
    files = (BoxFile(name="p.png", data=b"123"),)
    given = result(stdout="y" * 9_000, stderr="warning\n", files=files)
    assert for_model(given) == (
        f"✅ exit 0, 0.00 s\n--- stdout\n{'y' * 8_000}\n[1000 more characters]\n"
        "--- stderr\nwarning\n\n--- files, sent to the user with your answer: p.png (3 bytes)"
    )


@given(st.text(alphabet="`~a\n "))
def test_no_output_ends_its_own_block(text: str) -> None:
    """The fence is longer than any run of backticks inside."""
    fence, *_, last = code_block(text).split("\n")
    assert fence == last
    assert fence not in text
