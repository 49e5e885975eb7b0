"""Working stand-ins for the ports that tests share."""

from __future__ import annotations

from assurebot.errors import AuditError
from assurebot.values import AuditEntry


class ListAudit:
    """Keeps audit entries in a list; the seq of an entry is its place in it, from 1.

    Attributes:
        entries: What was recorded.
        broken: While set, nothing can be recorded.
    """

    def __init__(self, *, broken: bool = False) -> None:
        self.entries: list[AuditEntry] = []
        self.broken = broken

    async def intent(self, entry: AuditEntry) -> int:
        """Keep an intent."""
        return await self.record(entry)

    async def record(self, entry: AuditEntry) -> int:
        """Keep an entry."""
        if self.broken:
            raise AuditError("the audit log is broken on purpose")
        self.entries.append(entry)
        return len(self.entries)

    def problem(self) -> str | None:
        """Say whether it is broken."""
        return "broken on purpose" if self.broken else None
