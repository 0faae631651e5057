"""How a user signed in, in words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sessionward.api.page.languages import catalogue
from sessionward.api.page.methods import methods_text
from sessionward.api.session_object import METHODS
from sessionward.settings.page import LANGUAGES


@pytest.mark.parametrize(
    ("methods", "language", "text"),
    [
        pytest.param([], "en", "", id="none"),
        pytest.param(["password"], "en", "password", id="one"),
        pytest.param(["password", "totp"], "en", "password and authenticator app", id="two"),
        pytest.param(["password", "sms", "passkey"], "en", "password, text message and passkey", id="three"),
        pytest.param(["password", "sms", "passkey", "email"], "en", "password, text message and passkey", id="more than a reader wants"),
        pytest.param(["code", "otp", "password"], "en", "one-time code and password", id="two that are one"),
        pytest.param(["password", "totp"], "de", "Passwort und Authenticator-App", id="two, in German"),
        pytest.param(["password", "sms", "passkey"], "ja", "パスワード、SMS、パスキー", id="three, in Japanese"),
        pytest.param(["password", "passkey"], "ar", "كلمة المرور ومفتاح المرور", id="two, in Arabic"),
        pytest.param(["smart\u202ecard"], "de", "smart card", id="the application's own"),
        pytest.param(["%s", "%(last)s"], "en", "%s and %(last)s", id="places of a pattern"),
    ],
)
def test_the_methods_of_a_sign_in_are_said_in_the_readers_language(methods: Sequence[str], language: str, text: str) -> None:
    assert methods_text(methods, catalogue(language)) == text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_method_that_a_login_knows_has_a_word(method: str, language: str) -> None:
    said = methods_text([method], catalogue(language))
    assert said
    assert "_" not in said
    if language == "ja" and method not in ("sms", "google", "github", "microsoft", "apple", "facebook"):
        assert not said.isascii(), "it is translated"
