"""What servers load before they fork: the town behind the door, on a database that may have been asked in the master already."""

from __future__ import annotations

import os
from typing import Any, Final

import sessionward
from sessionward.backends.sql import SQLBackend
from tests.doors.served import served
from tests.doors.sides import SECRET, wsgi_application

TIMEOUT: Final = float(os.environ.get("SESSIONWARD_TEST_TIMEOUT", "10"))

IDLE: Final = 900.0
"""Seconds. The last use of a session is recorded behind its requests, by a thread of each worker."""

backend: Any = SQLBackend(os.environ["SESSIONWARD_TEST_DATABASE"])
wsgi = sessionward.WSGIMiddleware(wsgi_application(served), backend, secrets=[SECRET], backend_timeout=TIMEOUT, idle_timeout=IDLE)

if os.environ.get("SESSIONWARD_TEST_ASKS_EARLY"):
    backend.revoke_all("nobody")
