"""After the application: starts, extends or revokes the companion when the response signs the user in or out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from sessionward.errors import StaleLogin
from sessionward.modes.companion.judge import CompanionContext, Named, Rules, app_session_of, is_login_of, is_same, judge
from sessionward.modes.companion.mint import companion_cookie, give, new_companion, new_credential
from sessionward.modes.companion.unread import unread_warning
from sessionward.modes.companion.word import Word, said, word_of
from sessionward.request.request import Fields
from sessionward.response.head import is_public, sets_cookie, with_set_cookie, without_set_cookie
from sessionward.response.set_cookies import SetCookie, clears_cookies, cookies_after, drop_login_cookies, sets_login_cookie
from sessionward.session.session import user_mark
from sessionward.session.step import Flow
from sessionward.session.steps import Adopt, Extend, Find, FindCompanionStatus, IsRevokedAppSession, Login, Revoke


def touches(rules: Rules, context: CompanionContext, head: Fields) -> bool:
    """Returns whether the response may have changed the login."""
    return (
        context.cookie is not None
        or context.adopting is not None
        or (rules.spec.server_side and bool(context.kept))
        or changes_cookies(rules, head)
        or rules.grows_old(context)
    )


def changes_cookies(rules: Rules, head: Fields) -> bool:
    """Returns whether a response head changes a login cookie or ours in the browser."""
    return sets_login_cookie(head, rules.names) or sets_cookie(head, rules.own.cookie_name) or clears_cookies(head)


def follow(rules: Rules, context: CompanionContext, head: Fields) -> Flow[Fields]:
    """Starts, extends or revokes the companion. Returns the response head that the client gets."""
    word = word_of(rules, context, head)
    cookies = word.cookies
    if context.minted is not None and said(cookies) != context.minted_with:
        return (yield from _taken_back(rules, context, head))
    try:
        judged = yield from judge(rules.spec, cookies_after(context.kept, cookies, clears=word.clears))
        named = judged.named
        context.warning = unread_warning(rules.spec, judged, cookies) or context.warning
        if context.minted is not None:
            pass  # this head repeats the one that started the companion
        elif not named:
            if cookies or word.clears or judged.anonymous_sessions or judged.anonymous or not (yield from _has_moved(context)):
                yield from _signed_out(rules, context)
        elif context.session is not None and is_login_of(named[0][1], context.session):
            if _is_confirmed(rules, context, named, cookies):
                yield from _mint(rules, context, named, cookies)
            else:
                yield from _gone_on(rules, context, head, named, word)
        elif context.identity is not None and is_same(context.identity, named[0][1]) and not _is_anew(context, named[0], cookies):
            yield from _adopted(rules, context, head, named, cookies)
        else:
            yield from _signed_in(rules, context, named, cookies)
    except Exception:  # StaleLogin, or the driver has logged it: the browser must not get the cookies (P9)
        context.session = None
        return drop_login_cookies(without_set_cookie(head, rules.own.cookie_name), rules.names, context.clock)
    finally:
        context.is_answered = True
    head = without_set_cookie(head, rules.own.cookie_name)
    return head if context.cookie is None else with_set_cookie(head, context.cookie)


def _taken_back(rules: Rules, context: CompanionContext, head: Fields) -> Flow[Fields]:
    """Revokes what an earlier head of this response has started, since the head that replaces it sets another login, or none."""
    minted, context.minted = context.minted, None
    context.session = context.companion = context.cookie = None
    if minted is not None:
        with suppress(Exception):  # the driver has logged it
            yield from Revoke(minted.user_id, minted.id)
    return drop_login_cookies(without_set_cookie(head, rules.own.cookie_name), rules.names, context.clock)


def _has_moved(context: CompanionContext) -> Flow[bool]:
    """Returns whether the browser has another session by now. Then this response is late, and must not sign the user out."""
    if context.session is None or context.credential is None or context.identity is None:
        return False
    fresh = yield from Find(context.credential)
    return fresh is None or fresh.app_session != context.identity.app_session


def _signed_out(rules: Rules, context: CompanionContext) -> Flow[None]:
    """Revokes the companion, since the response has signed the user out. Does nothing for an anonymous request."""
    identity, session = context.identity, context.session
    if identity is None:
        return
    if session is not None:
        context.session = context.companion = None
        context.cookie = rules.own.cleared
    with suppress(Exception):  # the driver has logged it; the response must go out, since it deletes the login
        if session is None and context.adopting is not None:  # so that we also revoke a copy of this login
            session = yield from Adopt(new_companion(rules, context, identity, new_credential(), rules.life(identity), context.adopting))
        if session is not None:
            yield from rules.leases.settled(Revoke(session.user_id, session.id), context.credential, session.user_id)


def _gone_on(rules: Rules, context: CompanionContext, head: Fields, named: Sequence[Named], word: Word) -> Flow[None]:
    """Handles a response to the same user: checks that the session is still live, extends it, and follows a new session id."""
    session, credential = context.session, context.credential
    assert session is not None
    assert credential is not None
    app_session = named[0][1].app_session
    moved = app_session is not None and app_session != session.app_session
    sets = context.cookie is not None or bool(word.cookies) or sets_cookie(head, rules.own.cookie_name)
    if not (sets or moved or rules.grows_old(context)):
        return
    fresh = yield from Find(credential)
    if fresh is None:
        raise _stale(context, named, "the session was revoked while its request was being answered")
    if app_session is not None and fresh.app_session not in (session.app_session, app_session):
        raise _stale(context, named, "another response has given this browser a new session meanwhile")
    if moved or word.clears or rules.grows_old(context):  # a browser that clears its cookies needs ours again
        lifetime = rules.longest_life(named)
        own = app_session if moved else None
        extended = yield from Extend(session=session, lifetime=lifetime, app_session=own, idle_timeout=rules.idle_timeout)
        if extended and context.cookie is None:
            context.cookie = companion_cookie(rules, credential, lifetime, word.cookies)


def _adopted(rules: Rules, context: CompanionContext, head: Fields, named: Sequence[Named], cookies: Sequence[SetCookie]) -> Flow[None]:
    """Starts a companion for a login from before the installation, unless companions are compulsory for its user."""
    user_id, app_session = named[0][1].user_id, app_session_of(named[0])
    if context.adopting is None or is_public(head) or context.is_answered:
        if _is_set(named[0], cookies) and (yield from FindCompanionStatus(user_id, app_session)).companion_required:
            raise _stale(context, named, "the user's sessions were revoked while the request was being answered")
        return
    credential, lifetime = new_credential(), rules.longest_life(named)
    session = yield from rules.leases.settled(Adopt(new_companion(rules, context, named[0][1], credential, lifetime, context.adopting)))
    if session is not None:
        give(rules, context, session, credential, lifetime, cookies)


def _signed_in(rules: Rules, context: CompanionContext, named: Sequence[Named], cookies: Sequence[SetCookie]) -> Flow[None]:
    """Starts a companion, since the response has signed a user in. The backend decides under the user's lock (P3)."""
    user_id, app_session = named[0][1].user_id, app_session_of(named[0])
    if any((kept.name, kept.value) == (named[0][0].name, named[0][0].value) for kept in context.kept):
        # The id stayed, and the session in the store has changed: by this response, by an earlier response to this browser, or
        # by a request that writes back a user who was signed out meanwhile.
        if (yield from FindCompanionStatus(user_id, app_session)).companions:
            return
        if rules.spec.keeps_id_at_login and (yield from IsRevokedAppSession(app_session)):
            raise _stale(context, named, "this session of the application was revoked while the request was being answered")
    if context.is_answered:
        raise _stale(context, named, "a response head that replaces another one cannot sign a user in")
    yield from _mint(rules, context, named, cookies)


def _mint(rules: Rules, context: CompanionContext, named: Sequence[Named], cookies: Sequence[SetCookie]) -> Flow[None]:
    """Starts a companion in place of the one that this browser has, if it has one."""
    identity, app_session = named[0][1], app_session_of(named[0])
    credential, lifetime = new_credential(), rules.longest_life(named)
    new = new_companion(rules, context, identity, credential, lifetime, app_session)
    generation = context.generations.get(identity.user_id)
    is_fresh = identity.fresh is not False and identity.actor is None  # who acts as a user has not authenticated as that user
    change = Login(replace(new, generation=generation, age=context.age, replaces=context.companion, is_fresh=is_fresh))
    session = yield from rules.leases.settled(change, context.credential, identity.user_id)
    give(rules, context, session, credential, lifetime, cookies)


def _stale(context: CompanionContext, named: Sequence[Named], why: str) -> StaleLogin:
    """Returns the exception for a sign-in that this mode refuses by itself, and notes it for the log."""
    context.refusal = f"a sign-in of user {user_mark(named[0][1].user_id)} was refused: {why}"
    return StaleLogin(why)


def _is_confirmed(rules: Rules, context: CompanionContext, named: Sequence[Named], cookies: Sequence[SetCookie]) -> bool:
    """Returns whether a user whose login was remembered has proved anew who they are, so that the sign-in is of now.

    Only this response can say it, by a cookie that it sets. A store says it to each request in flight, and to that of a thief too.
    """
    before, (credential, after) = context.identity, named[0]
    if before is None or before.fresh is not False or after.fresh is not True or context.is_answered:
        return False
    return not rules.spec.server_side and _is_set((credential, after), cookies)


def _is_anew(context: CompanionContext, named: Named, cookies: Sequence[SetCookie]) -> bool:
    """Returns whether this response signs in a user who had only a header token, for which we start no companion."""
    return context.companion_required and _is_set(named, cookies)


def _is_set(named: Named, cookies: Sequence[SetCookie]) -> bool:
    """Returns whether the response sets this credential."""
    return named[0].name in {cookie.name for cookie in cookies}
