"""Backends and drivers that quote in their errors whatever they were given."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar, Final, NoReturn

from sessionward import Session
from sessionward.backends import Carrier, Credential, public_id

QUOTED: Final = "QUOTED BY THE DRIVER"


class QuotingCursor(sqlite3.Cursor):
    def execute(self, statement: str, parameters: Any = (), /) -> QuotingCursor:
        if QuotingConnection.quotes and "sessionward" in statement:
            raise sqlite3.OperationalError(f"{QUOTED}: {statement} {parameters!r}")
        super().execute(statement, parameters)
        return self


class QuotingConnection(sqlite3.Connection):
    """A driver whose errors show the parameters of the statement."""

    quotes: ClassVar[bool] = False

    def cursor(self, *_: Any) -> QuotingCursor:  # type: ignore[override]
        return QuotingCursor(self)


class TellingBackend:
    """Somebody's own backend, which tells in its errors what it was asked about."""

    def find(self, credential: Credential, /) -> Session | None:
        return _told(credential)

    def revoke_others(self, session: Session, /) -> int:
        raise AssertionError


class TellingAsyncBackend:
    async def find(self, credential: Credential, /) -> Session | None:
        return _told(credential)

    async def revoke_others(self, session: Session, /) -> int:
        raise AssertionError


class TellingTable(TellingBackend):
    """Over an application's own table, with a cookie of its own."""

    carriers: ClassVar[list[Carrier]] = [Carrier.cookie("sid")]


class TellingAsyncTable(TellingAsyncBackend):
    carriers: ClassVar[list[Carrier]] = [Carrier.cookie("sid")]


class TellingLate(TellingBackend):
    """Finds the session, and then tells everything."""

    def find(self, credential: Credential, /) -> Session | None:
        return Session(id=public_id(credential), user_id="ann", credential=credential)

    def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        _told(session.credential)


class TellingAsyncLate(TellingAsyncBackend):
    async def find(self, credential: Credential, /) -> Session | None:
        return Session(id=public_id(credential), user_id="ann", credential=credential)

    async def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        _told(session.credential)


def _told(credential: Credential) -> NoReturn:
    raise LookupError(f"{QUOTED}: no row for {credential.reveal()!r}")
