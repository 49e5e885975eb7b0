"""What people write, what the model makes of it, and which effects that must have."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assurebot.demo.model import Ask, Call, Script, Turn

CHATS = tuple(range(1001, 1033))
"""Private chats, and so also the people in them; the first is the owner."""

TOOL = "count"

Way = Literal["none", "once", "both", "twice"]
_WAYS: Sequence[Way] = ("once",) * 7 + ("none", "both", "twice")
_EFFECTS = {"none": 0, "once": 1, "both": 2, "twice": 2}
_ASKED = re.compile(r"(\d+) (none|once|both|twice)")
_DONE = re.compile(r"done (\d+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a person.

    Attributes:
        way: How often the model calls the tool for it; `both` in one answer, `twice` in two.
    """

    number: int
    chat_id: int
    way: Way

    @property
    def text(self) -> str:
        """What is written."""
        return f"{self.number} {self.way}"

    @property
    def effects(self) -> frozenset[tuple[int, int]]:
        """The lines that its turn must leave in the counting file."""
        return frozenset((self.number, k) for k in range(1, _EFFECTS[self.way] + 1))


def messages(rng: random.Random, count: int) -> tuple[Message, ...]:
    """Make the messages of one run, numbered from 1."""
    return tuple(
        Message(number=number, chat_id=rng.choice(CHATS), way=rng.choice(_WAYS))
        for number in range(1, count + 1)
    )


def done_number(text: str) -> int | None:
    """Return the number of the message that a text answers; `None` if it answers none."""
    found = _DONE.search(text)
    return None if found is None else int(found[1])


def script() -> Script:
    """Answer as the message asks for; a little later for some than for others."""

    def answer(ask: Ask) -> Turn:
        found = _ASKED.fullmatch(ask.last_user_text)
        if found is None:
            return Turn(text=f"unexpected: {ask.last_user_text!r}")
        number, way = int(found[1]), found[2]
        began = len(ask.tool_results)
        due = _EFFECTS[way]
        pause = (number % 7) * 0.004
        if began >= due:
            return Turn(text=f"done {number}", delay_seconds=pause)
        last = due if way == "both" else began + 1
        calls = tuple(_call(number, k) for k in range(began + 1, last + 1))
        return Turn(calls=calls, delay_seconds=pause)

    return answer


def _call(number: int, k: int) -> Call:
    return Call(name=TOOL, arguments=json.dumps({"n": number, "k": k}))
