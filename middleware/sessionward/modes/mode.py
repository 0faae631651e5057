"""The interface of a mode: what the middlewares, the endpoint and the verbs call.

A middleware chooses its mode once, in its constructor (``choose.py``). No other code branches on who owns the sessions.

==================  ==================================================================================================
``needles``         what the middlewares search for in the headers of a request, before they make any object
``on_request``      before the application: the fields that it gets, or a refusal
``recall``          the short way for the commonest request, which decides alike
``touches``         whether ``on_response`` has to run for a response head
``on_response``     after the application: the response head that the client gets
``read`` ...        the endpoint calls these
``current`` ...     the verbs of ``sessionward.of(request)`` call these
==================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from sessionward.context import Context
from sessionward.credential.carriers import Carrier, CredentialSource, Unproven, own_carriers
from sessionward.credential.own import OwnCredential
from sessionward.credential.token import Credential, Signature
from sessionward.lease import NoLeases
from sessionward.request.request import Fields, Location
from sessionward.response.answer import Response
from sessionward.session.capabilities import Capabilities
from sessionward.session.impersonation import Acting, Impersonation, begun
from sessionward.session.session import NewSession, Session, Terms
from sessionward.session.step import Flow
from sessionward.settings import Settings

C = TypeVar("C", bound=Context)


class Mode(Generic[C]):
    """The base class of the modes. A middleware makes one mode, which never changes; the values of a request are in its context.

    ``leases``: what this worker may trust; ``find`` and ``settled`` are its methods.
    ``terms``: on which a client may revoke.
    ``is_async``, ``blocks``: whether its questions have async answers, and whether an answer may wait. They choose the driver.
    """

    context: type[C]
    """The class of the context that a request in this mode gets."""
    names: frozenset[bytes]
    """The names of the fields that can carry a credential, in lower case. ``Context.found`` has those of a request."""
    needles: Mapping[bytes, bytes] = {}
    """Maps the name of a field to the bytes that it must contain, or else we do not read it. ``Authorization`` counts only with one
    of our bearer tokens. The middlewares inline this scan. If it finds nothing, they pass a request on unchanged, unless the mode
    ``looks_always``."""
    looks_always: bool = False
    """Whether ``on_request`` and ``touches`` run for every request that is not recalled, even if the scan finds nothing."""
    can_set_cookies: bool = False
    """Whether the application may set our cookie, so that the middleware must wrap ``send`` or ``start_response``."""
    asks_late: bool = False
    """Whether the first read of ``current`` asks the backend who is calling, and nothing asks before."""
    asks_application: bool = False
    """Whether an identifier is asked who is signed in to the application. Its answers have no lease, so no proxy may keep ours."""
    watches_streams: bool = True
    """Whether ``context.credential`` is what proves the session of a request, so that we can ask again while its stream is open."""
    recall: Callable[[bytes], Credential | None] | None = None
    """Returns the credential of a request if this Cookie field proves it, and ``on_request`` would only ask whether it is live.
    The field is the only one of the request in which the scan has found something. None: this mode must read more of a request, or
    no middleware uses it."""
    keeps_location: bool = False
    """Whether ``resume`` needs the location of a request that was recalled."""
    touches_recalled: Callable[[Fields], bool]
    """What ``touches`` is for a request with a live session by ``recall``, in which the application has called no verb. What becomes
    due while the application works is left for the next request."""
    outer_key: str | None = None
    """A key that the application's session middleware sets in the scope or environ. We see it only if that middleware runs before ours."""

    def __init__(self, capabilities: Capabilities, settings: Settings, leases: NoLeases) -> None:
        self.capabilities = capabilities
        self.settings = settings
        self.is_async = capabilities.is_async
        self.blocks = capabilities.blocks or bool(settings.called)
        self.tickets = Signature(settings.secrets, "ticket", settings.audience)
        self.leases = leases
        self.find = leases.find
        self.settled = leases.settled
        self.terms = Terms(recent=settings.recent, rate_limit=settings.rate_limit, impersonations=settings.revoke_impersonations)

    @property
    def accepts(self) -> Sequence[Carrier]:
        """What can carry the credential of a caller of our routes, in order of precedence. For the description of the API."""
        return self.capabilities.carriers or own_carriers(self.settings.cookie_name)

    # --- before the application

    def on_request(self, context: C) -> Flow[Response | Fields | None]:
        """Decides what the application gets of a request.

        Returns None if the request passes on unchanged, or the fields that replace ``context.found``, or a refusal.
        """
        raise NotImplementedError

    def resume(self, context: C, location: Location) -> None:
        """Completes the context of a request that was recalled, with what ``on_request`` would have found in its fields.

        ``location``: where the request went, if the mode keeps it.
        """

    def judge_cookie(
        self, own: OwnCredential, found: Fields, fields: Fields | None, reading: Credential | Unproven, source: CredentialSource
    ) -> Flow[Fields | None]:
        """Judges our cookie beside a header that has decided. Without a live session the application does not get it (CONTRACT.md 4).

        ``found``: the fields of the request. ``fields``: those that replace them, or None. Returns what replaces them now.
        ``reading``, ``source``: what has decided.
        """
        if source is not CredentialSource.HEADER:
            return fields
        beside, _ = own.read([field for field in found if field[0] == b"cookie"])
        if beside is Unproven.NONE or (
            isinstance(beside, Credential) and (beside == reading or (yield from self.find(beside)) is not None)
        ):
            return fields
        kept = found if fields is None else fields
        return [part for field in kept for part in (own.strip([field]) if field[0] == b"cookie" else [field])]

    def exempt(self, context: C) -> Fields | None:
        """Does the same for a request on an exempt path. It asks no question, so it must remove all credentials from the request."""
        raise NotImplementedError

    # --- after it

    def touches(self, context: C, head: Fields) -> bool:
        """Returns whether a response head needs :meth:`on_response`.

        ``head``: at least its ``Set-Cookie`` and ``Clear-Site-Data`` fields.
        """
        raise NotImplementedError

    def on_response(self, context: C, head: Fields) -> Flow[Fields]:
        """Returns the response head that the client gets.

        If the backend cannot answer, it drops the login cookies and never the response: the application has done its work.
        """
        raise NotImplementedError

    # --- for the endpoint

    def read(self, context: C) -> tuple[Credential | Unproven, CredentialSource]:
        """Returns the credential of the caller, and what carried it."""
        raise NotImplementedError

    def confirm(self, context: C, session: Session) -> Flow[str | None]:
        """Returns None if the live session may revoke the others, or the reason why not."""
        raise NotImplementedError

    def why_inactive(self, unproven: Unproven) -> str:
        """Returns what was wrong with the credential, for ``debug``."""
        raise NotImplementedError

    # --- for the verbs

    def current(self, context: C) -> Flow[Session | None]:
        """Returns the live session of the caller, or None."""
        raise NotImplementedError

    def held(self, context: C) -> Session | None:
        """Returns the session that this browser has, even if the caller may not use it. A login replaces it, a logout revokes it."""
        raise NotImplementedError

    def impersonation(self, context: C, user_id: str, acting: Acting) -> Impersonation | None:
        """Returns what makes an impersonation of a sign-in, or None for an ordinary one. Raises ``UsageError`` if there can be none."""
        found = begun(user_id, self.held(context) or context.acted, acting, self.settings.lifetime)
        if found is not None:
            self.capabilities.require("revoke_others_quietly", "it does not spare impersonations, so there can be none")
        return found

    def new_session(self, context: C, user_id: str, digest: bytes, generation: int | None, methods: Sequence[str]) -> NewSession:
        """Returns the argument of the backend's ``login``."""
        raise NotImplementedError

    def hold(self, context: C, session: Session, credential: Credential, *, max_age: float | None) -> None:
        """Gives the browser this session. ``max_age``: the seconds for which the browser keeps it; None: until it is closed."""
        raise NotImplementedError

    def forget(self, context: C, *, clear_cookie: bool) -> None:
        """Takes the session from the browser. ``clear_cookie``: whether the response deletes the cookie."""
        raise NotImplementedError
