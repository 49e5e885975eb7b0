"""The steps of the tour in which nobody writes: a service posts, and a reminder is due."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta

import aiohttp

from assurebot.demo.model_script import Ask, Turn
from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.tour_findings import (
    SETTLE_SECONDS,
    Finding,
    answers,
    count,
    found,
    message,
)
from assurebot.demo.tour_world import OWNER, Stage

SUMMARY = "Mona pushed three commits to main of acme/app."
LOOK = "🔎 Look into it"
WORDS = "Water the plants"

POST_SECONDS = 10.0
AHEAD_SECONDS = 3.0
"""Time to note the reminder and to kill the program, before it is due."""


def summarize(ask: Ask) -> Turn | None:
    """Answer what a webhook brought, if that is what is asked."""
    return Turn(text=SUMMARY) if "webhook named github" in ask.last_user_text else None


async def take_a_post(stage: Stage) -> Finding:
    """GitHub posts a push, and the same once more; somebody else posts without the secret."""
    body, delivery = _push("main"), secrets.token_hex(8)
    accepted = await _post(stage, body, delivery, stage.hook_secret)
    await stage.until(lambda: bool(_summaries(stage)))
    again = await _post(stage, body, delivery, stage.hook_secret)
    forged = await _post(stage, _push("forged"), secrets.token_hex(8), secrets.token_hex(16))
    taken = (accepted, again, forged).count(202)
    await stage.until(lambda: len(_summaries(stage)) >= taken)
    await asyncio.sleep(SETTLE_SECONDS)
    messages = _summaries(stage)
    looks = any(button.label == LOOK for sent in messages for button in sent.buttons)
    requests = [ask for ask in stage.model.requests if summarize(ask)]
    tools = sum(len(request.tool_names) for request in requests)
    await stage.until(lambda: len(stage.effects(type="webhook")) >= 3)
    keys = [line["event"] for line in stage.effects(type="webhook") if line.get("event")]
    return found(
        (
            (f"posted: {accepted}", accepted == 202),
            (f"the same again: {again}", again == 200),
            (f"wrong signature: {forged}", forged == 401),
            count(len(messages), "summary message", 1),
            (f"{'with' if looks else 'without'} *Look into it*", looks),
            count(len(requests), "model request", 1),
            (f"{tools} tools offered", tools == 0),
        ),
        stage.effects(*keys, type="webhook"),
    )


def _summaries(stage: Stage) -> list[SentMessage]:
    return [sent for sent in answers(stage, 0) if SUMMARY in sent.text]


def _push(branch: str) -> bytes:
    repository = {"full_name": "acme/app", "html_url": "https://github.com/acme/app"}
    compare = f"https://github.com/acme/app/compare/{branch}"
    post = {"ref": f"refs/heads/{branch}", "compare": compare, "repository": repository}
    who = {"pusher": {"name": "mona"}, "sender": {"login": "mona"}}
    return json.dumps({**post, **who, "commits": [{}] * 3}).encode()


async def _post(stage: Stage, body: bytes, delivery: str, secret: str) -> int:
    """Post as GitHub does; return the status."""
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}",
    }
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=POST_SECONDS)) as client,
        client.post(f"{stage.url}/hooks/github", data=body, headers=headers) as answer,
    ):
        return answer.status


async def remind_after_a_kill(stage: Stage) -> Finding:
    """A reminder is due while the program is down; it is started again after that."""
    due = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)
    said = stage.telegram.person(OWNER).say(f"/schedule at: {due.isoformat()} | remind: {WORDS}")
    noted = await message(stage, said, "⏰ Task")
    early = _reminders(stage, said)
    code = await stage.kill()
    left = _seconds(due)
    await asyncio.sleep(max(0.0, left) + SETTLE_SECONDS)
    late = -_seconds(due)
    await stage.start()
    await message(stage, said, WORDS)
    await asyncio.sleep(SETTLE_SECONDS)
    lines = stage.effects(type="schedule")
    return found(
        (
            ("noted" if noted else "not noted", noted is not None),
            count(early, "reminder", 0),
            (f"exit {code} {left:.1f} s before it was due", code == -9 and left > 0),
            (f"started {late:.1f} s after", late > 0),
            count(_reminders(stage, said), "reminder", 1),
            count(len(lines), "schedule line", 1),
        ),
        stage.effects(*(line["target"] for line in lines), type="schedule"),
    )


def _reminders(stage: Stage, after: int) -> int:
    return sum(WORDS in sent.text for sent in answers(stage, after))


def _seconds(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()
