"""The keyword settings as a user writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypedDict

from sessionward.settings.page import Page
from sessionward.settings.values import Duration


class Options(TypedDict, total=False):
    """The keyword settings of both middlewares, with their meanings, for type checkers and editors."""

    secrets: Sequence[str | bytes]
    """The secrets that sign our cookies, newest first; the others only verify. Each has at least 32 random bytes. Default ``()``;
    required, except with a backend over the application's own sessions."""
    assertion_secrets: Sequence[str | bytes]
    """The secrets of a sidecar that signs who is calling (``X-Session-Assertion``), newest first. We trust a valid assertion without
    a lookup, and remove ``X-Session-User`` and ``X-Session-Id`` from a request without one. Default ``()``."""
    identify: object
    """An identifier (:class:`sessionward.identify.Identifier`): the application keeps its own login, which reaches it only together
    with a companion session of the same browser. Default None."""
    path: str
    """The path of ``DELETE``, below ``root_path`` or ``SCRIPT_NAME``. Default ``/auth/sessions``."""
    api: bool
    """Also answers the rest of the session API at ``path``: who am I, my sessions, revoke one; and the page *Your devices* for a
    browser. Default False."""
    page: Page | None
    """What the page *Your devices* says and how it looks (:class:`sessionward.api.page.Page`). Default None: our own design."""
    cookie_name: str
    """The name of our cookie. Default ``__Host-session-ward``, which no other host can set; with ``cookie_domain``
    ``__Secure-session-ward``, with ``insecure`` ``session-ward``; with ``audience`` it ends in a mark of it."""
    cookie_domain: str | None
    """The Domain of our cookie. Set it if the application's login cookie has a Domain, so that browsers send both to the same hosts.
    Every host below it can then set our cookie. Default None."""
    cookie_samesite: Literal["lax", "strict", "none"]
    """The SameSite of our cookie. ``strict``: browsers do not send it when a user follows a link from another site. ``none``: browsers
    also send it from frames of other sites. Default ``lax``."""
    insecure: bool
    """For development over plain http: our cookie has no ``Secure``, so anyone on the network can read it. Without this setting
    browsers drop our cookie over plain http, except on localhost, and no user stays signed in. Default False."""
    on_invalid: Literal["strip", "reject"]
    """What happens to a request with an invalid credential. ``strip``: the application gets it without the credential. ``reject``: the
    client gets 401. Default ``strip``."""
    exempt_paths: Sequence[str]
    """Path prefixes whose requests we pass on without a lookup and without our credential: assets, health checks. Default ``()``."""
    trusted_origins: Sequence[str]
    """Other sites whose pages may call our route with the cookie, exact: ``https://app.example``. Default ``()``."""
    public_origin: str | None
    """Our own origin as browsers see it. Default None: host and port of ``Origin`` must equal ``Host``."""
    audience: str
    """The name of this application among several that share a host or a secret: none accepts the cookies of another. Default ``""``."""
    remote_user: bool
    """Also sets ``REMOTE_USER`` in the WSGI environ, unless the server has set it. Does nothing under ASGI. Default False."""
    lifetime: Duration
    """How long a session lives after the sign-in. Default 14 days; with ``identify`` as long as the application's login."""
    idle_timeout: Duration | None
    """How long a session lives without being used, at least two minutes and at most ``lifetime``. It ends early by at most a minute, or
    a tenth of the limit if that is less, and never late. In modes own and companion, and the same in all programs that share the
    sessions. A session from before the setting has the limit from its first use on. Default None: only ``lifetime`` ends it."""
    max_sessions: int
    """The largest number of live sessions of one user in modes own and companion. Default 1 000, at most 1 000 000. A sign-in
    beyond it revokes the session used longest ago, so that revoking the others always fits into the timeout."""
    at_limit: Literal["revoke", "refuse"]
    """What a sign-in beyond ``max_sessions`` does in mode own. ``revoke``: it revokes the session used longest ago. ``refuse``:
    ``login()`` raises ``TooManySessions``. Default ``revoke``."""
    recent: Duration | None
    """How old the caller's sign-in may be when it revokes others by our routes; an older one gets 403 and must sign in again. The
    verbs do not ask. Default None: any age."""
    sign_in: str | None
    """Where a user signs in again: a path, or an https URL. ``{return_to}`` in it becomes our own path, percent-encoded. We give it
    to clients whose sign-in is not ``recent``. Default None."""
    rate_limit: int | None
    """How often one session may revoke within an hour by our routes; beyond it the client gets 429. Default None: no limit."""
    limits: Literal["nist-aal1", "nist-aal2", "nist-aal3", "pci", "asvs-l2"] | None
    """The limits of a standard: it sets ``lifetime``, ``idle_timeout`` and ``recent`` where you do not, and refuses laxer values.
    Default None."""
    revoke_impersonations: bool
    """Also revokes and counts the impersonations of the caller, sessions of ``login(kind="impersonation")``, when the caller revokes
    others by our routes. The verbs always do. Default False: they stay until they end."""
    also: Callable[[str], object] | None
    """A function, under ASGI sync or async, that we call with the user's id after each success of ``DELETE`` of the others, and of the
    form of the page for it: it revokes what we do not keep, such as API tokens and OAuth grants. If it raises, the client gets 503
    ``outcome_unknown``, and the next call calls it again. It must return within ``backend_timeout``. The verbs do not call it.
    Default None."""
    backend_timeout: Duration
    """How long one request waits for the backend before the client gets 503, at most 60 seconds. Default 2 seconds."""
    lease: Duration
    """How long a worker may trust an answer of the backend without asking again, at most 5 seconds. A revocation then takes 1.1 times
    as long, and after it no worker accepts the sessions that it ended. Default 0: every request asks."""
    lease_waiters: int
    """How many requests with a revoked session may wait at once until the lease has passed and they get their answer. Further ones
    get 503. Default 0: 1 000 under ASGI, and 2 under WSGI, where each of them holds a thread; set a quarter of the threads."""
    recheck: Duration | None
    """How often we ask whether the sessions of open streams are still live. A WebSocket, or a response that has been under way for
    longer, is closed when its session is not. None: they stay open. At least 0.1 seconds, at most an hour. Default 5 seconds."""
    recheck_paths: Sequence[str] | None
    """The prefixes of the paths whose streams we watch. Under WSGI we wrap the iterables of these responses. Default None: all paths
    under ASGI and in the sidecar, no path under WSGI."""
    debug: bool
    """Error responses say what was wrong with the credential. Never in production. Default False."""
