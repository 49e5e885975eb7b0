"""The small form of `make soak`: nothing is left after many runs, and after kills of the daemon."""

from pathlib import Path

import pytest

from tests.abuse.kills import MOMENTS
from tests.abuse.play import play_kills, play_runs
from tests.engine.test_abuse import place_of

pytestmark = [pytest.mark.engine, pytest.mark.slow]


async def test_a_hundred_runs_leave_nothing(sandbox_image: str, tmp_path: Path) -> None:
    """Every program comes to its end as it should, and nothing is more than before."""
    played = await play_runs(100, place_of(tmp_path, sandbox_image))
    assert (played.wrong, played.leaks) == ("", {})


async def test_kills_of_the_daemon_leave_nothing(sandbox_image: str, tmp_path: Path) -> None:
    """Killed at each moment: its boxes end by themselves, and the next start sweeps the rest."""
    kills = [one async for one in play_kills(5, 1, place_of(tmp_path, sandbox_image))]
    assert [played for played, _ in kills if not played.held] == []
    assert len(kills) == 5 >= len(MOMENTS)
    assert any(killed.boxes for _, killed in kills)  # else nothing was shown
