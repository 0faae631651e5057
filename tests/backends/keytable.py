"""Somebody else's sessions: a table ``user_id, key`` of an application that signs its users in by itself (mode application).

Its cookie carries the key as it stands in the table. A row that was deleted never comes back.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from sessionward import Session, SessionRevoked
from sessionward.backends import Carrier, Credential, public_id

COOKIE = "app_login"


class KeyTable:
    """The two operations that a backend needs, and where its credentials travel."""

    carriers: ClassVar = [Carrier.cookie(COOKIE), Carrier.header("Authorization", scheme="Token")]

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.transaction() as table:
            table.execute("CREATE TABLE IF NOT EXISTS logins (user_id TEXT NOT NULL, key TEXT PRIMARY KEY)")

    def find(self, credential: Credential, /) -> Session | None:
        with self.transaction() as table:
            row = table.execute("SELECT user_id FROM logins WHERE key = ?", (credential.reveal(),)).fetchone()
        return None if row is None else Session(id=public_id(credential), user_id=row[0], credential=credential)

    def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        own = session.credential.reveal()
        with self.transaction() as table:
            if table.execute("SELECT 1 FROM logins WHERE key = ? AND user_id = ?", (own, session.user_id)).fetchone() is None:
                raise SessionRevoked("the session that asked has been deleted")
            return table.execute("DELETE FROM logins WHERE user_id = ? AND key <> ?", (session.user_id, own)).rowcount

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        table = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
        try:
            table.execute("BEGIN IMMEDIATE")
            yield table
            table.execute("COMMIT")
        finally:
            table.close()  # which rolls back what was not committed


class AsyncKeyTable:
    """The same, async."""

    carriers: ClassVar = KeyTable.carriers

    def __init__(self, path: Path) -> None:
        self.sync = KeyTable(path)

    async def find(self, credential: Credential, /) -> Session | None:
        return await asyncio.to_thread(self.sync.find, credential)

    async def revoke_others(self, session: Session, /) -> int:
        return await asyncio.to_thread(self.sync.revoke_others, session)
