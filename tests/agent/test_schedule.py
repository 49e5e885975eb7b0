"""The tool `schedule`: what it keeps, for whom, and under which label."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from assurebot.agent.tools.schedule import Schedule
from assurebot.errors import ToolError
from assurebot.guard.tasks import Order
from assurebot.ports import ToolContext
from assurebot.values import OWNER, Person, Place, Trace, untrusted

HERE, ANN = Place(chat_id=42), Person(user_id=42)


class Kept:
    """Keeps what it is given to keep; refuses what is empty."""

    def __init__(self) -> None:
        self.orders: list[tuple[Order, Place, Person, str, bool]] = []

    async def __call__(
        self, order: Order, place: Place, actor: Person, label: str, *, quoted: bool
    ) -> str:
        """Keep it."""
        if not order.text:
            raise ValueError("say what is to be done")
        self.orders.append((order, place, actor, label, quoted))
        return "Task 1"


def context(label: str = OWNER) -> ToolContext:
    """Return the turn that the tool runs in."""
    return ToolContext(place=HERE, actor=ANN, trace=Trace(), label=label)


@pytest.mark.parametrize(
    ("label", "kept"), [(OWNER, OWNER), (untrusted("web page"), untrusted("schedule"))]
)
async def test_a_task_has_the_label_of_its_turn(label: str, kept: str) -> None:
    """It belongs to the chat and the person of the turn, and nobody typed its words."""
    add = Kept()
    given = {"when": "at: 20m", "kind": "brief", "text": "x", "zone": "Asia/Tokyo"}
    assert (await Schedule(add).run(json.dumps(given), context(label))).text == "Task 1"
    order = Order(when="at: 20m", kind="brief", text="x", zone="Asia/Tokyo")
    assert add.orders == [(order, HERE, ANN, kept, True)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("", "schedule needs"),
        ('{"when": "at: 20m", "kind": "watch", "text": "https://a.example"}', "schedule needs"),
        ('{"when": "at: 20m", "kind": "brief", "text": "x", "chat": 43}', "schedule needs"),
        ('{"when": "at: 20m", "kind": "brief", "text": ""}', "not kept: say what is to be done"),
    ],
)
async def test_what_it_does_not_keep(arguments: str, problem: str) -> None:
    """It watches no pages, for their URL has to be the person's, and reaches no other chat."""
    add = Kept()
    with pytest.raises(ToolError, match=problem):
        await Schedule(add).run(arguments, context())
    assert add.orders == []


async def test_a_task_makes_no_tasks() -> None:
    """Each new one would have a budget of its own."""
    add = Kept()
    given = {"when": "at: 20m", "kind": "brief", "text": "x"}
    inside = replace(context(), trace=Trace(job=1))
    with pytest.raises(ToolError, match="a task makes no tasks"):
        await Schedule(add).run(json.dumps(given), inside)
    assert add.orders == []


def test_it_changes_something() -> None:
    """In a tainted turn a press is needed for it."""
    spec = Schedule(Kept()).spec
    assert (spec.effect, spec.repeatable, spec.result_label) == ("state", False, OWNER)
