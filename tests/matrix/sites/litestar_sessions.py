"""Litestar with its server-side sessions on Redis, and with its encrypted ones in the cookie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import redis.asyncio
from litestar import Litestar, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.params import Body
from litestar.stores.base import Store
from litestar.stores.redis import RedisStore

from sessionward.identify.litestar import client_side, server_side
from tests.matrix.browser import Browser, id_of, password_of
from tests.matrix.site import KEEPS_ITS_ID, ASGISite
from tests.matrix.sites.redis_keys import Keys

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
Asked = Request[Any, Any, Any]
KEY: Final = b"litestar-secret-of-32-bytes-0001"


class LitestarSite(ASGISite):
    """The views, for both ways of keeping a session."""

    excuses: ClassVar[Mapping[str, str]] = KEEPS_ITS_ID

    def session_config(self) -> Any:
        raise NotImplementedError

    def stores(self) -> dict[str, Store]:
        return {}

    def make_app(self) -> Any:
        def found(request: Asked) -> dict[str, str]:
            return {"user": self.user_named(request.session.get("user_id")), "cart": request.session.get("cart", "")}

        @post("/login")
        async def login(request: Asked, data: Form) -> str:
            if data["password"] != password_of(data["username"]):
                raise PermissionDeniedException
            request.session["user_id"] = id_of(data["username"])
            return "welcome"

        @post("/logout")
        async def logout(request: Asked) -> str:
            request.clear_session()
            return "bye"

        @get("/me")
        async def me(request: Asked) -> dict[str, str]:
            return found(request)

        @post("/cart")
        async def cart(request: Asked, data: Form) -> str:
            request.session["cart"] = data["item"]
            return "thanks"

        @get("/anonymous-visit")
        async def visit(request: Asked) -> str:
            request.session["cart"] = "tea"
            return "hello"

        @get("/slow-read")
        async def slow_read(request: Asked) -> dict[str, str]:
            before = found(request)
            await self.hold()
            return {**before, "still": request.session.get("cart", "")}

        @post("/slow-write")
        async def slow_write(request: Asked, data: Form) -> dict[str, str]:
            before = found(request)
            await self.hold()
            request.session["cart"] = data["item"]
            return before

        return Litestar(
            [login, logout, me, cart, visit, slow_read, slow_write],
            middleware=[self.session_config().middleware],
            stores=self.stores(),
            logging_config=None,
        )


class LitestarServerSide(LitestarSite):
    on_server: ClassVar[bool] = True
    chosen_id: ClassVar[str] = "f" * 64

    def __init__(self, place: Path) -> None:
        self.keys = Keys(lambda data: json.loads(data).get("user_id"))
        self.client: Any = redis.asyncio.Redis.from_url(self.keys.url)
        self.store = RedisStore(self.client, namespace=self.keys.prefix.removesuffix(":"))
        super().__init__(place)

    def session_config(self) -> ServerSideSessionConfig:
        return ServerSideSessionConfig()

    def stores(self) -> dict[str, Store]:
        return {"sessions": self.store}

    def identifier(self) -> Any:
        return server_side(self.app, self.session_config(), user="user_id")

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


class LitestarClientSide(LitestarSite):
    def session_config(self) -> CookieBackendConfig:
        return CookieBackendConfig(secret=KEY)

    def identifier(self) -> Any:
        return client_side(self.session_config(), user="user_id")
