"""Starlette with starsessions on Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import redis.asyncio
from starlette.middleware import Middleware
from starlette.requests import Request
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.session import regenerate_session_id
from starsessions.stores.redis import RedisStore

from tests.matrix.browser import Browser
from tests.matrix.sites.redis_keys import Keys
from tests.matrix.sites.starlette_session import StarletteSession

LIFETIME = 14 * 86_400


class Starsessions(StarletteSession):
    on_server: ClassVar[bool] = True
    excuses: ClassVar[Mapping[str, str]] = {}

    def __init__(self, place: Path) -> None:
        self.keys = Keys(lambda data: json.loads(data).get("user_id"))
        self.client: Any = redis.asyncio.Redis.from_url(self.keys.url)
        self.store = RedisStore(connection=self.client, prefix=self.keys.prefix)
        super().__init__(place)

    def middleware(self) -> list[Middleware]:
        return [Middleware(SessionMiddleware, store=self.store, lifetime=LIFETIME), Middleware(SessionAutoloadMiddleware)]

    def renewed(self, request: Request) -> str:
        return regenerate_session_id(request)

    def identifier(self) -> Any:
        from sessionward.identify.starlette import Starsessions as Identifier

        return Identifier(self.store, user="user_id", lifetime=LIFETIME)

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        return self.keys.revoke_others(cookies.get("session", ""), self.between)

    def expired(self, user: str) -> Browser:
        with self.keys.expiring():
            return super().expired(user)

    def silent(self) -> AbstractContextManager[None]:
        return self.keys.server.silent()

    async def closing(self) -> None:
        await self.client.aclose()

    def close(self) -> None:
        super().close()
        self.keys.close()
