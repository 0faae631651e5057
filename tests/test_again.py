"""Which failures of a whole run CI looks at once more (``.ci/again.py``)."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/again.py"
Case = tuple[str, str, str, str]
"""A failed test: its module, its name, ``failure`` or ``error``, and the message."""
CHANCE: Case = ("tests.sidecar.test_serve", "test_it_answers", "failure", "assert 502 == 200")


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, whose second run passes unless a test says otherwise."""
    spec = spec_from_file_location("again", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "again", module)  # its dataclass looks there
    spec.loader.exec_module(module)
    ends_with(monkeypatch, 0)
    return module


def ends_with(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def run(command: Any, *, check: bool) -> Any:
        assert "--last-failed" in command
        assert not check
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", run)


def report(path: Path, *failed: Case) -> Path:
    cases = [
        f"<testcase classname={quoteattr(module)} name={quoteattr(name)}><{kind} message={quoteattr(message)}/></testcase>"
        for module, name, kind, message in failed
    ]
    passed = '<testcase classname="tests.test_flow" name="test_x"/>'
    file = path / "tests.xml"
    file.write_text(f"<testsuites><testsuite>{passed}{''.join(cases)}</testsuite></testsuites>")
    return file


def test_what_fails_once_and_passes_alone_is_named_unsteady(again: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again.main(report(tmp_path, CHANCE)) == 0
    assert "unsteady: tests.sidecar.test_serve test_it_answers" in capsys.readouterr().out


def test_the_reports_of_several_runs_are_looked_at_together(again: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "slow").mkdir()
    slow = report(tmp_path / "slow", ("tests.torture.test_races", "test_it", "failure", "assert 1 == 0"))
    assert again.main(report(tmp_path), slow) == 1
    assert "failed: tests.torture.test_races test_it\nno second run" in capsys.readouterr().out


def test_what_fails_twice_fails(again: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_with(monkeypatch, 1)
    assert again.main(report(tmp_path, CHANCE)) == 1


FINAL: dict[str, list[Case]] = {
    "nothing that failed": [],
    "a promise": [CHANCE, ("tests.doors.test_scenarios", "test_p2_the_caller_stays[asgi]", "failure", "assert 0 == 1")],
    "torture": [("tests.torture.test_races.TestSQLite", "test_it", "failure", "assert 1 == 0")],
    "a model": [("tests.model.test_lease", "test_it", "failure", "no trail")],
    "tests that could not be collected": [("", "gw0", "error", "collection failure")],
    "a module that could not be collected": [("", "tests.test_flow", "error", "collection failure")],
    "an error of pytest itself": [("pytest", "internal", "error", "internal error")],
    "tests of many modules": [(f"tests.test_{number}", "test_it", "failure", "assert 0") for number in range(21)],
}


@pytest.mark.parametrize("failed", FINAL.values(), ids=FINAL)
def test_these_get_no_second_run(again: ModuleType, tmp_path: Path, failed: list[Case], capsys: pytest.CaptureFixture[str]) -> None:
    assert again.main(report(tmp_path, *failed)) == 1
    assert "no second run" in capsys.readouterr().out


CHANCES: dict[str, Case] = {
    "about time": ("tests.doors.test_scenarios", "test_p7_it_waits_no_longer", "failure", "assert 9 < 5"),
    "a promise whose server did not start": ("tests.torture.test_races", "test_it", "error", "failed on setup"),
    "a race that did not take place": ("tests.torture.test_late", "test_it", "failure", "it showed nothing"),
}


@pytest.mark.parametrize("failed", CHANCES.values(), ids=CHANCES)
def test_these_get_one(again: ModuleType, tmp_path: Path, failed: Case) -> None:
    assert again.main(report(tmp_path, failed)) == 0
