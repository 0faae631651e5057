"""Runs all checks of the doctor in the order in which a request meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sessionward.sidecar.config.config import Config
from sessionward.sidecar.doctor.backend import of_backend, of_identifier
from sessionward.sidecar.doctor.finding import Finding, error, exit_code
from sessionward.sidecar.doctor.settings import of_settings
from sessionward.sidecar.doctor.upstream import of_upstream


def doctor(config: Config, say: Callable[[str], None]) -> int:
    """Tries a configuration and says each finding at once. Returns 0 if all is well, 1 with warnings, 2 with errors.

    It only reads: it signs no user in, creates no table and no file, and listens nowhere.
    """
    findings: list[Finding] = []
    for finding in _findings(config):
        say(str(finding))
        findings.append(finding)
    return exit_code(findings)


_CHECKS: Final[Sequence[tuple[str, Callable[[Config], Iterator[Finding]]]]] = (
    ("config", of_settings),
    ("backend", of_backend),
    ("identify", of_identifier),
    ("upstream", of_upstream),
)


def _findings(config: Config) -> Iterator[Finding]:
    for part, check in _CHECKS:
        try:
            yield from check(config)
        except Exception as failure:  # one part that fails must not hide what the others say
            yield error(part, f"the check broke off: {type(failure).__name__}: {failure}")
