"""The corpus of abuse against the embedded box: every case that has a meaning there."""

from __future__ import annotations

from pathlib import Path

import pytest

from assurebot.sandbox.component import build, default_folder
from tests.abuse.case import Abuse
from tests.abuse.cases import CASES, NOT_EMBEDDED
from tests.abuse.places import EmbeddedPlace
from tests.abuse.play import play, play_kills, play_runs

APPLIED = [case for case in CASES if case.number not in NOT_EMBEDDED]


@pytest.fixture(scope="session", autouse=True)
def component() -> None:
    """Have the frozen Python built, which is done once for an installation."""
    if not default_folder().exists():
        build()


def test_each_case_is_played_or_has_a_reason() -> None:
    """What is left out is said in the table; with what is played that makes forty-four."""
    numbers = sorted([*(case.number for case in APPLIED), *NOT_EMBEDDED])
    assert numbers == [*range(1, 45)]
    assert all(NOT_EMBEDDED.values())


@pytest.mark.parametrize("case", APPLIED, ids=lambda case: f"{case.number} {case.title}")
async def test_abuse(case: Abuse, tmp_path: Path) -> None:
    """It comes to what the corpus says, in the box and outside, and leaves nothing."""
    played = await play(case, EmbeddedPlace(folder=tmp_path))
    assert (played.wrong, played.leaks) == ("", {})


@pytest.mark.slow
async def test_runs_and_kills_leave_nothing(tmp_path: Path) -> None:
    """Nothing is left after many runs, and after kills at each moment."""
    played = [await play_runs(20, EmbeddedPlace(folder=tmp_path))]
    played += [one async for one, _ in play_kills(3, 1, EmbeddedPlace(folder=tmp_path))]
    assert [one for one in played if not one.held] == []
