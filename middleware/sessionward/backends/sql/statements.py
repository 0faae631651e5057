"""The statements on the three tables, by name. ``dialect.py`` fills in what differs between databases."""

from __future__ import annotations

from typing import Final

from sessionward.session.session import IMPERSONATION

_COLUMNS: Final = (
    "s.id, s.user_id, s.issued_at, s.authenticated_at, s.expires_at, s.ends_at, u.generation, s.app_session,"
    " s.last_seen_at, s.methods, s.ip_address, s.user_agent, s.kind, s.actor, s.era"
)
# PostgreSQL plans a join of three tables more slowly than the subquery: 213 against 203 us for the statement.
_CHECKED: Final = _COLUMNS.replace("u.generation", "(SELECT u.generation FROM sessionward_users u WHERE u.user_id = s.user_id)")
# P6: sessions of another era have ended. A statement that reads by itself compares with the era of now. In a transaction all
# statements compare with the one that it read first: those of its sessions that were live then are counted, or none.
# The name before the column matters: without it, in a table of an earlier version, the column would be that of the sessions.
_ERA: Final = "COALESCE((SELECT e.era FROM sessionward_state e WHERE e.id = 1), 0)"
_ERA_AT: Final = "(SELECT e.era_at FROM sessionward_state e WHERE e.id = 1)"
# A server that lacks commits answers nothing, whatever it holds. A statement that may return no row returns one of NULLs then.
_ROLLED_BACK: Final = "(SELECT e.rolled_back FROM sessionward_state e WHERE e.id = 1)"
_OR_ROLLED_BACK: Final = "UNION ALL SELECT {nulls} FROM sessionward_state WHERE id = 1 AND rolled_back"
_UNENDED: Final = "ended_at IS NULL AND expires_at > {now}"
_LIVE: Final = f"{_UNENDED} AND era = :era"
# For a row that a unique key finds. Before the tables have been analyzed, PostgreSQL would otherwise take the index of live
# sessions, which `ended_at IS NULL` makes applicable, and read all of them.
_STILL_LIVE: Final = "CASE WHEN {s}ended_at IS NULL THEN {s}expires_at END > {now}"
# An ended row that is gone is unknown. So it stays until all workers that may have trusted it have read that it ended (CONTRACT.md 5).
# A companion that ended for want of use stays until its absolute end: it shows that no login of its user may be adopted.
_OLD: Final = (
    "((ended_at < :limit OR COALESCE(ends_at, expires_at) < :limit) AND (ended_at IS NULL OR ended_at < :ended)"
    f" OR era <> {_ERA} AND {_ERA_AT} < :limit AND {_ERA_AT} < :ended)"
)
# So that a companion ended, whose user then needs one: whatever login a browser still has, only a sign-in starts another.
_IDLED: Final = "app_session IS NOT NULL AND ended_at IS NULL AND expires_at <= {now} AND ends_at > {now}"
_LATER_END: Final = "CASE WHEN COALESCE(ends_at, expires_at) < :expires THEN :expires ELSE COALESCE(ends_at, expires_at) END"
_ORDINARY: Final = f"(kind IS NULL OR kind <> '{IMPERSONATION}')"
_JOINED: Final = "sessionward_sessions s JOIN sessionward_users u ON u.user_id = s.user_id"

# A join, since PostgreSQL plans each subquery by itself. An outer one: a migration of Alembic's makes the table and no row.
_LEASES: Final = "t.lease, t.former_lease, t.lowered_at"
_WITH_STATE: Final = "LEFT JOIN sessionward_state t ON t.id = 1"
_COMPANION: Final = f"user_id = :user AND app_session = :app_session AND {_UNENDED} AND era = COALESCE(t.era, 0)"

# One reading of the clock and one snapshot decide on the number and on the rows: PostgreSQL runs what is named twice only once. The
# outer join returns the number also for a page without rows. All rows are counted, so an index in their order would save nothing.
_LIST: Final = (
    f"WITH live AS (SELECT {_COLUMNS} FROM {_JOINED} WHERE s.user_id = :user AND s.ended_at IS NULL AND s.expires_at > {{now}}"
    f" AND s.id <> :without AND s.era = {_ERA})"
    f" SELECT p.*, c.total, {{now}}, {_ROLLED_BACK} FROM (SELECT COUNT(*) AS total FROM live) c LEFT JOIN"
    " (SELECT * FROM live WHERE (issued_at, id) < (:at, :place) ORDER BY issued_at DESC, id DESC LIMIT :limit) p ON 1 = 1"
    " ORDER BY p.issued_at DESC, p.id DESC"
)

# PostgreSQL: what every role may read. A standby has no position of its own.
_SERVER: Final = (
    "SELECT pg_is_in_recovery(), c.system_identifier,"
    " CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END,"
    " CASE WHEN NOT pg_is_in_recovery() THEN CAST(pg_current_wal_flush_lsn() AS varchar) END,"
    " CAST(pg_last_wal_receive_lsn() AS varchar), CAST(pg_last_wal_replay_lsn() AS varchar),"
    " current_setting('synchronous_commit'), current_setting('fsync'), current_setting('synchronous_standby_names'),"
    " (SELECT COUNT(*) FROM pg_stat_replication), t.lineage, t.rolled_back"
    f" FROM pg_control_system() c {_WITH_STATE}"
)
_KEPT: Final = "id = 1 AND COALESCE(lineage, '') = :kept"

AT_ONCE: Final = (10, 100, 500)
"""How many sessions one statement reads at once. It takes the smallest that suffices, and the largest again and again."""


def _live_of(number: int) -> str:
    digests = ", ".join(f":{parameter}" for parameter in parameters(number))
    live = _STILL_LIVE.format(s="", now="{now}")
    found = f"SELECT digest FROM sessionward_sessions WHERE digest IN ({digests}) AND {live} AND era = {_ERA}"
    return f"{found} {_OR_ROLLED_BACK.format(nulls='NULL')}"


def _use_of(number: int) -> dict[str, str]:
    """Returns the statements that record the last use of so many sessions, by their names."""
    ids = ", ".join(f":{parameter}" for parameter in parameters(number))
    live = f"{_STILL_LIVE.format(s='', now='{now}')} AND era = {_ERA}"
    row = f"id IN ({ids}) AND {live} AND expires_at > :alive AND (last_seen_at <= :before OR last_seen_at > :now_is)"
    end = "COALESCE(ends_at, expires_at)"
    return {
        f"seen_of_{number}": f"SELECT id, last_seen_at, {{now}} FROM sessionward_sessions WHERE id IN ({ids}) AND {live}"
        f" {_OR_ROLLED_BACK.format(nulls='NULL, NULL, NULL')}",
        f"lock_seen_of_{number}": f"SELECT id FROM sessionward_sessions WHERE {row} ORDER BY id{{free}}",
        f"note_seen_of_{number}": f"UPDATE sessionward_sessions SET last_seen_at = :seen WHERE {row}",
        # MySQL sets one column after the other: ends_at, which keeps the absolute end, comes first.
        f"note_use_of_{number}": f"UPDATE sessionward_sessions SET last_seen_at = :seen, ends_at = {end},"
        f" expires_at = CASE WHEN {end} < :idle THEN {end} ELSE :idle END WHERE {row}",
    }


def parameters(number: int) -> list[str]:
    """Returns the names of so many parameters. A name has letters only."""
    letters = "abcdefghij"
    return ["d_" + "".join(letters[int(digit)] for digit in str(index)) for index in range(number)]


STATEMENTS: Final = {
    # A row also for a session that is unknown: it may be one that the server has lost.
    "check": f"SELECT {_CHECKED}, s.ended_at, {{now}}, {_LEASES}, t.era, t.rolled_back FROM (SELECT 1 AS one) o {_WITH_STATE}"
    " LEFT JOIN sessionward_sessions s ON s.digest = :digest",
    "lease": "SELECT lease, former_lease, lowered_at, {now} FROM sessionward_state WHERE id = 1",
    "lock_lease": "SELECT lease, former_lease, lowered_at FROM sessionward_state WHERE id = 1{lock}",
    "set_lease": "UPDATE sessionward_state SET lease = :lease, former_lease = :former, lowered_at = :lowered WHERE id = 1",
    "add_state": "{add_state}",
    **{f"live_of_{number}": _live_of(number) for number in AT_ONCE},
    **{name: statement for number in AT_ONCE for name, statement in _use_of(number).items()},
    "list": _LIST,
    "new_era": "UPDATE sessionward_state SET era = :era, era_at = {now} WHERE id = 1",
    "lock_state": "SELECT 1 FROM sessionward_state WHERE id = 1{lock}",
    "note_era_anew": "UPDATE sessionward_state SET era_at = {now} WHERE id = 1 AND era_at > {now}",
    "generation": f"SELECT (SELECT generation FROM sessionward_users WHERE user_id = :user), {_ERA}, {_ROLLED_BACK}",
    # Subqueries, which are not locked with the user's row: all sign-ins would wait for each other at the one row of the state. They
    # may have been read before the wait for the user's lock, so a sign-in compares once more when it adds its session.
    "lock_user": f"SELECT generation, revoked_at, {{now}}, companion_required, {_ERA}, {_ERA_AT}, {_ROLLED_BACK}"
    " FROM sessionward_users WHERE user_id = :user{lock}",
    "add_user": "{add_user}",
    "lock_live": "SELECT raises_at, allowed_at, authenticated_at, kind, {now} FROM sessionward_sessions"
    f" WHERE id = :id AND user_id = :user AND {_STILL_LIVE.format(s='', now='{now}')} AND era = :era{{lock}}",
    "revoke_live": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    f" WHERE user_id = :user AND {_LIVE} AND id <> :keep",
    "revoke_ordinary": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    f" WHERE user_id = :user AND {_LIVE} AND id <> :keep AND {_ORDINARY}",
    "mark_expired": "UPDATE sessionward_sessions SET ended_at = {now}, reason = 'expired'"
    " WHERE user_id = :user AND ended_at IS NULL AND expires_at <= {now} AND id <> :keep",
    "revoke_one": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    " WHERE id = :id AND user_id = :user AND ended_at IS NULL",
    "raise": "UPDATE sessionward_users SET generation = generation + 1, revoked_at = {now}, companion_required = TRUE"
    " WHERE user_id = :user",
    "count_ordinary": f"SELECT COUNT(*) FROM sessionward_sessions WHERE user_id = :user AND {_LIVE} AND {_ORDINARY}",
    "first_beyond": f"SELECT last_seen_at, issued_at, id FROM sessionward_sessions WHERE user_id = :user AND {_LIVE} AND {_ORDINARY}"
    " ORDER BY last_seen_at DESC, issued_at DESC, id DESC LIMIT 1 OFFSET :kept",
    "revoke_beyond": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = 'limit'"
    f" WHERE user_id = :user AND {_LIVE} AND {_ORDINARY} AND (last_seen_at, issued_at, id) <= (:seen, :issued, :id)",
    "note_raise": "UPDATE sessionward_sessions SET raises_at = :raises_at WHERE id = :id AND user_id = :user",
    "note_call": "UPDATE sessionward_sessions SET allowed_at = :allowed_at WHERE id = :id AND user_id = :user",
    "note_anew": "UPDATE sessionward_users SET revoked_at = {now} WHERE user_id = :user",
    "add_session": "INSERT INTO sessionward_sessions (id, user_id, digest, issued_at, authenticated_at, expires_at, ends_at, last_seen_at,"
    " methods, ip_address, user_agent, app_session, kind, actor, era) SELECT :id, :user, :digest, :issued, :authenticated, :expires,"
    f" :ends, :issued, :methods, :ip, :agent, :app_session, :kind, :actor, :era FROM (SELECT 1 AS one) o WHERE {_ERA} = :era",
    "require_companions": "UPDATE sessionward_users SET companion_required = TRUE WHERE user_id = :user"
    " AND EXISTS (SELECT 1 FROM sessionward_sessions WHERE id = :id AND user_id = :user AND app_session IS NOT NULL)",
    "require_idled": "UPDATE sessionward_users SET companion_required = TRUE WHERE user_id = :user"
    f" AND EXISTS (SELECT 1 FROM sessionward_sessions WHERE user_id = :user AND {_IDLED})",
    "companion_status": "SELECT (SELECT companion_required FROM sessionward_users WHERE user_id = :user),"
    " (SELECT revoked_at FROM sessionward_users WHERE user_id = :user),"
    f" (SELECT COUNT(*) FROM sessionward_sessions WHERE {_COMPANION}),"
    f" (SELECT MAX(issued_at) FROM sessionward_sessions WHERE {_COMPANION}),"
    f" EXISTS (SELECT 1 FROM sessionward_sessions WHERE user_id = :user AND {_IDLED}),"
    f" {{now}}, {_LEASES}, t.era, t.era_at, t.rolled_back FROM (SELECT 1 AS one) o {_WITH_STATE}",
    "is_revoked_app_session": "SELECT EXISTS (SELECT 1 FROM sessionward_sessions WHERE app_session = :app_session"
    f" AND (ended_at IS NOT NULL AND (reason IS NULL OR reason <> 'limit') OR era <> {_ERA})), {_ROLLED_BACK}",
    # MySQL sets one column after the other, so what stands for the new ends_at must be the same before and after that is set.
    "extend_use": f"UPDATE sessionward_sessions SET last_seen_at = :seen, ends_at = {_LATER_END},"
    f" expires_at = CASE WHEN {_LATER_END} < :idle THEN {_LATER_END} ELSE :idle END"
    " WHERE id = :id AND user_id = :user AND expires_at > :alive AND (ends_at IS NULL OR expires_at < :idle)",
    "extend": "UPDATE sessionward_sessions SET expires_at = CASE WHEN expires_at > :expires THEN expires_at ELSE :expires END,"
    " last_seen_at = :seen WHERE id = :id AND user_id = :user AND ends_at IS NULL",
    "extend_idle": "UPDATE sessionward_sessions SET ends_at = :expires WHERE id = :id AND user_id = :user AND ends_at < :expires",
    "move": "UPDATE sessionward_sessions SET app_session = :app_session WHERE id = :id AND user_id = :user",
    "nth_id": "SELECT id FROM sessionward_sessions WHERE id > :after ORDER BY id LIMIT 1 OFFSET :skip",
    "delete": f"DELETE FROM sessionward_sessions WHERE id > :after AND id <= :last AND {_OLD}",
    "delete_rest": f"DELETE FROM sessionward_sessions WHERE id > :after AND {_OLD}",
    "now": "SELECT {now}",
    "server": _SERVER,
    "note_lineage": f"UPDATE sessionward_state SET lineage = :lineage WHERE {_KEPT}",
    "note_rollback": "UPDATE sessionward_state SET rolled_back = TRUE WHERE id = 1",
    "accept_lineage": f"UPDATE sessionward_state SET lineage = :lineage, rolled_back = FALSE WHERE {_KEPT}",
    # P3: one statement, which reads the clock after it has waited for the lock.
    "begin_era_of_server": "UPDATE sessionward_state SET era = :era, era_at = {now}, lineage = :lineage, rolled_back = FALSE"
    f" WHERE id = (SELECT k.id FROM (SELECT id FROM sessionward_state WHERE {_KEPT}{{lock}}) k)",
    "galera": "SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_size'",
}
