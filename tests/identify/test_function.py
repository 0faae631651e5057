"""A function as an identifier."""

from __future__ import annotations

import functools
import hashlib
import inspect
from typing import Any
from uuid import UUID

import pytest
from itsdangerous import BadSignature, TimestampSigner

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, InvalidCredential, UsageError
from sessionward.identify import Function
from sessionward.session.identifier import AnonymousSession, IdentifierSpec, Identity
from tests.identify.claims import SECRET, UNREADABLE, identity, said


def function_of(answer: Any) -> Function:
    return Function(lambda name, value: answer, cookies=["login"])


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        ("ada", "ada"),
        (7, "7"),
        (UUID(int=1), str(UUID(int=1))),
        (Identity(user_id="ada", session_id="1"), "ada"),
        (None, None),
    ],
    ids=["text", "a number", "a UUID", "an Identity", "nobody"],
)
def test_the_answer_of_the_function_is_who_is_signed_in(answer: Any, user: str | None) -> None:
    assert said(function_of(answer), "login", "x") == user


def test_of_the_id_of_a_session_only_its_digest_is_kept() -> None:
    for named in (
        Identity(user_id="ada", session_id="an-id"),
        Identity(user_id="ada", session_id=b"an-id"),
        AnonymousSession(session_id="an-id"),
    ):
        assert named.app_session == hashlib.sha256(b"an-id").digest()
        assert "an-id" not in repr(named)
        assert repr(named.app_session) not in repr(named)
        assert "an-id" not in [getattr(named, name, None) for name in dir(named)]
    assert Identity(user_id="ada").app_session is None


def test_an_identity_passes_as_it_is() -> None:
    whole = Identity(user_id="ada", session_id="1", issued_at=5.0, lifetime=60.0)
    assert identity(function_of(whole), "login", "x") is whole


@pytest.mark.parametrize("answer", ["", True, 1.5, {"id": 1}, "a\nb"], ids=repr)
def test_an_answer_that_is_no_user_id_is_told_and_is_not_nobody(answer: Any) -> None:
    with pytest.raises(UsageError):
        identity(function_of(answer), "login", "x")


def test_the_function_is_asked_with_the_name_and_the_value() -> None:
    asked: list[tuple[str, str]] = []
    said(Function(lambda name, value: asked.append((name, value)), cookies=["login"]), "login", "x")
    assert asked == [("login", "x")]


async def of_a_store(name: str, value: str) -> str:
    if value == "forged":
        raise BadSignature("forged")
    return "ada"


class Callable:
    async def __call__(self, name: str, value: str) -> str:
        return "ada"


@pytest.mark.parametrize("read", [of_a_store, functools.partial(of_a_store), Callable()], ids=["function", "partial", "object"])
def test_an_async_function_makes_an_async_identifier(read: Any) -> None:
    identifier = Function(read, cookies=["login"])
    assert inspect.iscoroutinefunction(identifier.identify)
    assert IdentifierSpec.of(identifier).is_async
    assert said(identifier, "login", "x") == "ada"


def test_a_sync_function_makes_a_sync_identifier() -> None:
    assert not IdentifierSpec.of(function_of("ada")).is_async


def test_a_sync_function_that_answers_with_a_coroutine_signs_nobody_in() -> None:
    identifier = Function(lambda name, value: of_a_store(name, value), cookies=["login"])
    with pytest.raises(UsageError, match="async def"):
        identifier.identify("login", "x")


class Promise:
    def __await__(self) -> Any:
        yield


def test_nor_does_one_that_answers_with_anything_else_to_await() -> None:
    with pytest.raises(UsageError, match="async def"):
        Function(lambda name, value: Promise(), cookies=["login"]).identify("login", "x")


@pytest.mark.parametrize("error", [InvalidCredential("no"), BadSignature("forged")], ids=["InvalidCredential", "BadData"])
def test_what_cannot_be_read_is_unreadable(error: Exception) -> None:
    def read(name: str, value: str) -> str:
        raise error

    assert said(Function(read, cookies=["login"]), "login", "x") == UNREADABLE
    assert said(Function(of_a_store, cookies=["login"]), "login", "forged") == UNREADABLE


def test_whatever_else_is_raised_passes_on() -> None:
    def read(name: str, value: str) -> str:
        raise KeyError("user")

    with pytest.raises(KeyError):
        identity(Function(read, cookies=["login"]), "login", "x")


def test_what_is_declared_is_what_the_door_sees() -> None:
    header = Carrier.header("X-Api-User")
    identifier = Function(of_a_store, cookies=["login"], headers=[header], server_side=True, blocking=False, lifetime=60)
    spec = IdentifierSpec.of(identifier)
    assert (spec.cookies, spec.headers, spec.server_side, spec.blocks, spec.lifetime) == ((b"login",), (header,), True, False, 60.0)


def test_by_default_it_may_wait_and_keeps_no_state() -> None:
    spec = IdentifierSpec.of(function_of("ada"))
    assert (spec.server_side, spec.blocks, spec.lifetime) == (False, True, 31 * 86_400.0)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        Function(3, lifetime="a day", headers=[Carrier.cookie("login")])  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {"read", "headers", "lifetime"}
    with pytest.raises(ConfigurationError, match="neither cookies nor headers"):
        Function(of_a_store)
    with pytest.raises(ConfigurationError, match="a list of cookie names"):
        Function(of_a_store, cookies="login")


def test_three_lines_with_itsdangerous_are_an_identifier() -> None:
    signer = TimestampSigner(SECRET)
    identifier = Function(lambda name, value: signer.unsign(value, max_age=60).decode(), cookies=["login"])
    assert said(identifier, "login", signer.sign("ada").decode()) == "ada"
    assert said(identifier, "login", signer.sign("ada").decode()[:-1]) == UNREADABLE


def test_it_shows_its_function_and_its_cookies() -> None:
    assert repr(Function(of_a_store, cookies=["login"])) == "Function(of_a_store, cookies=['login'])"
