"""The load of `make hooks`, smaller: posts at once to the real process, killed in between."""

from pathlib import Path

import pytest

from tests.webhook_load import play, told


@pytest.mark.slow
async def test_no_acknowledged_post_is_lost_or_worked_twice(tmp_path: Path) -> None:
    """Over two kills every rule of the load holds."""
    assert await play(200, 2, 4, tmp_path) == []


def test_the_count_can_fail() -> None:
    """It reads how many posts each message tells of."""
    texts = ["🪝 github\n\nx", "🪝 github: 12 posts\n\nx", "🪝 other\n\nx", "Noted."]
    assert told(texts) == 13
    assert told(texts[:1]) == 1
