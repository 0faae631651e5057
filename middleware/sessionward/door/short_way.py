"""The short way of the commonest request, one with a live session. It builds no flow, and decides as the flow does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeAlias

from sessionward.credential.token import Credential
from sessionward.deadline import Asked, Now, checking_now
from sessionward.lease import NoLeases
from sessionward.modes.mode import Mode
from sessionward.session.session import Checked, Session

Recalled: TypeAlias = tuple[Session, Credential] | Asked | None
"""A live session and the credential that proves it, or what the backend has said otherwise, or None if it was not asked."""
Recall: TypeAlias = Callable[[bytes], Recalled]
"""Decides about a request by its one Cookie field that counts. It builds no flow and calls no driver: they cost more than all
the rest of such a request. It finds what they would find, and if that is no live session, it leaves the decision to them."""
AsyncRecall: TypeAlias = Callable[[bytes], Awaitable[Recalled]]
Prove: TypeAlias = Callable[[bytes], Credential | None]


def recalling(mode: Mode[Any], backend: Any, *, may_wait: bool = False) -> Recall | None:
    """Returns the short way of a mode, or None if it has none.

    ``backend``: with the timeout of the middleware. ``may_wait``: whether the request has a thread of its own, as under WSGI. Then
    the backend is asked here even if it waits.
    """
    prove = mode.recall
    if prove is None:
        return None
    if not mode.capabilities.supports_leases:
        return None if (mode.is_async or mode.blocks) and not may_wait else _finding(prove, backend.find)
    if mode.settings.lease:
        return _within_lease(prove, mode.leases)
    now, later = checking_now(backend), backend.check if may_wait else None
    check = later if now is None else _now_or_later(now, later)
    return None if check is None else _checking(prove, mode.leases, check)


def recalling_async(mode: Mode[Any], backend: Any) -> AsyncRecall | None:
    """Returns the short way to an async backend that keeps the timeout itself, or None if the mode has none."""
    if mode.recall is None or mode.settings.lease or not mode.is_async or not mode.capabilities.supports_leases:
        return None
    if not hasattr(backend, "within") or checking_now(backend) is not None:
        return None
    return _awaiting(mode.recall, mode.leases, backend.check)


def _within_lease(prove: Prove, leases: NoLeases) -> Recall:
    """Returns a way that asks nothing, and knows what this worker may trust."""
    trusted = leases.recall

    def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is not None:
            session = trusted(credential.digest)
            if session is not None:
                return session, credential
        return None

    return recall


def _finding(prove: Prove, find: Callable[[Credential], Session | None]) -> Recall:
    """Returns a way that asks a backend without leases."""

    def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is None:
            return None
        began = monotonic()
        try:
            session = find(credential)
        except Exception as failure:
            return Asked(credential, began, None, failure)
        return Asked(credential, began, None) if session is None else (session, credential)

    return recall


def _checking(prove: Prove, leases: NoLeases, check: Callable[[Credential], Checked | None]) -> Recall:
    """Returns a way that asks a backend with leases, unless this worker knows that the session has ended."""
    has_ended = leases.has_ended

    def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is None or has_ended(credential.digest):
            return None
        began = monotonic()
        try:
            checked = check(credential)
        except Exception as failure:
            return Asked(credential, began, None, failure)
        if checked is None:
            return None
        return Asked(credential, began, checked) if checked.session is None else (checked.session, credential)

    return recall


def _awaiting(prove: Prove, leases: NoLeases, check: Callable[[Credential], Awaitable[Checked]]) -> AsyncRecall:
    """Returns what :func:`_checking` returns, for an async backend."""
    has_ended = leases.has_ended

    async def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is None or has_ended(credential.digest):
            return None
        began = monotonic()
        try:
            checked = await check(credential)
        except Exception as failure:
            return Asked(credential, began, None, failure)
        return Asked(credential, began, checked) if checked.session is None else (checked.session, credential)

    return recall


def _now_or_later(now: Now, later: Callable[[Credential], Checked] | None) -> Now:
    """Returns what checks without waiting, and then asks in the ordinary way, if there is a thread for it."""

    def checked(credential: Credential) -> Checked | None:
        try:
            at_once = now(credential)
        except Exception:  # whatever it is, the ordinary way meets it again and reports it
            at_once = None
        return at_once if at_once is not None or later is None else later(credential)

    return checked
