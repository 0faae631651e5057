"""Mode own: the application calls ``login()`` and ``logout()``, and our cookie or token proves who is calling."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Final

from sessionward.context import Context
from sessionward.credential.carriers import OWN_FIELDS, CredentialSource, Unproven
from sessionward.credential.own import OwnCredential
from sessionward.credential.token import Credential
from sessionward.lease import NoLeases
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields
from sessionward.response.answer import Problem, Response, inactive, refusal
from sessionward.response.head import sets_cookie, with_set_cookie, without_set_cookie
from sessionward.session.capabilities import Capabilities
from sessionward.session.session import NewSession, Session
from sessionward.session.step import Flow, answered
from sessionward.session.steps import Find
from sessionward.settings import MAKE_SECRET, Settings
from sessionward.settings.limits import AtLimit


def mistakes(settings: Collection[str]) -> Iterator[str]:
    """Yields the mistakes in this mode. ``settings``: the names of the settings that the user has given."""
    if "secrets" not in settings:
        yield f"secrets: must be at least one, to sign our cookies; {MAKE_SECRET}"


class Own(Mode[Context]):
    """Passes our credential on while its session is live, and otherwise removes it from the request."""

    context = Context
    names = OWN_FIELDS

    def __init__(self, capabilities: Capabilities, settings: Settings, leases: NoLeases) -> None:
        super().__init__(capabilities, settings, leases)
        self.own = OwnCredential(settings)
        self.needles = {b"cookie": self.own.cookie_name, b"x-session-token": b"", b"authorization": b""}
        self.can_set_cookies = capabilities.supports_login
        self.recall = self.own.read_cookie
        self.touches_recalled = partial(sets_cookie, name=self.own.cookie_name)

    # --- before the application

    def on_request(self, context: Context) -> Flow[Response | Fields | None]:
        reading, source = self.own.read(context.found)
        if isinstance(reading, Credential):
            session = yield from self.find(reading)
            if session is not None:
                context.session, context.credential = session, reading
                return (yield from self.judge_cookie(self.own, context.found, None, reading, source))
        elif reading is _AMBIGUOUS:
            return refusal(Problem.AMBIGUOUS, context.request, self.settings)
        elif reading is not _INVALID:  # no credential, or a token that does not have our form
            return (yield from self.judge_cookie(self.own, context.found, None, reading, source))
        else:
            context.warning = self.own.unsigned()
        if self.settings.on_invalid == "reject":
            return inactive(context.request, self.settings, source, "The session is unknown, expired or revoked.")
        return self.own.strip(context.found)

    def exempt(self, context: Context) -> Fields | None:
        return self.own.strip(context.found)

    # --- after it

    def touches(self, context: Context, head: Fields) -> bool:
        return context.cookie is not None or sets_cookie(head, self.own.cookie_name)

    def on_response(self, context: Context, head: Fields) -> Flow[Fields]:
        if not self.touches(context, head):
            return head
        name = self.own.cookie_name
        if context.credential is not None:  # P9: the second look. The session may have been revoked meanwhile
            try:
                is_live = (yield from Find(context.credential)) is not None
            except Exception:  # the driver has logged the exception
                is_live = False
            if not is_live:
                return without_set_cookie(head, name)
        return head if context.cookie is None else with_set_cookie(without_set_cookie(head, name), context.cookie)

    # --- for the endpoint

    def read(self, context: Context) -> tuple[Credential | Unproven, CredentialSource]:
        return self.own.read(context.found)

    def confirm(self, context: Context, session: Session) -> Flow[str | None]:  # noqa: ARG002 - a live session is enough
        return answered(None)

    def why_inactive(self, unproven: Unproven) -> str:
        return f"{WHY_INACTIVE[unproven]} If the application has its own login, set `identify`, or use a backend over its sessions."

    # --- for the verbs

    def current(self, context: Context) -> Flow[Session | None]:
        return answered(context.session)

    def held(self, context: Context) -> Session | None:
        return context.session

    def new_session(self, context: Context, user_id: str, digest: bytes, generation: int | None, methods: Sequence[str]) -> NewSession:
        return NewSession(
            user_id=user_id,
            digest=digest,
            lifetime=self.settings.lifetime,
            generation=generation,
            age=context.age,
            replaces=context.session,
            device=context.device(),
            methods=methods,
            is_fresh=bool(methods),
            max_sessions=self.settings.max_sessions,
            idle_timeout=self.settings.idle_timeout,
            at_limit=AtLimit(self.settings.at_limit),
        )

    def hold(self, context: Context, session: Session, credential: Credential, *, max_age: float | None) -> None:
        context.session, context.credential = session, credential
        context.cookie = self.own.cookie(credential, max_age=max_age)

    def forget(self, context: Context, *, clear_cookie: bool) -> None:
        context.session = context.credential = None
        context.cookie = self.own.cleared if clear_cookie else None


# Looking up a member of an enum costs 50 ns, and each request needs these.
_AMBIGUOUS, _INVALID = Unproven.AMBIGUOUS, Unproven.INVALID

WHY_INACTIVE: Final = {
    Unproven.NONE: "The request carries no credential. Over plain http, browsers drop our cookie unless `insecure` is set.",
    Unproven.FOREIGN: "X-Session-Token does not have the form of a session token.",
    Unproven.INVALID: "The session cookie is malformed, or was not signed with one of `secrets`.",
}
