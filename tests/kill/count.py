"""What a run came to: what was lost, done twice, said twice, or not recorded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assurebot.audit.verify import verify
from tests.kill.play import AUDIT_KEY, Played
from tests.kill.points import NAMED
from tests.kill.story import TOOL, done_number

TOLD = "was interrupted"
"""What an answer says of a call whose outcome is unknown."""

Effect = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How the messages were answered.

    Attributes:
        lost: Messages without their answer; a notice that it was given up is none.
        duplicates: Answers beyond one a message.
        in_flight: Answers that arrived and were not marked as sent: each may be sent once more.
        unexplained: Answers that were sent again though they had been marked as sent.
        disordered: Chats whose answers came in another order than the messages.
        interrupted: Messages that were told of an unknown outcome.
        strange: Texts of the bot that answer nothing.
    """

    lost: int
    duplicates: int
    in_flight: int
    unexplained: int
    disordered: int
    interrupted: frozenset[int]
    strange: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the tool did.

    Attributes:
        doubled: Effects that happened more than once.
        untold: Answered messages that miss an effect without saying so.
        unasked: Effects that nobody asked for.
        unrecorded: Effects without an intent in the audit log.
    """

    doubled: int
    untold: int
    unasked: int
    unrecorded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What `verify` says of the log."""

    verdict: str
    ok: bool
    open_intents: int


def count_answers(played: Played) -> Answers:
    """Compare what was said with what was answered."""
    marked = Counter(_pairs(played.marked))
    copies: Counter[int] = Counter()
    settled: Counter[int] = Counter()
    interrupted: set[int] = set()
    strange: list[str] = []
    disordered = 0
    for chat_id, sent in played.answers.items():
        first: dict[int, None] = {}
        for message in sent:
            number = done_number(message.text)
            if number is None:
                strange.append(message.text)
                continue
            first.setdefault(number)
            copies[number] += 1
            settled[number] += marked[chat_id, message.message_id]
            if TOLD in message.text:
                interrupted.add(number)
        disordered += list(first) != sorted(first)
    return Answers(
        lost=sum(message.number not in copies for message in played.messages),
        duplicates=sum(count - 1 for count in copies.values()),
        in_flight=copies.total() - settled.total(),
        unexplained=sum(count - 1 for count in settled.values() if count > 1),
        disordered=disordered,
        interrupted=frozenset(interrupted),
        strange=strange,
    )


def count_effects(played: Played, interrupted: frozenset[int]) -> Effects:
    """Compare the counting file with what was asked for, told and recorded."""
    done = Counter(_pairs(played.effects))
    answered = {done_number(message.text) for sent in played.answers.values() for message in sent}
    asked = {effect for message in played.messages for effect in message.effects}
    missing = {number for number, _ in asked - set(done)}
    return Effects(
        doubled=sum(count > 1 for count in done.values()),
        untold=len((missing & answered) - interrupted),
        unasked=len(set(done) - asked),
        unrecorded=len(set(done) - _intents(played.data)),
    )


def check_audit(played: Played) -> Audit:
    """Verify the whole log."""
    report = verify(played.data / "audit.jsonl", AUDIT_KEY.encode())
    verdict = report.status if report.bad is None else f"{report.status}: {report.bad.why}"
    return Audit(verdict=verdict, ok=report.ok, open_intents=report.open_intents)


def _pairs(path: Path) -> Iterable[Effect]:
    """Read lines of two numbers; a file that was never begun has none."""
    if not path.exists():
        return
    for line in path.read_text(encoding="ascii").splitlines():
        left, _, right = line.partition(" ")
        yield int(left), int(right)


def _intents(data: Path) -> set[Effect]:
    """Return the effects that an intent in the log announces."""
    found = set()
    for path in data.glob("audit*.jsonl"):
        for line in path.read_bytes().splitlines():
            entry = json.loads(line)
            named = (entry.get("type"), entry.get("phase"), entry.get("action"))
            if named == ("tool", "intent", TOOL):
                arguments = json.loads(entry["command"])
                found.add((arguments["n"], arguments["k"]))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All of it, and which of our rules it breaks."""

    answers: Answers
    effects: Effects
    audit: Audit
    broken: Sequence[str]


def judge(played: Played) -> Verdict:
    """Count a run of our program and hold it against the rules."""
    answers = count_answers(played)
    effects = count_effects(played, answers.interrupted)
    audit = check_audit(played)
    missed = [point for point in NAMED if not played.hits.get(point)]
    rules: Mapping[str, object] = {
        "messages lost": answers.lost,
        "double effects": effects.doubled,
        "duplicates of answers that were marked as sent": answers.unexplained,
        "effects that are missing and not told": effects.untold,
        "effects that nobody asked for": effects.unasked,
        "effects without an intent in the audit": effects.unrecorded,
        "chats out of order": answers.disordered,
        "texts that answer nothing": answers.strange,
        "intents that were never closed": audit.open_intents,
        "the audit log": "" if audit.ok else audit.verdict,
        "exits other than by a kill or a clean stop": played.odd_exits,
        "kill points never hit": missed,
    }
    broken = [f"{rule}: {found}" for rule, found in rules.items() if found]
    return Verdict(answers=answers, effects=effects, audit=audit, broken=broken)
