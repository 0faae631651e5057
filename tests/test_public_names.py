"""What users may name: exactly that, with a docstring, and with the types that their checkers see."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import sessionward
from sessionward.settings import Options, Settings

ROOT = Path(__file__).parents[1]

DOORS = {"ASGIMiddleware", "WSGIMiddleware"}
APPLICATION = {"of", "Sessions", "AsyncSessions", "Session"}
ERRORS = {
    "SessionwardError": Exception,
    "ConfigurationError": sessionward.SessionwardError,
    "BackendUnavailable": sessionward.SessionwardError,
    "OutcomeUnknown": sessionward.BackendUnavailable,
    "UsageError": sessionward.SessionwardError,
    "NotSignedIn": sessionward.UsageError,
    "SessionRevoked": sessionward.SessionwardError,
    "StaleLogin": sessionward.SessionwardError,
    "TooManySessions": sessionward.SessionwardError,
}
FOR_AUTHORS = {
    "api.page": ["Page"],
    "backends": [
        "AsyncBackend",
        "AsyncSupportsCompanions",
        "AsyncSupportsEverybody",
        "AsyncSupportsLeases",
        "AsyncSupportsLogin",
        "AsyncSupportsMany",
        "AsyncSupportsQuietRevocation",
        "AsyncSupportsSeen",
        "AsyncSupportsSessionAPI",
        "Backend",
        "Carrier",
        "Checked",
        "CompanionStatus",
        "Credential",
        "Device",
        "NewSession",
        "Position",
        "RateLimited",
        "RevokedCount",
        "Session",
        "SessionList",
        "SignInTooOld",
        "SupportsCompanions",
        "SupportsEverybody",
        "SupportsLeases",
        "SupportsLogin",
        "SupportsMany",
        "SupportsNow",
        "SupportsQuietRevocation",
        "SupportsRecord",
        "SupportsSeen",
        "SupportsSessionAPI",
        "Terms",
        "public_id",
    ],
    "identify": ["AnonymousSession", "AsyncIdentifier", "Carrier", "Function", "Identifier", "Identity", "InvalidCredential"],
}
"""What is re-exported for those who write a backend or an identifier."""

SETTINGS = {
    "secrets",
    "assertion_secrets",
    "identify",
    "path",
    "api",
    "page",
    "cookie_name",
    "cookie_domain",
    "cookie_samesite",
    "insecure",
    "on_invalid",
    "exempt_paths",
    "trusted_origins",
    "public_origin",
    "audience",
    "remote_user",
    "lifetime",
    "idle_timeout",
    "max_sessions",
    "at_limit",
    "recent",
    "sign_in",
    "rate_limit",
    "limits",
    "revoke_impersonations",
    "also",
    "backend_timeout",
    "lease",
    "lease_waiters",
    "recheck",
    "recheck_paths",
    "debug",
}

BACKENDS = ["backends.memory:MemoryBackend", "backends.sql:SQLBackend", "backends.sql:AsyncSQLBackend"]


def test_the_public_names_are_exactly_these_in_order() -> None:
    assert set(sessionward.__all__) == DOORS | APPLICATION | ERRORS.keys()
    assert list(sessionward.__all__) == sorted(sessionward.__all__)
    assert len(set(sessionward.__all__)) == len(sessionward.__all__) < 20


@pytest.mark.parametrize("module", FOR_AUTHORS)
def test_what_authors_need_is_re_exported_in_order(module: str) -> None:
    package = importlib.import_module(f"sessionward.{module}")
    assert list(package.__all__) == FOR_AUTHORS[module] == sorted(FOR_AUTHORS[module])


PUBLIC = [("", name) for name in sessionward.__all__] + [(f".{module}", name) for module, names in FOR_AUTHORS.items() for name in names]


def named(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"sessionward{module}"), name)


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_every_public_name_is_there_and_says_what_it_is(module: str, name: str) -> None:
    public = named(module, name)
    assert inspect.getdoc(public)
    assert public.__doc__, "a docstring of its own"


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, name in PUBLIC if inspect.isclass(named(module, name))])
def test_every_public_method_says_what_it_does(module: str, name: str) -> None:
    sync = name.removeprefix("Async") if module else name  # of two protocols, the sync one says it
    described = named(module, sync)
    for member, function in inspect.getmembers(described, lambda found: inspect.isfunction(found) or inspect.ismethod(found)):
        if not member.startswith("_"):
            assert inspect.getdoc(function), f"{name}.{member}"


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_is_where_it_should_be(name: str) -> None:
    module, _, cls = name.partition(":")
    assert getattr(importlib.import_module(f"sessionward.{module}"), cls).__doc__


@pytest.mark.parametrize(("name", "base"), ERRORS.items(), ids=ERRORS)
def test_errors_form_the_tree_of_the_design(name: str, base: type[Exception]) -> None:
    assert getattr(sessionward, name).__bases__ == (base,)


def test_both_doors_and_the_settings_take_the_same_names() -> None:
    assert set(get_type_hints(Options)) == {field.name for field in fields(Settings)} == SETTINGS


def test_both_doors_have_the_same_shape() -> None:
    asgi, wsgi = (inspect.signature(door) for door in (sessionward.ASGIMiddleware, sessionward.WSGIMiddleware))
    shape = [(parameter.name, parameter.kind) for parameter in asgi.parameters.values()]
    assert shape == [(parameter.name, parameter.kind) for parameter in wsgi.parameters.values()]
    assert [name for name, _ in shape] == ["app", "backend", "settings"]


def settings_in_the_docstring(door: type[Any]) -> str:
    """The list of settings, as editors and ``help()`` show it. It is a literal in each door, since editors run nothing.

    How long the import of a docstring takes does not matter here: a program imports a door once.
    """
    return (inspect.getdoc(door) or "").partition("\nKeyword Args:\n")[2].partition("\nRaises:")[0]


@pytest.mark.parametrize("door", [sessionward.ASGIMiddleware, sessionward.WSGIMiddleware])
def test_the_docstring_of_each_door_names_every_setting_with_its_default(door: type[Any]) -> None:
    entries = re.findall(r"^    (\w+) \(([^()]+), default (.+?)\): [A-Z]", settings_in_the_docstring(door), re.MULTILINE)
    assert [name for name, _, _ in entries] == [field.name for field in fields(Settings)]
    for name, _, default in entries:
        kept = getattr(Settings(), name)
        assert (ast.literal_eval(default), type(ast.literal_eval(default))) == (kept, type(kept)), name


def test_both_docstrings_say_the_same_of_the_settings() -> None:
    assert settings_in_the_docstring(sessionward.ASGIMiddleware) == settings_in_the_docstring(sessionward.WSGIMiddleware)


def test_every_setting_has_a_docstring_that_editors_show_at_its_keyword() -> None:
    body = next(node for node in ast.parse(inspect.getsource(Options)).body if isinstance(node, ast.ClassDef)).body
    documented = {
        key.target.id
        for key, text in pairwise(body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and "Default " in str(text.value.value)
    }
    assert documented == SETTINGS


def test_servers_see_an_async_function_in_the_asgi_door() -> None:
    assert inspect.iscoroutinefunction(sessionward.ASGIMiddleware.__call__)
    assert not inspect.iscoroutinefunction(sessionward.WSGIMiddleware.__call__)


def verbs(sessions: type[Any]) -> dict[str, list[tuple[str, Any, Any]]]:
    return {
        name: [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
        for name, function in inspect.getmembers(sessions, inspect.isfunction)
        if name in {"login", "begin_login", "logout", "list", "revoke", "revoke_others", "revoke_all"}
    }


def test_both_handles_have_the_same_verbs() -> None:
    assert verbs(sessionward.Sessions) == verbs(sessionward.AsyncSessions)
    assert len(verbs(sessionward.Sessions)) == 7


def test_the_version_is_that_of_the_distribution() -> None:
    assert sessionward.__version__ == version("sessionward")


def test_importing_the_package_loads_no_database_and_no_framework() -> None:
    heavy = "sqlalchemy django flask fastapi webob psycopg pymysql asyncmy asyncpg aiosqlite sqlite3 redis"
    program = f"import sys; before = {{*sys.modules}}; import sessionward; print(*({{*{heavy.split()!r}}} & {{*sys.modules}}) - before)"
    found = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


# --- types ------------------------------------------------------------------------------------------------------------


def test_users_type_checkers_see_what_they_should() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "tests/typing_examples.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_the_examples_of_types_also_run() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.typing_examples"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("all is as declared\n", "", 0)
