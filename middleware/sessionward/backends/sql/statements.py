"""The statements on the two tables, by name. ``dialect.py`` fills in what differs between databases."""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = "s.id, s.user_id, s.issued_at, s.authenticated_at, s.expires_at, u.generation, s.app_session"
_LIVE: Final = "ended_at IS NULL AND expires_at > {now}"
# For a row that a unique key finds. Before the tables have been analyzed, PostgreSQL would otherwise take the index of live
# sessions, which `ended_at IS NULL` makes applicable, and read all of them.
_STILL_LIVE: Final = "CASE WHEN {s}ended_at IS NULL THEN {s}expires_at END > {now}"
_JOINED: Final = "sessionward_sessions s JOIN sessionward_users u ON u.user_id = s.user_id"

STATEMENTS: Final = {
    "find": f"SELECT {_COLUMNS} FROM {_JOINED} WHERE s.digest = :digest AND {_STILL_LIVE.format(s='s.', now='{now}')}",
    "list": f"SELECT {_COLUMNS} FROM {_JOINED} WHERE s.user_id = :user AND s.ended_at IS NULL AND s.expires_at > {{now}}"
    " ORDER BY s.issued_at DESC, s.id",
    "generation": "SELECT generation FROM sessionward_users WHERE user_id = :user",
    "lock_user": "SELECT generation, revoked_at, {now}, companion_required FROM sessionward_users WHERE user_id = :user{lock}",
    "add_user": "{add_user}",
    "lock_live": f"SELECT raises_at FROM sessionward_sessions WHERE id = :id AND user_id = :user"
    f" AND {_STILL_LIVE.format(s='', now='{now}')}{{lock}}",
    "revoke_live": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    f" WHERE user_id = :user AND {_LIVE} AND id <> :keep",
    "mark_expired": "UPDATE sessionward_sessions SET ended_at = {now}, reason = 'expired'"
    " WHERE user_id = :user AND ended_at IS NULL AND expires_at <= {now} AND id <> :keep",
    "revoke_one": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    " WHERE id = :id AND user_id = :user AND ended_at IS NULL",
    "raise": "UPDATE sessionward_users SET generation = generation + 1, revoked_at = {now}, companion_required = TRUE"
    " WHERE user_id = :user",
    "first_beyond": f"SELECT issued_at, id FROM sessionward_sessions WHERE user_id = :user AND {_LIVE}"
    " ORDER BY issued_at DESC, id DESC LIMIT 1 OFFSET :kept",
    "revoke_beyond": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = 'limit'"
    f" WHERE user_id = :user AND {_LIVE} AND (issued_at < :issued OR (issued_at = :issued AND id <= :id))",
    "note_raise": "UPDATE sessionward_sessions SET raises_at = :raises_at WHERE id = :id AND user_id = :user",
    "note_anew": "UPDATE sessionward_users SET revoked_at = {now} WHERE user_id = :user",
    "add_session": "INSERT INTO sessionward_sessions (id, user_id, digest, issued_at, authenticated_at, expires_at, last_seen_at,"
    " methods, ip_address, user_agent, app_session)"
    " VALUES (:id, :user, :digest, :issued, :issued, :expires, :issued, :methods, :ip, :agent, :app_session)",
    "require_companions": "UPDATE sessionward_users SET companion_required = TRUE WHERE user_id = :user"
    " AND EXISTS (SELECT 1 FROM sessionward_sessions WHERE id = :id AND user_id = :user AND app_session IS NOT NULL)",
    "companion_status": "SELECT (SELECT companion_required FROM sessionward_users WHERE user_id = :user),"
    " (SELECT revoked_at FROM sessionward_users WHERE user_id = :user),"
    f" (SELECT COUNT(*) FROM sessionward_sessions WHERE user_id = :user AND app_session = :app_session AND {_LIVE}),"
    f" (SELECT MAX(issued_at) FROM sessionward_sessions WHERE user_id = :user AND app_session = :app_session AND {_LIVE}), {{now}}",
    "is_revoked_app_session": "SELECT 1 FROM sessionward_sessions WHERE app_session = :app_session AND ended_at IS NOT NULL"
    " AND (reason IS NULL OR reason <> 'limit') LIMIT 1",
    "extend": "UPDATE sessionward_sessions SET expires_at = CASE WHEN expires_at > :expires THEN expires_at ELSE :expires END,"
    " last_seen_at = :seen WHERE id = :id AND user_id = :user",
    "move": "UPDATE sessionward_sessions SET app_session = :app_session WHERE id = :id AND user_id = :user",
    "ended_ids": "SELECT id FROM sessionward_sessions WHERE id > :after AND (ended_at < :limit OR expires_at < :limit)"
    " ORDER BY id LIMIT :batch",
    "delete": "DELETE FROM sessionward_sessions WHERE id > :after AND id <= :last AND (ended_at < :limit OR expires_at < :limit)",
    "now": "SELECT {now}",
}
