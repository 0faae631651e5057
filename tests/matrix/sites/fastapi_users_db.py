"""FastAPI with fastapi-users: its own login routes, cookies, and tokens in a table of the application's."""

# No postponed annotations here: FastAPI could not see the functions that they name.

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from fastapi import Depends, FastAPI, Form, Request
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy import create_engine, insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool

from tests.matrix.browser import NOBODY, Browser, id_of, password_of
from tests.matrix.site import KEEPS_ITS_ID, UNSIGNED, ASGISite, held

COOKIE: Final = "fastapiusersauth"
LIFETIME: Final = 14 * 86_400


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


class Manager(UUIDIDMixin, BaseUserManager[User, UUID]):
    reset_password_token_secret = "reset-secret-of-the-application-32b"
    verification_token_secret = "verify-secret-of-the-application-32b"


class Quick(PasswordHelper):
    """Argon2 as the library sets it, with the smallest cost: a test signs in a hundred times."""

    def __init__(self) -> None:
        from pwdlib import PasswordHash
        from pwdlib.hashers.argon2 import Argon2Hasher

        super().__init__(PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)))


class FastAPIUsersSite(ASGISite):
    mode: ClassVar[str] = "application"
    on_server: ClassVar[bool] = True
    sees_all: ClassVar[bool] = True
    session_cookie: ClassVar[str] = COOKIE
    chosen_id: ClassVar[str] = "f" * 43
    keeps_anonymous: ClassVar[bool] = False
    forgets_without_revoking: ClassVar[bool] = True
    own_loggers: ClassVar[frozenset[str]] = frozenset({"aiosqlite"})
    excuses: ClassVar[Mapping[str, str]] = {**KEEPS_ITS_ID, **UNSIGNED}

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.database = f"sqlite:///{place}/app.db"
        self.carts: dict[str, str] = {}
        engine = create_engine(self.database)
        Base.metadata.create_all(engine)
        hashed = {name: Quick().hash(password_of(name)) for name in ("ann", "bob", *self.users)}
        with engine.begin() as connection:
            for name in hashed:
                connection.execute(
                    User.__table__.insert().values(  # type: ignore[attr-defined]
                        id=self.stored_id(name),
                        email=name,
                        hashed_password=hashed[name],
                        is_active=True,
                        is_superuser=False,
                        is_verified=True,
                    )
                )
        engine.dispose()
        self.engine = create_async_engine(self.database.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool)
        super().__init__(place)

    def make_app(self) -> Any:
        sessions = async_sessionmaker(self.engine, expire_on_commit=False)

        async def session() -> AsyncIterator[AsyncSession]:
            async with sessions() as opened:
                yield opened

        async def users_of(opened: Annotated[AsyncSession, Depends(session)]) -> Any:
            return SQLAlchemyUserDatabase(opened, User)

        async def tokens_of(opened: Annotated[AsyncSession, Depends(session)]) -> Any:
            return SQLAlchemyAccessTokenDatabase(opened, AccessToken)

        async def manager_of(users: Annotated[Any, Depends(users_of)]) -> Any:
            return Manager(users, Quick())

        def strategy_of(tokens: Annotated[Any, Depends(tokens_of)]) -> Any:
            return DatabaseStrategy(tokens, lifetime_seconds=LIFETIME)

        backend = AuthenticationBackend("database", CookieTransport(cookie_name=COOKIE, cookie_max_age=LIFETIME), strategy_of)
        users = FastAPIUsers[User, UUID](manager_of, [backend])
        perhaps = users.current_user(optional=True, active=True)
        app = FastAPI()
        app.include_router(users.get_auth_router(backend))

        def found(request: Request, user: User | None) -> dict[str, str]:
            if user is None:
                return {"user": NOBODY, "cart": ""}
            return {"user": user.email, "cart": self.carts.get(request.cookies[COOKIE], "")}

        @app.get("/me")
        async def me(request: Request, user: Annotated[Any, Depends(perhaps)]) -> dict[str, str]:
            return found(request, user)

        @app.post("/cart")
        async def cart(request: Request, item: Annotated[str, Form()], user: Annotated[Any, Depends(perhaps)]) -> str:
            self.carts[request.cookies[COOKIE]] = item
            return "thanks"

        @app.get("/anonymous-visit")
        async def visit() -> str:
            return "hello"

        @app.get("/slow-read")
        async def slow_read(request: Request, user: Annotated[Any, Depends(perhaps)]) -> dict[str, str]:
            before = found(request, user)
            await self.hold()
            return before

        @app.post("/slow-write")
        async def slow_write(request: Request, item: Annotated[str, Form()], user: Annotated[Any, Depends(perhaps)]) -> dict[str, str]:
            before = found(request, user)
            await self.hold()
            self.carts[request.cookies[COOKIE]] = item
            return before

        return app

    async def backend(self) -> Any:
        from sessionward.backends.table import AsyncTableBackend, Expires

        lives = Expires.created("created_at", lifetime=LIFETIME)
        return AsyncTableBackend(self.database, "accesstoken", key="token", user="user_id", cookie=COOKIE, expires=lives)

    def stored_id(self, user: str) -> UUID:
        """Its users have UUIDs: one of them the first of all."""
        named = id_of(user)
        return named if isinstance(named, UUID) else UUID(int=named if isinstance(named, int) else 100 + ord(user[0]))

    def disable(self, user: str) -> None:
        self._make_active(user, False)

    def enable(self, user: str) -> None:
        self._make_active(user, True)

    def _make_active(self, user: str, active: bool) -> None:
        engine = create_engine(self.database)
        with engine.begin() as connection:
            connection.execute(update(User).where(User.id == self.stored_id(user)).values(is_active=active))  # type: ignore[arg-type]
        engine.dispose()

    def fill(self, like: Browser, user: str, number: int) -> None:
        engine = create_engine(self.database)
        row = {"user_id": self.stored_id(user), "created_at": datetime.now(UTC)}
        with engine.begin() as connection:
            connection.execute(insert(AccessToken), [{**row, "token": secrets.token_urlsafe()} for _ in range(number)])
        engine.dispose()

    def silent(self) -> AbstractContextManager[None]:
        return held(self.place / "app.db")

    def identifier(self) -> Any:
        return None

    def kept(self) -> str:
        return ""  # no table is ours

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        token = cookies.get(COOKIE, "")
        engine = create_engine(self.database)
        try:
            with engine.begin() as connection:
                user = connection.execute(text("SELECT user_id FROM accesstoken WHERE token = :token"), {"token": token}).scalar()
            if user is None:
                return None
            self.between()
            with engine.begin() as connection:
                asked = text("DELETE FROM accesstoken WHERE user_id = :user AND token <> :token")
                return connection.execute(asked, {"user": user, "token": token}).rowcount
        finally:
            engine.dispose()

    async def closing(self) -> None:
        await self.engine.dispose()
