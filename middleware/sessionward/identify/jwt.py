"""JSON Web Tokens in a cookie or a header, verified by PyJWT with a key, several keys, or a JWKS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Final, TypeAlias, cast

import jwt

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.session.identifier import Identity
from sessionward.settings import Duration, seconds

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

Key: TypeAlias = Any
"""A secret or a public key as PyJWT takes it; a list of them, newest first; a JWKS as a mapping or a ``PyJWKSet``; a
``PyJWKClient``; or a function of the token's header (not verified yet) that answers with a key or raises ``InvalidCredential``."""


@dataclass(frozen=True, slots=True)
class JWT:
    """Whom a JSON Web Token signs in. ``cookies`` and ``header`` must name everything that can carry a login.

    ``algorithms`` are those that the application signs with: never ``none``, and HMAC never beside the others, for a
    public key is no secret. ``audience``, ``issuer`` and ``leeway`` are PyJWT's. ``user_claim``: where the user's id is; a
    token without it is unreadable. ``header``: name and scheme, ``("authorization", "bearer")``.

    A token in a header has no companion, so its age decides: ``iat``, or ``exp`` minus ``token_lifetime`` where tokens
    carry no ``iat`` (fastapi-users). ``lifetime``: seconds that a login in cookies lasts, refreshing included. Cookies of
    one ``sid`` claim are one session; a ``jti`` is new in each token and says nothing.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    key: Key = field(repr=False)
    _: KW_ONLY
    algorithms: Sequence[str]
    cookies: Sequence[str] = ("access_token_cookie", "refresh_token_cookie")
    header: tuple[str, str] | None = None
    audience: str | Iterable[str] | None = None
    issuer: str | Sequence[str] | None = None
    user_claim: str = "sub"
    leeway: float = 0.0
    token_lifetime: Duration | None = None
    lifetime: Duration = 31 * 86_400.0
    headers: tuple[Carrier, ...] = field(init=False)
    blocking: bool = field(init=False)
    server_side: ClassVar[bool] = False
    _keys: Callable[[Mapping[str, Any]], Iterable[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mistakes = [*_algorithm_mistakes(self.algorithms), *_carrier_mistakes(self.cookies, self.header)]
        if not self.user_claim:
            mistakes.append("user_claim: the name of a claim is needed")
        for name in ("lifetime", "token_lifetime", "leeway"):
            try:
                if name != "token_lifetime" or self.token_lifetime is not None:
                    object.__setattr__(self, name, seconds(getattr(self, name)))
            except TypeError as wrong:
                mistakes.append(f"{name}: {wrong}")
        given: Any = self.key
        key: Any = _jwks(given) if isinstance(given, Mapping) else given
        if not mistakes or key is None:
            mistakes.extend(_key_mistakes(key, self.algorithms))
        if mistakes:
            raise ConfigurationError(*mistakes)
        object.__setattr__(self, "cookies", tuple(self.cookies))
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        object.__setattr__(self, "headers", () if self.header is None else (Carrier.header(self.header[0], scheme=self.header[1]),))
        object.__setattr__(self, "blocking", callable(key) or isinstance(key, jwt.PyJWKClient))
        object.__setattr__(self, "_keys", _keys_of(key))

    def identify(self, name: str, value: str, /) -> Identity | None:
        """Whom this token signs in. Raises :class:`~sessionward.errors.InvalidCredential`, and whatever fetching a key raises."""
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("a token of no known form")
        claims = self._claims(value)
        user = claims.get(self.user_claim)
        if user is None:
            raise InvalidCredential(f"a token without the claim {self.user_claim!r}")
        session = claims.get("sid")
        return Identity(
            user_id=user,
            session_id=session if isinstance(session, str) and name in self.cookies else None,
            issued_at=_issued_at(claims, cast("float | None", self.token_lifetime)),
        )

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise InvalidCredential("a token without a header that can be read") from None
        if header.get("alg") not in self.algorithms:  # before a key is fetched for it
            raise InvalidCredential("a token of another algorithm")
        for key in self._keys(header):
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=self.algorithms,
                    audience=self.audience,
                    issuer=self.issuer,
                    leeway=self.leeway,
                    options={"verify_sub": False},  # whether a number may stand there is between issuer and application
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError:
                raise InvalidCredential("a token that is expired, or for somebody else") from None
        raise InvalidCredential("a token that no key has signed")


def _issued_at(claims: Mapping[str, Any], token_lifetime: float | None) -> float | None:
    try:
        if "iat" in claims:
            return float(claims["iat"])
        if "exp" in claims and token_lifetime is not None:
            return float(claims["exp"]) - token_lifetime
    except (TypeError, ValueError, OverflowError):
        raise InvalidCredential("a token whose times are no numbers") from None
    return None


# --- keys -------------------------------------------------------------------------------------------------------------


def _jwks(mapping: Any) -> jwt.PyJWKSet | None:
    try:
        return jwt.PyJWKSet.from_dict(dict(mapping))
    except jwt.PyJWTError:  # its text would show the key
        return None


def _keys_of(key: Any) -> Callable[[Mapping[str, Any]], Iterable[Any]]:
    """The keys that may have signed a token with this header."""
    if isinstance(key, jwt.PyJWKClient):
        return lambda header: _fetched(key, header)
    if isinstance(key, jwt.PyJWKSet):
        return lambda header: _named(key, header)
    if callable(key):
        return lambda header: (key(header),)
    keys = tuple(cast("Sequence[Any]", key)) if isinstance(key, (list, tuple)) else (key,)
    return lambda _: keys


def _named(keys: jwt.PyJWKSet, header: Mapping[str, Any]) -> Iterator[Any]:
    """Those of a set that the token names; all of them if it names none."""
    name = header.get("kid")
    return (
        key for key in keys if key.public_key_use in ("sig", None) and name in (key.key_id, None) and key.algorithm_name == header["alg"]
    )


def _fetched(client: jwt.PyJWKClient, header: Mapping[str, Any]) -> Sequence[Any]:
    name = header.get("kid")
    if not isinstance(name, str):
        raise InvalidCredential("a token that names no key")
    client.get_signing_keys()  # what fails here is the endpoint, not the token
    try:
        return (client.get_signing_key(name),)
    except jwt.exceptions.PyJWKClientConnectionError:
        raise
    except jwt.exceptions.PyJWKClientError:
        raise InvalidCredential("a token that names an unknown key") from None


# --- mistakes ---------------------------------------------------------------------------------------------------------


def _algorithm_mistakes(algorithms: Sequence[str]) -> Iterator[str]:
    if isinstance(algorithms, str) or not algorithms:
        yield 'algorithms: a list is needed, such as ["HS256"]; a token must not choose for itself'
        return
    known = set(jwt.PyJWS().get_algorithms()) - {"none"}
    for unknown in [name for name in algorithms if name not in known]:
        yield f"algorithms: {unknown!r} is not one that proves anything"
    if len({name.startswith("HS") for name in known.intersection(algorithms)}) > 1:
        yield "algorithms: HMAC beside public keys would take a published key for a secret; make two identifiers"


def _carrier_mistakes(cookies: Sequence[str], header: object) -> Iterator[str]:
    if isinstance(cookies, str):
        yield "cookies: a list of cookie names is needed"
    elif not cookies and header is None:
        yield "cookies: neither cookies nor a header are named, so nothing could sign anyone in"
    if header is not None and not (isinstance(header, tuple) and len(cast("tuple[object, ...]", header)) == 2):
        yield 'header: a name and a scheme are needed, such as ("authorization", "bearer")'


def _key_mistakes(key: Any, algorithms: Sequence[str]) -> Iterator[str]:
    if not key and not isinstance(key, jwt.PyJWKSet):
        yield "key: a key, a list of keys, a JWKS with keys in it, a PyJWKClient or a function is needed"
    elif not isinstance(key, (jwt.PyJWKClient, jwt.PyJWKSet)) and not callable(key):
        keys = cast("Sequence[Any]", key) if isinstance(key, (list, tuple)) else [key]
        for number, each in enumerate(keys, 1):
            if not each:  # anyone can sign with it
                yield f"key: number {number} is empty"
            elif not isinstance(each, jwt.PyJWK) and not all(_fits(each, algorithm) for algorithm in algorithms):
                yield f"key: number {number} is not one for {', '.join(algorithms)}"


def _fits(key: Any, algorithm: str) -> bool:
    try:
        jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except Exception:  # PyJWT and cryptography each have their own, and their texts may show the key
        return False
    return True
