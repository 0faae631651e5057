"""SignedCookies against Django: the process that runs the claims, which are the functions whose names begin with ``case_``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core import signing  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from sessionward.errors import ConfigurationError
from sessionward.identify.django import SignedCookies
from sessionward.session.identifier import IdentifierSpec
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, OLD_SECRET, SECRET, UNREADABLE, identity, mutated, other_spellings, said, shows
from tests.support.claims import answer

hypothesis_settings.register_profile("cases", deadline=None, database=None)
hypothesis_settings.load_profile("cases")

SALT = "django.contrib.sessions.backends.signed_cookies"
BACKEND = "django.contrib.auth.backends.ModelBackend"
CONFIGURATION: Mapping[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "ROOT_URLCONF": __name__,
    "SECRET_KEY": SECRET,
    "SESSION_ENGINE": SALT,
    "USE_TZ": True,
}


def login(request: HttpRequest, user: str) -> HttpResponse:
    from django.contrib.auth import authenticate  # type: ignore[import-untyped]
    from django.contrib.auth import login as sign_in

    sign_in(request, authenticate(request, username=user, password="secret"))
    return HttpResponse()


def cart(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = ["book"]
    return HttpResponse()


def me(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user.pk or ""))


urlpatterns = [path("login/<user>", login), path("cart", cart), path("me", me)]


def changed(**values: Any) -> Any:
    from django.test import override_settings  # type: ignore[import-untyped]

    return override_settings(**values)


def visit(page: str) -> str:
    from django.test import Client

    client = Client()
    assert client.get(page).status_code == 200
    return str(client.cookies["sessionid"].value)


def app_says(value: str) -> str | None:
    from django.test import Client

    answer = Client(headers={"Cookie": f"sessionid={value}"}).get("/me")
    assert answer.status_code == 200
    return answer.content.decode() or None


def ada() -> Any:
    from django.contrib.auth.models import User  # type: ignore[import-untyped]

    return User.objects.get(username="ada")


def signed(content: Any, **how: Any) -> str:
    return str(signing.dumps(content, **{"salt": SALT, "compress": True, **how}))


@contextmanager
def so_many_seconds_ago(age: int) -> Any:
    """Django signs by the clock of the moment."""
    signer: Any = signing.TimestampSigner
    timestamp = signer.timestamp
    signer.timestamp = lambda self: signing.b62_encode(signing.b62_decode(timestamp(self)) - age)
    try:
        yield
    finally:
        signer.timestamp = timestamp


def both(value: str) -> str | None:
    """What we say, which must be what Django decides."""
    ours = said(SignedCookies(), "sessionid", value)
    assert (None if ours == UNREADABLE else ours) == app_says(value), (ours, app_says(value))
    return ours


# --- claims -----------------------------------------------------------------------------------------------------------


def case_a_login_is_read_as_django_reads_it() -> None:
    assert both(visit("/login/ada")) == str(ada().pk)


def case_a_session_without_a_user_names_nobody() -> None:
    assert both(visit("/cart")) is None
    assert both(signed({})) is None
    assert both(signed({"_auth_user_id": "1"})) is None


def case_what_django_did_not_sign_for_this_is_unreadable() -> None:
    value = visit("/login/ada")
    session = signing.loads(value, salt=SALT)
    for wrong in (
        signed(session, key=FOREIGN_SECRET),
        signed(session, salt="reset-password"),
        signed(["_auth_user_id"], salt="reset-password"),
        value[:-1],
        value.rpartition(":")[0],
        value + "A",
        "hello",
        ":::",
        ".",
    ):
        assert both(wrong) == UNREADABLE


def case_what_is_signed_but_no_session_is_unreadable() -> None:
    for content in (["_auth_user_id"], "ada", 7, None):
        assert said(SignedCookies(), "sessionid", signed(content)) == UNREADABLE


def case_a_cookie_is_good_as_long_as_django_takes_it() -> None:
    session = signing.loads(visit("/login/ada"), salt=SALT)
    for age, expected in ((settings.SESSION_COOKIE_AGE - 60, str(ada().pk)), (settings.SESSION_COOKIE_AGE + 60, UNREADABLE)):
        with so_many_seconds_ago(age):
            value = signed(session)
        assert both(value) == expected


def case_a_fallback_secret_counts_for_the_signature_and_for_the_hash() -> None:
    with changed(SECRET_KEY=OLD_SECRET):
        value = visit("/login/ada")
    assert both(value) == UNREADABLE
    with changed(SECRET_KEY_FALLBACKS=[OLD_SECRET]):
        assert both(value) == str(ada().pk)


def case_a_login_from_before_a_change_of_the_password_is_unreadable() -> None:
    value, user = visit("/login/ada"), ada()
    user.set_password("another")
    user.save()
    try:
        assert both(value) == UNREADABLE
        with changed(SECRET_KEY_FALLBACKS=[OLD_SECRET]):
            assert both(value) == UNREADABLE
    finally:
        user.set_password("secret")
        user.save()


def case_a_session_without_a_hash_is_unreadable() -> None:
    assert both(signed({"_auth_user_id": str(ada().pk), "_auth_user_backend": BACKEND})) == UNREADABLE


def case_a_user_who_is_gone_or_inactive_is_unreadable() -> None:
    from django.contrib.auth.models import User

    User.objects.create_user("bob", password="secret")
    value = visit("/login/bob")
    assert both(value) == str(User.objects.get(username="bob").pk)
    User.objects.filter(username="bob").update(is_active=False)
    assert both(value) == UNREADABLE
    User.objects.filter(username="bob").delete()
    assert both(value) == UNREADABLE


def case_a_user_of_a_backend_that_is_no_longer_used_is_unreadable() -> None:
    value = visit("/login/ada")
    with changed(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"]):
        assert both(value) == UNREADABLE


def case_an_id_of_another_kind_than_the_primary_key_is_unreadable() -> None:
    session = {**signing.loads(visit("/login/ada"), salt=SALT), "_auth_user_id": "ada"}
    assert said(SignedCookies(), "sessionid", signed(session)) == UNREADABLE


class Plain:
    """A user of a project's own, without a session hash."""

    pk = 7
    is_active = True


class PlainBackend:
    def get_user(self, user_id: int) -> Any:
        return Plain()


def case_a_user_without_a_session_hash_is_taken_as_django_takes_it() -> None:
    backend = f"{__name__}.PlainBackend"
    with changed(AUTHENTICATION_BACKENDS=[backend]):
        assert both(signed({"_auth_user_id": "7", "_auth_user_backend": backend})) == "7"


def case_another_spelling_is_unreadable_even_where_django_reads_it() -> None:
    value = visit("/login/ada")
    assert app_says(f'"{value}"') == str(ada().pk)
    assert {said(SignedCookies(), "sessionid", spelled) for spelled in other_spellings(value)} == {UNREADABLE}


def case_garbage_is_unreadable_and_nothing_worse() -> None:
    identifier, value = SignedCookies(), visit("/login/ada")

    @given(GARBAGE)
    def garbage(text: str) -> None:
        assert said(identifier, "sessionid", text) == UNREADABLE

    @given(mutated(value))
    def cookie(text: str) -> None:
        assert said(identifier, "sessionid", text) == UNREADABLE or text == value

    garbage()
    cookie()


def case_the_database_is_left_as_it_was_found() -> None:
    from django.db import close_old_connections, connection  # type: ignore[import-untyped]

    identifier, value = SignedCookies(), visit("/login/ada")
    close_old_connections()
    connection.close()
    assert said(identifier, "sessionid", value) != UNREADABLE
    assert connection.connection is None
    ada()
    assert connection.connection is not None
    assert said(identifier, "sessionid", value) != UNREADABLE
    assert connection.connection is not None


def case_a_database_that_cannot_answer_is_no_unknown_user_and_not_held_against_the_next() -> None:
    from django.db import OperationalError, connection

    identifier, value = SignedCookies(), visit("/login/ada")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user RENAME TO away")
    try:
        try:
            identity(identifier, "sessionid", value)
        except OperationalError:
            pass
        else:
            raise AssertionError("the database had no such table")
        assert connection.connection is None
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO auth_user")
    assert said(identifier, "sessionid", value) == str(ada().pk)


def case_what_is_declared_is_what_the_door_sees() -> None:
    with changed(SESSION_COOKIE_NAME="sid", SESSION_COOKIE_AGE=60):
        spec = IdentifierSpec.of(SignedCookies())
    assert (spec.cookies, spec.lifetime, spec.server_side, spec.blocks, spec.is_async) == ((b"sid",), 60.0, False, True, False)
    found = identity(SignedCookies(), "sessionid", visit("/login/ada"))
    assert found is not None
    assert (found.app_session, found.lifetime) == (None, None)


def case_an_engine_on_the_server_is_refused() -> None:
    with changed(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        assert "backends.django" in refusal()


def case_it_shows_no_secret() -> None:
    assert SECRET not in shows(SignedCookies())


def refusal() -> str:
    try:
        SignedCookies()
    except ConfigurationError as told:
        return str(told)
    raise AssertionError("it was not refused")


def main() -> None:
    assert "get_wsgi_application" in refusal()
    with tempfile.TemporaryDirectory() as directory:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(directory) / "site.db")}
        settings.configure(**CONFIGURATION, DATABASES={"default": database})
        django.setup()
        from django.contrib.auth.models import User
        from django.core.management import call_command  # type: ignore[import-untyped]
        from django.db import connections

        call_command("migrate", verbosity=0)
        User.objects.create_user("ada", password="secret")
        answer(lambda case: globals()[case]())
        connections.close_all()


if __name__ == "__main__":
    import tests.identify.django_cases as itself  # so that Django, which imports it by name, finds the same classes

    itself.main()
