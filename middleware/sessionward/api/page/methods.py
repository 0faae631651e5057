"""How a user signed in, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from sessionward.api.page.labels import plain
from sessionward.api.page.languages import Catalogue, catalogue

MAX_METHODS: Final = 3
"""Methods that are shown. More do not help a reader."""


def methods_text(methods: Iterable[str], catalogue: Catalogue) -> str:
    """Returns the methods of a sign-in, in their order and each once: "password and one-time code". Empty if there are none.

    Does not translate a method that the application invented.
    """
    words = _words(catalogue.language)
    shown = list(dict.fromkeys(words.get(method) or plain(method) for method in methods))[:MAX_METHODS]
    if len(shown) < 2:
        return "".join(shown)
    *before, last = shown
    first = catalogue.pgettext("between the parts of a list", ", ").join(before)
    return catalogue.gettext("%(first)s and %(last)s") % {"first": first, "last": last}


@cache
def _words(language: str) -> Mapping[str, str]:
    """Returns the words for the methods that ``login(methods=...)`` knows (``METHODS`` of ``api/session_object.py``)."""
    say = catalogue(language)
    return {
        "password": say.pgettext("sign-in method", "password"),
        "passkey": say.pgettext("sign-in method", "passkey"),
        "webauthn": say.pgettext("sign-in method", "security key"),
        "security_key": say.pgettext("sign-in method", "security key"),
        "totp": say.pgettext("sign-in method", "authenticator app"),
        "code": say.pgettext("sign-in method", "one-time code"),
        "otp": say.pgettext("sign-in method", "one-time code"),
        "sms": say.pgettext("sign-in method", "text message"),
        "email": say.pgettext("sign-in method", "email"),
        "magic_link": say.pgettext("sign-in method", "email link"),
        "lookup_secret": say.pgettext("sign-in method", "backup code"),
        "recovery_code": say.pgettext("sign-in method", "backup code"),
        "code_recovery": say.pgettext("sign-in method", "recovery code"),
        "link_recovery": say.pgettext("sign-in method", "recovery link"),
        "recovery": say.pgettext("sign-in method", "recovery link"),
        "oidc": say.pgettext("sign-in method", "account of another service"),
        "oauth": say.pgettext("sign-in method", "account of another service"),
        "saml": say.pgettext("sign-in method", "single sign-on"),
        "sso": say.pgettext("sign-in method", "single sign-on"),
        "profile": say.pgettext("sign-in method", "profile"),
        "apple": "Apple",
        "facebook": "Facebook",
        "github": "GitHub",
        "google": "Google",
        "microsoft": "Microsoft",
    }
