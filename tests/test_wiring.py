"""Choices that are made while the parts are put together."""

from __future__ import annotations

import pytest

from assurebot.wiring import speaks_responses


@pytest.mark.parametrize(
    ("base_url", "responses"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("http://localhost:11434/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("http://127.0.0.1:8000//api.openai.com/v1", False),
    ],
)
def test_own_servers_are_asked_by_chat_completions(
    base_url: str | None, *, responses: bool
) -> None:
    """Responses is spoken by OpenAI's own host only."""
    assert speaks_responses(base_url) is responses
