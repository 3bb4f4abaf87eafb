"""Notes: the guestbook's store, one SQLite file that any number of processes share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# AUTOINCREMENT: a number is never given twice, so "what came after note 7" has one answer.
SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    image TEXT,
    door TEXT NOT NULL,
    owner TEXT NOT NULL,
    at TEXT NOT NULL
)"""

LARGEST_ID = 2**63 - 1  # SQLite's integers have 64 bits, and a path can hold larger numbers


@dataclass(frozen=True)
class Note:
    """One note, as it was left."""

    id: int
    name: str
    text: str
    image: str | None  # the name of its file, if it has one
    door: str  # "wsgi" or "asgi": through which it came
    owner: str  # who may take it back; never shown
    at: datetime


class Notes:
    """The notes in the SQLite file at `path`.

    Every call opens a connection and closes it, so nothing is shared by threads, or by
    processes after a fork. That costs 60 microseconds as long as somebody holds the file
    open (see `opened`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the table if it is not there, and hold the file open for as long as this lasts.

        When its last connection closes, SQLite tidies up the write-ahead log: a millisecond
        that is better spent once, at the end of the process, than after every call.
        """
        with closing(self._connection()) as connection:
            # With a write-ahead log nobody waits to read while somebody writes.
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                connection.execute(SCHEMA)
            yield

    def add(self, *, name: str, text: str, door: str, owner: str, image: str | None = None) -> Note:
        """Keep a new note."""
        at = datetime.now(UTC)
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO notes (name, text, image, door, owner, at) VALUES (?, ?, ?, ?, ?, ?)",
                (name, text, image, door, owner, at.isoformat()),
            )
            return Note(cursor.lastrowid or 0, name, text, image, door, owner, at)

    def get(self, number: int) -> Note | None:
        """The note with this number, if it is still there."""
        found = self._select("WHERE id = ?", min(number, LARGEST_ID))
        return found[0] if found else None

    def before(self, number: int, limit: int) -> list[Note]:
        """At most `limit` notes older than this one, the newest first."""
        where = "WHERE id < ? ORDER BY id DESC LIMIT ?"
        return self._select(where, min(number, LARGEST_ID), limit)

    def after(self, number: int, limit: int) -> list[Note]:
        """At most `limit` notes newer than this one, the oldest first."""
        return self._select("WHERE id > ? ORDER BY id LIMIT ?", min(number, LARGEST_ID), limit)

    def newest(self, limit: int) -> list[Note]:
        """The last `limit` notes, the newest first."""
        return self._select("ORDER BY id DESC LIMIT ?", limit)

    def delete(self, number: int) -> None:
        """Forget the note with this number."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM notes WHERE id = ?", (min(number, LARGEST_ID),))

    def _select(self, rest: str, *values: Any) -> list[Note]:
        # `rest` is always a literal of this file; what comes from outside is in `values`.
        with self._transaction() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(f"SELECT * FROM notes {rest}", values).fetchall()
        return [Note(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept, all of them, unless something is raised."""
        with closing(self._connection()) as connection, connection:
            yield connection

    def _connection(self) -> sqlite3.Connection:
        # `timeout`: seconds to wait for another writer. Each connection is used by one thread at
        # a time; but under WSGI a lifespan may end in another thread than it began in.
        connection = sqlite3.connect(self.path, timeout=10, check_same_thread=False)
        # In a write-ahead log a lost machine may take the last notes along, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
