"""Finds out whether the file of an SQLite database exists."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from sqlalchemy import make_url


def missing_file(database: str) -> str | None:
    """Returns the path of the SQLite file that a URL names, if it does not exist, so that a connection would create it."""
    url = make_url(database)
    if url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    if name.startswith("file:"):  # https://sqlite.org/uri.html
        name = unquote(urlsplit(name).path)
    return None if os.path.exists(name) else name
