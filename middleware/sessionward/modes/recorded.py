"""Mode recorded: the application's store may write a revoked session back, so the backend records what it has revoked.

It is for backends with ``which_revoked``, ``note`` or ``renewed`` (:class:`sessionward.backends.SupportsRecord`). Only the backend's
record says which sessions were revoked. A key in the application's store does not say that its session is live (P6). A backend
has ``renewed`` alone if a revoked row stays revoked: a request in flight may still copy its login to a new key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial

from sessionward.credential.login_cookies import LoginCredential, LoginNames, parse_login_credentials, strip, with_one_cookie_field
from sessionward.credential.token import Credential
from sessionward.lease import NoLeases
from sessionward.modes.application import ApplicationContext, ApplicationSessions
from sessionward.modes.application import mistakes as application_mistakes
from sessionward.request.request import Fields, joined
from sessionward.response.answer import Response
from sessionward.response.set_cookies import drop_login_cookies, parse_set_cookies, sets_login_cookie
from sessionward.session.capabilities import Capabilities
from sessionward.session.step import Flow
from sessionward.session.steps import FindRevoked, Note, Renewed
from sessionward.settings import Settings


def names_of(capabilities: Capabilities) -> LoginNames:
    """Returns the names of the cookies and headers that carry the application's session keys."""
    carriers = capabilities.carriers
    return LoginNames([carrier.name for carrier in carriers if carrier.is_cookie], [each for each in carriers if not each.is_cookie])


def mistakes(capabilities: Capabilities, settings: Collection[str], cookie_name: str) -> Iterator[str]:
    """Yields the mistakes in this mode. ``settings``: the names of the settings that the user has given."""
    yield from application_mistakes(capabilities, settings)
    if names_of(capabilities).of(cookie_name.encode("utf-8", "replace")) is not None:
        yield f"cookie_name: {cookie_name!r} is a login cookie of the application; choose another name"


class RecordedContext(ApplicationContext):
    """``kept``: the session keys that the application gets. ``is_exempt``: it gets none, so its response may set none."""

    kept: Sequence[LoginCredential] = ()
    is_exempt: bool = False


class Recorded(ApplicationSessions[RecordedContext]):
    """Removes revoked session keys from requests, and notes new sessions."""

    context = RecordedContext
    looks_always = True

    def __init__(self, capabilities: Capabilities, settings: Settings, leases: NoLeases) -> None:
        super().__init__(capabilities, settings, leases)
        self._logins = names_of(capabilities)
        self._finds_revoked = "which_revoked" in capabilities.operations
        self._renews = "renewed" in capabilities.operations
        self._notes = "note" in capabilities.operations

    # --- before the application

    def on_request(self, context: RecordedContext) -> Flow[Response | Fields | None]:
        """Removes the session keys whose sessions were revoked, and those in a spelling that only some frameworks read."""
        if not self._finds_revoked:
            return self._without_obfuscated(context)
        parsed = parse_login_credentials(partial(joined, context.found), self._logins)
        credentials = {login: _credential(login.value) for login in parsed.credentials}
        revoked = (yield from FindRevoked(list(credentials.values()))) if credentials else ()
        context.kept = [login for login, credential in credentials.items() if credential not in revoked]
        out = [login for login, credential in credentials.items() if credential in revoked]
        fields = strip(context.found, parsed, out)
        if fields is None and context.kept:
            fields = with_one_cookie_field(context.found)
        return self._seen(context, fields)

    def exempt(self, context: RecordedContext) -> Fields | None:
        if not self._finds_revoked:
            return self._without_obfuscated(context)
        context.is_exempt = bool(context.found)
        parsed = parse_login_credentials(partial(joined, context.found), self._logins)
        return self._seen(context, strip(context.found, parsed, parsed.credentials))

    def _without_obfuscated(self, context: RecordedContext) -> Fields | None:
        """Removes keys in an odd spelling, since :meth:`_admits` must know all keys. The application itself refuses revoked keys."""
        if not self._renews or not context.found:
            return None
        parsed = parse_login_credentials(partial(joined, context.found), self._logins)
        context.kept = parsed.credentials
        return self._seen(context, strip(context.found, parsed, ()))

    def _seen(self, context: RecordedContext, fields: Fields | None) -> Fields | None:
        """Replaces ``context.found``, so that we see the same caller as the application."""
        if fields is not None:
            context.found = fields
        return fields

    # --- after it

    def touches(self, context: RecordedContext, head: Fields) -> bool:  # noqa: ARG002 - we note a new session of every caller
        return sets_login_cookie(head, self._logins)

    def on_response(self, context: RecordedContext, head: Fields) -> Flow[Fields]:
        """Notes new sessions. Drops the session cookies of the response if the session of the request was revoked meanwhile (P9).

        In this order, a concurrent revocation either finds the new session, or we find that it has revoked the old one.
        """
        if context.is_exempt:  # an empty session would replace the login
            return drop_login_cookies(head, self._logins, context.clock)
        news = [cookie.value for cookie in parse_set_cookies(head, self._logins, context.clock) if cookie.value is not None]
        if news and not (yield from self._admits(context, news)):
            return drop_login_cookies(head, self._logins, context.clock)
        return head

    def _admits(self, context: RecordedContext, news: Sequence[str]) -> Flow[bool]:
        """Returns whether a response may set these keys. We ask ``Renewed`` only about keys that its request did not have.

        Its answer is about the keys of the request too, of which the application may have deleted some by now.
        """
        kept = context.kept
        came = [_credential(login.value) for login in kept]
        renewed = {value for value in news if self._renews and all(value != login.value for login in kept)}
        for value in dict.fromkeys(news):
            if value in renewed:
                try:
                    if not (yield from Renewed(_credential(value), came, context.age)):
                        return False
                except Exception:  # the driver has logged it; a revocation might not find this session
                    return False
            elif self._notes:
                with suppress(Exception):
                    yield from Note(_credential(value))
        if not self._finds_revoked or not came or renewed.issuperset(news):
            return True
        try:
            return not (yield from FindRevoked(came))
        except Exception:  # the driver has logged it
            return False


def _credential(value: str) -> Credential:
    return Credential(value.encode("latin-1"))
