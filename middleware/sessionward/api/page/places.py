"""The place of an address, by a function of the application: we have no map, and a wrong city frightens more than none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sessionward.api.page.labels import plain
from sessionward.errors import BackendUnavailable
from sessionward.session.call import Call
from sessionward.session.step import Flow
from sessionward.settings.page import Place

MAX_PLACE: Final = 100
"""Characters of a name."""


class Places(dict[str, str]):
    """Names of places by address; an unknown one is not in it. ``warning``: a sentence for the log if the function failed, or empty."""

    warning: str = ""


def placed(addresses: Iterable[str | None], language: str, place: Place | None) -> Flow[Places]:
    """Returns where addresses are. Calls ``place`` once for each address; one that fails hides the place and not the page.

    What it has not answered within the deadline of the request has no place.
    """
    places = Places()
    for address in dict.fromkeys(addresses):
        if place is None or not address:
            continue
        try:
            name: str | None = yield from Call("page.place", place, (address, language), is_vital=False)
            if name and (shown := plain(name)[:MAX_PLACE].strip()):
                places[address] = shown
        except BackendUnavailable:  # no time is left for the others either
            places.warning = "place() did not answer within backend_timeout; the page shows no place for what it left out"
            break
        except Exception as error:
            # its text may have the address, which is personal
            places.warning = places.warning or f"place() raised {type(error).__name__}; the page shows no place for this address"
    return places
