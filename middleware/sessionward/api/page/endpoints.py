"""The flows of the page: it shows the sessions, asks before it revokes, and says afterwards how many it has revoked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

from sessionward.api.endpoints import list_sessions, listed, method_not_allowed, revoking_one
from sessionward.api.negotiation import prefers_html
from sessionward.api.page.headers import html_response, redirect, varied
from sessionward.api.page.receipt import Receipt, read, signed
from sessionward.api.page.view import View, view_of
from sessionward.api.paging import PageRequest, next_token
from sessionward.context import Context
from sessionward.credential.carriers import CredentialSource
from sessionward.errors import SignInTooOld
from sessionward.flow import Caller, caller, changed
from sessionward.modes.mode import C, Mode
from sessionward.request.origin import may_submit
from sessionward.response.answer import Problem, Response, refusal, sign_in_target
from sessionward.session.rate import judge_recent
from sessionward.session.session import Session, SessionList, Terms
from sessionward.session.step import Flow, Step
from sessionward.session.steps import RevokeOthers

if TYPE_CHECKING:  # Jinja2 is an extra, and without it there is no page
    from sessionward.api.page.render import Renderer

T = TypeVar("T")

SIZE: Final = 50
"""Sessions of one page."""


def show(renderer: Renderer | None, mode: Mode[C], context: C) -> Flow[Response]:
    """Returns the page, or the list in JSON, whichever the client prefers."""
    if renderer is None or not prefers_html(context.request.header(b"accept")):
        return varied((yield from list_sessions(mode, context)))
    return _readable(renderer, (yield from _shown(renderer, mode, context)), mode, context)


def submit_others(renderer: Renderer | None, mode: Mode[C], context: C) -> Flow[Response]:
    """Answers the form that signs out all other devices."""
    found = yield from _submitted(mode, context)
    if not isinstance(found, Response):
        change = RevokeOthers(found.session, mode.terms)
        found = yield from _changed(mode, context, found, change, lambda count: Receipt("others", int(count)))
    return _readable(renderer, found, mode, context)


def submit_one(name: bytes, renderer: Renderer | None, mode: Mode[C], context: C) -> Flow[Response]:
    """Answers the form that signs out one other device. ``name``: the id of its session, as the path has it."""
    found = yield from _submitted(mode, context)
    if not isinstance(found, Response):
        change = revoking_one(name, found, mode, context)
        if isinstance(change, Response):
            found = change
        else:
            found = yield from _changed(mode, context, found, change, lambda was_live: Receipt("one", int(was_live)))
    return _readable(renderer, found, mode, context)


def wrong_method(allowed: Sequence[str], renderer: Renderer | None, mode: Mode[C], context: C) -> Flow[Response]:
    """Refuses a method. A person gets here who opens the address of a form again."""
    return _readable(renderer, (yield from method_not_allowed(allowed, mode, context)), mode, context)


# --- the page ---------------------------------------------------------------------------------------------------------


def _shown(renderer: Renderer, mode: Mode[C], context: C) -> Flow[Response]:
    found = yield from listed(mode, context, SIZE)
    if isinstance(found, Response):
        return found
    by, part, sessions = found
    request, settings = context.request, mode.settings
    now = sessions.now or _host_time(context)
    words = renderer.catalogue(request.header(b"accept-language"))
    view = yield from view_of(by.session, sessions[:SIZE], now, words, renderer.page, impersonations=mode.terms.impersonations)
    context.warning = context.warning or view.warning or None
    sign_in = None if _may_revoke(by.session, now, mode.terms) else sign_in_target(request, settings)
    query = dict(parse_qsl(request.query().decode("latin-1")))
    values = {
        "now": now.isoformat(),
        "current": view.current,
        "groups": view.groups,
        "total": sessions.total,
        "ends_tokens": settings.also is not None,
        "may_revoke": any(row.may_revoke for group in view.groups for row in group),
        "answer": read(query.get("revoked", ""), by.credential, _host_time(context)),
        **_addresses(_path(mode, context), part, sessions, by, query.get("page_token", "")),
        "sign_in": sign_in,
        "question": None if sign_in else _question(query.get("ask", ""), view, _path(mode, context)),
    }
    return html_response(HTTPStatus.OK, renderer.render("devices.html", words.language, values), renderer.policy, words.language)


def _may_revoke(session: Session, now: datetime, terms: Terms) -> bool:
    """Returns whether the sign-in is as recent as the terms ask. The backend decides; the page only spares the reader a refusal."""
    since = session.authenticated_at
    try:
        judge_recent(terms, authenticated_at=None if since is None else since.timestamp(), now=now.timestamp())
    except SignInTooOld:
        return False
    return True


def _addresses(path: str, part: PageRequest, sessions: SessionList, by: Caller, token: str) -> Mapping[str, str | None]:
    """Returns the addresses of the page itself, of the next sessions, and of the first ones unless it shows them."""
    further = next_token(part, sessions, by.credential)
    return {
        "path": path,
        "page_token": token,
        "here": f"{path}?page_token={token}" if token else path,
        "first": path if token else None,
        "more": None if further is None else f"{path}?page_token={further.decode()}",
    }


def _question(asked: str, view: View, path: str) -> Mapping[str, object] | None:
    """Returns what the reader must confirm, or None. The page asks only about sessions that it shows."""
    rows = [row for group in view.groups for row in group if row.may_revoke]
    if asked == "others" and rows:
        return {"row": None, "action": f"{path}/revoke-others"}
    row = next((row for row in rows if row.id == asked), None)
    return None if row is None else {"row": row, "action": f"{path}/{row.id}/revoke"}


# --- the forms --------------------------------------------------------------------------------------------------------


def _submitted(mode: Mode[C], context: C) -> Flow[Caller | Response]:
    """Returns who sends a form. A form has the cookie and nothing else; no other client needs it."""
    found = yield from caller(mode, context, changes=True, may=may_submit)
    if isinstance(found, Response) or found.source is CredentialSource.COOKIE:
        return found
    return refusal(Problem.CROSS_SITE, context.request, mode.settings)


def _changed(mode: Mode[C], context: C, by: Caller, change: Step[T], then: Callable[[T], Receipt]) -> Flow[Response]:
    """Makes the change, and sends the browser to the page, whose address then carries the receipt."""
    # The host's clock, as where the receipt is read: if two hosts differ by a minute or more, the page only omits a sentence.
    now = _host_time(context)

    def told(answer: T) -> Response:
        return redirect(f"{_path(mode, context)}?revoked={signed(then(answer), by.credential, now)}".encode())

    return (yield from changed(mode, context, by, change, told))


# --- refusals ---------------------------------------------------------------------------------------------------------


def _readable(renderer: Renderer | None, response: Response, mode: Mode[C], context: C) -> Response:
    """Returns a refusal as a page, if the client is a browser that prefers it: of the same status, id and request."""
    request = context.request
    if response.status < HTTPStatus.BAD_REQUEST:
        return response
    if renderer is None or not prefers_html(request.header(b"accept")):
        return varied(response)
    error: dict[str, Any] = json.loads(response.body)["error"]
    words = renderer.catalogue(request.header(b"accept-language"))
    shown = {"id": error["id"], "status": error["code"], "request": error["request"], "path": _path(mode, context)}
    shown["sign_in"] = sign_in_target(request, mode.settings)
    return html_response(
        response.status, renderer.render("problem.html", words.language, shown), renderer.policy, words.language, response.headers
    )


def _path(mode: Mode[C], context: C) -> str:
    return context.request.mount().decode("ascii") + mode.settings.path


def _host_time(context: Context) -> datetime:
    return datetime.fromtimestamp(context.clock(), UTC)
