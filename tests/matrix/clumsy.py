"""Doors with one fault each, for the checks that the naive way passes: a check that nothing fails checks nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import httpx2
from sqlalchemy import create_engine, update

from sessionward.backends.sql.tables import sessions
from tests.matrix.browser import PATIENCE
from tests.matrix.site import Site
from tests.matrix.sites.flask_login import FlaskLogin
from tests.matrix.sites.flask_session import FlaskSession
from tests.matrix.sites.starlette_session import StarletteSession
from tests.matrix.story import Door


class RevokesItself(FlaskSession):
    """Revokes the caller's session with the others."""

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        count = super().revoke_others_naively(cookies)
        if count is not None:
            self.store.client.delete(self.store.prefix + cookies["session"])
        return count


class RevokesEverybody(FlaskSession):
    """Revokes whatever is there but the caller's."""

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        count = super().revoke_others_naively(cookies)
        for key in list(self.store):
            if key != self.store.prefix + cookies.get("session", ""):
                self.store.client.delete(key)
        return count


class BelievesItsIndex(FlaskSession):
    """Remembers whose a session was when it first saw it, and never looks again."""

    def __init__(self, place: Path) -> None:
        self.index: dict[str, set[str]] = {}
        super().__init__(place)

    def send(self, app: Any, request: httpx2.Request) -> Future[httpx2.Response]:
        answer = super().send(app, request)
        answer.result(PATIENCE)
        for key in self.store:
            if (user := self.store.user_of(key)) is not None:
                self.index.setdefault(user, set()).add(key)
        return answer

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        own = self.store.prefix + cookies.get("session", "")
        user = self.store.user_of(own)
        return None if user is None else sum(self.store.client.delete(key) for key in self.index[user] - {own})


class TellsIds(FlaskSession):
    """Logs what it revokes."""

    remember_cookie = None  # which the naive way does not revoke: not what is looked at here

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        logging.getLogger("clumsy").info("%s signs out the others", cookies.get("session"))
        return super().revoke_others_naively(cookies)


class KeepsTokens(FlaskLogin):
    """Our own door, over tables in which somebody notes every cookie."""

    def send(self, app: Any, request: httpx2.Request) -> Future[httpx2.Response]:
        answer = super().send(app, request)
        cookies = answer.result(PATIENCE).headers.get_list("set-cookie")
        if cookies:
            engine = create_engine(self.url)
            with engine.begin() as connection:
                connection.execute(update(sessions).values(user_agent=cookies[-1]))
            engine.dispose()
        return answer


class ForgetsItsSecret(StarletteSession):
    """Our own door, but with a new secret and no fallback."""

    def rotate(self) -> None:
        super().rotate()
        self.secrets = self.secrets[:1]


class TakesZeroForNobody(FlaskSession):
    """Asks whether there is a user with ``if not``."""

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        user = self.store.user_of(self.store.prefix + cookies.get("session", ""))
        return None if user == "0" else super().revoke_others_naively(cookies)


class SharesItsName(StarletteSession):
    """Our own door, but two applications under one host give their companions the same name."""


class KeepsThemAll(StarletteSession):
    """Our own door, but a user may have any number of companions."""


def naively(site: Site, /, **settings: Any) -> None:
    site.install_naively(**settings)


def properly(site: Site, /, **settings: Any) -> None:
    site.install(**settings)


def without_a_bound(site: Site, /, **settings: Any) -> None:
    site.install(max_sessions=1_000_000)


def without_settings(site: Site, /, **settings: Any) -> None:
    site.install()


FAULTS: Final[Mapping[type[Site], tuple[Door, str]]] = {
    RevokesItself: (naively, "1-caller-stays"),
    RevokesEverybody: (naively, "2-others-are-out"),
    BelievesItsIndex: (naively, "9-another-users-id"),
    TellsIds: (naively, "11-nothing-shown"),
    KeepsTokens: (properly, "11-nothing-shown"),
    ForgetsItsSecret: (properly, "10-rotated-secrets"),
    TakesZeroForNobody: (naively, "17-every-kind-of-id"),
    KeepsThemAll: (without_a_bound, "18-ten-thousand-sessions"),
    SharesItsName: (without_settings, "12-two-applications"),
}
"""Each fault, how its door is put up, and the check that must notice it."""
