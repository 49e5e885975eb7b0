"""What the core needs from outside, as Protocols; the docstrings are the contracts.

Adapters implement these and know nothing else of the program; the core knows these and no adapter.
The file is long because the contracts stand here in full; nothing in it acts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol

from assurebot.values import (
    OWNER,
    Approval,
    ApprovalState,
    AuditEntry,
    BoxFile,
    BoxStanding,
    ChatFile,
    Entity,
    Event,
    Exchange,
    Fetched,
    FetchLimits,
    Job,
    JobRun,
    Memory,
    ModelReply,
    ModelRequest,
    OutboxRow,
    Page,
    Person,
    Piece,
    Place,
    Program,
    RunResult,
    RunState,
    Step,
    StoredEvent,
    ToolSpec,
    Trace,
    Usage,
)

Redact = Callable[[str], str]
"""Return the text with every configured secret replaced."""

OnText = Callable[[str], None]
"""Told the whole answer so far, each time it grew; it may start again from empty."""

Check = Callable[[], str | None]
"""Say what is wrong with a part in a few words without secrets or ids, or `None`."""


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class Provider(Protocol):
    """A language model behind its own wire format."""

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask once and wait for the whole answer.

        Every wait inside is bounded. An answer that broke off, or came without a stop reason, is
        an error, never a reply. Cancelling aborts the request.

        Raises:
            ProviderUnavailable: Not reachable, overloaded, rate-limited; try again later.
            ProviderRejected: Refused for good: bad key, unknown model, too long a request.
            ProviderGarbled: The stream was cut or the answer cannot be read.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Tool(Protocol):
    """Something the model may ask for. Policy and audit stand before `run`, never in it."""

    @property
    def spec(self) -> ToolSpec:
        """What it is and what it may do; constant."""
        ...

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Do it and return what the model shall read.

        Args:
            arguments: JSON text from the model, not validated.
            context: Where and for whom the turn runs.

        Raises:
            ToolError: It could not be done, or the arguments are wrong; the text says so.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """Text for the model; `label` where it is not simply what the spec says."""

    text: str
    label: str | None = None
    files: tuple[BoxFile, ...] = ()
    """For the chat, with the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """The turn that a tool runs in; `label` is that of what the model makes of it."""

    place: Place
    actor: Person
    trace: Trace
    label: str = OWNER


OnOutput = Callable[[str], None]
"""Told what a program printed so far, both streams as they came; not for keeping."""


class Sandbox(Protocol):
    """A box for untrusted programs: nothing that they do reaches anything outside of it.

    Each program gets a box of its own that is thrown away with all it holds. It finds its input
    files, and nothing else, in the folder that it starts in; that folder and the temporary one are
    all it can write. Its standard input is empty. It has no network unless `standing.network`.
    Everything that comes out is hostile: text is decoded with replacement, names are cleaned to
    one component, only regular files come out, and each count and size has its limit.
    """

    async def run(self, program: Program, on_output: OnOutput | None = None) -> RunResult:
        """Run a program to its end, or to its limits.

        It and all that it started are gone when this returns, and when it is cancelled. A program
        that fails, is killed, runs too long or prints too much is a result.

        Raises:
            SandboxUnavailable: It never ran; busy, closed, a language that is not there.
            SandboxLost: The box went away in between, with the engine for instance.
        """
        ...

    @property
    def standing(self) -> BoxStanding:
        """What box it is, or why there is none."""
        ...


class Chat(Protocol):
    """Messages to people. One call is one request; pacing and retries are the caller's.

    Raises (all methods):
        ChatUnavailable: Flood control, network, time-out, server error.
        ChatRejected: Refused for good.
    """

    async def send(self, place: Place, piece: Piece, media: Sequence[bytes] = ()) -> int:
        """Send a message (or write it into `piece.replaces`) and return its message id.

        A message to be replaced that is gone is sent anew. Link previews are always off. `media`
        holds the bytes of `piece.media`; of an album the id of its first message is returned.
        """
        ...

    async def draft(
        self, place: Place, draft_id: int, text: str, entities: Sequence[Entity]
    ) -> None:
        """Show an answer in the making (private chats only); it vanishes by itself."""
        ...

    async def typing(self, place: Place) -> None:
        """Show that something is being written, for about 5 seconds."""
        ...

    async def acknowledge(self, press: str, text: str) -> None:
        """End the waiting state of a pressed button, with a short note."""
        ...

    async def leave(self, chat_id: int) -> None:
        """Leave a group or channel."""
        ...

    async def download(self, file_id: str, limit_bytes: int) -> bytes:
        """Fetch a file that somebody sent; larger ones are rejected, read no further than that."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file is, by its signature, and what can be read in it.

    Attributes:
        mime: Of what it is found to be, not of what it is said to be.
        pages: Its text: a PDF's pages, a presentation's slides, a workbook's sheets, or stretches
            of at most `PAGE_CHARS` of all else; a longer page is several.
        sides: Width and height of a picture.
        leaves: How many pages a PDF has, read or not.
        note: Why there is no text, or not all of it, in words for people: damaged, locked, a bomb.
    """

    kind: Literal["picture", "pdf", "text", "other"]
    mime: str
    pages: tuple[str, ...] = ()
    sides: tuple[int, int] = (0, 0)
    leaves: int = 0
    note: str = ""


PAGE_CHARS = 4_000
"""So much text is one page at most."""


class Reader(Protocol):
    """Text out of files of strangers, in bounded time and memory, whatever they hold."""

    async def read(self, data: bytes, name: str) -> Reading:
        """Read a file; one that cannot be read is a result too. `name` helps where text is code."""
        ...


class Transcriber(Protocol):
    """Speech to text, and back; each call is reserved in the budget and audited.

    Raises (all methods):
        BudgetSpent: It would cost more than is left.
        ProviderError: As in `Provider.ask`.
        AuditError, StoreError: It could not be recorded, so it was not done.
    """

    async def transcribe(self, audio: bytes, name: str, seconds: float, trace: Trace) -> str:
        """Return what is said; `name` ends in what kind of file it is (`voice.ogg`)."""
        ...

    @property
    def speaks(self) -> bool:
        """Whether `speak` can do anything."""
        ...

    async def speak(self, text: str, trace: Trace) -> bytes:
        """Return speech as Ogg with Opus."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Fetcher(Protocol):
    """GET requests to public places: no cookies, no credentials, nothing inward.

    Any status is an answer, not an error.

    Raises (all methods):
        FetchRefused: The URL, its address or a redirect is not allowed; that was not connected to.
        FetchFailed: Network, certificate, a limit of time or size, or an answer without sense.
    """

    async def get(self, url: str, limits: FetchLimits) -> Fetched:
        """Fetch the bytes behind a URL, following redirects."""
        ...

    async def read(self, url: str, chars: int) -> Page:
        """Fetch a page as readable text of at most so many characters.

        Raises:
            FetchFailed: Also if it is not text, or cannot be made into text in time.
        """
        ...


class AuditLog(Protocol):
    """The chained record. What is not written did not happen."""

    async def intent(self, entry: AuditEntry) -> int:
        """Record what is about to be done and return its seq once it is on disk.

        Raises:
            AuditError: It could not be written; the effect must not happen.
        """
        ...

    async def record(self, entry: AuditEntry) -> int:
        """Record something that happened; on disk at most 1 s later, or with the next intent.

        Raises:
            AuditError: The log cannot be written at all (the disk is full and stays so).
        """
        ...

    def problem(self) -> str | None:
        """Say what is wrong with the log, or `None`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An event on its way into the inbox.

    Attributes:
        key: Unique per source. With `event` it equals `event.key`.
        event: `None` when `raw` could not be read: the row is then quarantined.
        raw: The original, redacted, as JSON text.
        continues: An ended event whose steps it takes over, so that none is done again.
    """

    source: str
    key: str
    event: Event | None
    raw: str
    received_at: datetime
    continues: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an event ended; all of it becomes true in one commit.

    Attributes:
        error: Why it is dead; `None` means done.
        pieces: What to send. Blobs of the event that none of them names are forgotten.
        steps: Steps not stored yet.
        buttons: (button id, kind) pairs that the pieces carry; a press finds the event by them,
            and may go on from its steps, which are then kept.
        fresh_start: Forget the conversation up to here (`/new`).
        aside: The exchange is in no conversation, and is found by a reply to the message alone.
        also: More events that end with it; of webhooks, what was posted is forgotten with them.
        failure, seen: Of a job's run: why it counts as failed, and its `Job.seen` from now on.
    """

    place: Place
    trace: Trace
    pieces: tuple[Piece, ...] = ()
    exchange: Exchange | None = None
    steps: tuple[Step, ...] = ()
    buttons: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    fresh_start: bool = False
    aside: bool = False
    also: tuple[int, ...] = ()
    failure: str = ""
    seen: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a proven post: `event` is there if it is new."""

    state: Literal["new", "known", "full"]
    event: StoredEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posts:
    """The posts of one webhook source: how many were taken, how many wait, and the last times."""

    hook: str
    taken: int
    waiting: int
    last: tuple[datetime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """A turn that waits for presses; all of it becomes true in one commit.

    Attributes:
        pieces: What it has said so far, for its own chat.
        notices: The messages with the buttons, by chat; the last piece of each is kept in mind,
            to be written over with what came of it.
        steps: Steps not stored yet.
        approvals: One for each call that needs a press.
        buttons: (button id, kind) pairs, as in `Ending`.
    """

    place: Place
    trace: Trace
    pieces: tuple[Piece, ...] = ()
    notices: tuple[tuple[Place, tuple[Piece, ...]], ...] = ()
    steps: tuple[Step, ...] = ()
    approvals: tuple[Approval, ...]
    buttons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message about approvals, of which `n` is the step of the first.

    `message_id` is `None` until it is sent.
    """

    n: int
    place: Place
    message_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a decision on calls of one turn came to.

    Attributes:
        event: The turn. If `resumed`, nothing of it is pending any more: its event is open again.
        changed: The approvals whose state this changed; none, if others were faster.
        approvals: All of the turn, as they stand now.
        notices: The messages about them.
    """

    event: StoredEvent
    changed: tuple[Approval, ...]
    approvals: tuple[Approval, ...]
    notices: tuple[Notice, ...]
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The most that a paid call may cost.

    Attributes:
        turn, user, job: For whom; `None` where there is none.
        kind: What is paid for.
    """

    at: datetime
    turn: int | None
    user: int | None
    kind: Literal["model", "search", "transcription", "speech"]
    model: str
    cost_usd: Decimal
    job: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A limit on what one person, one job, or all (`None`), may cost since a moment."""

    limit_usd: Decimal
    since: datetime
    user: int | None = None
    job: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A reservation, or (`id` is `None`) the cap that it does not fit under and what is left."""

    id: int | None
    cap: Cap | None = None
    left_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one day's calls of one kind and model came to; reservations count as spent."""

    day: date
    kind: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """What a button stands for: its kind, and the event under whose answer it is."""

    kind: str
    event: StoredEvent


class Store(Protocol):
    """Everything durable but the audit. Each method is one transaction; it is kept or it is not.

    Raises (all methods):
        StoreError: Nothing of it was kept.
    """

    async def add(
        self, batch: Sequence[Incoming], *, offset: int | None = None
    ) -> tuple[StoredEvent, ...]:
        """Store events and the next poll offset; return the new readable ones in order.

        One whose source and key are known already changes nothing and is not returned.
        """
        ...

    async def take_post(
        self, incoming: Incoming, scope: str, keys: Sequence[str], window_seconds: float | None
    ) -> Taken:
        """Store a post unless a key of it is known in the scope, or 50,000 or 256 MiB wait.

        Its keys count for `window_seconds`, or for ever; those of a known one change nothing.
        """
        ...

    async def open_posts(self, hook: str, limit: int) -> tuple[int, ...]:
        """Return the ids of the first posts of a source that wait, in order."""
        ...

    async def raw(self, event_id: int) -> str:
        """Return what an event was made from; empty where that is forgotten."""
        ...

    async def posts(self, last: int) -> tuple[Posts, ...]:
        """Count the posts by source, and return the times of the last ones."""
        ...

    async def offset(self) -> int | None:
        """Return the poll offset stored last."""
        ...

    async def unfinished(self) -> tuple[StoredEvent, ...]:
        """Return all events that are neither done nor dead, in order of arrival."""
        ...

    async def begin(self, event_id: int, first: Step | None = None) -> tuple[Step, ...]:
        """Count a start of work and return the steps so far; if there are none, store `first`."""
        ...

    async def release(self, event_id: int) -> None:
        """Take back a counted start: the work was put off by a clean stop."""
        ...

    async def note(self, event_id: int, steps: Sequence[Step]) -> None:
        """Store steps, over those with the same number; money spent on them is booked."""
        ...

    async def failed(self, event_id: int, error: str) -> int:
        """Count an error of an event and return how many there are now."""
        ...

    async def finish(self, event_id: int, ending: Ending) -> tuple[OutboxRow, ...]:
        """End an event: answer, history, buttons and state in one commit; return what to send."""
        ...

    async def exchanges(self, place: Place, limit: int) -> tuple[Exchange, ...]:
        """Return the latest exchanges since the last fresh start, oldest first."""
        ...

    async def exchange(self, place: Place, exchange_id: int) -> Exchange | None:
        """Return the exchange with this id or else the last one before it, however old.

        What lies before a fresh start is not returned.
        """
        ...

    async def replied(self, place: Place, message_id: int) -> Exchange | None:
        """Return the exchange whose answer was sent as this message, if it is in the history."""
        ...

    async def sleep(self, event_id: int, sleep: Sleep) -> tuple[OutboxRow, ...]:
        """Put an open event to sleep until its approvals are decided; return what to send.

        Its starts and errors count anew. It is not among `unfinished` until then.

        Raises:
            AlreadyEnded: It is not open.
        """
        ...

    async def approvals(self, event_id: int) -> tuple[Approval, ...]:
        """Return the approvals of a turn, in order, whatever their state."""
        ...

    async def pending(self, place: Place | None = None) -> tuple[Approval, ...]:
        """Return all pending approvals, or those of the turns of one place, oldest first."""
        ...

    async def sleeping(self, place: Place) -> tuple[StoredEvent, ...]:
        """Return the events of a place that wait for approvals, oldest first."""
        ...

    async def decide(
        self,
        event_id: int,
        steps: Sequence[int],
        state: ApprovalState,
        by: Person | None,
        press: str = "",
    ) -> Decided:
        """Bring pending approvals of a turn to a state; others stay as they are.

        With the last of them the event is open again.
        """
        ...

    async def withdraw(
        self,
        place: Place,
        note: str,
        *,
        before: int | None = None,
        turn: int | None = None,
        again: Incoming | None = None,
    ) -> tuple[tuple[Decided, ...], StoredEvent | None]:
        """Let nothing of the turns of a place happen any more that was asked for; cut them.

        Pending approvals and those approved but not executed expire; the events are open, and
        shall end with the note.

        Args:
            place: The conversation.
            note: Kept with the events.
            before: Of turns that are older than this event.
            turn: Of this one alone, and only while it waits.
            again: Stored if anything was withdrawn, to be worked instead.
        """
        ...

    async def notify(
        self,
        about: Sequence[Approval],
        place: Place,
        pieces: Sequence[Piece],
        buttons: Sequence[tuple[str, str]],
    ) -> tuple[OutboxRow, ...]:
        """Commit messages about approvals of one turn, with fresh buttons.

        The last is kept in mind as in `Sleep`, unless it is written over one that is.
        """
        ...

    async def reserve(self, charge: Charge, caps: Sequence[Cap]) -> Reserved:
        """Set money aside, if it fits under every cap with all that is spent and set aside."""
        ...

    async def settle(self, reservation: int, usage: Usage) -> None:
        """Put what a call really took in the place of its reservation; steps do so when stored."""
        ...

    async def usage(self, since: datetime, user_id: int | None = None) -> tuple[UsageRow, ...]:
        """Return use by day (UTC), kind and model, of one person or of all, in that order."""
        ...

    async def remember(
        self, chat_id: int, text: str, label: str, limit: int
    ) -> tuple[Memory, bool] | None:
        """Note a text for the people of a chat; `None` if `limit` notes are there already.

        A text that is there already, but for case and spaces, is returned with false.
        """
        ...

    async def memories(self, chat_id: int) -> tuple[Memory, ...]:
        """Return the notes for a chat, oldest first."""
        ...

    async def forget(self, chat_id: int, memory_id: int) -> bool:
        """Delete a note; false if this chat has none of this number."""
        ...

    async def add_job(self, job: Job, limit: int) -> Job | None:
        """Keep a job under a new number of its chat; `None` if the chat has so many already."""
        ...

    async def name_jobs(self, named: Sequence[Job]) -> None:
        """Make the jobs with a name these: new, changed or no more; all keep their runs.

        One that is defined as before goes on as it stood.
        """
        ...

    async def jobs(self, chat_id: int) -> tuple[Job, ...]:
        """Return the jobs of a chat that are not over, by when they are due."""
        ...

    async def job(self, job_id: int) -> Job | None:
        """Return a job, be it over."""
        ...

    async def next_due(self) -> datetime | None:
        """Return when the first job is due."""
        ...

    async def due(self, now: datetime, limit: int) -> tuple[Job, ...]:
        """Return jobs that are due, the longest first."""
        ...

    async def claim(
        self, job: Job, next_at: datetime | None, run: JobRun, incoming: Incoming
    ) -> tuple[RunState, StoredEvent | None] | None:
        """Move a job on, write down its run and, if that is to run, store its event: one commit.

        Returns:
            `overlapped` instead where an earlier run has not ended. `None` if the job is gone, was
            moved on by others, or the event is known: nothing was changed then.
        """
        ...

    async def hold_job(self, job_id: int, next_at: datetime | None) -> None:
        """Pause a job, or let it go on at this moment with its failures forgotten."""
        ...

    async def move_job(self, job: Job, next_at: datetime) -> None:
        """Have a job be due at another moment, if it still is as it was."""
        ...

    async def delete_job(self, job_id: int) -> None:
        """Delete a job and its runs."""
        ...

    async def job_runs(self, job_id: int, limit: int) -> tuple[JobRun, ...]:
        """Return the latest runs of a job, newest first."""
        ...

    async def say(
        self,
        place: Place,
        pieces: Sequence[Piece],
        trace: Trace,
        *,
        once: str | None = None,
        files: Sequence[BoxFile] = (),
    ) -> tuple[OutboxRow, ...]:
        """Commit messages that answer no event; with `once` only the first time with this name.

        The `blob` of what they carry is its place in `files`, which are forgotten once sent.
        """
        ...

    async def keep(self, event_id: int, files: Sequence[BoxFile]) -> tuple[int, ...]:
        """Store bytes that an answer to the event may carry; return their blob ids in order.

        They are forgotten with the event's ending unless it names them, and once they are sent.
        """
        ...

    async def merge(self, event: StoredEvent, others: Sequence[int]) -> None:
        """Let an event that was not begun hold all of several, which end with this.

        Under its former key, if it has another now, it stays known as it was.

        Raises:
            AlreadyEnded: One of them is not open any more, or was begun.
        """
        ...

    async def amend(self, key: str, event: Event) -> tuple[StoredEvent | None, bool]:
        """Put an edited message in the place of its former form, if that was not begun.

        Neither is a command: those are never replaced, and never replace.

        Returns:
            The event with this key as it stood before, if there is one, and whether it was
            replaced.
        """
        ...

    async def add_file(
        self, chat_id: int, file: ChatFile, data: bytes, pages: Sequence[str]
    ) -> ChatFile:
        """Keep a file for a chat under its next number; one of the same turn and `n` is returned.

        The oldest go where a chat has more than 200 files or 256 MiB then.
        """
        ...

    async def event_files(self, event_id: int) -> tuple[ChatFile, ...]:
        """Return the files that came with a turn, in order of `n`."""
        ...

    async def files(self, chat_id: int) -> tuple[ChatFile, ...]:
        """Return the files of a chat, oldest first; transcripts are not among them."""
        ...

    async def file_pages(self, file_id: int, first: int, count: int) -> tuple[str, ...]:
        """Return pages of a file, counted from 1."""
        ...

    async def find_in_files(
        self, chat_id: int, words: str, number: int | None, limit: int
    ) -> tuple[tuple[int, int, str], ...]:
        """Return (file number, page, page's text) where all the words stand, case aside."""
        ...

    async def file_data(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """Return the bytes of files by `ChatFile.id`; those that are gone are left out."""
        ...

    async def remove_file(self, chat_id: int, number: int) -> bool:
        """Delete a file with its text; false if the chat has none of this number."""
        ...

    async def blobs(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        """Return stored bytes, in this order.

        Raises:
            BlobLost: One is not there any more.
        """
        ...

    async def unsent(self) -> tuple[OutboxRow, ...]:
        """Return all rows to be sent, in order."""
        ...

    async def sent(self, row_id: int, message_id: int) -> None:
        """Mark a row as sent."""
        ...

    async def postpone(self, row_id: int, *, tries: int, not_before: datetime) -> None:
        """Note a failed try and the moment before which there must be no other."""
        ...

    async def rewrite(self, row_id: int, pieces: Sequence[Piece]) -> tuple[OutboxRow, ...]:
        """Replace what a row will send; pieces after the first get rows of their own."""
        ...

    async def drop(self, row_id: int, error: str) -> None:
        """Mark a row as dead."""
        ...

    async def button(self, button_id: str) -> Pressed | None:
        """Return what a button stands for, `None` if it is unknown."""
        ...

    async def fact(self, name: str) -> str | None:
        """Return a small stored fact."""
        ...

    async def set_fact(self, name: str, value: str | None) -> None:
        """Store or remove a small fact."""
        ...

    async def spent(self, since: datetime, user_id: int | None = None) -> Spent:
        """Sum up model use since a moment, of one person or of all."""
        ...

    async def counts(self) -> Counts:
        """Count what waits."""
        ...

    def problem(self) -> str | None:
        """Say what is wrong with the store, or `None`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Model use in a stretch of time; `cost_usd` as decimal text."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows by state."""

    waiting: int
    dead: int
    quarantined: int
    unsent: int


Links = frozenset[str] | None
"""The URLs that may be links, in their normal form (`urls`); `None`: all may."""


class Renderer(Protocol):
    """Markdown to messages."""

    def __call__(self, markdown: str, links: Links = frozenset()) -> tuple[Piece, ...]:
        """Return the messages that show the text; no word is lost; empty text gives none.

        Whatever a client would make a link of, and is not in `links`, is shown as code.
        """
        ...


Sound = Literal["transcription", "speech"]


class Budget(Protocol):
    """Money, set aside before each paid call."""

    async def reserve(self, request: ModelRequest) -> tuple[int, ModelRequest]:
        """Set aside the most that a call can cost; its output may be shrunk to fit.

        Returns:
            The reservation, and the request to be sent.

        Raises:
            BudgetSpent: Not even a short answer fits; nothing was set aside.
            StoreError: Nothing could be set aside.
        """
        ...

    async def reserve_other(self, kind: Sound, model: str, cost_usd: Decimal, trace: Trace) -> int:
        """Set aside what a call costs whose price is known before; return the reservation.

        Raises:
            BudgetSpent: It does not fit; nothing was set aside.
            StoreError: Nothing could be set aside.
        """
        ...

    async def settle(self, reservation: int, usage: Usage) -> None:
        """Put what such a call really took in the place of what was set aside for it."""
        ...

    async def release(self, reservation: int) -> None:
        """Give back what was set aside for a call that was not made, or costs nothing."""
        ...

    async def settled(self, reservation: int, request: ModelRequest, usage: Usage) -> None:
        """Take note of what an answered call really took; report it where that was more.

        The store settles it with the step that holds the answer; a search is settled here.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What a stop met: was a turn running here, and how many messages wait behind it."""

    was_running: bool
    waiting: int


class Control(Protocol):
    """What commands may do to the running turns."""

    async def stop(self, place: Place, before: int) -> Stopped:
        """End what runs for a place, tasks and webhooks too, if older than `before`, within 2 s."""
        ...

    async def panic(self, by: Person) -> int:
        """End every running turn and start none until `resume`, over restarts; return how many."""
        ...

    async def resume(self) -> bool:
        """Let turns start again; false if they were not held."""
        ...

    @property
    def held_by(self) -> str | None:
        """Who pressed `/panic`, if it is in force."""
        ...

    def running(self) -> int:
        """Count the turns that run now."""
        ...
