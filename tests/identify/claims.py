"""What every identifier must hold, whatever it reads: asked here, told in words."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from sessionward.errors import InvalidCredential
from sessionward.session.identifier import AnonymousSession, IdentifierSpec, Identity

UNREADABLE = "unreadable"
SECRET = "a secret of the application, used in tests only"
OLD_SECRET = "the secret that the application had before that"
FOREIGN_SECRET = "a secret that belongs to another application"

GARBAGE = st.binary(max_size=300).map(lambda octets: octets.decode("latin-1"))


def identity(identifier: Any, name: str, value: str) -> Identity | None:
    """What the identifier says, sync or async."""
    IdentifierSpec.of(identifier)
    answer = identifier.identify(name, value)
    if not inspect.isawaitable(answer):
        return answer  # type: ignore[no-any-return]
    with asyncio.Runner() as runner:
        return runner.run(_wait(answer))


async def _wait(answer: Any) -> Identity | None:
    return await answer  # type: ignore[no-any-return]


def said(identifier: Any, name: str, value: str) -> str | None:
    """The user's id, None for nobody, or UNREADABLE."""
    try:
        found = identity(identifier, name, value)
    except InvalidCredential as refusal:
        told = repr(refusal)
    else:
        return None if found is None or isinstance(found, AnonymousSession) else found.user_id
    assert len(value) < 8 or value not in told
    return UNREADABLE


def mutated(value: str) -> st.SearchStrategy[str]:
    """A cookie that was good: cut, or with a few characters put in, taken out or replaced."""
    places = st.integers(0, max(0, len(value) - 1))
    characters = st.characters(max_codepoint=255)
    cut = places.map(lambda at: value[:at])
    replaced = st.tuples(places, characters).map(lambda change: value[: change[0]] + change[1] + value[change[0] + 1 :])
    put_in = st.tuples(places, st.text(characters, min_size=1, max_size=3)).map(
        lambda change: value[: change[0]] + change[1] + value[change[0] :]
    )
    taken_out = places.map(lambda at: value[:at] + value[at + 1 :])
    return st.one_of(cut, replaced, put_in, taken_out)


def other_spellings(value: str) -> Iterator[str]:
    """Spellings that one cookie parser or another reads as the same value, and we must not."""
    yield f'"{value}"'
    yield f'"\\{ord(value[0]):03o}{value[1:]}"'
    yield f"{value[:-4]}!!!!{value[-4:]}"  # itsdangerous skips them in a signature
    yield f"{value} "
    yield f"\x0b{value}"
    yield f"{value}\\"


def shows(identifier: Any) -> str:
    """All that is told of an identifier without asking for it."""
    return f"{identifier!r} {identifier} {identifier:}"
