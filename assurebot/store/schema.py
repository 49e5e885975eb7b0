"""The tables, their version, and the migrations that lead to it.

The file is long because every table stands here; nothing in it acts but the migration.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.types import TypeDecorator

from assurebot.errors import StoreError


class Utc(TypeDecorator[datetime]):
    """An aware UTC time. SQLite has no zones, so the driver sees naive UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Strip the zone after turning to UTC; a naive time is a mistake of ours."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time reached the store")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Put the zone back."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


# SQLite gives rowids only to a column of exactly this type.
RowId = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("source", String, nullable=False),
    Column("key", String, nullable=False),
    Column("state", String, nullable=False),  # open, waiting, done, dead, quarantined
    Column("event", Text),  # null when `raw` could not be read
    Column("raw", Text, nullable=False),
    Column("user_id", BigInteger),
    Column("received_at", Utc, nullable=False),
    Column("starts", Integer, nullable=False, default=0),
    Column("errors", Integer, nullable=False, default=0),
    Column("error", Text),
    Column("cut", Text),  # the note that it shall end with
    UniqueConstraint("source", "key"),
    sqlite_autoincrement=True,  # an id is a turn's name for ever: never given twice
)
Index("inbox_state", inbox.c.state, inbox.c.source)
UNENDED = ("open", "waiting")

seen = Table(
    "seen",
    metadata,
    Column("scope", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("until", Utc),  # null: for ever
)
Index("seen_until", seen.c.until)

steps = Table(
    "steps",
    metadata,
    Column("event_id", RowId, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)

history = Table(
    "history",
    metadata,
    Column("place", String, primary_key=True),
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("thread_id", BigInteger),
    Column("private", Boolean, nullable=False),
    Column("piece", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("state", String, nullable=False),  # open, sent, dead
    Column("tries", Integer, nullable=False, default=0),
    Column("not_before", Utc),
    Column("message_id", BigInteger),
    Column("error", Text),
    sqlite_autoincrement=True,
)
Index("outbox_state", outbox.c.state)
Index("outbox_message", outbox.c.chat_id, outbox.c.message_id)

buttons = Table(
    "buttons",
    metadata,
    Column("id", String, primary_key=True),
    Column("event_id", RowId, nullable=False),
    Column("kind", String, nullable=False),
)

spend = Table(
    "spend",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("event_id", RowId),
    Column("n", Integer),  # the step, where nothing was reserved for it
    Column("kind", String, nullable=False),
    Column("at", Utc, nullable=False),
    Column("user_id", BigInteger),
    Column("model", String, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("job_id", RowId),
    UniqueConstraint("event_id", "n"),
)
Index("spend_at", spend.c.at)

blobs = Table(
    "blobs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("event_id", RowId, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # a message that outlived its file must not be given another
)
Index("blobs_event", blobs.c.event_id)

approvals = Table(
    "approvals",
    metadata,
    Column("event_id", RowId, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("body", Text, nullable=False),  # all else; the state in it is not kept up
)

notices = Table(
    "notices",
    metadata,
    Column("event_id", RowId, primary_key=True, autoincrement=False),
    Column("outbox_id", RowId, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),  # the first step that it asks about
)

memory = Table(
    "memory",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("folded", Text, nullable=False),  # without case and spaces, to find it again
    Column("label", String, nullable=False),
    Column("at", Utc, nullable=False),
    UniqueConstraint("chat_id", "folded"),
    sqlite_autoincrement=True,  # people know it by this number
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),  # people know it by this, each chat counts anew
    Column("name", String, nullable=False),  # of the variable that it is from, else empty
    Column("state", String, nullable=False),  # on, over, gone (with its variable)
    Column("paused", Boolean, nullable=False),
    Column("next_at", Utc),
    Column("failures", Integer, nullable=False),
    Column("seen", Text, nullable=False),
    Column("body", Text, nullable=False),  # all else; what has a column is not kept up in it
    UniqueConstraint("chat_id", "number"),
    sqlite_autoincrement=True,  # the budget knows it by this
)
Index("jobs_next", jobs.c.next_at)

runs = Table(
    "runs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("job_id", RowId, nullable=False),
    Column("event_id", RowId),
    Column("due_at", Utc, nullable=False),
    Column("at", Utc, nullable=False),
    Column("state", String, nullable=False),
    Column("note", Text, nullable=False),
)
Index("runs_job", runs.c.job_id)
Index("runs_event", runs.c.event_id)

files = Table(
    "files",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),  # people know it by this; 0: in no list
    Column("event_id", RowId, nullable=False),
    Column("n", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # all else; what has a column is not kept up in it
    Column("data", LargeBinary, nullable=False),  # last: the others are read without it
    UniqueConstraint("event_id", "n"),
    sqlite_autoincrement=True,  # messages in the history name it by this
)
Index("files_chat", files.c.chat_id, files.c.number)

pages = Table(
    "pages",
    metadata,
    Column("file_id", RowId, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True),
    Column("text", Text, nullable=False),
)

Migration = Callable[[Connection], None]


def _run(*statements: str) -> Migration:
    """Make a migration of the statements of its time: the tables above will move on."""

    def step(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    return step


MIGRATIONS: tuple[Migration, ...] = (
    _run(
        "CREATE TABLE blobs (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
        "event_id INTEGER NOT NULL, data BLOB NOT NULL)",
        "CREATE INDEX blobs_event ON blobs (event_id)",
    ),
    _run(
        "ALTER TABLE inbox ADD COLUMN cut TEXT",
        "CREATE INDEX outbox_message ON outbox (chat_id, message_id)",
        "DROP INDEX spend_at",
        "ALTER TABLE spend RENAME TO former",
        "CREATE TABLE spend (id INTEGER NOT NULL, event_id INTEGER, n INTEGER, "
        "kind VARCHAR NOT NULL, at DATETIME NOT NULL, user_id BIGINT, model VARCHAR NOT NULL, "
        "input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, "
        "cost_nano_usd BIGINT NOT NULL, job_id INTEGER, PRIMARY KEY (id), UNIQUE (event_id, n))",
        "INSERT INTO spend SELECT NULL, event_id, n, 'model', at, user_id, model, "
        "input_tokens, output_tokens, cost_nano_usd, NULL FROM former",
        "DROP TABLE former",
        "CREATE INDEX spend_at ON spend (at)",
        "DROP INDEX inbox_state",
        "CREATE INDEX inbox_state ON inbox (state, source)",
        'CREATE TABLE seen (scope VARCHAR NOT NULL, "key" VARCHAR NOT NULL, until DATETIME, '
        'PRIMARY KEY (scope, "key"))',
        "CREATE INDEX seen_until ON seen (until)",
        "CREATE TABLE approvals (event_id INTEGER NOT NULL, n INTEGER NOT NULL, "
        "state VARCHAR NOT NULL, body TEXT NOT NULL, PRIMARY KEY (event_id, n))",
        "CREATE TABLE notices (event_id INTEGER NOT NULL, outbox_id INTEGER NOT NULL, "
        "n INTEGER NOT NULL, PRIMARY KEY (event_id, outbox_id))",
        "CREATE TABLE memory (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
        "chat_id BIGINT NOT NULL, text TEXT NOT NULL, folded TEXT NOT NULL, "
        "label VARCHAR NOT NULL, at DATETIME NOT NULL, UNIQUE (chat_id, folded))",
        "CREATE TABLE jobs (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
        "chat_id BIGINT NOT NULL, number INTEGER NOT NULL, name VARCHAR NOT NULL, "
        "state VARCHAR NOT NULL, paused BOOLEAN NOT NULL, next_at DATETIME, "
        "failures INTEGER NOT NULL, seen TEXT NOT NULL, body TEXT NOT NULL, "
        "UNIQUE (chat_id, number))",
        "CREATE INDEX jobs_next ON jobs (next_at)",
        "CREATE TABLE runs (id INTEGER NOT NULL, job_id INTEGER NOT NULL, event_id INTEGER, "
        "due_at DATETIME NOT NULL, at DATETIME NOT NULL, state VARCHAR NOT NULL, "
        "note TEXT NOT NULL, PRIMARY KEY (id))",
        "CREATE INDEX runs_job ON runs (job_id)",
        "CREATE INDEX runs_event ON runs (event_id)",
    ),
    _run(
        "CREATE TABLE files (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
        "chat_id BIGINT NOT NULL, number INTEGER NOT NULL, event_id INTEGER NOT NULL, "
        "n INTEGER NOT NULL, size BIGINT NOT NULL, body TEXT NOT NULL, data BLOB NOT NULL, "
        "UNIQUE (event_id, n))",
        "CREATE INDEX files_chat ON files (chat_id, number)",
        "CREATE TABLE pages (file_id INTEGER NOT NULL, n INTEGER NOT NULL, text TEXT NOT NULL, "
        "PRIMARY KEY (file_id, n))",
    ),
)
"""`MIGRATIONS[k]` leads a database from version k + 1 to k + 2."""

VERSION = len(MIGRATIONS) + 1


def migrate(connection: Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring a database to the newest version; a new one is made whole.

    Raises:
        StoreError: It was written by a newer program.
    """
    newest = len(migrations) + 1
    if not inspect(connection).has_table("facts"):
        metadata.create_all(connection)
        _stamp(connection, newest)
        return
    row = connection.execute(text("SELECT value FROM facts WHERE name = 'schema'")).scalar_one()
    version = int(row)
    if version > newest:
        raise StoreError(
            f"the database has schema {version}, this program knows {newest}: "
            "run the newer version, or restore a backup made by this one"
        )
    for step in migrations[version - 1 :]:
        step(connection)
    if version != newest:
        _stamp(connection, newest)


def _stamp(connection: Connection, version: int) -> None:
    connection.execute(text("DELETE FROM facts WHERE name = 'schema'"))
    connection.execute(
        text("INSERT INTO facts (name, value) VALUES ('schema', :v)"), {"v": str(version)}
    )
