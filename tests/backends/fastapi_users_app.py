"""An application with fastapi-users as its manual shows it: tokens in its own table, a cookie for pages, a bearer token for programs."""
# Annotations are not postponed here: FastAPI could not resolve the names of what stands inside a function.

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import NullPool

LIFETIME = 3600
QUICKLY = PasswordHelper(PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)))  # for tests only


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


class Users(UUIDIDMixin, BaseUserManager[User, UUID]):
    reset_password_token_secret = verification_token_secret = "of tests only"


def make(url: URL) -> tuple[FastAPI, AsyncEngine, list[Callable[[], None]]]:
    """The application, its engine, and a list: what is called in the middle of ``GET /reads`` and ``GET /writes``."""
    engine = create_async_engine(url, poolclass=NullPool)  # the test client makes a loop for each request
    new_session = async_sessionmaker(engine, expire_on_commit=False)
    meanwhile: list[Callable[[], None]] = []

    async def session_of() -> AsyncIterator[AsyncSession]:
        async with new_session() as session:
            yield session

    async def users_of(session: Annotated[AsyncSession, Depends(session_of)]) -> AsyncIterator[Users]:
        yield Users(SQLAlchemyUserDatabase(session, User), QUICKLY)

    async def tokens_of(session: Annotated[AsyncSession, Depends(session_of)]) -> Any:
        return SQLAlchemyAccessTokenDatabase(session, AccessToken)

    def strategy_of(tokens: Annotated[Any, Depends(tokens_of)]) -> DatabaseStrategy[User, UUID, Any]:
        return DatabaseStrategy(tokens, lifetime_seconds=LIFETIME)

    by_cookie = AuthenticationBackend("cookie", CookieTransport(cookie_max_age=LIFETIME), strategy_of)
    by_bearer = AuthenticationBackend("bearer", BearerTransport("bearer/login"), strategy_of)
    users = FastAPIUsers[User, UUID](users_of, [by_cookie, by_bearer])
    app = FastAPI()
    app.include_router(users.get_auth_router(by_cookie), prefix="/cookie")
    app.include_router(users.get_auth_router(by_bearer), prefix="/bearer")
    app.include_router(users.get_register_router(schemas.BaseUser[UUID], schemas.BaseUserCreate))
    signed_in = Depends(users.current_user(active=True))
    with_token = Depends(users.authenticator.current_user_token(active=True))

    @app.get("/me")
    async def me(user: Annotated[User, signed_in]) -> str:
        return user.email

    @app.get("/reads")
    async def reads(user: Annotated[User, signed_in]) -> str:
        await asyncio.to_thread(meanwhile.pop())
        return user.email

    @app.get("/writes")
    async def writes(who: Annotated[tuple[User, str], with_token], tokens: Annotated[Any, Depends(tokens_of)]) -> str:
        """Lets the token live longer, as an application with sliding sessions would."""
        found = await tokens.get_by_token(who[1])
        await asyncio.to_thread(meanwhile.pop())
        try:
            await tokens.update(found, {"created_at": datetime.now(UTC)})
        except StaleDataError:
            return "stale"
        return "written"

    return app, engine, meanwhile


async def create(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
