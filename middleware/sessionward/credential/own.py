"""Our own credential: reads it from a request, removes it, and sets it in a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sessionward.credential.carriers import CredentialSource, Unproven, read_own, usual_value, without_own
from sessionward.credential.token import Credential, Proofs, Signature
from sessionward.request.request import Fields
from sessionward.settings import Settings


class OwnCredential:
    """Reads and sets the credential of our own sessions (CONTRACT.md 2), by the settings of one middleware.

    ``samesite``: the attribute of the cookie in lower case, or ``""`` for no attribute. None: the one in the settings.
    """

    __slots__ = ("_proofs", "_settings", "cleared", "cookie_name", "samesite", "signature")

    def __init__(self, settings: Settings, *, samesite: str | None = None) -> None:
        self._settings = settings
        self.samesite = settings.cookie_samesite if samesite is None else samesite
        self.cookie_name = settings.cookie_name.encode("ascii")
        self.signature = Signature(settings.secrets, "cookie", settings.audience)
        self._proofs = Proofs(self.signature)
        self.cleared = self.cookie_name + b"=; Max-Age=0" + self._attributes(self.samesite)
        """The Set-Cookie value that deletes the cookie."""

    def read(self, fields: Fields) -> tuple[Credential | Unproven, CredentialSource]:
        """Returns our credential among the fields of a request, and what carried it."""
        return read_own(fields, self.cookie_name, self._proofs)

    def read_cookie(self, cookie: bytes) -> Credential | None:
        """Returns the credential in a Cookie field with one cookie of our name, which we signed, or None.

        :meth:`read` returns the same, if no other field carries a credential.
        """
        value = usual_value(cookie, self.cookie_name)
        return None if value is None else self._proofs.credential(value)

    def unsigned(self) -> str:
        """Returns the warning about a cookie of our name that none of the secrets has signed."""
        return _UNSIGNED.format(name=self.cookie_name.decode())

    def strip(self, fields: Fields) -> Fields:
        """Returns the fields of a request without our credentials."""
        return without_own(fields, self.cookie_name)

    def cookie(
        self, credential: Credential, *, max_age: float | None, samesites: Sequence[str | None] = (), partitioned: bool = False
    ) -> bytes:
        """Returns the Set-Cookie value that gives the credential to a browser.

        ``max_age``: seconds, or None for a cookie that lasts until the browser closes. ``samesites``: the SameSite attributes
        of the login cookies beside it. If they differ, our cookie gets the most permissive one.
        """
        age = b"" if max_age is None else f"; Max-Age={int(max_age)}".encode()
        farthest = next((samesite for samesite in ("none", None, "lax", "strict") if samesite in samesites), self.samesite)
        signed = self.signature.sign(credential.reveal().encode())
        return self.cookie_name + b"=" + signed + age + self._attributes(farthest, partitioned=partitioned)

    def _attributes(self, samesite: str | None, *, partitioned: bool = False) -> bytes:
        settings = self._settings
        secure = "" if settings.insecure else "; Secure"
        domain = f"; Domain={settings.cookie_domain}" if settings.cookie_domain else ""
        if settings.insecure and samesite == "none":  # browsers refuse it without Secure
            samesite = None
        same = f"; SameSite={samesite.capitalize()}" if samesite else ""
        return f"; Path=/{domain}{secure}; HttpOnly{same}{'; Partitioned' if partitioned else ''}".encode()


_UNSIGNED: Final = (
    "a request has the cookie {name}, which none of our secrets has signed. If this is frequent, either a secret has changed and"
    " the old one is missing from `secrets`, or another application on this host uses the same cookie name: give each application"
    " its own `audience`"
)
