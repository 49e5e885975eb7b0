"""The exception tree: families by cause, leaves by what the caller can do about it."""


class AssureBotError(Exception):
    """Root of everything that this program raises on purpose."""


class ConfigError(AssureBotError):
    """The start is refused; each problem names its variable and the fix, never a value."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataHeld(AssureBotError):
    """Another process holds the data folder; the text names it."""


class AccessDenied(AssureBotError):
    """Sender or signature not accepted. The text is for the operator; the other side sees none."""


class ProviderError(AssureBotError):
    """A model call failed.

    Attributes:
        retry_after: Seconds that the provider asked us to wait, if it did.
        begun: The answer had begun, so it may have to be paid for.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, begun: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.begun = begun


class ProviderUnavailable(ProviderError):
    """Not reachable, overloaded or out of quota for now: another try may succeed."""


class ProviderRejected(ProviderError):
    """The request or the account was refused: the same request will be refused again."""


class ProviderGarbled(ProviderError):
    """The answer broke off or made no sense: nothing of it may be used."""


class ChatError(AssureBotError):
    """A call to the chat service failed."""


class ChatUnavailable(ChatError):
    """Not reachable, or slowed down: try again, after `retry_after` seconds if given.

    Attributes:
        retry_after: Seconds that the service demands (flood control), else `None`.
        maybe_delivered: The request may have taken effect (for example a read timeout).
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        maybe_delivered: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.maybe_delivered = maybe_delivered


class ChatRejected(ChatError):
    """Refused for good: bad content, a chat that is gone, a bot that was blocked."""


class ChatConflict(ChatUnavailable):
    """Another process polls with the same token (HTTP 409)."""


class ChatTokenRefused(ChatUnavailable):
    """The service does not accept the token (HTTP 401 or 404)."""


class LimitReached(AssureBotError):
    """A turn met its limit of steps, tokens or time; the text says which."""


class BudgetSpent(LimitReached):
    """What a call may cost does not fit under a cap; the text says which, and what lifts it."""


class ToolError(AssureBotError):
    """A tool could not do it; the text is for the model, and the loop goes on."""


class SandboxError(AssureBotError):
    """A program could not be run in a box; what the program itself does is never an error."""


class SandboxUnavailable(SandboxError):
    """It never ran: no box, no such language, no room; the text says what would help."""


class SandboxLost(SandboxError):
    """The box went away while it ran: what it did is unknown, and gone with the box."""


class FetchError(AssureBotError):
    """Nothing was fetched. The text is ours alone: no word of the URL or of the answer."""


class FetchRefused(FetchError):
    """The URL, or what it leads to, is not public: it was never connected to."""


class FetchFailed(FetchError):
    """The network, the other side, or a limit of time or size."""


class StoreError(AssureBotError):
    """The store could not read or write; nothing of the transaction was kept."""


class StoreUnwell(StoreError):
    """The disk or the database is at fault, not what was asked: later the same may succeed."""


class AlreadyEnded(StoreError):
    """The event was ended before: nothing must be said twice."""


class BlobLost(StoreError):
    """Stored bytes are not there any more."""


class AuditError(AssureBotError):
    """The audit line could not be written: the effect must not happen."""
