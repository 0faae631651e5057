"""Mode companion: the application keeps its login, and our companion session decides whether that login is still valid."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from sessionward.credential.carriers import OWN_FIELDS, CredentialSource, Unproven
from sessionward.credential.login_cookies import LoginNames
from sessionward.credential.own import OwnCredential
from sessionward.credential.token import Credential
from sessionward.errors import UsageError
from sessionward.lease import NoLeases
from sessionward.modes.companion.after import changes_cookies, follow, touches
from sessionward.modes.companion.before import admit, take_all
from sessionward.modes.companion.judge import CompanionContext, Rules
from sessionward.modes.companion.recalled import Recalled, can_recall
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, Location
from sessionward.response.answer import Problem, Response, refusal
from sessionward.response.set_cookies import drop_login_cookies
from sessionward.session.capabilities import Capabilities
from sessionward.session.identifier import IdentifierSpec, app_session_digest
from sessionward.session.impersonation import ORDINARY, Acting, Impersonation, inherited
from sessionward.session.session import NewSession, Session
from sessionward.session.step import Flow, answered
from sessionward.settings import MAKE_SECRET, Settings


def mistakes(
    capabilities: Capabilities, spec: IdentifierSpec, settings: Collection[str], *, cookie_name: str, on_invalid: object, awaits: bool
) -> Iterator[str]:
    """Yields the mistakes in this mode. ``settings``: the names of those that the user has given; ``awaits``: the middleware can await."""
    identifier, backend = type(spec.identifier).__name__, capabilities.backend
    if "secrets" not in settings and not capabilities.carriers:
        yield f"secrets: must be at least one, to sign our cookies; {MAKE_SECRET}"
    if "assertion_secrets" in settings:
        yield "assertion_secrets: must not be set together with identify, since the sidecar checks the login; leave one of them out"
    if not capabilities.supports_companions or capabilities.carriers:
        yield f"identify: {backend} cannot keep companions; use SQLBackend, AsyncSQLBackend or MemoryBackend"
    if spec.is_async and not awaits:
        yield f"identify: {identifier} is async, and a WSGI application cannot await it; use a sync identifier"
    elif spec.is_async and not capabilities.is_async and capabilities.blocks:
        yield f"identify: {identifier} is async, so the backend must be async too: Async{backend}"
    if on_invalid == "reject":
        yield "on_invalid: with identify it must be 'strip', or a browser whose session was revoked could not reach the login page"
    if LoginNames(spec.cookies, spec.headers).of(cookie_name.encode("utf-8", "replace")) is not None:
        yield f"cookie_name: {cookie_name!r} is a login cookie of the application; choose another name"


class Companion(Mode[CompanionContext]):
    """Passes the application's login credentials on only together with a live companion of the same user."""

    context = CompanionContext
    looks_always = True
    can_set_cookies = True
    asks_application = True

    def __init__(
        self,
        capabilities: Capabilities,
        settings: Settings,
        leases: NoLeases,
        spec: IdentifierSpec,
        *,
        chosen: Collection[str],
        clock: Callable[[], float],
    ) -> None:
        """``chosen``: the names of the settings that the user has given. For the others the identifier has better defaults.

        ``clock``: returns seconds, and is never set back.
        """
        super().__init__(capabilities, settings, leases)
        self.is_async = capabilities.is_async or spec.is_async
        self.blocks = self.blocks or spec.blocks
        self.outer_key = spec.outer_key
        self.names = OWN_FIELDS | {carrier.name for carrier in spec.headers}
        own = OwnCredential(settings, samesite=None if "cookie_samesite" in chosen else spec.samesite)
        lifetime = settings.lifetime if "lifetime" in chosen else None
        names = LoginNames(spec.cookies, spec.headers)
        self._rules = Rules(spec, names, own, lifetime, settings.cookie_domain, settings.max_sessions, settings.idle_timeout, leases)
        self._recalled = Recalled(self._rules, clock)
        if can_recall(spec):
            self.needles = dict.fromkeys(OWN_FIELDS, b"")
            self.recall, self.keeps_location = self._recalled.recall, True

    # --- before the application

    def on_request(self, context: CompanionContext) -> Flow[Response | Fields | None]:
        context.location = context.request.location()
        companion = None
        reading, source = self.read(context)
        if isinstance(reading, Credential):
            companion = yield from self.find(reading)
            if companion is not None:
                context.session, context.credential = companion, reading
        elif reading is Unproven.AMBIGUOUS:
            return refusal(Problem.AMBIGUOUS, context.request, self.settings)
        elif reading is Unproven.INVALID:
            context.warning = self._rules.own.unsigned()
        fields = yield from admit(self._rules, context, companion, reading)
        if fields is None and self.recall is not None:
            self._recalled.remember(context, source)
        if context.companion is None and (isinstance(reading, Credential) or reading is Unproven.INVALID):
            return self._rules.own.strip(context.found if fields is None else fields)
        return (yield from self.judge_cookie(self._rules.own, context.found, fields, reading, source))

    def exempt(self, context: CompanionContext) -> Fields | None:
        fields = take_all(self._rules, context)
        return self._rules.own.strip(context.found if fields is None else fields)

    def resume(self, context: CompanionContext, location: Location) -> None:
        self._recalled.resume(context, location)

    # --- after it

    def touches(self, context: CompanionContext, head: Fields) -> bool:
        return touches(self._rules, context, head)

    def touches_recalled(self, head: Fields) -> bool:
        return changes_cookies(self._rules, head)

    def on_response(self, context: CompanionContext, head: Fields) -> Flow[Fields]:
        if context.is_exempt:  # an empty session would replace the login
            return drop_login_cookies(head, self._rules.names, context.clock)
        return (yield from follow(self._rules, context, head))

    # --- for the endpoint

    def read(self, context: CompanionContext) -> tuple[Credential | Unproven, CredentialSource]:
        """Returns the companion's credential. An X-Session-Token that does not have the form of our token belongs to the application."""
        found = self._rules.own.read(context.found)
        if found[0] is not Unproven.FOREIGN and found[0] is not Unproven.AMBIGUOUS_FOREIGN:
            return found
        return self._rules.own.read([field for field in context.found if field[0] != b"x-session-token"])

    def confirm(self, context: CompanionContext, session: Session) -> Flow[str | None]:
        """Returns None if the request also has the application's own login of the same user, or the reason why that is missing."""
        yield from admit(self._rules, context, session, self.read(context)[0])
        return None if context.session is not None else "The session is a companion, and the request has no login of the same user."

    def why_inactive(self, unproven: Unproven) -> str:
        return f"{_WHY_INACTIVE[unproven]} {_NO_COMPANION}"

    # --- for the verbs

    def current(self, context: CompanionContext) -> Flow[Session | None]:
        return answered(context.session)

    def held(self, context: CompanionContext) -> Session | None:
        return context.companion or context.session

    def impersonation(self, context: CompanionContext, user_id: str, acting: Acting) -> Impersonation | None:
        """Begins none. The application's own login would outlive it, and then sign the actor in as the user, so it must show the actor.

        Our ``login()`` in one that the identifier has shown inherits it, as in the other modes. A companion alone, whose login is
        gone, shows none.
        """
        if acting != ORDINARY:
            raise UsageError("kind, actor and lifetime: with identify the identifier says who acts as a user, by Identity(actor=...)")
        return inherited(user_id, context.session or context.acted)

    def new_session(
        self, context: CompanionContext, user_id: str, digest: bytes, generation: int | None, methods: Sequence[str]
    ) -> NewSession:
        """Returns a companion that belongs to no session of the application, since the application has called our ``login()``."""
        return NewSession(
            user_id=user_id,
            digest=digest,
            lifetime=self.settings.lifetime,
            generation=generation,
            age=context.age,
            replaces=self.held(context),
            device=context.device(),
            methods=methods,
            is_fresh=bool(methods),
            app_session=app_session_digest(digest),
            max_sessions=self.settings.max_sessions,
            idle_timeout=self.settings.idle_timeout,
        )

    def hold(self, context: CompanionContext, session: Session, credential: Credential, *, max_age: float | None) -> None:
        context.session = context.companion = session
        context.credential = credential
        context.cookie = self._rules.own.cookie(credential, max_age=max_age)

    def forget(self, context: CompanionContext, *, clear_cookie: bool) -> None:
        context.session = context.companion = context.credential = context.adopting = None
        context.cookie = self._rules.own.cleared if clear_cookie else None


_WHY_INACTIVE = {
    Unproven.NONE: "The request carries no companion cookie. Over plain http, browsers drop it unless `insecure` is set.",
    Unproven.FOREIGN: "X-Session-Token does not have the form of a session token.",
    Unproven.INVALID: "The companion cookie is malformed, or was not signed with one of `secrets`.",
}
_NO_COMPANION = (
    "A browser gets its companion cookie with the first page that it loads while it is signed in. If it never does, check the"
    " identifier's cookie names, and where in the session it looks for the user's id."
)
