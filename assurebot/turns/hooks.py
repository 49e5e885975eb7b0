"""Posts to webhooks, told: what waits of one source together, once, by a model without tools.

Where no model is to be had, what code made of the posts is told instead: no post goes untold.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from assurebot.agent.prompt import framed, system_prompt
from assurebot.agent.report import code_block
from assurebot.errors import AuditError, LimitReached, ProviderError, StoreError, StoreUnwell
from assurebot.guard.rates import MINUTE, Window
from assurebot.ports import Clock, Provider, Redact, Store
from assurebot.turns.endings import LOOK, Endings, trace_of
from assurebot.turns.model_turns import TAINTED
from assurebot.values import (
    AssistantMessage,
    Button,
    Exchange,
    ModelRef,
    ModelRequest,
    ModelStep,
    StoredEvent,
    TextPart,
    UserMessage,
    untrusted,
)

FOLDED = 1_000
"""So many posts at most are told in one message."""

IN_FULL, LISTED = 10, 10
"""As many of them the model reads in full, and as many kinds of them are listed."""

SUMMARY_TOKENS, SUMMARY_CHARS = 1_024, 2_000
TITLE_CHARS, LINKS = 100, 3

LABEL = untrusted("webhook")

log = structlog.get_logger(__name__)

TASK = """\
A webhook named {hook} brought {count}. Tell in at most three short sentences what happened, who \
did it and where, the most important first. Name no link and add nothing that does not stand \
there. {prompt}"""


class Told(Protocol):
    """What code made of a post."""

    @property
    def title(self) -> str:
        """What it is about, in one line."""
        ...

    @property
    def url(self) -> str:
        """Where to look; may be empty."""
        ...

    @property
    def text(self) -> str:
        """All of it, in at most 1,500 characters."""
        ...


class HookTurns:
    """Works the posts to webhooks."""

    def __init__(
        self,
        *,
        provider: Provider,
        model: ModelRef,
        store: Store,
        clock: Clock,
        endings: Endings,
        redact: Redact,
        read: Callable[[str, str], Told],
        prompts: Mapping[str, str],
        prompt_extra: str,
        per_minute: int,
        fold_seconds: float,
        turn_seconds: float,
    ) -> None:
        """Take also what reads a stored post of a source, and how far messages lie apart."""
        self._provider = provider
        self._model = model
        self._store = store
        self._clock = clock
        self._endings = endings
        self._redact = redact
        self._read = read
        self._prompts = prompts
        self._prompt_extra = prompt_extra
        self._turns = Window(per_minute, MINUTE)
        self._fold_seconds = fold_seconds
        self._turn_seconds = turn_seconds
        self._last: dict[str, float] = {}
        self._ended: set[int] = set()
        self._alone: set[int] = set()

    def wait_seconds(self, stored: StoredEvent) -> float:
        """Return for how long more of its source are waited for before a post is told."""
        if stored.id in self._ended:
            return 0.0
        last = self._last.get(stored.event.hook, float("-inf"))
        return max(0.0, last + self._fold_seconds - asyncio.get_running_loop().time())

    async def work(self, stored: StoredEvent, cut: str | None = None) -> None:
        """Tell of a post and of all others of its source that wait.

        Args:
            stored: The post; nothing is done if it was told of with others.
            cut: Why no model is to be asked.
        """
        if stored.id in self._ended:
            self._ended.discard(stored.id)
            return
        await self._store.begin(stored.id, ModelStep(n=0))
        try:
            await self._tell(stored, cut)
        except (AuditError, StoreUnwell):
            raise  # no post is at fault
        except Exception:
            self._alone.add(stored.id)  # it, or one of the others, is at fault
            raise
        self._last[stored.event.hook] = asyncio.get_running_loop().time()

    async def _tell(self, stored: StoredEvent, cut: str | None) -> None:
        hook, also = stored.event.hook, list[int]()
        if stored.starts <= 1 and stored.id not in self._alone:
            waiting = await self._store.open_posts(hook, FOLDED)
            also = [each for each in waiting if each not in {stored.id, *self._alone}]
        told = [await self._told(hook, stored.id)]
        told += [one for each in tuple(also) if (one := await self._beside(hook, each, also))]
        facts = self._redact(_facts(told))
        summary, steps = "", tuple[ModelStep, ...]()
        why = cut or self._refusal(hook)
        if not why:
            try:
                async with asyncio.timeout(self._turn_seconds):
                    step = await self._ask(stored, len(told), facts)
            except LimitReached as error:
                why = f"Told without a model: {error}."
            except (ProviderError, TimeoutError):
                why = "Told without a model: it cannot be reached."
            else:
                steps = (step,)
                summary = "" if step.reply is None else step.reply.message.text
        answer = AssistantMessage(text=summary or why, label=LABEL)
        asked = UserMessage(parts=(TextPart(text=facts, label=LABEL),))
        await self._endings.end(
            stored,
            _message(hook, told, summary, why),
            exchange=Exchange(id=stored.id, at=self._clock.now(), messages=(asked, answer)),
            steps=steps,
            buttons=((Button(label="🔎 Look into it", id=secrets.token_urlsafe(12)), LOOK),),
            action=f"webhook: {len(told)}",
            also=tuple(also),
        )
        self._ended.update(also)

    async def _told(self, hook: str, event_id: int) -> Told:
        raw = await self._store.raw(event_id)
        return await asyncio.to_thread(self._read, hook, raw)  # 0.9 s for the worst of them

    async def _beside(self, hook: str, event_id: int, also: list[int]) -> Told | None:
        """Read one of the others; one that cannot be read is left out, to die alone."""
        try:
            return await self._told(hook, event_id)
        except StoreError:
            raise
        except Exception:
            log.exception("a post cannot be read", turn=event_id)
            self._alone.add(event_id)
            also.remove(event_id)
            return None

    def _refusal(self, hook: str) -> str:
        now = asyncio.get_running_loop().time()
        if self._turns.wait(hook, now):
            return f"Told without a model: more than {self._turns.limit} messages a minute."
        self._turns.take(hook, now)
        return ""

    async def _ask(self, stored: StoredEvent, count: int, facts: str) -> ModelStep:
        hook = stored.event.hook
        many = "one post" if count == 1 else f"{count} posts"
        task = TASK.format(hook=hook, count=many, prompt=self._prompts.get(hook, ""))
        parts = (TextPart(text=task), TextPart(text=facts, label=LABEL))
        request = ModelRequest(
            model=self._model,
            system=system_prompt(self._prompt_extra, self._clock.now()),
            messages=framed([UserMessage(parts=parts)], secrets.token_hex(8)),
            max_output_tokens=SUMMARY_TOKENS,
            trace=replace(trace_of(stored, 0), step=0),
        )
        reply = await self._provider.ask(request, lambda _text: None)
        text = self._redact(reply.message.text)[:SUMMARY_CHARS].strip()
        return ModelStep(n=0, reply=replace(reply, message=AssistantMessage(text=text)))


def _facts(told: Sequence[Told]) -> str:
    """Return the first posts in full, and how many more there are of each title."""
    rest = Counter(each.title for each in told[IN_FULL:])
    more = [f"{count} more: {title}" for title, count in rest.most_common(LISTED)]
    return "\n\n".join([*(each.text for each in told[:IN_FULL]), *more])


def _message(hook: str, told: Sequence[Told], summary: str, why: str) -> str:
    """Return Markdown that fits one message; all that others wrote is code, but the summary."""
    if len(told) == 1:
        head, facts = f"🪝 `{hook}`", told[0].url if summary else told[0].text
    else:
        titles = Counter(each.title[:TITLE_CHARS] for each in told)
        lines = [f"{count}x {title}" for title, count in titles.most_common(LISTED)]
        if len(titles) > LISTED:
            lines.append(f"and {len(titles) - LISTED} more kinds")
        links = [url for each in told if 0 < len(url := each.url) < 2 * TITLE_CHARS]
        head, facts = f"🪝 `{hook}`: {len(told)} posts", "\n".join([*lines, *links[:LINKS]])
    return "\n\n".join(
        filter(None, [head, summary, why and f"⚠️ {why}", facts and code_block(facts), TAINTED])
    )
