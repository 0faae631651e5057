"""Real servers for these tests; each skips with a reason where its program is not installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.support.servers import HOST, served
from tests.support.services import missing

CONNECTIONS = 2
"""So many of the server's connections serve all clients: fewer than clients, so that they change hands all the time."""

GEVENT = "gunicorn gevent --preload --workers 2"
UWSGI_GEVENT = "uwsgi --processes 2 --gevent 50 --gevent-monkey-patch"
UWSGI = "uwsgi --processes 2"
"""Without --enable-threads, where threads stand still between two requests."""
UWSGI_THREADS = "uwsgi --processes 2 --threads 4"


@pytest.fixture(scope="session")
def pgbouncer(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The database of ``postgresql_url`` behind PgBouncer in transaction mode, as ``postgresql://...``."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        missing("PgBouncer", "the program pgbouncer is not installed")
        return
    folder = tmp_path_factory.mktemp("pgbouncer")
    url = make_url(postgresql_url)

    def command(port: int) -> list[str]:
        settings = folder / "pgbouncer.ini"
        settings.write_text(settings_of(port, url.host or HOST, url.port or 5432, url.username or "postgres", url.password))
        return [program, *(["-u", "nobody"] if os.geteuid() == 0 else []), str(settings)]  # it refuses to be root

    with served(command, log=Path(folder / "pgbouncer.log")) as server:
        yield url.set(host=HOST, port=server.port).render_as_string(hide_password=False)


def settings_of(port: int, host: str, server_port: int, user: str, password: object) -> str:
    """The settings of a PgBouncer in transaction mode before one server."""
    secret = f" password={password}" if password else ""
    return f"""
[databases]
* = host={host} port={server_port} user={user}{secret}
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {CONNECTIONS}
server_round_robin = 1
"""


@pytest.fixture(params=[GEVENT, UWSGI_GEVENT, UWSGI, UWSGI_THREADS], ids=["gunicorn, gevent", "uWSGI, gevent", "uWSGI", "uWSGI, threads"])
def forking(request: pytest.FixtureRequest) -> str:
    """A server that loads the application in its master and then forks; two of them patch the standard library after that."""
    kind: str = request.param
    for module in ("gevent", "pyuwsgi"):
        if module.removeprefix("py") in kind and find_spec(module) is None:
            missing(module, "it is not installed")
    return kind
