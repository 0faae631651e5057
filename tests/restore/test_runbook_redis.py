"""What middleware/BACKENDS.md prints under "Run it" is run as it is printed: a snapshot of Redis is taken, and put back."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.demo import COMMAND
from tests.support.redis_backends import lives, opened, signed_in
from tests.support.redis_servers import Node, started, until
from tests.support.services import missing

PAGE: Final = (Path(__file__).parents[2] / "middleware" / "BACKENDS.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"```console\n(.*?)```", PAGE.partition("### Run it")[2].partition("\n## ")[0], re.DOTALL)
TAKE, START, LOG, RESTORED = (shlex.split(line.removeprefix("$ ")) for line in BLOCK.splitlines())


def run(words: list[str], node: Node, folder: Path) -> None:
    program = COMMAND if words[0] == "sessionward" else words[:1]
    if shutil.which(program[0]) is None:
        missing(program[0], "it is not installed")
    arguments = [word.replace("host:6379", f"127.0.0.1:{node.port}") for word in words[1:]]
    done = subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def server(folder: Path, *options: str) -> Iterator[Node]:
    with started(lambda ports: [Node(folder, port, options) for port in ports], 1) as nodes:
        yield nodes[0]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "new"
    folder.mkdir()
    return folder


def test_the_commands_put_a_snapshot_back_and_end_what_it_revives(own_redis: Node, empty: Path) -> None:
    assert START[:5] == ["redis-server", "--port", "6379", "--dir", "/var/lib/redis"]
    with opened(own_redis.url) as backend:
        own, other = signed_in(backend, "ann", 2)
        run(TAKE, own_redis, empty)
        assert backend.revoke_others(own[1]) == 1
    with server(empty, *START[5:]) as node, opened(node.url) as backend:
        assert lives(backend, own, other) == [True, True], "the snapshot must revive it, or this shows nothing"
        run(LOG, node, empty)
        until(lambda: node.info("persistence")["aof_rewrite_in_progress"] == 0, "the log has all")
        run(RESTORED, node, empty)
        assert lives(backend, own, other) == [False, False]
    with server(empty, "--appendonly", "yes") as node, opened(node.url) as backend:
        assert lives(backend, own, other) == [False, False]
        assert not backend.is_unused(), "the log was ignored"


def test_canary_with_its_log_on_a_server_ignores_the_snapshot(own_redis: Node, empty: Path) -> None:
    with opened(own_redis.url) as backend:
        signed_in(backend, "ann", 1)
        run(TAKE, own_redis, empty)
    with server(empty, *START[5:-1], "yes") as node, opened(node.url) as backend:
        assert backend.is_unused()
