"""The files of the store: private, durable, held by one, versioned, and set aside when damaged."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from assurebot.errors import ConfigError, DataHeld, StoreError
from assurebot.store import schema
from assurebot.store.folder import CHECKED_WHOLE_BYTES, held, make_private, set_aside_if_damaged
from tests.store.making import HERE, NOW, added, incoming, store


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_is_private(tmp_path: Path) -> None:
    """The folder is 0700 and each file in it 0600, whatever the umask."""
    folder = tmp_path / "a" / "data"
    before = os.umask(0)
    try:
        make_private(folder)
        async with held(folder, 1, print), store(folder) as opened:
            await added(opened, "a")
            modes = {path.name: mode(path) for path in folder.iterdir()}
        assert (mode(folder), set(modes.values())) == (0o700, {0o600})
        assert set(modes) == {"lock", "test.db", "test.db-wal", "test.db-shm"}
    finally:
        os.umask(before)


def test_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    """A folder that others could read is made private."""
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o700


def test_folder_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    """Where the folder cannot be, the error names DATA_DIR and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^DATA_DIR: .* cannot be written by uid "):
        make_private(tmp_path / "file" / "data")


async def test_files_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    """A lock or a database that is of another user, or no file at all, is an error of ours."""
    (tmp_path / "lock").mkdir()
    (tmp_path / "test.db").mkdir()
    with pytest.raises(ConfigError, match=r"^DATA_DIR: the lock cannot be opened: "):
        async with held(tmp_path, 0, print):
            pass
    with pytest.raises(StoreError, match=r"^test.db cannot be opened: "):
        async with store(tmp_path):
            pass


async def test_writes_are_durable(tmp_path: Path) -> None:
    """The journal is WAL and every commit is synced in full, on the connection that writes."""
    async with store(tmp_path) as opened:

        def ask(connection: Connection) -> tuple[object, object, object]:
            journal, synchronous, keys = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            )
            return journal, synchronous, keys

        assert await opened._writer.run(ask) == ("wal", 2, 1)


async def test_readers_cannot_write(tmp_path: Path) -> None:
    """One connection writes; the others are refused."""
    async with store(tmp_path) as opened:

        def write(connection: Connection) -> None:
            connection.execute(text("DELETE FROM facts"))

        with pytest.raises(StoreError, match="readonly"):
            await opened._read(write)


async def test_second_holder_waits_is_told_and_gives_up(tmp_path: Path) -> None:
    """The holder is named by process, host and start; free again, the folder can be held."""
    told: list[str] = []
    async with held(tmp_path, 1, told.append):
        with pytest.raises(DataHeld, match=rf"held by process {os.getpid()} on .* since 20"):
            async with held(tmp_path, 0.2, told.append):
                raise AssertionError("held twice")
    assert told[0].startswith(f"process {os.getpid()} on ")
    async with held(tmp_path, 0, told.append):
        pass


async def test_waiting_holder_gets_the_folder(tmp_path: Path) -> None:
    """Whoever waits holds the folder soon after it came free."""
    waiting = asyncio.Event()

    async def second() -> str:
        async with held(tmp_path, 5, lambda _: waiting.set()):
            return "held"

    async with held(tmp_path, 1, print):
        task = asyncio.create_task(second())
        async with asyncio.timeout(5):
            await waiting.wait()
        assert not task.done()
    async with asyncio.timeout(5):
        assert await task == "held"


@pytest.mark.parametrize("damage", ["truncated", "random", "header", "empty wal"])
async def test_damage_is_found_and_set_aside_with_side_files(tmp_path: Path, damage: str) -> None:
    """A damaged file is renamed with its WAL, named, and an empty database takes its place."""
    async with store(tmp_path) as opened:
        for number in range(50):
            await added(opened, str(number))
    path = tmp_path / "test.db"
    whole = path.read_bytes()
    bad = {
        "truncated": whole[:-5_000],
        "random": os.urandom(20_000),
        "header": b"SQLite format 4\0" + whole[16:],
        "empty wal": whole,
    }[damage]
    path.write_bytes(bad)
    path.with_name("test.db-wal").write_bytes(b"")
    async with store(tmp_path) as opened:
        aside = opened.set_aside
        if damage == "empty wal":
            assert (aside, len(await opened.unfinished())) == (None, 50)
            return
        assert aside == tmp_path / "test.db.damaged-20260506T070809"
        assert aside.read_bytes() == bad
        assert await opened.unfinished() == ()
        await added(opened, "new")
    async with store(tmp_path) as opened:
        assert (opened.set_aside, len(await opened.unfinished())) == (None, 1)


async def test_large_database_is_checked_after_a_crash_only(tmp_path: Path) -> None:
    """Reading a large file whole at each clean start would take too long."""
    path = tmp_path / "big.db"
    with path.open("wb") as file:
        file.truncate(CHECKED_WHOLE_BYTES + 1)
        file.write(b"no database at all")
    assert set_aside_if_damaged(path, crashed=False, now=NOW) is None
    assert set_aside_if_damaged(path, crashed=True, now=NOW) is not None
    assert not path.exists()


async def test_clean_stop_is_marked(tmp_path: Path) -> None:
    """The mark stands while the store is closed, and only then."""
    marker = tmp_path / "stopped-cleanly"
    async with store(tmp_path):
        assert not marker.exists()
    assert marker.exists()


async def test_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A database of a later program is not opened, and can be opened by that one afterwards."""
    async with store(tmp_path) as opened:
        await added(opened, "a")
        await opened.set_fact("schema", str(schema.VERSION + 1))
    with pytest.raises(StoreError, match=f"schema {schema.VERSION + 1}, this program knows"):
        async with store(tmp_path):
            raise AssertionError("opened")
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (1,)


def test_migrations_run_in_order_from_the_version_that_is_there(tmp_path: Path) -> None:
    """Only the missing steps run, once, and a new database is made whole without any."""
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    ran: list[str] = []
    steps = tuple(lambda _, name=name: ran.append(name) for name in ("to 2", "to 3", "to 4"))
    with engine.begin() as connection:
        schema.migrate(connection, steps[:1])
        assert (ran, version(connection)) == ([], "2")
        schema.migrate(connection, steps)
        assert (ran, version(connection)) == (["to 3", "to 4"], "4")
        schema.migrate(connection, steps)
        assert ran == ["to 3", "to 4"]
        with pytest.raises(StoreError):
            schema.migrate(connection, steps[:2])
    engine.dispose()


def version(connection: Connection) -> object:
    """The version that a database says it has."""
    return connection.execute(text("SELECT value FROM facts WHERE name = 'schema'")).scalar()


async def test_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A broken step leaves the version and the data as they were."""
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")

    def bad(connection: Connection) -> None:
        connection.execute(text("DELETE FROM facts"))
        raise ValueError("broken")

    with engine.begin() as connection:
        schema.migrate(connection)
        before = version(connection)
    with pytest.raises(ValueError, match="broken"), engine.begin() as connection:
        schema.migrate(connection, (*schema.MIGRATIONS, bad))
    with engine.begin() as connection:
        assert version(connection) == before
    engine.dispose()


async def test_order_of_arrival_is_the_order_of_work(tmp_path: Path) -> None:
    """Ids grow with arrival and are never given twice."""
    async with store(tmp_path) as opened:
        ids = [(await added(opened, str(n), HERE)).id for n in range(3)]
        await opened.add([incoming("2")])
        ids.append((await added(opened, "3")).id)
        assert ids == sorted(set(ids))
        assert [each.id for each in await opened.unfinished()] == ids
