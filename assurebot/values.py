"""Plain frozen values that travel between the parts. Times are aware UTC, money is `Decimal`.

They are stored as JSON by pydantic, so each is built of JSON-like fields only. The file is long
because it is the whole vocabulary: declarations, and nothing that acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

# --- who, where, what -------------------------------------------------------------------------

OWNER = "owner"
"""Label of what an allow-listed person typed; everything else is `untrusted:<origin>`."""


def untrusted(origin: str) -> str:
    """Make the label of content that came from `origin` (a few words, ours, never quoted text)."""
    return f"untrusted:{origin}"


def is_untrusted(label: str) -> bool:
    """Tell whether content with this label taints a turn."""
    return label != OWNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whoever caused an event. `name` is what they call themselves: show it, never trust it."""

    user_id: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a conversation happens; each place has a lane and a history of its own."""

    chat_id: int
    thread_id: int | None = None
    private: bool = True

    @property
    def key(self) -> str:
        """Short stable text, unique per conversation."""
        return f"{self.chat_id}" if self.thread_id is None else f"{self.chat_id}/{self.thread_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A picture or a PDF that a model looks at itself; its bytes are in the store.

    Attributes:
        file: Its `ChatFile.id`.
        mime: One of `image/jpeg`, `image/png`, `image/gif`, `image/webp`, `application/pdf`.
        tokens: The most that it can take of a model's input.
    """

    file: int
    mime: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """A piece of text with the label that says whose words they are."""

    text: str
    label: str = OWNER
    quoted: bool = False
    """Said before and only quoted: its words are not those typed in this turn."""
    media: Media | None = None
    """What the text names or describes, shown to a model that can look at it."""
    file: int = 0
    """`ChatFile.number` of the file that it is about, if it is about one."""


Part = TextPart

EventKind = Literal["message", "command", "press", "edit", "unsupported", "webhook", "job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """A file in a message, still with Telegram; all but `label` is what the sender says of it.

    Attributes:
        size: In bytes, if it is known.
        seconds: How long it sounds.
        label: Of what is said in it: `OWNER` for an own voice note. Pictures and documents are
            always untrusted, and so is each `name`.
    """

    kind: Literal["photo", "voice", "audio", "video_note", "document"]
    file_id: str
    name: str = ""
    mime: str = ""
    size: int | None = None
    seconds: int = 0
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened and was accepted: the only way into a turn.

    Attributes:
        source: The edge that made it.
        key: Unique per source; a second event with the same key changes nothing.
        command: Name without the slash, for `command`; the words after it are in `parts`. Of a
            `job` its kind.
        press: Id of the pressed button, for `press`; its key is `press:` and Telegram's query id.
            Of an `edit`, the key of the message that was edited.
        message_id: The message that an answer may reply to; of a press, the one with the button.
        reply_to: The message that this one replies to.
        afresh: Worked without the untrusted content of earlier exchanges.
        enclosures: Its files; a turn fetches them when it starts.
        album: Name that messages of one album share.
        passed_on: A forward without words of its own; a burst of them is one turn.
        hook: The source that posted it, for `webhook`; what it said is in the store alone.
        job, due_at: Of a `job`: which one it is, and for when it was due.
    """

    source: Literal["telegram", "internal", "webhook", "schedule"]
    key: str
    kind: EventKind
    actor: Person
    place: Place
    received_at: datetime
    parts: tuple[Part, ...] = ()
    command: str = ""
    press: str = ""
    message_id: int | None = None
    reply_to: int | None = None
    afresh: bool = False
    enclosures: tuple[Enclosure, ...] = ()
    album: str = ""
    passed_on: bool = False
    hook: str = ""
    job: int | None = None
    due_at: datetime | None = None

    @property
    def text(self) -> str:
        """All parts as one text, for records and commands."""
        return "\n".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event that is safely in the inbox.

    Attributes:
        id: Grows with arrival; also the turn's id.
        starts: How often work on it began, this time not counted.
        errors: How often work on it raised.
        cut: A note that it shall end with at once, instead of being worked.
    """

    id: int
    event: Event
    starts: int = 0
    errors: int = 0
    cut: str | None = None


WEBHOOKS = 0
"""In the place of a user's id where a service posted; Telegram has no such user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Which event, turn, step and job an effect belongs to, for the audit and the budget.

    Attributes:
        user: Who pays; `WEBHOOKS` where a service posted.
    """

    event: str = ""
    turn: int | None = None
    step: int | None = None
    actor: str = "system"
    user: int | None = None
    job: int | None = None


# --- programs in the box ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFile:
    """A file that goes into the box or comes out of it; `name` is one path component."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxLimits:
    """What one program may use; a box grants at most its own limits, whatever is asked for.

    Attributes:
        seconds: Wall-clock time.
        output_bytes: Of standard output, and the same again of standard error.
        file_bytes: Of all files that come out together.
    """

    seconds: float = 60.0
    memory_bytes: int = 512 << 20
    output_bytes: int = 1 << 20
    file_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something untrusted to be run.

    Attributes:
        language: One of the box's languages, or a usual other name of it.
        source: The code, taken literally.
        argv: A command of the box instead of `language` and `source`; no shell reads it.
        files: What it finds in its working folder.
    """

    language: str = ""
    source: str = ""
    argv: tuple[str, ...] = ()
    files: tuple[BoxFile, ...] = ()
    limits: BoxLimits = BoxLimits()


RunOutcome = Literal["ok", "failed", "timeout", "out_of_memory", "output_limit"]
Grade = Literal["A+", "A", "C"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of a program; one that fails is a result like any other.

    Attributes:
        exit_code: As a shell gives it: 128 and the signal's number where a signal ended it.
        stdout, stderr: Decoded with replacement; `*_cut` tells that there was more.
        files: New and changed files of its working folder, as far as the limits let them out.
        files_left: How many more there were.
        path_changes: Files made, changed or removed in its working folder.
        seconds: How long it ran.
        served: From a waiting box, from one made for it, or after a wait for a free place.
    """

    outcome: RunOutcome
    exit_code: int
    stdout: str = ""
    stderr: str = ""
    stdout_cut: bool = False
    stderr_cut: bool = False
    files: tuple[BoxFile, ...] = ()
    files_left: int = 0
    path_changes: int = 0
    seconds: float = 0.0
    backend: str = ""
    grade: Grade
    served: Literal["warm", "cold", "queued"] = "cold"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStanding:
    """What box there is, or why there is none.

    Attributes:
        grade: `None` while it is closed; then `reason` says why, and what would open it.
        network: Programs reach the network, by configuration.
    """

    backend: str = ""
    grade: Grade | None = None
    languages: tuple[str, ...] = ()
    network: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file on its way to a chat; its bytes are in the store under `blob`."""

    blob: int
    name: str
    size: int
    kind: Literal["photo", "document", "voice"] = "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFile:
    """Something that was sent to a chat and is kept for it; people know it by `number`.

    Attributes:
        id: Ours alone.
        number: Counts in each chat from 1; 0 of a transcript, and of a file that is gone.
        event_id, n: The turn that it came with, and its place among the enclosures there.
        kind: `voice` keeps no bytes, only the transcript as its one page.
        pages: How many pages of text there are to be read.
        sides: Width and height of a picture.
        leaves: How many pages a PDF has, read or not.
        note: Why it cannot be read or shown, if it cannot; made by code.
    """

    id: int = 0
    number: int = 0
    event_id: int
    n: int
    kind: Literal["picture", "pdf", "text", "voice", "other"]
    name: str
    mime: str
    size: int
    pages: int = 0
    sides: tuple[int, int] = (0, 0)
    leaves: int = 0
    note: str = ""
    label: str
    at: datetime


# --- messages with a model --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model of a provider."""

    provider: Literal["anthropic", "openai"]
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What the model asks for; `arguments` is JSON text as it came, perhaps invalid."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call came to. `failed` covers refusals and errors; `label` is that of the content.

    `files` go to the chat with the answer.
    """

    call_id: str
    name: str
    text: str
    failed: bool = False
    label: str = OWNER
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeContent:
    """A provider's own form of its answer (JSON text), sent back unchanged within the turn."""

    provider: Literal["anthropic", "openai"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    """Words to the model."""

    parts: tuple[Part, ...]
    role: Literal["user"] = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantMessage:
    """The model's answer: text, calls, or both. `label` tells whether it was made under taint."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    native: NativeContent | None = None
    label: str = OWNER
    role: Literal["assistant"] = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolMessage:
    """The results of all calls of the assistant message before it, in its order."""

    results: tuple[ToolResult, ...]
    role: Literal["tool"] = "tool"


Message = Annotated[UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


def labels(message: UserMessage | AssistantMessage | ToolMessage) -> frozenset[str]:
    """Return the labels of all that is in a message."""
    match message:
        case UserMessage():
            return frozenset(part.label for part in message.parts)
        case AssistantMessage():
            return frozenset([message.label])
        case ToolMessage():
            return frozenset(result.label for result in message.results)


def is_tainted(message: UserMessage | AssistantMessage | ToolMessage) -> bool:
    """Tell whether anything in a message is untrusted."""
    return any(map(is_untrusted, labels(message)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A finished turn as history keeps it: the user's message first, then all that followed.

    Attributes:
        id: The turn's id; `recall` takes it.
    """

    id: int
    at: datetime
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one model call. Cached and freshly written input tokens are in `input_tokens`.

    Attributes:
        reservation: What was set aside for it, and is settled with this.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    reservation: int | None = None


SEARCH_FEE_USD = Decimal("0.01")
"""What both providers take for one web search, beside its tokens."""

StopReason = Literal["end", "tools", "max_tokens", "refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What a tool declares about itself.

    Attributes:
        schema: JSON Schema of the arguments, as JSON text.
        effect: The class that policy goes by; a tool that names none counts as `outward`.
        result_label: `turn` means: labelled as the turn is; else the label itself.
        destinations: Names of the arguments that say where data goes.
        repeatable: Safe to run again after a crash; false closes it as *outcome unknown*.
        timeout_seconds: Wall-clock limit of one call.
        result_chars: Longer results are cut, and say so.
        per_minute: How often one person may have it called.
    """

    name: str
    description: str
    schema: str
    effect: Literal["pure", "private-read", "outward", "state", "destructive"] = "outward"
    result_label: str = "turn"
    destinations: tuple[str, ...] = ()
    repeatable: bool = False
    timeout_seconds: float = 60.0
    result_chars: int = 20_000
    per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One question to a model, complete: providers keep no state.

    Attributes:
        search: The provider itself may search the web, once; then `tools` is empty.
        files: The bytes of `Media` in the messages, by its `file`; what is missing is not shown.
    """

    model: ModelRef
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 8192
    search: bool = False
    files: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    trace: Trace = Trace()

    def shown(self) -> Iterator[Media]:
        """Yield what the model is shown, as often as it is."""
        for message in self.messages:
            for part in message.parts if isinstance(message, UserMessage) else ():
                if part.media is not None and self.files.get(part.media.file):
                    yield part.media


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A page that the provider's search found: a stranger's words."""

    url: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply:
    """One complete answer of a model; a broken one is an error instead.

    Attributes:
        model: The model that really answered.
        stop: `tools` exactly when `message.calls` is not empty and all of it may be run.
    """

    message: AssistantMessage
    stop: StopReason
    model: ModelRef
    usage: Usage = Usage()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Something that the model noted for later; one that is untrusted is only read on demand."""

    id: int
    text: str
    label: str = OWNER
    at: datetime


# --- schedules --------------------------------------------------------------------------------

JobKind = Literal["remind", "brief", "run", "watch"]
RunState = Literal["running", "done", "quiet", "failed", "missed", "overlapped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to be done at times, for a chat: to be reminded, briefed, a program, a look.

    Attributes:
        id: Ours alone; people know it by `number`, which counts in each chat from 1.
        actor: Whose job it is: they pay, and they are asked.
        text: The words, the prompt, the code, or the URL and what to look for.
        when, zone, anchor: Its moments, as `guard.triggers.Trigger` has them.
        window_seconds: A run that was missed for no longer than this is made up for, once.
        label: That of `text`; `quoted` tells that nobody typed it.
        name: Of the variable that it is from, if it is.
        next_at: When it is due; `None` while it is paused, and when it is over.
        failures: How many runs failed in a row.
        seen: What its last run saw, where only a change is told.
    """

    id: int = 0
    number: int = 0
    place: Place
    actor: Person
    kind: JobKind
    text: str
    when: str
    zone: str
    anchor: datetime
    window_seconds: int
    label: str = OWNER
    quoted: bool = False
    name: str = ""
    paused: bool = False
    next_at: datetime | None = None
    failures: int = 0
    seen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One time that a job was due, and what came of it."""

    due_at: datetime
    at: datetime
    state: RunState
    note: str = ""


# --- the outside ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What one fetch may cost; `body_bytes` holds on the wire and again after unpacking."""

    seconds: float = 20.0
    body_bytes: int = 4_000_000
    redirects: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer from outside, all of it a stranger's: its final URL, status, type and bytes."""

    url: str
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page as readable text; `cut` tells that there was more of it."""

    url: str
    status: int
    content_type: str
    title: str
    text: str
    cut: bool


# --- steps of a turn --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStep:
    """A model call. Without `reply` it was begun and nothing is known of its end."""

    n: int
    reply: ModelReply | None = None
    kind: Literal["model"] = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStep:
    """A tool call. Without `result` its outcome is unknown."""

    n: int
    call: ToolCall
    result: ToolResult | None = None
    kind: Literal["tool"] = "tool"


Step = Annotated[ModelStep | ToolStep, Field(discriminator="kind")]


# --- messages to a chat -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Formatting of a stretch of text; offset and length in UTF-16 code units (Bot API)."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button under a message. `id` is random, stored, and means something only once."""

    label: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One message as it will be sent: at most 4096 UTF-16 units and 100 entities.

    Attributes:
        media: Files instead of text: one alone, or 2 to 10 of one kind as an album.
        replaces: A message of ours that this piece is written into instead of a new one.
        fallback: It was rewritten as plain text because the first form was refused.
        guarded: Words of others are in it: whatever form it gets, nothing in it may be a link.
    """

    text: str
    entities: tuple[Entity, ...] = ()
    buttons: tuple[Button, ...] = ()
    reply_to: int | None = None
    replaces: int | None = None
    fallback: bool = False
    guarded: bool = False
    media: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A piece that is committed to be sent."""

    id: int
    place: Place
    piece: Piece
    trace: Trace = Trace()
    tries: int = 0
    not_before: datetime | None = None


# --- decisions and records --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What policy says of a call, and by which rule.

    Attributes:
        frees: The `POLICY_ALLOW` entry that would have allowed it, if one could.
    """

    verdict: Literal["allow", "ask", "deny"]
    rule: str
    reason: str
    frees: str | None = None


ApprovalState = Literal["pending", "approved", "denied", "expired", "executed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A call that waits for a press, or has had it; what is executed are these bytes.

    Attributes:
        event_id, n: The turn and the step of the call.
        arguments: Canonical JSON; `digest` is its SHA-256 in hex.
        requester: On whose behalf it is asked.
        approvers: Ids of those who may press.
        rule, reason, frees: Of the decision that asked for it.
        afresh: The turn may be run again without earlier content instead.
        decided_by: Who pressed; nobody, where the time ran out.
        press: Key of the event of that press.
    """

    event_id: int
    n: int
    place: Place
    requester: Person
    approvers: tuple[int, ...]
    tool: str
    arguments: str
    digest: str
    rule: str
    reason: str = ""
    frees: str | None = None
    afresh: bool = False
    expires_at: datetime
    state: ApprovalState = "pending"
    decided_by: Person | None = None
    decided_at: datetime | None = None
    press: str = ""

    @property
    def name(self) -> str:
        """How people see it named."""
        return f"#{self.event_id}.{self.n}"


AuditType = Literal[
    "startup",
    "shutdown",
    "message",
    "denied",
    "webhook",
    "model",
    "tool",
    "sandbox",
    "approval",
    "schedule",
    "send",
    "budget",
    "anchor",
    "erased",
    "recovered",
    "error",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line to be recorded. `None` fields are left out.

    Attributes:
        closes: Seq of the intent that this result (or `recovered` line) belongs to.
        tokens: Input and output tokens together.
        text, response, command: The content that can be erased later; all else stays.
    """

    type: AuditType
    phase: Literal["intent", "result"] | None = None
    closes: int | None = None
    trace: Trace = Trace()
    action: str | None = None
    target: str | None = None
    decision: str | None = None
    rule: str | None = None
    approval_required: bool | None = None
    approved_by: int | None = None
    result: str | None = None
    evidence: str | None = None
    path: str | None = None
    status: int | None = None
    exit: int | None = None
    path_changes: int | None = None
    model: str | None = None
    tokens: int | None = None
    cost_usd: str | None = None
    job: str | None = None
    duration_ms: int | None = None
    error: str | None = None
    text: str | None = None
    response: str | None = None
    command: str | None = None
