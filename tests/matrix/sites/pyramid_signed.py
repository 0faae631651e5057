"""A Pyramid application with its SignedCookieSession."""

# Pyramid ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden
from pyramid.request import Request
from pyramid.session import SignedCookieSessionFactory

from tests.matrix.browser import in_json, password_of
from tests.matrix.site import KEEPS_ITS_ID, WSGISite

KEY: Final = "pyramid-secret-of-the-application"


def login(request: Any) -> str:
    name = request.POST["username"]
    if request.POST["password"] != password_of(name):
        raise HTTPForbidden
    request.session["user_id"] = in_json(name)
    return "welcome"


def logout(request: Any) -> str:
    request.session.invalidate()
    return "bye"


def cart(request: Any) -> str:
    request.session["cart"] = request.POST["item"]
    return "thanks"


def visit(request: Any) -> str:
    request.session["cart"] = "tea"
    return "hello"


class PyramidSigned(WSGISite):
    excuses: ClassVar[Mapping[str, str]] = KEEPS_ITS_ID

    def make_app(self) -> Any:
        def found(request: Any) -> dict[str, str]:
            return {"user": self.user_named(request.session.get("user_id")), "cart": request.session.get("cart", "")}

        def slow_read(request: Any) -> dict[str, str]:
            before = found(request)
            self.gate.hold()
            return {**before, "still": request.session.get("cart", "")}

        def slow_write(request: Any) -> dict[str, str]:
            before = found(request)
            self.gate.hold()
            request.session["cart"] = request.POST["item"]
            return before

        views = {
            "/login": login,
            "/logout": logout,
            "/me": found,
            "/cart": cart,
            "/anonymous-visit": visit,
            "/slow-read": slow_read,
            "/slow-write": slow_write,
        }
        self.factory = SignedCookieSessionFactory(KEY)
        with Configurator(session_factory=self.factory) as config:
            for path, view in views.items():
                config.add_route(path, path)
                config.add_view(view, route_name=path, renderer="json")
        return config.make_wsgi_app()

    def identifier(self) -> Any:
        from sessionward.errors import InvalidCredential
        from sessionward.identify import Function
        from sessionward.session.identifier import Identity

        def identify(name: str, value: str) -> Identity | None:
            session = self.factory(Request.blank("/", headers={"Cookie": f"session={value}"}))
            if session.new:
                raise InvalidCredential("a session cookie that is forged or expired")
            user = session.get("user_id")
            return None if user is None else Identity(user_id=user)

        return Function(identify, cookies=["session"], blocking=False)
