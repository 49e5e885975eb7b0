"""`/hooks`: what webhooks brought, and how to point a service at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assurebot.ports import Posts, Store
from assurebot.values import StoredEvent

SHOWN = 3

HOW: Mapping[str, str] = {
    "github": "Settings, Webhooks: that URL, content type `application/json`, the secret",
    "stripe": "Developers, Webhooks: add that URL; its signing secret is the secret",
    "slack": "Event Subscriptions: that URL; the app's signing secret is the secret",
}
OTHERS = "Standard Webhooks, or the secret in a header: `Authorization: Bearer SECRET`"


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksCommand:
    """Answers `/hooks`, to the owner in private.

    Attributes:
        sources: Those with a secret of their own.
        common: Any other source has one too.
        path: Where posts go; empty if none are taken.
        refused: Posts that were not accepted since the start, by source.
    """

    store: Store
    owner: int
    sources: Sequence[str]
    common: bool
    path: str
    refused: Mapping[str, int]

    async def answer(self, stored: StoredEvent) -> str:
        """Return Markdown."""
        if stored.event.actor.user_id != self.owner or not stored.event.place.private:
            return "Only the owner sees /hooks, in private."
        if not self.path:
            return "No webhooks are taken (WEBHOOKS_ENABLED)."
        if not (self.sources or self.common):
            return "No webhook has a secret yet: set WEBHOOK_SECRET_GITHUB, for instance."
        known = {each.hook: each for each in await self.store.posts(SHOWN)}
        lines = [self._line(name, known.get(name)) for name in sorted({*self.sources, *known})]
        if self.common:
            refused = self.refused.get("", 0)
            lines.append(f"• any other name, by WEBHOOK_SECRET; {refused} refused. {OTHERS}")
        head = f"Webhooks are posted to `https://HOST{self.path}/SOURCE`. Refused is counted since"
        return "\n".join([f"{head} the start.", *lines])

    def _line(self, name: str, posts: Posts | None) -> str:
        counts = "nothing yet"
        if posts is not None:
            last = ", ".join(f"{at:%Y-%m-%d %H:%M}" for at in posts.last)
            counts = f"{posts.taken} taken, {posts.waiting} waiting, the last at {last} UTC"
        own = name in self.sources
        refused = f", {self.refused.get(name, 0)} refused" if own else ""
        return f"• `{self.path}/{name}`: {counts}{refused}. {HOW.get(name, OTHERS) if own else ''}"
