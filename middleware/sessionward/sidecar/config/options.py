"""The options of a sidecar: one table, from which flags, environment variables and TOML keys are all made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sessionward.sidecar.config.values import (
    MAX_CONNECTIONS,
    MAX_WORKERS,
    Read,
    at_most,
    one_of,
    pause,
    seconds,
    secrets,
    switch,
    text,
    texts,
    timeout,
    whole,
)

PREFIX: Final = "SESSIONWARD_"
FILE: Final = "-file"
IDENTIFY: Final = "identify"


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``is_secret``: it is no flag, since each user of the machine sees flags; ``NAME-file`` is one."""

    name: str
    read: Read
    help: str
    default: Any = None
    only: str = ""
    """The one command that has it; by default both."""
    is_secret: bool = False
    of_door: bool = False
    """A setting of the door (:class:`sessionward.Settings`), by the same name."""
    setting: str = ""
    """The name of that setting, where an option of the sidecar itself has the same."""

    @property
    def variable(self) -> str:
        return variable_of(self.name)

    @property
    def key(self) -> str:
        return self.setting or self.name.replace("-", "_")


def _door(name: str, read: Read, help: str) -> Option:
    return Option(name, read, help, of_door=True)


OPTIONS: Final = (
    Option("upstream", text, "the application: http://host:port, https://host:port or unix:/path", only="serve"),
    Option("backend", text, "where sessions live: a database URL, a URL of Redis, memory, django, or package.module:object"),
    Option(
        "listen", text, "where to listen: host:port, unix:/path?mode=660&group=www-data, systemd, systemd:NAME or fd:N", "127.0.0.1:8080"
    ),
    Option("secret", secrets, "what signs the cookies: newest first, each at least 32 bytes", (), is_secret=True),
    Option(
        "identify",
        text,
        "who the application says is signed in: flask, starlette, django, jwt, sql, redis, signed-cookie, or package.module:object",
    ),
    Option("identify-secret", secrets, "the application's own secret, with which it signs its login cookie", (), is_secret=True),
    Option("identify-user", text, "the key of the application's session that holds the user's id"),
    Option("identify-cookie", text, "the name of the application's login cookie"),
    Option("trusted-proxy", texts, "peers whose X-Forwarded-* is believed: addresses, networks, unix; repeatable; none by default", ()),
    Option("assertion-secret", secrets, "what signs X-Session-Assertion for the application; without it there is none", (), is_secret=True),
    Option(
        "login-path",
        texts,
        "paths on which the application can sign users in, exact, or prefixes that end in /; repeatable; none by default",
        (),
        only="serve",
    ),
    Option("pass-cookie", switch, "leave our own cookie in the requests that the application receives", False, only="serve"),
    Option(
        "proxy-protocol",
        texts,
        "peers that must send a PROXY protocol header (v1 or v2): addresses, networks, unix; repeatable; none by default",
        (),
    ),
    Option("preflight", one_of("check", "pass"), "check or pass: what happens to CORS preflights", "check", only="authz"),
    Option("login-url", text, "where a browser that wants a page is sent to sign in: a URL or a path", only="authz"),
    Option("admin", text, "where /livez, /readyz and /metrics are; not served by default"),
    Option("access-log", text, "a file for one JSON line a request, - for standard output; none by default"),
    Option("workers", at_most(MAX_WORKERS), "processes", 1),
    Option("drain-delay", pause, "seconds between SIGTERM (readyz says 503) and the end of listening", 1.0),
    Option("drain-timeout", pause, "seconds that requests under way then have", 30.0),
    Option("create-tables", switch, "create the tables that are missing at start", True),
    Option("connect-timeout", timeout, "seconds to connect to the application", 5.0, only="serve"),
    Option("response-timeout", timeout, "seconds until the head of its answer", 60.0, only="serve"),
    Option("upstream-keepalive", switch, "reuse connections to the application; off: each request gets its own", True, only="serve"),
    Option("upstream-idle-timeout", timeout, "seconds after which an idle connection to the application is not reused", 1.5, only="serve"),
    Option(
        "max-connections",
        at_most(MAX_CONNECTIONS),
        "connections of clients in each worker; as many as the descriptors allow by default, at most 10000",
    ),
    Option("max-connections-per-address", at_most(MAX_CONNECTIONS), "connections of one address; trusted proxies are not counted", 1000),
    Option("idle-timeout", timeout, "seconds that an idle connection of a client stays open", 75.0),
    Option("head-timeout", timeout, "seconds until the head of a request has arrived", 10.0),
    Option("tunnel-idle-timeout", timeout, "seconds that a WebSocket without traffic stays open", 3600.0, only="serve"),
    Option("readiness", texts, "what /readyz asks: upstream, backend; repeatable; both by default, backend for authz"),
    Option("upstream-ca-file", text, "certificates that the application's TLS certificate is verified with", only="serve"),
    Option("upstream-cert-file", text, "our certificate, where the application wants one", only="serve"),
    Option("upstream-key-file", text, "the key of that certificate", only="serve"),
    Option("upstream-server-name", text, "the name that the application's certificate must have; its host by default", only="serve"),
    Option("page-name", text, "the application's name, on the page Your devices"),
    Option("page-accent", text, "the colour of the page's buttons, such as #0b57d0 or navy"),
    Option("page-css", text, "one more stylesheet of the page: a path or a URL"),
    Option("page-logo", text, "a picture beside the name: a path or a URL"),
    Option("page-templates", text, "a directory whose layout.html, devices.html and problem.html come before ours"),
    Option("page-language", text, "the language of the page for all readers; by default each reader's own"),
    Option("page-change-password", text, "where a user changes the password: a path or a URL"),
    Option("page-tokens", text, "where a user sees API keys and connected apps: a path or a URL"),
    _door("path", text, "where DELETE is answered (/auth/sessions)"),
    _door("api", switch, "also answer the rest of the session API there: who am I, my sessions, revoke one, and the page for a browser"),
    _door("cookie-name", text, "the name of our cookie (__Host-session-ward)"),
    _door("cookie-domain", text, "the Domain of our cookie, where the application's login cookie has one"),
    _door("cookie-samesite", text, "lax, strict or none"),
    _door("insecure", switch, "development over plain http: our cookie goes without Secure"),
    _door("on-invalid", text, "strip or reject: what happens to a request whose credential is invalid"),
    _door("exempt-paths", texts, "path prefixes that pass without a lookup and without our credential; repeatable"),
    _door("trusted-origins", texts, "other sites whose pages may call our routes; repeatable"),
    _door("public-origin", text, "our own origin as browsers see it"),
    _door("audience", text, "names this application where several share a secret"),
    _door("lifetime", seconds, "seconds that a session lives"),
    Option(
        "session-idle-timeout",
        seconds,
        "seconds that a session lives without being used, at least 120; no limit by default",
        of_door=True,
        setting="idle_timeout",
    ),
    _door("max-sessions", whole, "live sessions of one user; a sign-in beyond it revokes the one used longest ago"),
    _door("revoke-impersonations", switch, "also revoke and count sessions in which another user acts as this one"),
    _door("at-limit", text, "revoke or refuse: what a sign-in beyond max-sessions does; refuse: 409 (revoke)"),
    _door(
        "recent", seconds, "seconds that the caller's sign-in may be old when it revokes others; an older one gets 403; any age by default"
    ),
    _door("sign-in", text, "where a user signs in again: a path or an https URL, such as /login?next={return_to}"),
    _door("rate-limit", whole, "how often one session may revoke within an hour; no limit by default"),
    _door("limits", text, "the limits of a standard: nist-aal1, nist-aal2, nist-aal3, pci or asvs-l2"),
    _door("backend-timeout", seconds, "seconds that a request waits for the backend"),
    _door("lease", seconds, "seconds for which a worker may trust an answer of the backend, at most 5; a revocation takes as long (0)"),
    _door("lease-waiters", whole, "requests with a revoked session that may wait at once until the lease has passed (1000)"),
    Option("recheck", pause, "seconds between two checks of open streams; 0: they stay open (5)", only="serve", of_door=True),
    Option("recheck-paths", texts, "prefixes of the paths whose streams are checked; repeatable; all", only="serve", of_door=True),
    _door("debug", switch, "errors say what was wrong with the credential; never in production"),
)

BY_NAME: Final = {option.name: option for option in OPTIONS}


def variable_of(name: str) -> str:
    """Returns the name of the environment variable of an option."""
    return PREFIX + name.upper().replace("-", "_")


def names() -> list[str]:
    """Returns all names that a place can have: those of the options, and ``NAME-file`` of each secret."""
    return [*BY_NAME, *(option.name + FILE for option in OPTIONS if option.is_secret)]
