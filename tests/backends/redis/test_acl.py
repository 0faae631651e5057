"""The user that ``examples/deploy/README.md`` prints may do all that a backend and the commands do, and nothing else."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import pytest
import redis

from sessionward.credential.token import new_token
from sessionward.errors import BackendUnavailable
from sessionward.session.session import ANY_TERMS
from tests.backends.redis.runners import both
from tests.support.redis_backends import lives, opened, signed_in
from tests.support.redis_cluster import Cluster
from tests.support.redis_servers import Node
from tests.support.sessions import new_session
from tests.test_cli import run

PAGE: Final = (Path(__file__).parents[3] / "examples" / "deploy" / "README.md").read_text(encoding="utf-8")
(PRINTED,) = re.findall(r"^ *(ACL SETUSER app .*)$", PAGE, re.MULTILINE)
APP_SESSION: Final = b"a" * 32


@pytest.fixture
def url(redis_pair: tuple[Node, Node]) -> Iterator[str]:
    """For the user that is printed, on a server with a replica."""
    primary, _ = redis_pair
    primary.client.execute_command(*shlex.split(PRINTED.replace(">PASSWORD", ">pw")))
    yield f"redis://app:pw@127.0.0.1:{primary.port}/0"
    primary.client.acl_deluser("app")


@both
def test_the_printed_user_may_do_all_that_a_backend_does(url: str, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sessionward"), opened(url, is_async=is_async, timeout=5.0, wait=(1, 4_000)) as backend:
        own, other, third, fourth = signed_in(backend, "ann", 4)
        assert lives(backend, own, other) == [True, True]
        assert len(backend.list("ann")) == 4
        assert backend.find_many([own[0], other[0]]) == [own[0], other[0]]
        backend.note_seen([own[1]], 600.0)
        assert backend.revoke("ann", fourth[1].id)
        assert backend.revoke_one(own[1], third[1].id, ANY_TERMS)
        assert backend.revoke_others_quietly(own[1]) == 1
        assert backend.revoke_others(own[1]) == 0
        assert backend.check(other[0]).has_ended
        backend.login(new_session("ann", new_token(), replaces=own[1], max_sessions=1))
        assert backend.revoke_all("ann") == 1
        companion = backend.adopt(new_session("bob", new_token(), app_session=APP_SESSION))
        assert backend.extend(companion, lifetime=600.0, app_session=APP_SESSION)
        assert backend.companion_status("bob", APP_SESSION).companion_required is False
        assert backend.revoke("bob", companion.id)
        assert backend.is_revoked_app_session(APP_SESSION)
        backend.set_lease(0.05)
        backend.raise_lease(0.1)
        backend.set_lease(0.0)
        many = signed_in(backend, "carl", 300)
        assert backend.revoke_others(many[0][1]) == 299
        backend.purge(0.0)
        backend.revoke_everybody()
        assert lives(backend, many[0]) == [False]
    assert caplog.messages == []


def test_it_may_run_the_commands(url: str) -> None:
    for command in (["sessions", "ann"], ["revoke", "ann"], ["lease"], ["restored"]):
        done = run(command[0], "--backend", url, *command[1:])
        assert done.returncode == 0, done.stderr


@both
def test_p7_who_may_not_scan_is_told_so(own_redis: Node, is_async: bool) -> None:
    """An empty answer would say that there is nothing to purge."""
    own_redis.client.execute_command(*shlex.split(PRINTED.replace(">PASSWORD", ">pw")), "-scan")
    with opened(f"redis://app:pw@127.0.0.1:{own_redis.port}/0", is_async=is_async, timeout=5.0) as backend:
        with pytest.raises(BackendUnavailable, match="refused to scan its keys") as error:
            backend.purge(0.0)
        assert "pw" not in str(error.value)


def test_it_sees_no_other_key(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for refused in (["GET", "other"], ["FLUSHALL"], ["EVAL", "return redis.call('GET', 'other')", "0"]):
            with pytest.raises(redis.ResponseError):
                cast("Any", client).execute_command(*refused)


@both
def test_in_a_cluster_it_needs_two_more(shared_cluster: Cluster, is_async: bool) -> None:
    (more,) = re.findall(r"in a cluster \(`([^`]+)`\)", PAGE)
    url = shared_cluster.url.replace("redis+cluster://", "redis+cluster://app:pw@")
    for node in shared_cluster.nodes:
        node.client.execute_command(*shlex.split(PRINTED.replace(">PASSWORD", ">pw")), *more.split())
    try:
        with opened(url, is_async=is_async, timeout=5.0) as backend:
            own, other = signed_in(backend, f"ann {uuid4()}", 2)
            assert backend.revoke_others(own[1]) == 1
            assert lives(backend, own, other) == [True, False]
    finally:
        for node in shared_cluster.nodes:
            node.client.acl_deluser("app")
