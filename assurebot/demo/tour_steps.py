"""The steps of the tour; each looks at what the stand-ins got, at the process and at the audit."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import suppress

from assurebot.demo.model import Ask, Call, Script, Turn
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.tour_box import run_in_a_box
from assurebot.demo.tour_findings import Finding, Step, count, found
from assurebot.demo.tour_guard import QUESTION, obey, read_an_injected_page
from assurebot.demo.tour_world import OWNER, STRANGER, Facts, Stage

STREAMED = (
    "I am a stand-in for a language model: a small server on this machine that thinks nothing. "
    "I write slowly, one word after the other, so that there is time to see the answer grow while "
    "it is being made. The program shows what it has so far as a draft, about once a second, and "
    "it keeps the newest words back until it is certain that no secret begins in them. When I have "
    "come to my end, it sends one message that holds all of it, and the draft is gone."
)
HELD = (
    "I looked it up, and this is the part of the answer that comes before the process is killed. "
    "It is long enough that a draft of it is shown, for the program keeps the newest words back "
    "until it is certain that no secret begins in them. Now the rest of it would have to come, "
)
RESUMED = "This is the whole answer, made after the restart."
KNOCK = "Hello, what do you know about your owner?"
TALK = "Tell me who you are."
LOOK_UP = "Look up what I asked first, and tell me."
LOOP = "Look things up and never end."

WORD_SECONDS = 0.04
LOOP_SECONDS = 0.5
STOP_SECONDS = 2.0
SETTLE_SECONDS = 0.6
"""Something that must not happen can only be given time to happen."""


def tour_script() -> Script:
    """Answer as the steps need it; the answer to `LOOK_UP` is held back once, in its middle."""
    held = False

    def script(ask: Ask) -> Turn:
        nonlocal held
        look = Call(name="recall", arguments='{"id": 1}')
        if ask.last_user_text == LOOP:
            return Turn(calls=(look,), delay_seconds=LOOP_SECONDS)
        if QUESTION in ask.last_user_text:
            return obey(ask)
        if ask.last_user_text != LOOK_UP:
            words = tuple(re.findall(r"\S+\s*", STREAMED))
            return Turn(chunks=words, chunk_seconds=WORD_SECONDS)
        if not ask.tool_results:
            return Turn(calls=(look,))
        if held:
            return Turn(text=RESUMED)
        held = True
        return Turn(text=HELD, chunk_seconds=0.01, fault="stall")

    return script


async def _message(stage: Stage, after: int, contains: str = "") -> SentMessage | None:
    """Wait for a message to the owner, and for the record that it was sent."""
    message: SentMessage | None = None
    with suppress(TimeoutError):
        message = await stage.telegram.wait_for_message(
            OWNER, after=after, contains=contains, timeout_seconds=stage.world.patience_seconds
        )
        sent = f"message:{message.message_id}"
        await stage.until(lambda: any(_proves(line, sent) for line in stage.audit()))
    return message


def _proves(line: Facts, sent: str) -> bool:
    return sent in str(line.get("evidence", "")).split() and line.get("target") == f"chat:{OWNER}"


def _answers(stage: Stage, after: int) -> list[SentMessage]:
    return [each for each in stage.telegram.messages(OWNER) if each.message_id > after]


# --- the steps


async def refuse_a_stranger(stage: Stage) -> Finding:
    """Somebody who is not on the list writes."""
    asks = len(stage.model.requests)
    stage.telegram.person(STRANGER, "Stranger").say(KNOCK)
    notice = await _message(stage, 0, f"id {STRANGER}")
    await asyncio.sleep(SETTLE_SECONDS)
    notices = [m for m in stage.telegram.messages(OWNER) if f"id {STRANGER}" in m.text]
    denied = stage.effects(type="denied", user=STRANGER)
    return found(
        (
            count(len(stage.telegram.messages(STRANGER)), "answer", 0),
            count(len(stage.model.requests) - asks, "model request", 0),
            count(len(denied), "denied line", 1),
            count(len(notices), "notice", 1),
        ),
        [*denied, *(stage.effects(type="send", text=notice.text) if notice else ())],
    )


async def stream_an_answer(stage: Stage) -> Finding:
    """The owner asks, and the model answers slowly."""
    shown = len(stage.telegram.drafts(OWNER))
    said = stage.telegram.person(OWNER).say(TALK)
    event = f"message:{OWNER}:{said}"
    final = await _message(stage, said)
    await asyncio.sleep(SETTLE_SECONDS)
    drafts = stage.telegram.drafts(OWNER)[shown:]
    texts = list(dict.fromkeys(draft.text for draft in drafts if draft.text))
    sizes = "/".join(str(len(text)) for text in texts)
    whole = final.text if final else ""
    grew = all(new.startswith(old) for old, new in zip(texts, [*texts[1:], whole], strict=True))
    early = final is not None and all(draft.at < final.at for draft in drafts)
    return found(
        (
            (f"drafts of {sizes or 0} characters", len(texts) > 1 and early),
            ("each begins the next" if grew else "they do not build up", grew),
            count(len(_answers(stage, said)), "message", 1),
            (f"{len(whole)} of {len(STREAMED)} characters", whole == STREAMED),
        ),
        stage.effects(event),
    )


async def survive_a_kill(stage: Stage) -> Finding:
    """The process is killed while the model is in the middle of its answer, and started again."""
    said = stage.telegram.person(OWNER).say(LOOK_UP)
    event = f"message:{OWNER}:{said}"
    draft = ""
    with suppress(TimeoutError):
        patience = stage.world.patience_seconds
        shown = await stage.telegram.wait_for_draft(
            OWNER, contains=HELD[:20], timeout_seconds=patience
        )
        draft = shown.text
        # From here on Telegram will not send the message again: only the store has it.
        await stage.telegram.wait_confirmed(timeout_seconds=patience)
    before = len(_answers(stage, said))
    gone = stage.model.aborted
    code = await stage.kill()
    await stage.until(lambda: stage.model.aborted > gone)
    broken = stage.model.aborted - gone
    await stage.start()
    await _message(stage, said)
    await asyncio.sleep(SETTLE_SECONDS)
    texts = [message.text for message in _answers(stage, said)]
    lines = stage.effects(event)
    asks = [ask for ask in stage.model.requests if ask.last_user_text == LOOK_UP]
    runs = sum(line["type"] == "tool" and line.get("phase") == "intent" for line in lines)
    return found(
        (
            ("a draft shown" if draft else "no draft shown", bool(draft)),
            count(before, "answer", 0),
            (f"exit {code} with {broken} stream open", (code, broken) == (-9, 1)),
            (f"{len(texts)} after the restart", texts == [RESUMED]),
            (f"model asked {len(asks)} times", len(asks) == 3),
            (f"tool run {runs} time{'' if runs == 1 else 's'}", runs == 1),
            count(sum(line["type"] == "recovered" for line in lines), "recovered line", 1),
        ),
        lines,
    )


async def stop_a_loop(stage: Stage) -> Finding:
    """The model calls a tool again and again, until the owner says `/stop`."""
    clock = asyncio.get_running_loop().time
    owner = stage.telegram.person(OWNER)
    begun = len(stage.model.requests)
    said = owner.say(LOOP)
    await stage.until(lambda: len(stage.model.requests) >= begun + 3)
    asks = len(stage.model.requests) - begun
    asked_at = clock()
    stop = owner.say("/stop")
    stopped = False
    with suppress(TimeoutError):
        await stage.telegram.wait_for_message(
            OWNER, after=said, contains="Stopped", timeout_seconds=STOP_SECONDS
        )
        stopped = True
    took = clock() - asked_at
    told = len(stage.model.requests)
    await asyncio.sleep(2 * LOOP_SECONDS)
    after = len(stage.model.requests) - told
    events = (f"message:{OWNER}:{said}", f"message:{OWNER}:{stop}")
    return found(
        (
            (f"{asks} model requests", asks >= 3),
            (f"{'stopped' if stopped else 'not stopped'} after {took:.2f} s", stopped),
            (f"{after} more in the next {2 * LOOP_SECONDS:.1f} s", after == 0),
        ),
        stage.effects(*events),
    )


async def check_the_audit(stage: Stage) -> Finding:
    """The log is verified as it is, and then a copy of it with one byte changed."""
    await stage.until(lambda: bool(stage.audit()))  # results are written up to a second later
    lines = stage.audit()
    code, said = await stage.verify(stage.audit_log)
    copy = stage.folder / "copy" / stage.audit_log.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(stage.data / "audit.jsonl.key", copy.with_name("audit.jsonl.key"))
    log = stage.audit_log.read_bytes()
    changed = stage.world.damage(log)
    copy.write_bytes(changed)
    at = [i for i, (old, new) in enumerate(zip(log, changed, strict=True)) if old != new]
    line = str(log.count(b"\n", 0, at[0]) + 1) if at else "none"
    bad_code, bad_said = await stage.verify(copy)
    named = re.search(r"first bad line: \S+ line (\d+)", bad_said)
    return found(
        (
            (f"exit {code}, {said.partition(' in ')[0]}", code == 0),
            (f"copy changed in line {line}: exit {bad_code}", bad_code == 1),
            (
                f"line {named[1]} is named" if named else "no line is named",
                named is not None and named[1] == line,
            ),
        ),
        lines,
    )


STEPS: tuple[Step, ...] = (
    Step(
        title="A stranger is refused",
        expected="no answer, no model request; an audit line; the owner is told",
        play=refuse_a_stranger,
    ),
    Step(
        title="An answer streams",
        expected="drafts that grow while the model talks, then one whole message",
        play=stream_an_answer,
    ),
    Step(
        title="Killed in mid-turn, it finishes after the restart",
        expected="one answer, no finished step again, and the cut is on record",
        play=survive_a_kill,
    ),
    Step(
        title="/stop ends a model that loops",
        expected=f"stopped within {STOP_SECONDS:g} s, and no model request after that",
        play=stop_a_loop,
    ),
    Step(
        title="Code runs in a throw-away box, or it does not run",
        expected="a picture from grade A; Python alone from grade C; else a refusal",
        play=run_in_a_box,
    ),
    Step(
        title="A page asks for the owner's door code, and the gate asks the owner",
        expected="nothing is fetched with it unless the owner presses Approve",
        play=read_an_injected_page,
    ),
    Step(
        title="The audit verifies, and one changed byte is found",
        expected="exit 0; on a copy with one byte changed exit 1 and the line",
        play=check_the_audit,
    ),
)
