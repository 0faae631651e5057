"""Flask with Flask-Session on Redis, Flask-Login and its remember-me cookie."""

# Flask-Session ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from flask import Flask, session
from flask_session import Session

from tests.matrix.browser import Browser
from tests.matrix.sites.flask_login import KEY, FlaskLogin
from tests.matrix.sites.redis_keys import Keys


class FlaskSession(FlaskLogin):
    tells_its_id: ClassVar[bool] = True
    on_server: ClassVar[bool] = True
    chosen_id: ClassVar[str] = "f" * 43

    def __init__(self, place: Path) -> None:
        self.store = Keys(lambda data: msgspec.msgpack.decode(data).get("_user_id"))
        super().__init__(place)

    def configure(self, app: Flask) -> None:
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=self.store.client, SESSION_KEY_PREFIX=self.store.prefix)
        Session(app)

    def renewed(self) -> str:
        self.app.session_interface.regenerate(session)
        return str(session.sid)  # type: ignore[attr-defined]

    def identifier(self) -> Any:
        from sessionward.identify.flask_session import FlaskSession as Identifier

        return Identifier(self.store.client, secret_key=self.app.secret_key, prefix=self.store.prefix)

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        return self.store.revoke_others(cookies.get("session", ""), self.between)

    def expired(self, user: str) -> Browser:
        with self.store.expiring():
            return super().expired(user)

    def rotate(self) -> None:
        super().rotate()
        self.keys = [KEY]  # ids are random and unsigned; Flask-Login would forget its remember-me cookies
        self.app = self.make_app()

    def silent(self) -> AbstractContextManager[None]:
        return self.store.server.silent()

    def close(self) -> None:
        super().close()
        self.store.close()
