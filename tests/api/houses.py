"""An application with the session API behind each door, and behind the sidecar's gate; and who is signed in there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sessionward import Session
from sessionward.backends import Credential, Device, NewSession
from sessionward.credential.token import Signature, new_token
from sessionward.response.answer import Response
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.gate import UNDECIDED, Gate
from tests.doors.sides import COOKIE, SECRET, SESSIONS, SIDES, TEXT, Answer, ASGIHouse, Fields, Here, House, Reply, awaited

SIGNATURE: Final = Signature([SECRET.encode()], "cookie")
NOBODY: Final = UUID("00000000-0000-4000-8000-000000000000")
"""The id of no session."""


class GateHouse(House):
    """Behind the gate of the sidecar, with no server and no upstream."""

    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.gate = Gate(self.backend, self.settings)

    def ask(
        self,
        method: str,
        path: str,
        *fields: tuple[str, str],
        query: str = "",
        body: bytes = b"",
        mount: str = "",
        shows_raw: bool = True,
        base: dict[str, Any] | None = None,
    ) -> Answer:
        assert not mount
        target = (path + ("?" + query if query else "")).encode()
        given = [(b"host", b"app.example")] + [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
        request = Request(method.encode(), target, given, "1.1")
        admitted: Any = self.gate.at_once(request)
        if admitted is UNDECIDED:
            admitted = self.runner.run(self._decided(request))
        if isinstance(admitted, Response):
            headers = [(name.decode(), value.decode("latin-1")) for name, value in admitted.headers]
            return Answer(int(admitted.status), headers, admitted.body)
        return Answer(200, TEXT, b"the application")

    async def _decided(self, request: Request) -> Any:
        return await self.gate.drive(self.gate.before(request))

    def close(self) -> None:
        close = getattr(self.backend, "close", None)
        closed = None if close is None else close()
        if closed is not None:
            self.runner.run(awaited(closed))
        self.runner.close()


PLACES: Final[dict[str, type[House]]] = {**SIDES, "sidecar": GateHouse}


@dataclass
class Opener:
    """Opens houses of one place, with the session API on."""

    place: str
    opened: list[House]

    @property
    def is_mountable(self) -> bool:
        return self.place != "sidecar"

    @property
    def is_asgi(self) -> bool:
        return issubclass(PLACES[self.place], ASGIHouse)

    def __call__(self, backend: Any, **settings: Any) -> House:
        house = PLACES[self.place](_application, backend, **{"api": True, **settings})
        self.opened.append(house)
        return house


async def _application(here: Here) -> Reply:
    return Reply()


@dataclass(frozen=True)
class Client:
    """A signed-in user. ``house``: where it calls."""

    house: House
    token: str
    session: Session

    @property
    def id(self) -> str:
        return str(self.session.id)

    @property
    def header(self) -> tuple[str, str]:
        return ("X-Session-Token", self.token)

    @property
    def bearer(self) -> tuple[str, str]:
        return ("Authorization", f"Bearer {self.token}")

    @property
    def cookie(self) -> tuple[str, str]:
        return ("Cookie", f"{COOKIE}={SIGNATURE.sign(self.token.encode()).decode()}")

    def ask(self, method: str, path: str = "", *fields: tuple[str, str], **more: Any) -> Answer:
        """Calls a path below that of the list, with the token in a header."""
        return self.house.ask(method, SESSIONS + path, self.header, *fields, **more)

    def is_live(self) -> bool:
        status = self.ask("GET", "/whoami").status
        assert status in (200, 401)
        return status == 200

    def is_kept(self) -> bool:
        """Whether the session is live, asked of the backend."""
        return self.house.backend.find(Credential(self.token.encode())) is not None

    def pages(self, size: int) -> Sequence[Sequence[str]]:
        """Follows the links; returns the ids on each page."""
        found: list[list[str]] = []
        query = f"page_size={size}"
        while query:
            answer = self.ask("GET", query=query)
            assert answer.status == 200
            found.append([each["id"] for each in answer.json()])
            query = links(answer).get("next", "").partition("?")[2]
        return found

    def listed(self) -> list[str]:
        return [each for page in self.pages(500) for each in page]


def sign_in(house: House, user: str = "ada", *, aside: Any = None, address: str = "192.0.2.7", agent: str = "curl/8") -> Client:
    """Starts a session. ``aside``: a sync backend over the same sessions, where the house's own is async."""
    token = new_token()
    new = NewSession(
        user_id=user,
        digest=Credential(token.encode()).digest,
        lifetime=3600.0,
        device=Device(ip_address=address, user_agent=agent),
        methods=("password",),
    )
    session: Session = (house.backend if aside is None else aside).login(new)
    return Client(house, token, session)


def links(answer: Answer) -> dict[str, str]:
    """The targets of a Link field by their relation."""
    found: dict[str, str] = {}
    for link in answer.value("link").split(","):
        target, relation = link.split(";")
        found[relation.strip().removeprefix('rel="').removesuffix('"')] = target.strip().removeprefix("<").removesuffix(">")
    return found


def without_request(answer: Answer) -> tuple[int, Fields, Any]:
    """An answer without what differs from call to call: the id of the request, and the length of a body that names it."""
    if not answer.body:
        return answer.status, sorted(answer.fields), None
    body = answer.json()
    if "error" in body:
        del body["error"]["request"]
    return answer.status, sorted((name, value) for name, value in answer.fields if name != "retry-after"), body


def at(moment: str) -> datetime:
    """A time of the API."""
    assert moment.endswith("Z")
    return datetime.fromisoformat(moment)
