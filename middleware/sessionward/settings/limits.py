"""The limits of a session: those that standards set, each with its source, and what happens at one."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

MINUTE: Final = 60.0
HOUR: Final = 3_600.0
DAY: Final = 86_400.0
"""Seconds."""
MAX_RECENT: Final = 3650 * DAY
"""Ten years, in seconds: as long as the longest session."""
MAX_RATE: Final = 3_600
"""An hour. A limit beyond one call a second limits nothing."""


class Bound(NamedTuple):
    """The largest value that a standard allows for a setting, in seconds. ``source``: which standard, and where in it."""

    setting: str
    seconds: float
    source: str


PROFILES: Final[Mapping[str, Sequence[Bound]]] = MappingProxyType(
    {
        "nist-aal1": (Bound("lifetime", 30 * DAY, "NIST SP 800-63B-4, 2.1.3"),),
        "nist-aal2": (
            Bound("lifetime", 24 * HOUR, "NIST SP 800-63B-4, 2.2.3"),
            Bound("idle_timeout", HOUR, "NIST SP 800-63B-4, 2.2.3"),
        ),
        "nist-aal3": (
            Bound("lifetime", 12 * HOUR, "NIST SP 800-63B-4, 2.3.3"),
            Bound("idle_timeout", 15 * MINUTE, "NIST SP 800-63B-4, 2.3.3"),
        ),
        "pci": (Bound("idle_timeout", 15 * MINUTE, "PCI DSS 4.0.1, 8.2.8"),),
        "asvs-l2": (Bound("recent", 5 * MINUTE, "OWASP ASVS 5.0, 7.5.2; the five minutes are ours"),),
    }
)
"""Each value of the setting ``limits``. Which factors a sign-in asks for is the application's affair.

- NIST SP 800-63B-4: the overall limit of AAL1 (2.1.3) and AAL2 (2.2.3) is a SHOULD, that of AAL3 (2.3.3) a SHALL. The limits of
  inactivity are SHOULDs.
- PCI DSS 4.0.1, 8.2.8: after more than 15 minutes without use the user signs in again.
- OWASP ASVS 5.0, 7.5.2 (level 2): users see and end their sessions after they have authenticated again. It names no number.
"""


def bounds_of(profile: object) -> Sequence[Bound]:
    """Returns the bounds of a profile; none for what is no profile."""
    return PROFILES.get(profile, ()) if isinstance(profile, str) else ()


def preset(profile: object, given: Mapping[str, Any]) -> Mapping[str, float]:
    """Returns what a profile sets, by the names of settings. ``given``: the values that the user gives, which it leaves alone."""
    found = {bound.setting: bound.seconds for bound in bounds_of(profile) if bound.setting not in given}
    lifetime = given.get("lifetime")
    if "idle_timeout" in found and isinstance(lifetime, float) and lifetime <= found["idle_timeout"]:
        del found["idle_timeout"]  # the session ends before it could be idle for so long
    return found


def limit_mistakes(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields the mistakes in ``recent``, ``rate_limit`` and ``limits``. ``values``: of all settings, by their names."""
    profile: str | None = values["limits"]
    recent: float | None = values["recent"]
    rate_limit: int | None = values["rate_limit"]
    if recent is not None and not 1 <= recent <= MAX_RECENT:
        yield f"recent: must be at least one second and at most {MAX_RECENT / DAY:g} days, or None"
    if rate_limit is not None and not 1 <= rate_limit <= MAX_RATE:
        yield f"rate_limit: must be from 1 to {MAX_RATE} an hour, or None"
    if profile is not None and profile not in PROFILES:
        yield f"limits: {profile!r} is not one of {', '.join(PROFILES)}"
    for setting, bound, source in bounds_of(profile):
        value: float | None = values[setting]
        if value is None and setting == "idle_timeout" and values["lifetime"] <= bound:
            continue  # the lifetime ends the session before
        if value is None or value > bound:
            shown = "None" if value is None else f"{value:.15g} seconds"
            yield f"{setting}: {shown} is laxer than limits={profile!r} allows: {bound:.0f} seconds ({source}); leave {setting} out"


class AtLimit(enum.Enum):
    """What a sign-in beyond ``max_sessions`` does: it revokes the sessions used longest ago, or it is refused."""

    REVOKE = "revoke"
    REFUSE = "refuse"


# --- where to sign in again -------------------------------------------------------------------------------------------

RETURN_TO: Final = "{return_to}"
"""What stands for our own path in the setting ``sign_in``."""

_TARGET: Final = re.compile(r"(?P<origin>https?://[A-Za-z0-9.-]+(:[0-9]+)?)?(?P<path>/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)")
"""An absolute path, or a URL with one. ``//`` and ``\\`` would name another host."""


_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")


def sign_in_mistakes(sign_in: str, *, insecure: bool) -> Iterator[str]:
    """Yields the mistakes in the setting ``sign_in``."""
    rest = sign_in.replace(RETURN_TO, "", 1)
    found, placeholder = _TARGET.fullmatch(rest), _PLACEHOLDER.search(rest)
    if placeholder is not None and placeholder[0] == RETURN_TO:
        yield f"sign_in: {RETURN_TO} is there more than once; write it once"
    elif placeholder is not None:
        yield f"sign_in: {placeholder[0]!r} is no placeholder that we know; write {RETURN_TO}, which becomes our own path"
    elif found is None:
        yield f"sign_in: {sign_in!r} is not a path or an https URL, such as '/login?next={RETURN_TO}'"
    elif (found["origin"] or "").startswith("http://") and not insecure:
        yield f"sign_in: {sign_in!r} leads to plain http; write https, or set insecure for development"
