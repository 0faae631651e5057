"""What the doctor says of Redis: a wrong kind of URL, a server that does not answer, settings that break a promise."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys

import pytest

from sessionward import ConfigurationError
from tests.sidecar.test_doctor import NOWHERE, of, said
from tests.support.redis_servers import Node


def test_a_single_server_as_a_cluster_is_a_mistake_in_the_url(own_redis: Node) -> None:
    found, code = said({**NOWHERE, "backend": own_redis.url.replace("redis://", "redis+cluster://").removesuffix("/0")})
    (line,) = of("server", found)
    assert line.startswith("error   server: ")
    assert "write redis:// or rediss:// for a single server" in line
    assert (of("backend", found), of("durability", found), code) == ([], [], 2)


def test_of_a_server_that_does_not_answer_it_is_not_said_that_it_keeps_anything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found, code = said({**NOWHERE, "backend": f"redis://u:hunter2@127.0.0.1:{port}/0"})
    assert of("backend", found)[0].startswith("error   backend: does not answer: ")
    assert (of("durability", found), code) == ([], 2)


def test_each_setting_that_breaks_a_promise_is_a_finding(own_redis: Node) -> None:
    flags = {**NOWHERE, "backend": own_redis.url}
    assert of("durability", said(flags)[0])[0].startswith("ok ")
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    (line,) = of("durability", said(flags)[0])
    assert "maxmemory-policy is allkeys-lru" in line


def test_the_command_tells_of_a_setting_once(own_redis: Node) -> None:
    """The backend logs it too, when it is asked first."""
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    command = [sys.executable, "-m", "sessionward", "doctor", "--upstream", "http://127.0.0.1:1", "--backend", own_redis.url]
    env = {**os.environ, "SESSIONWARD_SECRET": secrets.token_urlsafe(32)}
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert (told.stdout + told.stderr).count("maxmemory-policy is allkeys-lru") == 1, told.stdout + told.stderr


def test_a_scheme_that_is_misspelled_is_told_those_of_redis_too() -> None:
    with pytest.raises(ConfigurationError, match=r"backend: reids:// is not supported; .*redis://, rediss://"):
        said({**NOWHERE, "backend": "reids://127.0.0.1/0"})
