"""Impersonations and the setting ``also``, as the flows decide them: stepped by hand, with each answer of each question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Event
from time import monotonic
from typing import Any, Final
from uuid import UUID

import pytest

from sessionward import BackendUnavailable, ConfigurationError, OutcomeUnknown, SessionRevoked, StaleLogin, UsageError
from sessionward.api.endpoints import revoke_session
from sessionward.api.verbs import list_own, revoke_one
from sessionward.backends import Checked, Credential, SessionList, Terms
from sessionward.backends.sql import SQLBackend
from sessionward.deadline import CALL_THREADS, Deadline
from sessionward.flow import login, logout, revoke_all, revoke_others, revoke_others_endpoint
from sessionward.identify import Function
from sessionward.modes.mode import Mode
from sessionward.response.answer import Response
from sessionward.session.call import Call
from sessionward.session.impersonation import LIFETIME, Acting, Impersonation, inherited
from sessionward.session.session import NewSession, RevokedCount, Session
from sessionward.session.step import Step
from sessionward.session.steps import Find, Login, RevokeOne, RevokeOthers
from sessionward.settings.functions import is_async
from tests.support.core import NOON, SESSION, TOKEN, Opened, Played, answered, mode_of, opened, play, signed_in
from tests.support.sessions import new_session

ROOT: Final = replace(SESSION, kind="impersonation", actor="root", expires_at=NOON + timedelta(minutes=10))
CANARY: Final = "canary-of-the-application"
FAILURES: Final = (RuntimeError(CANARY), BackendUnavailable(CANARY), OutcomeUnknown(CANARY), SessionRevoked(CANARY), StaleLogin(CANARY))


def called(user_id: str) -> None:
    raise AssertionError(user_id)


def calling(**settings: Any) -> Opened:
    """A call of a route of ours with a token that has proved nothing yet."""
    return opened((b"x-session-token", TOKEN), mode=mode_of(**settings), path="/auth/sessions", method="DELETE")


def error(played: Played[Response]) -> tuple[int, str]:
    return int(played.value.status), json.loads(played.value.body)["error"]["id"]


# --- an impersonation -------------------------------------------------------------------------------------------------


def test_it_gets_403_before_anything_is_changed() -> None:
    for settings in ({}, {"revoke_impersonations": True}, {"also": called}):
        played = play(revoke_others_endpoint(*calling(**settings)), ROOT)
        assert (error(played), played.asked) == ((403, "forbidden_for_impersonation"), [Find(Credential(TOKEN))])
    played = play(revoke_session(b"d7ef54b1-ec15-46e6-bccb-524b82c035e6", *calling(api=True)), ROOT)
    assert (error(played), played.kinds) == ((403, "forbidden_for_impersonation"), ["Find"])


@pytest.mark.parametrize("verb", [revoke_others, lambda mode, context: revoke_one(mode, context, SESSION.id)])
def test_its_verbs_ask_nothing(verb: Any) -> None:
    played: Played[Any] = play(verb(*signed_in(session=ROOT)))
    assert isinstance(played.raised, UsageError)
    assert played.asked == []


def test_it_may_list_the_users_sessions() -> None:
    sessions = SessionList([ROOT], 1)
    assert play(list_own(*signed_in(session=ROOT), after=None, limit=None), sessions).value is sessions


def test_the_terms_of_the_settings_are_for_clients_and_those_of_a_verb_are_its_own() -> None:
    for settings, terms in (({}, Terms()), ({"revoke_impersonations": True}, Terms(impersonations=True))):
        assert play(revoke_others_endpoint(*calling(**settings)), SESSION, 1).asked[1] == RevokeOthers(SESSION, terms)
    other = UUID(int=9)
    assert play(revoke_one(*signed_in(), other), True).asked == [RevokeOne(SESSION, other, Terms(impersonations=True))]


HELD: Final[dict[str, tuple[Session | None, str, Impersonation | None]]] = {
    "no session": (None, "ada", None),
    "an ordinary session": (SESSION, "ada", None),
    "the same user": (ROOT, "ada", Impersonation(actor="root", lifetime=600.0, until=ROOT.expires_at)),
    "another user": (ROOT, "bob", Impersonation(actor="root", lifetime=600.0, until=ROOT.expires_at)),
    "a session with an idle limit": (
        replace(ROOT, expires_at=NOON + timedelta(minutes=2), ends_at=ROOT.expires_at),
        "ada",
        Impersonation(actor="root", lifetime=600.0, until=ROOT.expires_at),
    ),
    "the actor": (ROOT, "root", None),
    "an assertion, which says only the end": (
        replace(ROOT, issued_at=None, expires_at=None, ends_at=ROOT.expires_at),
        "ada",
        Impersonation(actor="root", lifetime=LIFETIME, until=ROOT.expires_at),
    ),
}


@pytest.mark.parametrize("case", HELD)
def test_what_a_sign_in_inherits_from_the_session_of_its_browser(case: str) -> None:
    held, user, expected = HELD[case]
    assert inherited(user, held) == expected


def test_an_end_that_nobody_says_is_not_made_anew_by_each_sign_in() -> None:
    endless = replace(ROOT, issued_at=None, expires_at=None)
    here = signed_in(session=endless)
    played: Played[Any] = play(login(*here, "ada", ticket=None, methods=(), persistent=True))
    assert (type(played.raised), played.asked) == (UsageError, [])
    assert inherited("root", endless) is None


def after_revoking_all(user: str, mode: Mode[Any], *, over: bool = False) -> NewSession:
    """What the backend is asked for by a sign-in after the session of the impersonation was revoked in the same request."""
    here = signed_in(mode=mode, session=ROOT)
    play(revoke_all(*here, "ada"), RevokedCount(2, 5))
    if over:
        play(logout(*here))
    played: Played[Any] = play(login(*here, user, ticket=None, methods=(), persistent=True), SESSION)
    (asked,) = played.asked
    assert isinstance(asked, Login)
    return asked.new


@pytest.mark.parametrize("settings", [{}, {"identify": Function(lambda name, value: None, cookies=["sid"])}], ids=["own", "companion"])
def test_who_revokes_all_sessions_and_signs_in_again_stays_in_the_impersonation(settings: Any) -> None:
    """A changed password does this. Only logout() ends it, and a sign-in of the actor itself."""
    for user in ("ada", "bob"):
        new = after_revoking_all(user, mode_of(**settings))
        assert (new.kind, new.actor, new.until, new.replaces) == ("impersonation", "root", ROOT.expires_at, None)
    assert after_revoking_all("root", mode_of(**settings)).kind == ""
    assert after_revoking_all("ada", mode_of(**settings), over=True).kind == ""


def test_in_mode_companion_a_companion_without_its_login_is_no_impersonation() -> None:
    here = opened(mode=mode_of(identify=Function(lambda name, value: None, cookies=["sid"])))
    here.context.companion = ROOT
    played: Played[Any] = play(login(*here, "bob", ticket=None, methods=(), persistent=True), SESSION)
    (asked,) = played.asked
    assert isinstance(asked, Login)
    assert (asked.new.kind, asked.new.replaces) == ("", ROOT)


def test_another_actor_is_refused_after_all_sessions_were_revoked_too() -> None:
    here = signed_in(session=ROOT)
    play(revoke_all(*here, "ada"), RevokedCount(2, 5))
    acting = Acting("impersonation", "eve")
    played: Played[Any] = play(login(*here, "bob", ticket=None, methods=(), persistent=True, acting=acting))
    assert isinstance(played.raised, UsageError)


def test_an_inherited_session_ends_with_the_first_one_on_the_clock_of_the_backend() -> None:
    new = new_session("ada", TOKEN, lifetime=600.0)
    assert new.ends(NOON) == NOON + timedelta(minutes=10)
    acting = Impersonation(actor="root", lifetime=600.0, until=NOON + timedelta(minutes=7)).of(new)
    assert [acting.ends(NOON + timedelta(minutes=at)) - NOON for at in (-5, 0, 5)] == [timedelta(minutes=m) for m in (5, 7, 7)]
    assert (acting.kind, acting.actor, acting.methods, acting.max_sessions, acting.is_fresh) == ("impersonation", "root", (), None, False)


# --- the setting also -------------------------------------------------------------------------------------------------


def test_it_is_called_last_of_all() -> None:
    played = play(revoke_others_endpoint(*calling(also=called)), SESSION, 3, None)
    assert (played.value.body, played.asked[2:]) == (b'{"count": 3}', [Call("also", called, ("ada",))])


def test_over_a_backend_with_leases_it_is_called_after_the_wait() -> None:
    backend = SQLBackend("sqlite:///nowhere.db")  # it is not asked

    def answer(step: Step[Any]) -> object:
        return {"Check": checked, "RevokeOthers": 3, "LeaseWait": 1.0}.get(type(step).__name__)

    checked = Checked(SESSION, user_id="ada", remaining=60.0)
    played = answered(revoke_others_endpoint(*calling(backend=backend, also=called)), answer)
    assert played.kinds == ["Check", "RevokeOthers", "LeaseWait", "Wait", "Call"]
    backend.close()


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_whatever_it_raises_the_outcome_is_unknown_and_its_words_are_not_shown(failure: Exception) -> None:
    played = play(revoke_others_endpoint(*calling(also=called, debug=True)), SESSION, 3, failure)
    assert error(played) == (503, "outcome_unknown")
    assert CANARY.encode() not in played.value.body


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_after_a_failure_of_the_backend_it_is_not_called(failure: Exception) -> None:
    played = play(revoke_others_endpoint(*calling(also=called)), SESSION, failure)
    assert (played.value.status in (401, 503), played.kinds) == (True, ["Find", "RevokeOthers"])


def test_revoking_one_session_and_the_verbs_do_not_call_it() -> None:
    one = play(revoke_session(b"d7ef54b1-ec15-46e6-bccb-524b82c035e6", *calling(api=True, also=called)), SESSION, True)
    assert (int(one.value.status), one.kinds) == (204, ["Find", "RevokeOne"])
    assert play(revoke_others(*signed_in(mode=mode_of(also=called))), 2).value == 2


class Callable:
    def __call__(self, user_id: str) -> None:
        raise AssertionError(user_id)


class AsyncCallable:
    async def __call__(self, user_id: str) -> None:
        raise AssertionError(user_id)

    async def method(self, user_id: str) -> None:
        raise AssertionError(user_id)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(called, False, id="a function"),
        pytest.param(Callable(), False, id="an object"),
        pytest.param(AsyncCallable(), True, id="an async object"),
        pytest.param(AsyncCallable().method, True, id="an async method"),
        pytest.param(partial(AsyncCallable()), True, id="a partial of an async object"),
        pytest.param(partial(partial(AsyncCallable().method, "ada")), True, id="a partial of an async method"),
        pytest.param(partial(called, "ada"), False, id="a partial of a function"),
        pytest.param(AsyncCallable, False, id="a class, which makes an object"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_an_async_function_is_told_from_a_sync_one(function: object, expected: bool) -> None:
    assert is_async(function) is expected


def generates(user_id: str) -> Iterator[str]:
    yield user_id


async def generates_async(user_id: str) -> AsyncIterator[str]:
    yield user_id


class Generates:
    def __call__(self, user_id: str) -> Iterator[str]:
        yield user_id


@pytest.mark.parametrize("function", [generates, generates_async, Generates(), partial(Generates())])
def test_a_generator_would_run_nothing_and_is_refused_at_start(function: Any) -> None:
    with pytest.raises(ConfigurationError, match="also: this function is a generator"):
        mode_of(also=function)


class Promise:
    """Can be awaited, and is no coroutine."""

    def __await__(self) -> Any:
        raise AssertionError


def test_a_sync_function_that_returns_something_to_await_is_refused() -> None:
    with pytest.raises(UsageError, match="write it as an async def"):
        Call("also", lambda user_id: Promise(), ("ada",)).ask(None)


def test_more_functions_that_do_not_return_than_there_are_threads_all_meet_the_deadline() -> None:
    over = Event()

    async def all_at_once() -> list[object]:
        asked = Call("also", lambda user_id: over.wait(20), ("ada",))
        return list(await asyncio.gather(*(Deadline(None, 0.3).ask_async(asked) for _ in range(3 * CALL_THREADS)), return_exceptions=True))

    began = monotonic()
    try:
        assert {type(answer) for answer in asyncio.run(all_at_once())} == {BackendUnavailable}
    finally:
        over.set()
    assert monotonic() - began < 10


def test_a_request_that_is_cancelled_cancels_an_async_function() -> None:
    cancelled: list[bool] = []

    async def waits(user_id: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def story() -> None:
        asked = asyncio.ensure_future(Deadline(None, 20).ask_async(Call("also", waits, ("ada",))))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(story())
    assert cancelled == [True]
