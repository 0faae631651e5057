"""Fixtures of the tests that run real proxies with the printed configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sessionward.backends.sql import SQLBackend
from tests.sidecar.engines import ENGINES, App, Engine, authz, engine
from tests.sidecar.town import Town
from tests.support.services import missing

SWITCHES: Mapping[str, Any] = {"preflight": "pass", "exempt_paths": ["/static/"], "login_url": "/login?a=b"}
"""The options that both ``sessionward authz`` and ``sessionward snippet`` get in the switched town."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("engines")
    for parent in (made, *made.parents[:2]):
        parent.chmod(0o755)  # the workers of nginx have no other right
    return made


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[SQLBackend]:
    made = SQLBackend(f"sqlite:///{folder}/sessions.db")
    made.create_tables()
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[int]:
    with authz(folder) as server:
        yield server.port


@pytest.fixture(scope="module")
def switched_service(folder: Path) -> Iterator[int]:
    """The service with every switch on."""
    options = [
        "--preflight",
        "pass",
        "--exempt-paths",
        "/static/",
        "--login-url",
        "/login?a=b",
        "--trusted-origins",
        "https://trusted.example",
    ]
    with authz(folder, *options) as server:
        yield server.port


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    made = App()
    yield made
    made.close()


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def chosen(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    if found.binary is None:
        missing(str(found), "it is not installed")
    return found


@pytest.fixture(scope="module")
def town(chosen: Engine, service: int, app: App, folder: Path, backend: SQLBackend) -> Iterator[Town]:
    with engine(chosen, folder / str(chosen).replace(" ", "-"), authz=service, app=app.port) as server:
        yield Town(server.port, app, folder, backend, chosen.kind)


@pytest.fixture(scope="module")
def switched(chosen: Engine, switched_service: int, app: App, folder: Path, backend: SQLBackend) -> Iterator[Town]:
    """The town where preflights and ``/static/`` pass, and where a browser is sent to ``/login``."""
    with engine(chosen, folder / f"{chosen}-switched".replace(" ", "-"), authz=switched_service, app=app.port, **SWITCHES) as server:
        yield Town(server.port, app, folder, backend, chosen.kind)


@pytest.fixture(scope="module")
def halfway(chosen: Engine, switched_service: int, app: App, folder: Path, backend: SQLBackend) -> Iterator[Town]:
    """The town where the service has every switch on, and the engine none."""
    with engine(chosen, folder / f"{chosen}-halfway".replace(" ", "-"), authz=switched_service, app=app.port) as server:
        yield Town(server.port, app, folder, backend, chosen.kind)
