"""Mode application: the sessions are rows of the application, and ordinary requests do not ask the backend."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import TypeVar

from sessionward.context import Context
from sessionward.credential.carriers import CredentialSource, Unproven, read_carriers
from sessionward.credential.login_cookies import LoginNames, parse_login_credentials, strip
from sessionward.credential.token import Credential
from sessionward.lease import NoLeases
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, joined
from sessionward.response.answer import Response
from sessionward.session.capabilities import Capabilities
from sessionward.session.session import NewSession, Session
from sessionward.session.step import Flow, answered
from sessionward.session.steps import Find
from sessionward.settings import Settings


def mistakes(capabilities: Capabilities, settings: Collection[str]) -> Iterator[str]:
    """Yields the mistakes in this mode. ``settings``: the names of the settings that the user has given."""
    if capabilities.supports_login:
        yield (
            f"backend: {capabilities.backend} has carriers and login(), but with carriers we do not read the cookie that login() sets;"
            " remove one of the two from the backend"
        )
    if "max_sessions" in settings:
        yield "max_sessions: the application starts its sessions itself, so it has to bound them; leave it out"
    if "idle_timeout" in settings:
        yield "idle_timeout: the application keeps its sessions itself, so it has to end those that are not used; leave it out"
    if "revoke_impersonations" in settings:
        yield "revoke_impersonations: the application starts its sessions itself, and we know no kinds of them; leave it out"
    if "at_limit" in settings:
        yield "at_limit: the application starts its sessions itself, so it has to bound them; leave it out"
    if "recheck_paths" in settings:
        yield "recheck_paths: we watch no streams over the application's own sessions; leave it out"
    if "assertion_secrets" in settings:
        yield "assertion_secrets: must not be set with a backend that has carriers, since the sidecar checks the login; leave it out"


class ApplicationContext(Context):
    """``has_asked``: whether we have asked the backend who is calling. Before that ``session`` says nothing."""

    has_asked: bool = False


A = TypeVar("A", bound=ApplicationContext)


class ApplicationSessions(Mode[A]):
    """The base class of the two modes over the application's own sessions: it finds the session of the caller."""

    asks_late = True
    watches_streams = False

    def __init__(self, capabilities: Capabilities, settings: Settings, leases: NoLeases) -> None:
        super().__init__(capabilities, settings, leases)
        self.names = frozenset(b"cookie" if carrier.is_cookie else carrier.name for carrier in capabilities.carriers)

    # --- for the endpoint

    def read(self, context: A) -> tuple[Credential | Unproven, CredentialSource]:
        return read_carriers(partial(joined, context.found), self.capabilities.carriers)

    def confirm(self, context: A, session: Session) -> Flow[str | None]:  # noqa: ARG002 - a live session is enough
        return answered(None)

    def why_inactive(self, unproven: Unproven) -> str:  # noqa: ARG002 - there is only one reason
        return "The request carries none of the application's credentials, which the backend's carriers name."

    # --- for the verbs

    def current(self, context: A) -> Flow[Session | None]:
        """Asks the backend at the first call, since an ordinary request does not ask it before."""
        if not context.has_asked:
            reading, _ = self.read(context)
            context.session = (yield from Find(reading)) if isinstance(reading, Credential) else None
            context.has_asked = True
        return context.session

    def held(self, context: A) -> Session | None:
        return context.session

    def forget(self, context: A, *, clear_cookie: bool) -> None:  # noqa: ARG002 - this mode has no cookie
        context.session, context.has_asked = None, True

    def new_session(self, context: A, user_id: str, digest: bytes, generation: int | None, methods: Sequence[str]) -> NewSession:
        raise NotImplementedError("the application starts its sessions itself")

    def hold(self, context: A, session: Session, credential: Credential, *, max_age: float | None) -> None:
        raise NotImplementedError("the application starts its sessions itself")


class Application(ApplicationSessions[ApplicationContext]):
    """Passes requests and responses on unchanged. Only the endpoint and the verbs ask the backend.

    The one exception is a backend with ``cookie_caches``: the application trusts such a cookie without asking its table, so we ask.
    """

    context = ApplicationContext

    def __init__(self, capabilities: Capabilities, settings: Settings, leases: NoLeases) -> None:
        super().__init__(capabilities, settings, leases)
        self._caches = LoginNames(name.encode("ascii") for name in capabilities.caches)
        if capabilities.caches:
            self.names |= {b"cookie"}
            self.needles = {b"cookie": b""}  # frameworks read many spellings of a name

    def on_request(self, context: ApplicationContext) -> Flow[Response | Fields | None]:
        """Removes the copies of a session in cookies, unless the session is live."""
        parsed = parse_login_credentials(partial(joined, context.found), self._caches)
        session = (yield from self.current(context)) if parsed.credentials else None
        return strip(context.found, parsed, parsed.credentials if session is None else ())

    def exempt(self, context: ApplicationContext) -> Fields | None:
        parsed = parse_login_credentials(partial(joined, context.found), self._caches)
        return strip(context.found, parsed, parsed.credentials)

    def touches(self, context: ApplicationContext, head: Fields) -> bool:  # noqa: ARG002 - it changes no response
        return False

    def on_response(self, context: ApplicationContext, head: Fields) -> Flow[Fields]:  # noqa: ARG002 - it changes nothing
        return answered(head)
