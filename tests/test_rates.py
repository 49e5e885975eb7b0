"""Rates and loops: what is too much waits or is refused, by rule, and nothing is lost."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.model import Call, Turn, sequence
from tests.doubles import FakeSandbox
from tests.obeying import Pages, do, obeying, outcome
from tests.world import USER, World, quick, running

WAITS = "⏳ More than 2 messages a minute: they wait, in order."


def refusals(world: World) -> list[tuple[str, str]]:
    """Return tool and rule of the calls that were refused."""
    lines = world.audit(type="tool", result="refused")
    return [(line["action"], line["rule"]) for line in lines]


async def test_too_many_turns_wait_and_none_is_dropped(tmp_path: Path) -> None:
    """The third message of a minute waits, which is told once; commands and others go on."""
    async with running(tmp_path, RATE_USER_PER_MINUTE="2") as world:
        for text in ("one", "two", "three", "four"):
            world.owner.say(text)
        await world.answer(contains=WAITS)
        await world.ask("/status", "Turns: 0 running, 2 waiting, 0 to be sent")
        await world.ask("/stop", "Nothing is running here. 2 more of your messages wait.")
        await world.ask("mine", "mine", by=world.user)
        assert [ask.last_user_text for ask in world.model.requests] == ["one", "two", "mine"]
        assert world.rows("SELECT id FROM inbox WHERE state = 'open' ORDER BY id") == [(3,), (4,)]
        await world.restart()  # a minute begins anew
        await world.answer(contains="four")
        assert [
            text for text in world.texts() if text in {"one", "two", "three", "four", WAITS}
        ] == [*("one", "two", WAITS, "three", "four")]


async def test_a_program_counts_as_a_turn(tmp_path: Path) -> None:
    """Code that people send is as much work as a question."""
    async with running(tmp_path, RATE_USER_PER_MINUTE="2") as world:
        await world.ask("/python 1", "exit 0", by=world.user)
        await world.ask("/bash 2", "exit 0", by=world.user)
        world.user.say("/python 3")
        await world.answer(USER, WAITS)
        assert world.rows("SELECT state FROM inbox") == [("done",), ("done",), ("open",)]


@pytest.mark.parametrize(
    ("tool", "limit", "reason"),
    [
        ("run_code", 10, "at most 10 calls of run_code a minute; try again in "),
        ("fetch_url", 20, "at most 20 calls of fetch_url a minute; try again in "),
        ("web_search", 10, "at most 10 calls of web_search a minute; try again in "),
        ("recall", 30, "at most 30 tool calls in this chat a minute; try again in "),
    ],
)
async def test_a_tool_that_is_called_too_often_is_refused(
    tmp_path: Path, tool: str, limit: int, reason: str
) -> None:
    """The call over the limit is not run; the model reads why, and the audit has the rule."""

    def arguments(number: int) -> dict[str, Any]:
        given: dict[str, dict[str, Any]] = {
            "run_code": {"language": "bash", "code": f"echo {number}"},
            "fetch_url": {"url": f"https://here.example/{number}"},
            "web_search": {"query": f"question {number}"},
            "recall": {"id": number + 1},
        }
        return given[tool]

    calls = [Call(name=tool, arguments=json.dumps(arguments(n))) for n in range(limit + 1)]
    many = Turn(calls=tuple(calls))
    box, pages = FakeSandbox(), Pages()
    parts = quick(box=lambda *_, **__: nullcontext(box), fetcher=lambda **_: nullcontext(pages))
    async with running(
        tmp_path,
        lambda ask: Turn(text="Done.") if ask.search or ask.tool_results else many,
        parts=parts,
        MAX_STEPS="60",
        WEB_SEARCH="true",
    ) as world:
        await world.ask("go", "Done.")
        *_, last = world.model.requests[-1].tool_results
        assert last.startswith(f"Refused by policy (rate): {reason}")
        await world.stop()
        assert refusals(world) == [(tool, "rate")]
        assert len(world.audit(type="tool", phase="intent")) == limit
        assert len(box.programs) == (limit if tool == "run_code" else 0)
        assert len(pages.fetched) == (limit if tool == "fetch_url" else 0)


async def test_the_same_call_three_times_is_a_loop(tmp_path: Path) -> None:
    """However its arguments are written, the third one is refused, and the next turn is free."""
    same = ('{"language": "bash", "code": "1"}', '{"code":"1","language":"bash"}')
    calls = [Turn(calls=(Call(name="run_code", arguments=text),)) for text in (*same, *same)]
    box = FakeSandbox()
    parts = quick(box=lambda *_, **__: nullcontext(box))
    script = sequence([*calls, Turn(text="Done.")])
    async with running(tmp_path, script, parts=parts) as world:
        await world.ask("go", "Done.")
        *_, third, fourth = world.model.requests[-1].tool_results
        refusal = "Refused by policy (loop): the same call was made twice already: use what it gave"
        assert (third, fourth, len(box.programs)) == (refusal, refusal, 2)
        world.model.script = obeying
        said = world.owner.say(do("run_code", language="bash", code="1"))
        assert "Refused" not in await outcome(world, said)
        await world.stop()
        assert (refusals(world), len(box.programs)) == ([("run_code", "loop")] * 2, 3)


async def test_a_turn_ends_at_its_limit_of_steps(tmp_path: Path) -> None:
    """A model that calls for ever is asked no more than MAX_STEPS allows."""
    async with running(tmp_path, MAX_STEPS="6") as world:
        world.model.script = lambda ask: Turn(
            calls=(Call(name="recall", arguments=json.dumps({"id": ask.n})),)
        )
        answer = await world.ask("go")
        assert answer.text == "⏱ I stopped at the limit of 6 steps (MAX_STEPS)."
        assert len(world.model.requests) == 3
