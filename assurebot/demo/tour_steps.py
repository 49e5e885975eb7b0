"""The steps of the tour; each looks at what the stand-ins got, at the process and at the audit."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from assurebot.demo.model import Ask, Call, Script, Turn
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.tour_audit import check_the_audit
from assurebot.demo.tour_box import run_in_a_box
from assurebot.demo.tour_events import remind_after_a_kill, summarize, take_a_post
from assurebot.demo.tour_findings import (
    SETTLE_SECONDS,
    Finding,
    Step,
    answers,
    count,
    found,
    message,
)
from assurebot.demo.tour_guard import QUESTION, obey, read_an_injected_page
from assurebot.demo.tour_world import OWNER, STRANGER, Stage

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
            return summarize(ask) or Turn(chunks=words, chunk_seconds=WORD_SECONDS)
        if not ask.tool_results:
            return Turn(calls=(look,))
        if held:
            return Turn(text=RESUMED)
        held = True
        return Turn(text=HELD, chunk_seconds=0.01, fault="stall")

    return script


# --- the steps


async def refuse_a_stranger(stage: Stage) -> Finding:
    """Somebody who is not on the list writes."""
    asks = len(stage.model.requests)
    stage.telegram.person(STRANGER, "Stranger").say(KNOCK)

    def told() -> list[SentMessage]:
        return [sent for sent in answers(stage, 0) if f"id {STRANGER}" in sent.text]

    await stage.until(lambda: bool(told() or stage.telegram.messages(STRANGER)))
    notice = await message(stage, 0, f"id {STRANGER}") if told() else None
    await asyncio.sleep(SETTLE_SECONDS)
    notices = told()
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
    final = await message(stage, said)
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
            count(len(answers(stage, said)), "message", 1),
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
    before = len(answers(stage, said))
    gone = stage.model.aborted
    code = await stage.kill()
    await stage.until(lambda: stage.model.aborted > gone)
    broken = stage.model.aborted - gone
    await stage.start()
    await message(stage, said)
    await asyncio.sleep(SETTLE_SECONDS)
    texts = [message.text for message in answers(stage, said)]
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
        title="GitHub posts, repeats itself, and is imitated",
        expected="202 and one summary; 200 and 401, and nothing more arrives",
        play=take_a_post,
    ),
    Step(
        title="A reminder is due while the program is down",
        expected="it comes after the start, once",
        play=remind_after_a_kill,
    ),
    Step(
        title="The audit verifies, and one changed byte is found",
        expected="exit 0; on a copy with one byte changed exit 1 and the line",
        play=check_the_audit,
    ),
)
