"""The settings of both middlewares."""

from sessionward.settings.checks import MAKE_SECRET, MAX_LEASE, MAX_LIFETIME, MAX_TIMEOUT
from sessionward.settings.options import Options
from sessionward.settings.settings import Settings, audience_mark
from sessionward.settings.values import Duration, seconds

__all__ = ["MAKE_SECRET", "MAX_LEASE", "MAX_LIFETIME", "MAX_TIMEOUT", "Duration", "Options", "Settings", "audience_mark", "seconds"]
