"""What the tests of the core share: secrets, tokens, requests made of their fields, and flows stepped by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from sessionward import Session
from sessionward.backends import Carrier, Credential, Device
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import Signature
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.process import clock
from sessionward.request.request import ASGIRequest, Fields, Request, WSGIRequest
from sessionward.session.step import Flow, Step

T = TypeVar("T")

SECRET = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"
OLD_SECRET = "Qw8-eRt5yUi2oPa7sDf4gHj1kLz6xCv3-old!"

NAME = b"__Host-session-ward"
TOKEN = b"MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE"
RIVAL = b"Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2Rr4ME6hv"
UNCHECKED = b"MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj"
"""Of the right length and alphabet, but its check fails."""

SIGNATURE = Signature([SECRET.encode()], "cookie")
SIGNED = SIGNATURE.sign(TOKEN)
SIGNED_RIVAL = SIGNATURE.sign(RIVAL)
PAIR = NAME + b"=" + SIGNED


def unsigned(signature: Signature, signed: bytes) -> bytes | None:
    """The value inside, or None where this signature does not recognise it."""
    value = signed.rpartition(b".")[0]
    return value if signature.verifies(value, signed) else None


Field: TypeAlias = tuple[bytes, bytes]
Door: TypeAlias = Literal["asgi", "wsgi"]
DOORS: Sequence[Door] = ("asgi", "wsgi")

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SESSION = Session(id=UUID(int=1), user_id="ada", issued_at=NOON, generation=4)


def environ_of(*fields: Field, **more: object) -> dict[str, Any]:
    """A WSGI environ with these fields, joined as servers join them."""
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/work", "SCRIPT_NAME": "", **more}
    for name, value in fields:
        key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
        glue = "; " if name == b"cookie" else ","
        text = value.decode("latin-1")
        environ[key] = environ[key] + glue + text if key in environ else text
    return environ


def scope_of(*fields: Field, **more: object) -> dict[str, Any]:
    """An ASGI scope with these fields, each for itself."""
    return {"type": "http", "method": "GET", "path": "/work", "headers": list(fields), **more}


def request_of(*fields: Field, door: Door = "asgi") -> Request:
    """A request with these fields, as one of the doors sees it."""
    return ASGIRequest(scope_of(*fields)) if door == "asgi" else WSGIRequest(environ_of(*fields))


# --- backends that are only looked at ---------------------------------------------------------------------------------


class FindsAndEnds:
    """A backend with the two operations that are required, which nobody asks."""

    def find(self, credential: Credential, /) -> Session | None:
        raise NotImplementedError

    def revoke_others(self, session: Session, /) -> int:
        raise NotImplementedError


class OverCarriers(FindsAndEnds):
    """The same over an application's own cookie and header."""

    carriers: ClassVar[Sequence[Carrier]] = (Carrier.header("X-Key", scheme="Key"), Carrier.cookie("sid"))


class AsyncFindsAndEnds:
    """The async colour of :class:`FindsAndEnds`."""

    async def find(self, credential: Credential, /) -> Session | None:
        raise NotImplementedError

    async def revoke_others(self, session: Session, /) -> int:
        raise NotImplementedError


class Opened(NamedTuple):
    """A request on its way, as flows take it: ``login(*opened(), "ada", ...)``."""

    mode: Mode[Any]
    context: Any
    """A ``Context`` of this mode's own kind."""


def mode_of(backend: object | None = None, **options: object) -> Mode[Any]:
    """The mode that a door would choose for these settings."""
    return choose(MemoryBackend() if backend is None else backend, {"secrets": [SECRET], **options}, clock)


def opened(*fields: Field, mode: Mode[Any] | None = None, **scope: object) -> Opened:
    """A request with these fields, 0.25 s old."""
    mode = mode or mode_of()
    found = [field for field in fields if field[0] in mode.names]
    return Opened(mode, mode.context(ASGIRequest(scope_of(*fields, **scope)), found, lambda: 0.25))


def signed_in(*fields: Field, mode: Mode[Any] | None = None, session: Session = SESSION) -> Opened:
    """A request whose credential has proved to be live."""
    here = opened(*fields, mode=mode)
    here.context.session, here.context.credential = session, Credential(TOKEN)
    return here


def answer_of(here: Opened, *fields: Field) -> Flow[Fields]:
    """What becomes of a response head with these fields: passed as it came if the mode has no need to look at it."""
    return here.mode.on_response(here.context, fields) if here.mode.touches(here.context, fields) else unchanged(fields)


def unchanged(fields: Fields) -> Flow[Fields]:
    """A flow that asks nothing."""
    yield from ()
    return fields


# --- flows, stepped by hand -------------------------------------------------------------------------------------------


@dataclass
class Played(Generic[T]):
    """How a flow went: what it asked, and how it ended."""

    asked: list[Step[Any]] = field(default_factory=list)
    returned: list[T] = field(default_factory=list)
    raised: BaseException | None = None

    @property
    def value(self) -> T:
        """What it returned; an error is raised again."""
        if self.raised is not None:
            raise self.raised
        return self.returned[0]

    @property
    def kinds(self) -> list[str]:
        """The questions by name, in order."""
        return [type(step).__name__ for step in self.asked]


def play(flow: Flow[T], *answers: object) -> Played[T]:
    """Step a flow by hand: the next question gets the next answer, and an exception is thrown at its line."""
    rest = list(answers)
    return answered(flow, lambda _: rest.pop(0))


def answered(flow: Flow[T], answer: Callable[[Step[Any]], object]) -> Played[T]:
    """The same with the answer made from the question."""
    played = Played[T]()
    try:
        step = flow.send(None)
        while True:
            played.asked.append(step)
            given = answer(step)
            step = flow.throw(given) if isinstance(given, Exception) else flow.send(given)
    except StopIteration as end:
        played.returned.append(end.value)
    except Exception as failure:
        played.raised = failure
    return played


NOWHERE = Device()
