"""What a mode is: the few things that doors, the endpoint and the verbs ask of it.

A door chooses its mode once, in its constructor (``choose.py``). Nothing else in the code branches on who owns the sessions.

==================  ==================================================================================================
``needles``         what the doors look for in the headers of a request, before anything is built
``on_request``      before the application: what it may see of the request, or a refusal
``touches``         whether the head of an answer has to be looked at
``on_response``     after the application: the head of its answer, as it may go out
``read`` ...        what the endpoint asks
``current`` ...     what the verbs of ``sessionward.of(request)`` ask
==================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from sessionward.context import Context
from sessionward.credential.carriers import CredentialSource, Unproven
from sessionward.credential.token import Credential, Signature
from sessionward.request.request import Fields
from sessionward.response.answer import Response
from sessionward.session.backend import Capabilities
from sessionward.session.session import NewSession, Session
from sessionward.session.step import Flow
from sessionward.settings import Settings

C = TypeVar("C", bound=Context)


class Mode(Generic[C]):
    """Who owns the sessions. Made once by a door, never changed; what belongs to one request stands in its context.

    ``is_async`` and ``blocks`` say how its questions are answered, so that a door finds the driver for it.
    """

    context: type[C]
    """The kind of context that a request in this mode has."""
    names: frozenset[bytes]
    """The fields of a request that credentials travel in, in lower case. ``Context.found`` holds all of them."""
    needles: Mapping[bytes, bytes] = {}
    """Name of a field → what it must contain for the request to be worth a look. ``Authorization`` counts only with a
    bearer token of ours. The doors inline this scan; a request in which it finds nothing passes untouched."""
    looks_always: bool = False
    """Every request and every answer has to be looked at, whatever the needles say."""
    can_set_cookies: bool = False
    """The application may ask for a cookie of ours, so a door stands between it and ``send`` or ``start_response``."""
    asks_late: bool = False
    """Nobody has asked who is calling before ``current`` is read first."""
    outer_key: str | None = None
    """A key of the scope or environ that is there only where the application's session middleware stands outside of ours."""

    def __init__(self, capabilities: Capabilities, settings: Settings) -> None:
        self.capabilities = capabilities
        self.settings = settings
        self.is_async = capabilities.is_async
        self.blocks = capabilities.blocks
        self.tickets = Signature(settings.secrets, "ticket", settings.audience)

    # --- before the application

    def on_request(self, context: C) -> Flow[Response | Fields | None]:
        """Decides what the application sees of a request that is worth a look.

        Returns None if it passes as it came, or the fields that stand in place of ``context.found``, or a refusal.
        """
        raise NotImplementedError

    def exempt(self, context: C) -> Fields | None:
        """The same for a request on an exempt path. It asks no question, so it must leave no credential in the request."""
        raise NotImplementedError

    # --- after it

    def touches(self, context: C, head: Fields) -> bool:
        """Whether the head of an answer needs :meth:`on_response`. Its ``Set-Cookie`` and ``Clear-Site-Data`` are enough."""
        raise NotImplementedError

    def on_response(self, context: C, head: Fields) -> Flow[Fields]:
        """Returns the head of the application's answer as it may go out.

        A backend that cannot answer costs the cookies, never the answer: the application has done the work.
        """
        raise NotImplementedError

    # --- for the endpoint

    def read(self, context: C) -> tuple[Credential | Unproven, CredentialSource]:
        """The credential of the caller, and what carried it."""
        raise NotImplementedError

    def confirm(self, context: C, session: Session) -> Flow[str | None]:
        """Whether a live session is enough to revoke the others: None, or why it is not."""
        raise NotImplementedError

    def why_inactive(self, unproven: Unproven) -> str:
        """What was wrong with the credential, for ``debug``."""
        raise NotImplementedError

    # --- for the verbs

    def current(self, context: C) -> Flow[Session | None]:
        """The live session of the caller."""
        raise NotImplementedError

    def held(self, context: C) -> Session | None:
        """The session that this browser has, whether or not the caller may use it. A login replaces it, a logout revokes it."""
        raise NotImplementedError

    def new_session(self, context: C, user_id: str, digest: bytes, generation: int | None, methods: Sequence[str]) -> NewSession:
        """All that a login asks of the backend."""
        raise NotImplementedError

    def hold(self, context: C, session: Session, credential: Credential, *, persistent: bool) -> None:
        """From now on the browser has this session; ``persistent``: also after it has been closed."""
        raise NotImplementedError

    def forget(self, context: C, *, clear_cookie: bool) -> None:
        """From now on the browser has no session."""
        raise NotImplementedError
