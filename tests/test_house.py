"""A file imports only from what stands above it in this list; what stands in LEAVES nobody imports but the command and the tests."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

import sessionward

STOREYS: Sequence[frozenset[str]] = tuple(
    frozenset(storey.split())
    for storey in (
        "errors",  # what a caller can catch
        "settings",  # the configuration
        "request/request",  # 1 the few parts of a request that are looked at
        "request/origin",  # may this page call us?
        "credential/token credential/recent",  # 2 what can sign someone in
        "credential/ticket credential/carriers",
        "credential/own credential/login_cookies",
        "session/step",  # 3 a session and whose it is
        "session/session",
        "session/steps session/backend session/identifier session/assertion",
        "session/capabilities session/era session/page session/pause session/rate session/use session/impersonation session/methods",
        "session/call",
        "session/also",
        "lease",  # answers that a worker may still trust
        "response/answer",  # 5 what the client is told, and what the application may not tell it
        "response/head response/set_cookies response/delayed",
        "response/places",
        "context",  # what is known of one request on its way
        "modes/mode",  # 4 who owns the sessions
        "modes/own modes/application modes/companion",
        "modes/assertion modes/recorded",
        "modes/choose",
        "flow",  # the page to read first
        "api",  # the rest of the session API, and which flow answers which route
        "process",  # what each process makes for itself: locks, threads, connections
        "deadline",  # how long one request waits for answers
        "drive",  # runs a flow; the only file where sync and async meet
        "door",  # what a door and a handle share
        "handle",  # what the application holds
        "streams",  # what is open, and ends with its session
        "seen",  # when a session was used last
        "asgi wsgi",  # the doors
        "backends identify sidecar testing cli __main__",  # the leaves
    )
)
LEAVES = frozenset({"backends", "identify", "sidecar", "testing"})
COMMAND = frozenset({"cli", "__main__"})
PACKAGES = frozenset({"sessionward", "sessionward.modes", "sessionward.modes.companion"})
"""From these a module is imported, not a name."""
FOLDERS = frozenset({"request", "credential", "session", "response", "modes"})
"""What stands in these folders has a place of its own in the list."""

THIRD_PARTY: Mapping[str, frozenset[str]] = {
    "credential/token": frozenset({"itsdangerous"}),
    "deadline": frozenset({"anyio"}),
    "api/page": frozenset({"jinja2", "markupsafe"}),
    "asgi": frozenset({"starlette"}),
    "backends": frozenset({"sqlalchemy", "anyio"}),
    "backends/table": frozenset({"sqlalchemy", "cryptography"}),
    "backends/django": frozenset({"django"}),
    "backends/redis": frozenset({"redis"}),
    "identify/__init__": frozenset({"itsdangerous"}),
    "identify/beaker": frozenset({"beaker"}),
    "identify/django": frozenset({"django"}),
    "identify/flask": frozenset({"flask", "itsdangerous"}),
    "identify/flask_session": frozenset({"cachelib", "flask", "itsdangerous", "msgspec", "redis", "sqlalchemy"}),
    "identify/jwt": frozenset({"jwt"}),
    "identify/litestar": frozenset({"litestar"}),
    "identify/redis": frozenset({"redis"}),
    "identify/remember": frozenset({"itsdangerous"}),
    "identify/pyramid": frozenset({"pyramid"}),
    "identify/signed": frozenset({"itsdangerous"}),
    "identify/sql": frozenset({"sqlalchemy"}),
    "identify/starlette": frozenset({"itsdangerous", "starsessions"}),
    "sidecar/client": frozenset({"httptools"}),
    "sidecar/config": frozenset({"sqlalchemy"}),
    "sidecar/doctor": frozenset({"sqlalchemy"}),
    "sidecar/observe": frozenset({"prometheus_client"}),
    "sidecar/upstream": frozenset({"aiohappyeyeballs", "httptools"}),
    "streams": frozenset({"starlette"}),
    "testing": frozenset({"pytest"}),
}
"""Who leans on what. Drivers are imported by SQLAlchemy, by their names."""

HOUSE = Path(sessionward.__file__).parent
FILES = {path.relative_to(HOUSE).as_posix(): path for path in sorted(HOUSE.rglob("*.py"))}
CORE = STOREYS[: next(number for number, storey in enumerate(STOREYS) if "process" in storey)]


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse(FILES[file].read_text(encoding="utf-8"))


def room_of(file: str) -> str:
    """The part of the house that a file belongs to."""
    first, *rest = file.removesuffix(".py").split("/")
    return "/".join([first, *rest[:1]]) if first in FOLDERS and rest[:1] != ["__init__"] else first


def storey_of(room: str) -> int:
    return next(number for number, storey in enumerate(STOREYS) if room in storey)


def imports_of(file: str) -> Iterator[str]:
    """All that a file imports, wherever it stands, by its full name."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what stands above"
            assert node.module is not None
            if node.module in PACKAGES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def may_lean_on(file: str) -> frozenset[str]:
    """What an extra brings is imported only by the file that needs it."""
    part = "/".join(file.removesuffix(".py").split("/")[:2])
    return THIRD_PARTY.get(part, THIRD_PARTY.get(room_of(file), frozenset()))


def rooms_imported_by(file: str) -> set[str]:
    named = {"/".join(name.split(".")[1:]) for name in imports_of(file) if name.startswith("sessionward.")}
    rooms = {room for storey in STOREYS for room in storey}
    return {next((room for room in sorted(rooms, reverse=True) if f"{name}/".startswith(f"{room}/")), "__init__") for name in named}


files = pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
every_file = pytest.mark.parametrize("file", FILES)


# --- the import rule --------------------------------------------------------------------------------------------------


def test_every_file_has_its_place_in_the_list() -> None:
    assert {room_of(file) for file in FILES} - {"__init__"} - FOLDERS == {room for storey in STOREYS for room in storey}
    for folder in FOLDERS:
        assert len(tree_of(f"{folder}/__init__.py").body) == 1, "a door plate, and nothing behind it"


@files
def test_a_file_imports_only_from_what_stands_above_it(file: str) -> None:
    own = room_of(file)
    for room in rooms_imported_by(file) - {own}:
        if own in COMMAND or own in FOLDERS:
            continue
        assert room != "__init__", "the public names are for users"
        assert storey_of(room) < storey_of(own), f"{own} imports {room}, which does not stand above it"


@every_file
def test_nobody_imports_a_leaf_but_the_command_and_the_leaf_itself(file: str) -> None:
    own = room_of(file)
    for leaf in LEAVES | {"cli"}:
        if own != leaf and own not in COMMAND:
            assert leaf not in rooms_imported_by(file)


def test_no_mode_imports_another_but_the_two_that_build_on_one() -> None:
    builds_on = {"modes/recorded": {"modes/application"}, "modes/assertion": {"modes/own"}}
    for file in FILES:
        own = room_of(file)
        if own.startswith("modes/") and own not in ("modes/mode", "modes/choose"):
            modes = {room for room in rooms_imported_by(file) if room.startswith("modes/")} - {own, "modes/mode"}
            assert modes <= builds_on.get(own, set()), f"{file} imports {modes}"


@every_file
def test_nobody_but_choose_asks_which_mode_it_is(file: str) -> None:
    if room_of(file) == "modes/choose":
        return
    named = {"Own", "Application", "Recorded", "Companion", "Assertion"}
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass", "type"):
            assert named.isdisjoint(found.id for found in ast.walk(node) if isinstance(found, ast.Name)), f"{file}:{node.lineno}"
    if not room_of(file).startswith("modes/"):
        assert not any(isinstance(node, ast.Attribute) and node.attr == "carriers" for node in ast.walk(tree_of(file))) or file.startswith(
            ("backends/", "session/")
        )


def test_the_first_level_can_be_taken_in_at_a_glance() -> None:
    assert len({file.partition("/")[0] for file in FILES}) <= 27


@every_file
def test_no_file_is_longer_than_a_reader_can_hold(file: str) -> None:
    settings = re.compile(r"\n    Keyword Args:\n.*?\n    Raises:", re.DOTALL)
    lines = len(settings.sub("", FILES[file].read_text(encoding="utf-8")).splitlines())
    limit = 260 if file == "flow.py" else 200 if file.startswith("modes/") else 300
    assert lines <= limit, f"{file} has {lines} lines"


def test_backends_do_not_import_each_other() -> None:
    for file in FILES:
        parts = file.split("/")
        if parts[0] == "backends" and len(parts) > 1:
            own = f"sessionward.backends.{parts[1].removesuffix('.py')}"
            named = [f"{name}." for name in imports_of(file) if name.startswith("sessionward.backends.")]
            # the same two settings, the same wait for the lease, the same words in the log, the same queue, one thread a process
            shared = tuple(f"sessionward.backends.{name}." for name in ("bounds", "leased", "limit", "permits", "watchdog"))
            sql = ("sessionward.backends.sql.",) if parts[1] == "table" else ()  # a table speaks SQL
            allowed = (f"{own}.", *shared, *sql)
            assert [name for name in named if not name.startswith(allowed)] == []


# --- no loop, no thread, no clock -------------------------------------------------------------------------------------

LOOPS = {"asyncio", "anyio", "trio", "selectors", "sched"}
THREADS = {"threading", "_thread", "multiprocessing", "concurrent", "queue", "subprocess", "signal"}
SOCKETS = {"socket", "select", "ssl", "http.client", "urllib.request", "sqlite3", "sqlalchemy", "starlette"}
CLOCKS = {"time"}
FILES_AND_LOGS = {"os", "io", "tempfile", "pathlib", "logging"}
WAITING = LOOPS | THREADS | SOCKETS | CLOCKS | FILES_AND_LOGS


ABOVE_DRIVE = [file for file in FILES if room_of(file) not in FOLDERS | {"__init__"} and storey_of(room_of(file)) < len(CORE)]


@pytest.mark.parametrize("file", ABOVE_DRIVE)
def test_above_drive_there_is_no_event_loop_no_thread_no_socket_and_no_clock(file: str) -> None:
    for name in imports_of(file):
        assert name not in WAITING, f"{file} imports {name}"
        assert name.partition(".")[0] not in WAITING, f"{file} imports {name}"
    for node in ast.walk(tree_of(file)):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)) or in_a_protocol(file, node)
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            assert called not in {"now", "utcnow", "today", "open", "print", "sleep"}, f"{file} calls {called}()"


def in_a_protocol(file: str, node: ast.AST) -> bool:
    """Whether a backend is async may be described above ``drive``."""
    classes = [found for found in ast.walk(tree_of(file)) if isinstance(found, ast.ClassDef)]
    return any(node in ast.walk(found) for found in classes if any("Protocol" in ast.unparse(base) for base in found.bases))


def test_no_flow_yields_but_by_way_of_its_question() -> None:
    """A bare ``yield`` has type Any."""
    for file in ABOVE_DRIVE:
        functions = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.FunctionDef) and node.returns is not None]
        flows = [function for function in functions if "Flow[" in ast.unparse(function.returns or function)]
        assert not any(isinstance(node, ast.Yield) for flow in flows for node in ast.walk(flow)), file


# --- what we lean on --------------------------------------------------------------------------------------------------


@every_file
def test_a_file_imports_no_third_party_but_those_it_may_lean_on(file: str) -> None:
    names = {name.partition(".")[0] for name in imports_of(file)} - {"sessionward"}
    assert names - set(sys.stdlib_module_names) <= may_lean_on(file)


@every_file
def test_nothing_here_unpickles_evaluates_or_loads_a_second_copy(file: str) -> None:
    for name in imports_of(file):
        assert name.partition(".")[0] not in {"pickle", "marshal", "shelve", "yaml", "middleware"}
    called = {node.func.id for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called.isdisjoint({"eval", "exec", "__import__", "compile"})


@every_file
def test_no_file_reads_the_url_that_a_client_can_poison(file: str) -> None:
    attributes = {node.attr for node in ast.walk(tree_of(file)) if isinstance(node, ast.Attribute)}
    assert attributes.isdisjoint({"base_url", "url_for"})
    constants = [node.value for node in ast.walk(tree_of(file)) if isinstance(node, ast.Constant)]
    named = [str(value).lower() for value in constants if isinstance(value, (str, bytes)) and len(value.split()) == 1]
    if room_of(file) != "sidecar":  # which rebuilds them, and trusts only the peers that it was told to
        assert not any("forwarded" in name for name in named)


# --- what stands on the door ------------------------------------------------------------------------------------------


@every_file
def test_every_module_says_in_one_sentence_what_is_in_it(file: str) -> None:
    said = ast.get_docstring(tree_of(file))
    assert said is not None
    first = said.splitlines()[0]
    assert first.endswith((".", "?")), first
    assert 15 < len(first) <= 137


@pytest.mark.parametrize(
    "file",
    [
        *ABOVE_DRIVE,
        "deadline.py",
        "drive.py",
        "door/handle.py",
        "door/parts.py",
        "door/short_way.py",
        "handle/answering.py",
        "handle/sessions.py",
        "handle/of.py",
        "asgi.py",
        "wsgi.py",
    ],
)
def test_every_public_class_and_function_of_the_core_says_what_it_is(file: str) -> None:
    for node in tree_of(file).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
            step = isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Step[") for base in node.bases)
            assert overload or step or ast.get_docstring(node), f"{file}: {node.name} has no docstring"


def test_the_package_is_typed_for_its_users() -> None:
    assert (HOUSE / "py.typed").is_file()
