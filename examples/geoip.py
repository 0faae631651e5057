"""The place of each address on the page *Your devices*, from a file on your own machine. No address leaves it.

DB-IP and MaxMind publish such files ("IP to City Lite", "GeoLite2 City"); read their licences, and renew the file each month. A
wrong city frightens more than none, and behind a proxy that your server does not trust every address is that of the proxy.
Install, and say where the file is::

    pip install 'sessionward[page]' maxminddb
    export GEOIP_FILE=cities.mmdb

Then give the function to the page: ``WSGIMiddleware(app, backend, ..., api=True, page=Page(place=geoip.place))``, with ``Page`` of
``sessionward.api.page``. The page calls it at most once for each address that it shows. If it raises, the page has no place.
"""

import os
from collections.abc import Iterator
from typing import Any

import maxminddb

CITIES = maxminddb.open_database(os.environ["GEOIP_FILE"])


def place(address: str, language: str) -> str | None:
    """Returns "Vienna, Austria" in the reader's language, or in English where the file has no other name."""
    return ", ".join(names(CITIES.get(address) or {}, language)) or None


def names(record: Any, language: str) -> Iterator[str]:
    for part in ("city", "country"):
        known = record.get(part, {}).get("names", {})
        if name := known.get(language, known.get("en")):
            yield name
