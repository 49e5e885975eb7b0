"""The small form of the kill harness: every named kill point, once at least."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.kill.__main__ import run
from tests.kill.count import judge
from tests.kill.lives import ASSUREBOT
from tests.kill.points import NAMED


async def test_kills_lose_nothing_and_repeat_no_effect(tmp_path: Path) -> None:
    """Killed at each named point: 0 lost, 0 double effects, all told and recorded."""
    played = await run(ASSUREBOT, 1, 120, 8, tmp_path / "run")
    verdict = judge(played)
    assert verdict.broken == []
    assert {point for point in NAMED if played.hits.get(point)} == set(NAMED)
    assert verdict.answers.duplicates <= verdict.answers.in_flight

    # The count is worth nothing if it cannot find what it looks for.
    with played.effects.open("a", encoding="ascii") as file:
        file.write("1 1\n1 1\n")
    first = played.messages[0]
    unsaid = {**played.answers, first.chat_id: ()}
    spoilt = judge(replace(played, answers=unsaid, odd_exits=[1]))
    assert spoilt.effects.doubled == 1
    assert spoilt.answers.lost == sum(one.chat_id == first.chat_id for one in played.messages)
    assert len(spoilt.broken) >= 3
