"""JSON Web Tokens in a cookie or a header. PyJWT verifies them with a key, several keys, or a JWKS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias, cast

import jwt

from sessionward.credential.carriers import Carrier
from sessionward.errors import InvalidCredential, Mistakes
from sessionward.identify.arguments import duration, named_by
from sessionward.session.identifier import DAY, Identity
from sessionward.settings import Duration

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

Key: TypeAlias = Any
"""One of these: a secret or a public key as PyJWT takes it; a list of them, newest first; a JWKS as a mapping or a
``PyJWKSet``; a ``PyJWKClient``; a function of the token's header that returns a key or raises ``InvalidCredential``. The
function must not trust the header: we have not verified it yet."""


class JWT:
    """Says which user a JSON Web Token signs in. ``cookies`` and ``header`` must name everything that can carry a login.

    - ``algorithms``: those that the application signs with. We refuse ``none``, and HMAC together with another kind, since a
      public key is not a secret.
    - ``header``: a name and a scheme, such as ``("authorization", "bearer")``.
    - ``audience``, ``issuer``, ``leeway``: as in PyJWT.
    - ``user_claim``: the claim that holds the user's id. A token without it is invalid.
    - ``token_lifetime``: the lifetime of one token, where tokens carry no ``iat`` (fastapi-users).
    - ``lifetime``: how long a login in cookies lasts, including all refreshed tokens; in seconds or as a ``timedelta``.

    A token in a header has no companion, so its time of issue decides: ``iat``, or ``exp`` minus ``token_lifetime``. Cookies
    with the same ``sid`` claim belong to one session. We do not read the claim ``jti``, since it is new in each token.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    server_side: ClassVar[bool] = False

    def __init__(
        self,
        key: Key,
        *,
        algorithms: Sequence[str],
        cookies: Sequence[str] = ("access_token_cookie", "refresh_token_cookie"),
        header: tuple[str, str] | None = None,
        audience: str | Iterable[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        user_claim: str = "sub",
        leeway: float = 0.0,
        token_lifetime: Duration | None = None,
        lifetime: Duration = 31 * DAY,
    ) -> None:
        mistakes = Mistakes()
        mistakes.add(_algorithm_mistakes(algorithms))
        mistakes.add(_carrier_mistakes(cookies, header))
        if not user_claim:
            mistakes.add(["user_claim: must be the name of a claim"])
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        self.token_lifetime = None if token_lifetime is None else duration(mistakes, "token_lifetime", token_lifetime)
        self.leeway = duration(mistakes, "leeway", leeway, least=0.0)
        keys: Any = _jwks(key) if isinstance(key, Mapping) else key
        if not mistakes.found or keys is None:  # whether a key is right depends on the algorithms
            mistakes.add(_key_mistakes(keys, algorithms))
        mistakes.raise_any()
        self.cookies = tuple(cookies)
        self.headers = () if header is None else (Carrier.header(header[0], scheme=header[1]),)
        self.blocking = callable(keys) or isinstance(keys, jwt.PyJWKClient)
        self.algorithms = tuple(algorithms)
        self.header = header
        self.audience = audience
        self.issuer = issuer
        self.user_claim = user_claim
        self._keys = _keys_of(keys)

    def __repr__(self) -> str:
        return f"JWT(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | None:
        """Returns the user that this token signs in.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever fetching a key raises.
        """
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the token does not have the form of a JSON Web Token")
        claims = self._claims(value)
        user = named_by(claims.get(self.user_claim))
        if user is None:
            raise InvalidCredential(f"the token has no claim {self.user_claim!r}, or an empty one")
        session = claims.get("sid")
        return Identity(
            user_id=user,
            session_id=session if isinstance(session, str) and name in self.cookies else None,
            issued_at=_issued_at(claims, self.token_lifetime),
        )

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise InvalidCredential("the header of the token is malformed") from None
        if header.get("alg") not in self.algorithms:  # checked before a key is fetched
            raise InvalidCredential("the token names another algorithm")
        for key in self._keys(header):
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=self.algorithms,
                    audience=self.audience,
                    issuer=self.issuer,
                    leeway=self.leeway,
                    options={"verify_sub": False},  # the issuer and the application decide whether it may be a number
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError:
                raise InvalidCredential("the token is expired, not valid yet, or for another audience or issuer") from None
        raise InvalidCredential("no known key signed the token")


def _issued_at(claims: Mapping[str, Any], token_lifetime: float | None) -> float | None:
    try:
        if "iat" in claims:
            return float(claims["iat"])
        if "exp" in claims and token_lifetime is not None:
            return float(claims["exp"]) - token_lifetime
    except (TypeError, ValueError, OverflowError):
        raise InvalidCredential("the times in the token are not numbers") from None
    return None


# --- keys -------------------------------------------------------------------------------------------------------------


def _jwks(mapping: Any) -> jwt.PyJWKSet | None:
    try:
        return jwt.PyJWKSet.from_dict(dict(mapping))
    except jwt.PyJWTError:  # its message would show the key
        return None


def _keys_of(key: Any) -> Callable[[Mapping[str, Any]], Iterable[Any]]:
    """Returns a function of a token's header. It returns the keys that may have signed the token."""
    if isinstance(key, jwt.PyJWKClient):
        return lambda header: _fetched(key, header)
    if isinstance(key, jwt.PyJWKSet):
        return lambda header: _named(key, header)
    if callable(key):
        return lambda header: (key(header),)
    keys = tuple(cast("Sequence[Any]", key)) if isinstance(key, (list, tuple)) else (key,)
    return lambda _: keys


def _named(keys: jwt.PyJWKSet, header: Mapping[str, Any]) -> Iterator[Any]:
    """Returns the keys of a set that the token names, or all keys if it names none."""
    name = header.get("kid")
    return (
        key for key in keys if key.public_key_use in ("sig", None) and name in (key.key_id, None) and key.algorithm_name == header["alg"]
    )


def _fetched(client: jwt.PyJWKClient, header: Mapping[str, Any]) -> Sequence[Any]:
    name = header.get("kid")
    if not isinstance(name, str):
        raise InvalidCredential("the token names no key")
    client.get_signing_keys()  # a failure here is a failure of the endpoint, not of the token
    try:
        return (client.get_signing_key(name),)
    except jwt.exceptions.PyJWKClientConnectionError:
        raise
    except jwt.exceptions.PyJWKClientError:
        raise InvalidCredential("the token names an unknown key") from None


# --- mistakes ---------------------------------------------------------------------------------------------------------


def _algorithm_mistakes(algorithms: Sequence[str]) -> Iterator[str]:
    if isinstance(algorithms, str) or not algorithms:
        yield 'algorithms: must be a list such as ["HS256"]; a token must not choose its own algorithm'
        return
    known = set(jwt.PyJWS().get_algorithms()) - {"none"}
    for unknown in [name for name in algorithms if name not in known]:
        yield f"algorithms: {unknown!r} is not an algorithm that PyJWT verifies"
    if len({name.startswith("HS") for name in known.intersection(algorithms)}) > 1:
        yield "algorithms: must not mix HMAC with public keys, which would take a published key for a secret; make one identifier for each"


def _carrier_mistakes(cookies: Sequence[str], header: object) -> Iterator[str]:
    if isinstance(cookies, str):
        yield "cookies: must be a list of cookie names"
    elif not cookies and header is None:
        yield "cookies: neither cookies nor a header are named; name every credential that can sign a user in"
    if header is not None and not (isinstance(header, tuple) and len(cast("tuple[object, ...]", header)) == 2):
        yield 'header: must be a name and a scheme, such as ("authorization", "bearer")'


def _key_mistakes(key: Any, algorithms: Sequence[str]) -> Iterator[str]:
    if not key and not isinstance(key, jwt.PyJWKSet):
        yield "key: must be a key, a list of keys, a JWKS with keys in it, a PyJWKClient or a function"
    elif not isinstance(key, (jwt.PyJWKClient, jwt.PyJWKSet)) and not callable(key):
        keys = cast("Sequence[Any]", key) if isinstance(key, (list, tuple)) else [key]
        for number, each in enumerate(keys, 1):
            if not each:  # every client can sign with an empty key
                yield f"key: number {number} is empty, so every client could sign with it; pass the key of the application"
            elif not isinstance(each, jwt.PyJWK) and not all(_fits(each, algorithm) for algorithm in algorithms):
                yield f"key: number {number} is not a key for {', '.join(algorithms)}"


def _fits(key: Any, algorithm: str) -> bool:
    try:
        jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except Exception:  # PyJWT and cryptography raise exceptions of their own, whose messages may show the key
        return False
    return True
