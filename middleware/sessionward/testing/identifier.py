"""The tests for an identifier: what it must say about valid, anonymous, changed and invalid credentials."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import pytest

from sessionward.errors import InvalidCredential
from sessionward.session.identifier import AnonymousSession, IdentifierSpec, Identity

Answer: TypeAlias = Identity | AnonymousSession | None


@dataclass(frozen=True)
class Samples:
    """Credentials with which the tests call the identifier, each as ``(name, value)``.

    - ``signed_in``: valid ones, as ``(name, value, user_id)``, of at least two users.
    - ``anonymous``: sessions that name no user.
    - ``invalid``: forged, expired, signed with another secret.
    - ``secrets``: the secrets of the application, which the identifier must never show.
    """

    signed_in: Sequence[tuple[str, str, str]]
    anonymous: Sequence[tuple[str, str]] = ()
    invalid: Sequence[tuple[str, str]] = ()
    secrets: Sequence[str] = field(default=(), repr=False)


GARBAGE: Sequence[str] = (
    "",
    " ",
    "x",
    "null",
    "{}",
    ".",
    "..",
    "a.b.c",
    "=",
    "%00",
    "\xff" * 40,
    "".join(map(chr, range(256))),
    "x" * 4096,
)
"""Values that no application makes, one character for each byte."""


class IdentifierContract:
    """The tests for every identifier. Subclass it with the fixtures ``identifier`` and ``samples`` (:class:`Samples`)."""

    def test_it_says_what_it_reads(self, identifier: Any, samples: Samples) -> None:
        spec = IdentifierSpec.of(identifier)
        names = {name.decode() for name in spec.cookies} | {carrier.name.decode() for carrier in spec.headers}
        parts = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
        for name, *_ in (*samples.signed_in, *samples.anonymous, *samples.invalid):
            assert name in names or name.startswith(parts or ("\0",)), (
                f"{name} is not among its cookies and headers, so the middleware never passes it to identify()"
            )

    def test_a_credential_names_its_user(self, identifier: Any, samples: Samples) -> None:
        assert samples.signed_in, "samples.signed_in must have at least one credential"
        for name, value, user_id in samples.signed_in:
            answer = asked(identifier, name, value)
            assert isinstance(answer, Identity)
            assert answer.user_id == user_id

    def test_the_same_credential_has_the_same_answer(self, identifier: Any, samples: Samples) -> None:
        for name, value, _ in samples.signed_in:
            first, second = cast("Identity", asked(identifier, name, value)), cast("Identity", asked(identifier, name, value))
            assert (first.user_id, first.app_session) == (second.user_id, second.app_session)

    def test_an_anonymous_credential_names_nobody(self, identifier: Any, samples: Samples) -> None:
        keeps_id = IdentifierSpec.of(identifier).keeps_id_at_login
        for name, value in samples.anonymous:
            answer = asked(identifier, name, value)
            assert isinstance(answer, AnonymousSession) if keeps_id else answer is None

    def test_an_invalid_credential_is_refused_and_not_quoted(self, identifier: Any, samples: Samples) -> None:
        for name, value in samples.invalid:
            with pytest.raises(InvalidCredential) as refused:
                asked(identifier, name, value)
            assert len(value) < 8 or value not in repr(refused.value)

    @pytest.mark.parametrize("value", GARBAGE, ids=[f"garbage {number}" for number in range(len(GARBAGE))])
    def test_garbage_is_refused_or_names_nobody(self, identifier: Any, samples: Samples, value: str) -> None:
        for name in {name for name, *_ in samples.signed_in}:
            assert user_of(identifier, name, value) is None

    def test_a_changed_credential_names_no_other_user(self, identifier: Any, samples: Samples) -> None:
        for name, value, user_id in samples.signed_in:
            for changed in _changed(value):
                assert user_of(identifier, name, changed) in (None, user_id)

    def test_it_shows_no_secret(self, identifier: Any, samples: Samples) -> None:
        shown = f"{identifier!r} {identifier}"
        assert not any(secret in shown for secret in samples.secrets)


def asked(identifier: Any, name: str, value: str) -> Answer:
    """Returns what the identifier returns, sync or async."""
    answer = identifier.identify(name, value)
    return asyncio.run(cast("Coroutine[Any, Any, Answer]", answer)) if inspect.isawaitable(answer) else cast("Answer", answer)


def user_of(identifier: Any, name: str, value: str) -> str | None:
    """Returns the id of the user whom a credential signs in, or None if it is invalid or anonymous. Raises any other failure."""
    try:
        answer = asked(identifier, name, value)
    except InvalidCredential:
        return None
    return answer.user_id if isinstance(answer, Identity) else None


def _changed(value: str) -> Iterator[str]:
    """Yields a credential cut short, doubled, and with one character removed, replaced or inserted at some places."""
    yield value[: len(value) // 2]
    yield value + value
    for place in range(0, len(value), max(1, len(value) // 40)):
        other = "A" if value[place] != "A" else "B"
        yield value[:place] + value[place + 1 :]
        yield value[:place] + other + value[place + 1 :]
        yield value[:place] + other + value[place:]
