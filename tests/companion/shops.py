"""Two made-up applications that keep their own login, and a browser that keeps their cookies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from itsdangerous import BadSignature

from tests.companion.identifiers import SIGNER, Signed, Stored, sealed
from tests.doors.sides import COOKIE, SESSIONS, TEXT, Answer, Fields, Here, House, Reply

GONE: Final = "; Path=/; Max-Age=0"


class Shop:
    """Reads and sets its own login cookies, and knows nothing of ours but ``/sessions/...``.

    ``meanwhile``: called while it works on the next request. ``attributes``: of its login cookies.
    ``fields``: what else its answers carry.
    """

    attributes = "Path=/; HttpOnly"

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = _nothing
        self.fields: Fields = ()

    async def __call__(self, here: Here) -> Reply:
        verb, _, rest = here.path[1:].partition("/")
        user = self.user(pairs_of(here))
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        meanwhile()
        if verb == "sessions":
            said = await _asked(here, rest)
            return Reply(said, fields=[*TEXT, *self.fields])
        return Reply((user or "nobody").encode(), fields=[*TEXT, *self.fields, *self.act(here, verb, rest)])

    def user(self, pairs: list[tuple[str, str]]) -> str | None:
        """Whom it takes the visitor for; None for nobody."""
        raise NotImplementedError

    def act(self, here: Here, verb: str, rest: str) -> Fields:
        """The Set-Cookie fields of the answer."""
        raise NotImplementedError

    def sets(self, name: str, value: str) -> tuple[str, str]:
        return ("Set-Cookie", f"{name}={value}; {self.attributes}")


class SigningShop(Shop):
    """Keeps the login in a signed cookie; a remember-me cookie signs in again where there is no session."""

    def __init__(self) -> None:
        super().__init__()
        self.identifier = Signed()

    def user(self, pairs: list[tuple[str, str]]) -> str | None:
        for wanted in ("session", "remember"):
            for name, value in pairs:
                if name == wanted:
                    try:
                        user = SIGNER.unsign(value).decode().partition(".")[0]
                    except BadSignature:
                        continue
                    if user != "-":
                        return user
        return None

    def act(self, here: Here, verb: str, rest: str) -> Fields:
        match verb:
            case "login":  # also with each answer, as rolling sessions do: `/login/ann.2` in the middle of a visit
                return [self.sets("session", sealed(rest))]
            case "remember":
                return [self.sets("session", sealed(rest)), self.sets("remember", sealed(rest))]
            case "logout":
                return [("Set-Cookie", f"{name}={GONE}") for name in ("session", "remember")]
        return []


class StoringShop(Shop):
    """Keeps logins in a store; the id in the cookie stays when somebody signs in or out behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, str | None] = {}
        self.identifier = Stored(self.store)

    def user(self, pairs: list[tuple[str, str]]) -> str | None:
        return self.store.get(self.sid(pairs) or "")

    def sid(self, pairs: list[tuple[str, str]]) -> str | None:
        return next((value for name, value in pairs if name == "sid" and value in self.store), None)

    def act(self, here: Here, verb: str, rest: str) -> Fields:
        sid = self.sid(pairs_of(here))
        match verb:
            case "visit" | "login":
                new = sid or f"id{len(self.store)}"
                self.store[new] = rest or None
                return [] if sid else [self.sets("sid", new)]
            case "regenerate":
                new = f"id{len(self.store)}"
                self.store[new] = self.store.pop(sid) if sid else None
                return [self.sets("sid", new)]
            case "logout" if sid:
                self.store[sid] = None
        return []


async def _asked(here: Here, verb: str) -> bytes:
    verb, _, user = verb.partition("/")
    if verb == "session":
        session = here.sessions.current
        return ("nobody" if session is None else session.user_id).encode()
    if verb in ("logout", "revoke_others"):
        return str(await getattr(here.sessions, verb)()).encode()
    return str(await getattr(here.sessions, verb)(user)).encode()


def pairs_of(here: Here) -> list[tuple[str, str]]:
    """The Cookie field as most parsers cut it."""
    found = [pair.strip().partition("=") for pair in (here.header("cookie") or "").split(";")]
    return [(name, value) for name, equals, value in found if equals]


@dataclass
class Browser:
    """Keeps all cookies of one house, as a browser does. ``planted``: pairs of a sibling domain, sent in front."""

    house: House
    jar: dict[str, str] = field(default_factory=dict)
    planted: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, *fields: tuple[str, str], **more: Any) -> Answer:
        pairs = [*self.planted, *(f"{name}={value}" for name, value in self.jar.items())]
        answer = self.house.ask(method, path, *([("Cookie", "; ".join(pairs))] if pairs else []), *fields, **more)
        for set_cookie in answer.values("set-cookie"):
            pair, *attributes = set_cookie.split("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return answer

    def get(self, path: str, *fields: tuple[str, str], **more: Any) -> str:
        """Go somewhere; whom the application took the visitor for, or what it said."""
        answer = self.ask("GET", path, *fields, **more)
        assert answer.status == 200, answer
        return answer.body.decode()

    def me(self) -> str:
        return self.get("/me")

    def press(self, *fields: tuple[str, str]) -> Answer:
        """The button: sign out my other devices."""
        return self.ask("DELETE", SESSIONS, *fields)

    @property
    def companion(self) -> str | None:
        return self.jar.get(COOKIE)

    def copied(self) -> Browser:
        """What a thief has: the application's cookies, without ours."""
        return Browser(self.house, {name: value for name, value in self.jar.items() if name != COOKIE})

    def cloned(self) -> Browser:
        """All cookies, ours too."""
        return Browser(self.house, dict(self.jar))


def _nothing() -> None:
    return None
