"""JWT against PyJWT: keys, key sets, and the attacks that tokens are known for."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, InvalidCredential, UsageError
from sessionward.identify.jwt import JWT
from sessionward.session.identifier import IdentifierSpec, app_session_digest
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, OLD_SECRET, SECRET, UNREADABLE, identity, mutated, other_spellings, said, shows

COOKIE = "access_token_cookie"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
EC = ec.generate_private_key(ec.SECP256R1())
NOW = int(time.time())  # a run of all tests may take an hour: what is near it is a day away
DAY = 86_400

IDENTIFIER = JWT(SECRET, algorithms=["HS256"])


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, /, **claims: Any) -> str:
    return jwt.encode({"sub": "ada", "iat": NOW - 5, "exp": NOW + DAY, **claims}, key, algorithm, headers)


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any], sign: Any = lambda text: b"") -> str:
    """A token put together by hand, as attackers do."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    return (text + b"." + urlsafe_b64encode(sign(text)).rstrip(b"=")).decode()


def jwk(key: Any, algorithm: str, name: str | None, **more: Any) -> dict[str, Any]:
    kind: Any = jwt.get_algorithm_by_name(algorithm)
    return {**kind.to_jwk(key, as_dict=True), **({"kid": name} if name else {}), **more}


# --- whom a token signs in --------------------------------------------------------------------------------------------


def test_a_token_signs_in_whom_it_names() -> None:
    assert said(IDENTIFIER, COOKIE, token()) == "ada"
    assert said(JWT(SECRET, algorithms=["HS256"], user_claim="user_id"), COOKIE, token(user_id=7)) == "7"


@pytest.mark.parametrize(
    ("key", "private", "algorithm"),
    [
        (SECRET, SECRET, "HS256"),
        (SECRET.encode() * 2, SECRET.encode() * 2, "HS512"),
        (PEM, RSA, "RS256"),
        (RSA.public_key(), RSA, "PS256"),
        (EC.public_key(), EC, "ES256"),
        (jwt.PyJWK(jwk(EC.public_key(), "ES256", "1")), EC, "ES256"),
    ],
    ids=["text", "bytes", "PEM", "RSA", "EC", "PyJWK"],
)
def test_every_kind_of_key_is_taken(key: Any, private: Any, algorithm: str) -> None:
    identifier = JWT(key, algorithms=[algorithm])
    assert said(identifier, COOKIE, token(private, algorithm)) == "ada"
    assert said(identifier, COOKIE, token(private, algorithm)[:-8]) == UNREADABLE


UNTRUE: Mapping[str, str] = {
    "forged": token(FOREIGN_SECRET),
    "expired": token(exp=NOW - 60),
    "not yet": token(nbf=NOW + 86_400),
    "of the future": token(iat=NOW + 86_400),
    "for an audience": token(aud="mail"),
    "without a user": jwt.encode({"exp": NOW + DAY}, SECRET),
    "with null for a user": token(sub=None),
    "truncated": token()[:-1],
    "without a signature": token().rpartition(".")[0] + ".",
    "two parts": token().rpartition(".")[0],
    "another algorithm": token(SECRET * 2, "HS512"),
    "none": unsigned({"alg": "none", "typ": "JWT"}, {"sub": "ada", "exp": NOW + DAY}),
    "none with a signature": unsigned({"alg": "none"}, {"sub": "ada"}, lambda text: b"signed"),
    "None": unsigned({"alg": "None"}, {"sub": "ada"}, lambda text: b"signed"),
    "without an algorithm": unsigned({}, {"sub": "ada"}, lambda text: b"signed"),
    "an algorithm that is no text": unsigned({"alg": ["HS256"]}, {"sub": "ada"}, lambda text: b"signed"),
    "critical": token(SECRET, "HS256", {"crit": ["exp"], "exp": 1}),
    "times that are no numbers": token(iat="today"),
    "words": "hello",
    "dots": "..",
    "empty": "",
}


@pytest.mark.parametrize("value", UNTRUE.values(), ids=UNTRUE)
def test_what_proves_nothing_is_unreadable(value: str) -> None:
    assert said(IDENTIFIER, COOKIE, value) == UNREADABLE


def hs256(key: bytes) -> Any:
    return lambda text: hmac.digest(key, text, hashlib.sha256)


def test_a_public_key_is_no_secret() -> None:
    confused = unsigned({"alg": "HS256"}, {"sub": "ada", "exp": NOW + DAY}, hs256(PEM))
    assert said(JWT(PEM, algorithms=["RS256"]), COOKIE, confused) == UNREADABLE
    with pytest.raises(ConfigurationError, match="key"):
        JWT(PEM, algorithms=["HS256"])
    with pytest.raises(ConfigurationError, match="published key for a secret"):
        JWT(PEM, algorithms=["RS256", "HS256"])


def test_a_token_brings_no_key_of_its_own() -> None:
    attacker = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    headers = {"jwk": jwk(attacker.public_key(), "RS256", None), "jku": "https://attacker.example", "kid": "1"}
    assert said(JWT(PEM, algorithms=["RS256"]), COOKIE, token(attacker, "RS256", headers)) == UNREADABLE
    published = {"keys": [jwk(RSA.public_key(), "RS256", "1")]}
    assert said(JWT(published, algorithms=["RS256"]), COOKIE, token(attacker, "RS256", headers)) == UNREADABLE


def test_audience_issuer_and_leeway_are_pyjwt_s() -> None:
    identifier = JWT(SECRET, algorithms=["HS256"], audience=["fastapi-users:auth"], issuer="https://id.example", leeway=DAY // 2)
    right = {"aud": ["fastapi-users:auth"], "iss": "https://id.example"}
    assert said(identifier, COOKIE, token(**right)) == "ada"
    assert said(identifier, COOKIE, token(**right, exp=NOW - 60)) == "ada"
    for wrong in ({"aud": ["mail"]}, {"iss": "https://other.example"}, {"exp": NOW - 2 * DAY}):
        assert said(identifier, COOKIE, token(**{**right, **wrong})) == UNREADABLE
    assert said(identifier, COOKIE, token()) == UNREADABLE


def test_a_user_of_another_kind_is_told_and_is_not_nobody() -> None:
    with pytest.raises(UsageError):
        identity(IDENTIFIER, COOKIE, token(sub={"id": 7}))


def test_another_spelling_is_unreadable() -> None:
    assert {said(IDENTIFIER, COOKIE, value) for value in other_spellings(token())} == {UNREADABLE}
    assert said(IDENTIFIER, COOKIE, token() + "=") == UNREADABLE


@given(GARBAGE)
def test_garbage_is_unreadable_and_nothing_worse(garbage: str) -> None:
    assert said(IDENTIFIER, COOKIE, garbage) == UNREADABLE


ADA = token()


@given(mutated(ADA))
def test_a_changed_token_is_unreadable(value: str) -> None:
    assert said(IDENTIFIER, COOKIE, value) == UNREADABLE or value == ADA


@given(GARBAGE)
def test_garbage_in_the_three_parts_is_unreadable(garbage: str) -> None:
    part = urlsafe_b64encode(garbage.encode()).rstrip(b"=").decode()
    for value in (f"{part}.{part}.{part}", f"{ADA.partition('.')[0]}.{part}.{part}", f"{part}.{ADA.partition('.')[2]}"):
        assert said(IDENTIFIER, COOKIE, value) == UNREADABLE or value == ADA


# --- its age and its session ------------------------------------------------------------------------------------------


def issued_at(identifier: JWT, value: str) -> float | None:
    found = identity(identifier, "authorization", value)
    assert found is not None
    return found.issued_at


def test_the_issue_time_is_iat_else_exp_minus_the_lifetime_of_a_token() -> None:
    without = jwt.encode({"sub": "ada", "exp": NOW + DAY}, SECRET)
    forever = jwt.encode({"sub": "ada"}, SECRET)
    lasting = JWT(SECRET, algorithms=["HS256"], token_lifetime=2 * DAY)
    assert issued_at(IDENTIFIER, token()) == issued_at(lasting, token()) == NOW - 5
    assert issued_at(lasting, without) == NOW - DAY
    assert issued_at(IDENTIFIER, without) is issued_at(lasting, forever) is None


def test_a_token_with_a_time_beyond_all_numbers_is_unreadable() -> None:
    assert said(IDENTIFIER, COOKIE, jwt.encode({"sub": "ada", "iat": -(10**400)}, SECRET)) == UNREADABLE


def test_a_companion_goes_with_the_sid_of_a_cookie_and_with_nothing_else() -> None:
    for name, claims, app_session in (
        (COOKIE, {"sid": "s1", "jti": "j1"}, app_session_digest("s1")),
        (COOKIE, {"jti": "j1"}, None),
        (COOKIE, {"sid": 7}, None),
        ("authorization", {"sid": "s1"}, None),
    ):
        found = identity(IDENTIFIER, name, token(**claims))
        assert found is not None
        assert (found.app_session, found.lifetime) == (app_session, None)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_every_key_of_a_list_counts() -> None:
    identifier = JWT([SECRET, OLD_SECRET], algorithms=["HS256"])
    assert said(identifier, COOKIE, token()) == said(identifier, COOKIE, token(OLD_SECRET)) == "ada"
    assert said(identifier, COOKIE, token(FOREIGN_SECRET)) == UNREADABLE
    assert said(identifier, COOKIE, token(OLD_SECRET, exp=NOW - 60)) == UNREADABLE


KEYS = {"keys": [jwk(RSA.public_key(), "RS256", "rsa", alg="RS256"), jwk(EC.public_key(), "ES256", "ec", use="sig")]}


@pytest.mark.parametrize("keys", [KEYS, jwt.PyJWKSet.from_dict(KEYS)], ids=["mapping", "PyJWKSet"])
def test_a_key_set_is_asked_for_the_key_that_the_token_names(keys: Any) -> None:
    identifier = JWT(keys, algorithms=["RS256", "ES256"])
    assert said(identifier, COOKIE, token(RSA, "RS256", {"kid": "rsa"})) == "ada"
    assert said(identifier, COOKIE, token(EC, "ES256", {"kid": "ec"})) == "ada"
    assert said(identifier, COOKIE, token(EC, "ES256")) == "ada"
    assert said(identifier, COOKIE, token(EC, "ES256", {"kid": "rsa"})) == UNREADABLE
    assert said(identifier, COOKIE, token(RSA, "RS256", {"kid": "unknown"})) == UNREADABLE
    assert not IdentifierSpec.of(identifier).blocks


def test_a_key_for_another_use_signs_nobody_in() -> None:
    identifier = JWT({"keys": [jwk(EC.public_key(), "ES256", "ec", use="enc")]}, algorithms=["ES256"])
    assert said(identifier, COOKIE, token(EC, "ES256", {"kid": "ec"})) == UNREADABLE


def test_a_function_may_choose_the_key_by_the_header() -> None:
    def key(header: Mapping[str, Any]) -> str:
        if header.get("kid") != "1":
            raise InvalidCredential("no such key")
        return SECRET

    identifier = JWT(key, algorithms=["HS256"])
    assert said(identifier, COOKIE, token(SECRET, "HS256", {"kid": "1"})) == "ada"
    assert said(identifier, COOKIE, token()) == UNREADABLE
    assert IdentifierSpec.of(identifier).blocks


@pytest.fixture
def published() -> Iterator[tuple[str, dict[str, Any]]]:
    """An endpoint that publishes keys, and what it answers with."""
    answer: dict[str, Any] = {"status": 200, "body": KEYS, "asked": 0}

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer["asked"] += 1
            self.send_response(answer["status"])
            self.end_headers()
            self.wfile.write(json.dumps(answer["body"]).encode())

        def log_message(self, format: str, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/keys", answer
    server.shutdown()
    thread.join()
    server.server_close()


def test_published_keys_are_fetched_once(published: tuple[str, dict[str, Any]]) -> None:
    url, answer = published
    identifier = JWT(jwt.PyJWKClient(url), algorithms=["RS256", "ES256"])
    assert IdentifierSpec.of(identifier).blocks
    for _ in range(3):
        assert said(identifier, COOKIE, token(RSA, "RS256", {"kid": "rsa"})) == "ada"
        assert said(identifier, COOKIE, token(EC, "ES256", {"kid": "rsa"})) == UNREADABLE
        assert said(identifier, COOKIE, token(RSA, "RS256", {"kid": "unknown"})) == UNREADABLE
        assert said(identifier, COOKIE, token(RSA, "RS256")) == UNREADABLE
    assert answer["asked"] == 1


def test_no_key_is_fetched_for_an_algorithm_that_is_not_allowed_or_without_a_name(published: tuple[str, dict[str, Any]]) -> None:
    url, answer = published
    identifier = JWT(jwt.PyJWKClient(url, cooldown_duration=0), algorithms=["RS256"])
    assert said(identifier, COOKIE, token(SECRET, "HS256", {"kid": "rsa"})) == UNREADABLE
    assert said(identifier, COOKIE, token(RSA, "RS256")) == UNREADABLE
    assert answer["asked"] == 0


@pytest.mark.parametrize("wrong", [{"status": 500}, {"body": {"keys": []}}, {"body": ["keys"]}], ids=["500", "no keys", "no set"])
def test_an_endpoint_that_cannot_answer_is_no_unknown_key(published: tuple[str, dict[str, Any]], wrong: dict[str, Any]) -> None:
    url, answer = published
    answer.update(wrong)
    with pytest.raises(jwt.PyJWTError):
        identity(JWT(jwt.PyJWKClient(url), algorithms=["RS256"]), COOKIE, token(RSA, "RS256", {"kid": "rsa"}))


def test_an_endpoint_that_is_gone_is_no_unknown_key(published: tuple[str, dict[str, Any]]) -> None:
    url, answer = published
    identifier = JWT(jwt.PyJWKClient(url, cooldown_duration=0), algorithms=["RS256"])
    assert said(identifier, COOKIE, token(RSA, "RS256", {"kid": "rsa"})) == "ada"
    answer["status"] = 500
    assert said(identifier, COOKIE, token(RSA, "RS256", {"kid": "rsa"})) == "ada"
    with pytest.raises(jwt.exceptions.PyJWKClientConnectionError):
        identity(identifier, COOKIE, token(RSA, "RS256", {"kid": "unknown"}))


# --- configuration ----------------------------------------------------------------------------------------------------


def test_what_is_declared_is_what_the_door_sees() -> None:
    spec = IdentifierSpec.of(JWT(SECRET, algorithms=["HS256"], cookies=["at"], header=("Authorization", "Bearer"), lifetime=DAY))
    assert (spec.cookies, spec.headers) == ((b"at",), (Carrier.header("authorization", scheme="bearer"),))
    assert (spec.lifetime, spec.server_side, spec.blocks, spec.is_async) == (float(DAY), False, False, False)
    assert IdentifierSpec.of(IDENTIFIER).cookies == (b"access_token_cookie", b"refresh_token_cookie")
    assert JWT(SECRET, algorithms=["HS256"], cookies=[], header=("X-Token", "")).headers == (Carrier.header("x-token"),)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        JWT(SECRET, algorithms=[], cookies=[], user_claim="", lifetime="long", leeway=None)  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {
        "algorithms",
        "cookies",
        "user_claim",
        "lifetime",
        "leeway",
    }


@pytest.mark.parametrize(
    ("wrong", "said_of"),
    [
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256", "none"]}, "algorithms"),
        ({"algorithms": "HS256"}, "algorithms"),
        ({"algorithms": ["HS1"]}, "algorithms"),
        ({"algorithms": ["RS256"]}, "key"),
        ({"key": ""}, "key"),
        ({"key": None}, "key"),
        ({"key": []}, "key"),
        ({"key": [SECRET, ""]}, "key: number 2 is empty"),
        ({"key": {"keys": []}}, "key"),
        ({"key": {"keys": [{"kty": "oct", "k": SECRET, "alg": "?"}]}}, "key"),
        ({"cookies": "access_token_cookie"}, "cookies"),
        ({"header": "authorization"}, "header"),
    ],
    ids=repr,
)
def test_every_mistake_is_refused_at_start_and_shows_no_key(wrong: dict[str, Any], said_of: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        JWT(**{"key": SECRET, "algorithms": ["HS256"], **wrong})
    assert len(told.value.mistakes) == 1
    assert told.value.mistakes[0].startswith(said_of)
    assert SECRET not in str(told.value)


def test_it_shows_no_key() -> None:
    for identifier in (IDENTIFIER, JWT([SECRET, OLD_SECRET], algorithms=["HS256"])):
        assert SECRET not in shows(identifier)
