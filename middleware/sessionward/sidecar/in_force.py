"""The limits in force, in one line, for the person who starts a sidecar and for an auditor."""

from __future__ import annotations

from typing import Final

from sessionward.settings import Settings
from sessionward.settings.limits import bounds_of
from sessionward.sidecar.config.config import Config

_APPLICATION: Final = "of the application"
"""The application bounds its sessions itself."""


def in_force(config: Config, settings: Settings, *, starts_sessions: bool) -> str:
    """Returns the limits that a sidecar runs with. ``starts_sessions``: whether sessions, or companions, are ours."""
    bounds = bounds_of(settings.limits)
    is_chosen = config.identify is None or "lifetime" in config.settings
    shown = [
        f"lifetime {_seconds(settings.lifetime) if starts_sessions and is_chosen else _APPLICATION}",
        f"idle_timeout {_seconds(settings.idle_timeout) if starts_sessions else _APPLICATION}",
        f"recent {_seconds(settings.recent)}",
        f"rate_limit {'none' if settings.rate_limit is None else f'{settings.rate_limit} an hour'}",
        f"max_sessions {f'{settings.max_sessions}, at_limit {settings.at_limit}' if starts_sessions else _APPLICATION}",
    ]
    profile = (
        ""
        if settings.limits is None
        else f"; {settings.limits}: " + ", ".join(f"{bound.setting} at most {_seconds(bound.seconds)} ({bound.source})" for bound in bounds)
    )
    return f"limits in force: {'; '.join(shown)}{profile}"


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f} s"
