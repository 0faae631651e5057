"""What a site is: an application of some framework, its own login, and the door that is put around it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar
from uuid import uuid4
from wsgiref.validate import validator

import httpx2
import time_machine
from sqlalchemy import create_engine, insert, select

import sessionward
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.backends.sql.tables import metadata, sessions
from sessionward.testing.bridge import Loop
from tests.matrix.browser import NOBODY, PATIENCE, Browser, Gate, cookies_of, id_of, name_of

T = TypeVar("T")

SECRET: Final = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"
NEW_SECRET: Final = "Zt7-uR4qWn8Lk2Jh6Gf1Ds9Ap3Mx5CvB-test"
KEEPS_ITS_ID: Final = {
    "15-renewed-in-flight": "no call of the library gives a session another id or token; 4b has signed cookies written anew",
}
UNSIGNED: Final = {"10-rotated-secrets": "its tokens are random and signed by nobody, and mode application has no secret of its own"}
LONG_AGO: Final = timedelta(days=400)
"""Longer than any credential of these applications lives, the remember-me cookies included."""


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Somebody writes into this SQLite file and does not come to an end."""
    with closing(sqlite3.connect(file, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


class Site(ABC):
    """One application. Its routes: ``/login``, ``/logout``, ``/me``, ``/cart``, ``/anonymous-visit``, ``/slow-read``, ``/slow-write``.

    Where the application can give its session another id or token, ``/slow-renew`` does, and answers with it.
    """

    mode: ClassVar[str] = "companion"
    on_server: ClassVar[bool] = False
    """The application keeps its sessions where the naive way can delete them."""
    sees_all: ClassVar[bool] = False
    """Sessions count that have not come by since the installation: the backend can tell which there are."""
    in_header: ClassVar[bool] = False
    """The login travels in a header, and leaves in a body, from which no door takes it: it is refused where it comes back."""
    counts_all: ClassVar[bool] = True
    """False where some sessions that the call revokes have no row anywhere, so they cannot be counted."""
    tells_its_id: ClassVar[bool] = True
    """``/slow-renew`` answers with the new id or token, as a cookie would hold it."""
    session_cookie: ClassVar[str] = "session"
    remember_cookie: ClassVar[str | None] = None
    users: ClassVar[tuple[str, ...]] = ("zero", "seven", "uuid")
    """Those of ``IDS`` that the application can have."""
    chosen_id: ClassVar[str] = "f" * 32
    """An id of the right form that the application never gave out."""
    keeps_anonymous: ClassVar[bool] = True
    """A visitor who is not signed in has a session, with a cart in it."""
    forgets_without_revoking: ClassVar[bool] = False
    """Who signs in over another session only loses its cookie; the row in the table lives on."""
    halfway: ClassVar[tuple[str, str] | None] = None
    """The request in whose middle the store has looked and not yet written, where it does so in two steps."""
    own_loggers: ClassVar[frozenset[str]] = frozenset()
    """Loggers of the application's own libraries that tell at DEBUG whatever passes."""
    excuses: ClassVar[Mapping[str, str]] = {}
    """Checks that say nothing about this application, and why: "does not apply because ..."."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.gate = Gate()
        self.between: Callable[[], object] = lambda: None
        """What the naive way does between its look and its act."""
        self.secrets = [SECRET]
        self._disabled: set[str] = set()
        self.app: Any = self.make_app()
        self.entrance: Any = self.app
        """What browsers talk to: the application itself until a door is put around it."""

    @property
    def neighbour_cookie(self) -> str:
        """How the application below ``/shop`` calls its cookie."""
        return self.session_cookie

    @property
    def login_cookies(self) -> tuple[str, ...]:
        """The names of the application's own cookies that can sign someone in."""
        return (self.session_cookie,) if self.remember_cookie is None else (self.session_cookie, self.remember_cookie)

    # --- what each framework says -------------------------------------------------------------------------------------

    @abstractmethod
    def make_app(self) -> Any: ...

    @abstractmethod
    def identifier(self) -> Any:
        """In mode companion: who the application says is signed in. None in mode application."""

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        """Delete the other sessions where the application keeps them; None for a stranger. Signed cookies are kept nowhere."""
        return 0

    def credentials(self, header: Callable[[str], str]) -> Mapping[str, str]:
        """For the naive way: the cookies of a request, by name, out of its header fields."""
        return cookies_of(header("Cookie"))

    def rotate(self) -> None:
        """Give the application and the door new secrets, the old ones as fallbacks, where each has some."""
        self.secrets = [NEW_SECRET, SECRET]

    # --- the door -----------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"sqlite:///{self.place}/sessionward.db"

    @abstractmethod
    def install(self, **settings: Any) -> None:
        """Put the door around the application, as the README says."""

    @abstractmethod
    def install_naively(self, **settings: Any) -> None:
        """Put the naive way around it."""

    def settings(self, **settings: Any) -> dict[str, Any]:
        identifier = self.identifier()
        return settings if identifier is None else {"secrets": self.secrets, "identify": identifier, **settings}

    def kept(self) -> str:
        """Everything that stands in our tables, as text."""
        if not (self.place / "sessionward.db").exists():
            return ""
        engine = create_engine(self.url)
        with engine.connect() as connection:
            values = [value for table in metadata.sorted_tables for row in connection.execute(select(table)) for value in row]
        engine.dispose()
        return "\n".join(f"{value.hex()} {value.decode('latin-1')}" if isinstance(value, bytes) else str(value) for value in values)

    # --- users ----------------------------------------------------------------------------------------------------------

    def user_named(self, stored: object) -> str:
        """Whom the application takes for signed in, where this id stands in a session."""
        name = NOBODY if stored is None else name_of(stored)
        return NOBODY if name in self._disabled else name

    def disable(self, user: str) -> None:
        """Let the application take this user for nobody, until :meth:`enable`."""
        self._disabled.add(user)

    def enable(self, user: str) -> None:
        self._disabled.discard(user)

    def stored_id(self, user: str) -> Any:
        return id_of(user)

    @abstractmethod
    def revoke_all(self, user: str) -> int | None:
        """What a job of the application calls; None behind the naive way, by which users are disabled and nothing is called."""

    # --- time ---------------------------------------------------------------------------------------------------------

    def expired(self, user: str) -> Browser:
        """A browser that signed in long ago, by the clock of the application and of our tables, and still has its cookies."""
        with time_machine.travel(datetime.now(UTC) - LONG_AGO):
            browser = Browser(self)
            browser.login(user)
            return browser.copy()

    def mislead_the_index(self, user: str) -> None:  # noqa: B027 - only Django's backend has one
        """Let the backend's index say that every session is this user's."""

    def held_halfway(self, victim: Browser) -> AbstractContextManager[None]:
        """Lets the store wait at the gate, in the middle of the request that ``halfway`` names."""
        raise NotImplementedError

    # --- trouble ------------------------------------------------------------------------------------------------------

    def fill(self, like: Browser, user: str, number: int) -> None:
        """So many more sessions of this user, like the one of this browser. In mode companion they are companions."""
        if not (self.place / "sessionward.db").exists():
            return  # behind the naive way
        engine = create_engine(self.url)
        with engine.begin() as connection:
            row = connection.execute(select(sessions).where(sessions.c.user_id == str(self.stored_id(user)))).mappings().one()
            made = [{**row, "id": uuid4(), "digest": os.urandom(32), "app_session": os.urandom(32)} for _ in range(number)]
            connection.execute(insert(sessions), made)
        engine.dispose()

    def lay_beside_others(self) -> None:
        """Let our tables lie in a file of the application's own, in which a writer holds up readers too."""
        with closing(sqlite3.connect(self.place / "sessionward.db")) as connection:
            connection.execute("CREATE TABLE of_the_application (x)")

    def silent(self) -> AbstractContextManager[None]:
        """For so long what must be asked who is signed in does not answer."""
        return held(self.place / "sessionward.db")

    # --- what browsers talk to ----------------------------------------------------------------------------------------

    def start(self, request: httpx2.Request) -> Future[httpx2.Response]:
        return self.send(self.entrance, request)

    @abstractmethod
    def send(self, app: Any, request: httpx2.Request) -> Future[httpx2.Response]: ...

    @abstractmethod
    def beside(self, prefix: str, other: Site) -> Any:
        """An application with this site at the root and another one below ``prefix``."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Give back what the site holds."""


# --- WSGI -------------------------------------------------------------------------------------------------------------


class WSGISite(Site):
    """A site that is called as PEP 3333 says, under the eyes of its validator. Each request has a thread of its own."""

    def __init__(self, place: Path) -> None:
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="request")
        self._backend: Any = None
        super().__init__(place)

    def backend(self) -> Any:
        backend = SQLBackend(self.url)
        backend.create_tables()
        return backend

    def install(self, **settings: Any) -> None:
        self._close_backend()
        self._backend = self.backend()
        self.entrance = sessionward.WSGIMiddleware(self.app, self._backend, **self.settings(**settings))

    def install_naively(self, **settings: Any) -> None:
        from tests.matrix.naive import NaiveWSGI

        self.entrance = NaiveWSGI(self.app, self)

    def revoke_all(self, user: str) -> int | None:
        return None if self._backend is None else int(self._backend.revoke_all(self.stored_id(user)))

    def send(self, app: Any, request: httpx2.Request) -> Future[httpx2.Response]:
        return self._threads.submit(_answer_of, app, request)

    def beside(self, prefix: str, other: Site) -> Any:
        from werkzeug.middleware.dispatcher import DispatcherMiddleware

        return DispatcherMiddleware(self.entrance, {prefix: other.entrance})

    def close(self) -> None:
        self._threads.shutdown()
        self._close_backend()
        super().close()

    def _close_backend(self) -> None:
        if hasattr(self._backend, "close"):
            self._backend.close()


def _answer_of(app: Any, request: httpx2.Request) -> httpx2.Response:
    response = httpx2.WSGITransport(validator(app)).handle_request(request)
    response.read()
    response.close()
    return response


# --- ASGI -------------------------------------------------------------------------------------------------------------


class Starting(Loop):
    """An event loop in a thread, on which something can be started without waiting for it."""

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


class ASGISite(Site):
    """A site that is called as ASGI says, all requests on one event loop."""

    def __init__(self, place: Path) -> None:
        self.loop = Starting()
        self._under_way: set[Future[httpx2.Response]] = set()
        self._backend: Any = None
        super().__init__(place)

    async def backend(self) -> Any:
        backend = AsyncSQLBackend(self.url)
        await backend.create_tables()
        return backend

    def install(self, **settings: Any) -> None:
        async def around() -> Any:
            await self._close_backend()
            self._backend = await self.backend()
            return sessionward.ASGIMiddleware(self.app, self._backend, **self.settings(**settings))

        self.entrance = self.loop.run(around())

    def install_naively(self, **settings: Any) -> None:
        from tests.matrix.naive import NaiveASGI

        self.entrance = NaiveASGI(self.app, self)

    def revoke_all(self, user: str) -> int | None:
        async def revoked() -> int:
            return int(await self._backend.revoke_all(self.stored_id(user)))

        return None if self._backend is None else self.loop.run(revoked())

    async def hold(self) -> None:
        """The gate, for views on the loop."""
        await asyncio.to_thread(self.gate.hold)

    def send(self, app: Any, request: httpx2.Request) -> Future[httpx2.Response]:
        async def ask() -> httpx2.Response:
            response = await httpx2.ASGITransport(app).handle_async_request(request)
            await response.aread()
            return response

        sent = self.loop.start(ask())
        self._under_way.add(sent)
        sent.add_done_callback(self._under_way.discard)
        return sent

    def beside(self, prefix: str, other: Site) -> Any:
        from starlette.routing import Mount, Router

        return Router(routes=[Mount(prefix, other.entrance), Mount("/", self.entrance)])

    async def closing(self) -> None:
        """Close, on the loop, what belongs to it."""

    def close(self) -> None:
        # A story that fails leaves requests on their way. They would open again what is closed here, and nobody would close it then.
        wait(set(self._under_way), PATIENCE)
        self.loop.run(self._close_backend())
        self.loop.run(self.closing())
        self.loop.close()
        super().close()

    async def _close_backend(self) -> None:
        if hasattr(self._backend, "close"):
            await self._backend.close()


class Beside:
    """Two applications under one host, as browsers see them."""

    def __init__(self, root: Site, prefix: str, other: Site) -> None:
        self.gate = root.gate
        self._root = root
        self._app = root.beside(prefix, other)

    def start(self, request: httpx2.Request) -> Future[httpx2.Response]:
        return self._root.send(self._app, request)
