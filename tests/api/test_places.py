"""The place of an address, by a function of the application, which may fail."""

from __future__ import annotations

from collections.abc import Iterable

from sessionward import BackendUnavailable
from sessionward.api.page.places import MAX_PLACE, Places, placed
from sessionward.drive import run_sync
from sessionward.session.call import Call
from sessionward.settings.page import Place


def places_of(addresses: Iterable[str | None], language: str, place: Place | None) -> Places:
    return run_sync(placed(addresses, language, place), lambda step: step.ask(None))


def test_each_address_is_asked_for_once_with_the_readers_language() -> None:
    asked: list[tuple[str, str]] = []

    def place(address: str, language: str) -> str | None:
        asked.append((address, language))
        return {"192.0.2.1": "Wien, Österreich"}.get(address)

    places = places_of(["192.0.2.1", None, "2001:db8::1", "192.0.2.1", ""], "de", place)

    assert places == {"192.0.2.1": "Wien, Österreich"}
    assert places.warning == ""
    assert asked == [("192.0.2.1", "de"), ("2001:db8::1", "de")]


def test_without_a_function_there_is_no_place() -> None:
    assert places_of(["192.0.2.1"], "en", None) == {}


def test_a_function_that_fails_hides_that_place_alone_and_is_reported_without_the_address() -> None:
    def place(address: str, language: str) -> str:
        if address == "192.0.2.1":
            raise ValueError(f"no {address} in the file")
        return "Vienna"

    places = places_of(["192.0.2.1", "192.0.2.2"], "en", place)

    assert places == {"192.0.2.2": "Vienna"}
    assert "ValueError" in places.warning
    assert "192.0.2.1" not in places.warning


def test_what_is_no_str_counts_as_a_failure() -> None:
    def place(address: str, language: str) -> str:
        return 7  # type: ignore[return-value]

    places = places_of(["192.0.2.1"], "en", place)
    assert places == {}
    assert "TypeError" in places.warning


def test_a_name_from_a_file_is_one_short_line_that_does_not_turn_the_page_round() -> None:
    def place(address: str, language: str) -> str:
        return "\u202eVienna\n" + "x" * 200 if address == "192.0.2.1" else " \u200b "

    places = places_of(["192.0.2.1", "192.0.2.2"], "en", place)
    assert places == {"192.0.2.1": ("Vienna " + "x" * 200)[:MAX_PLACE]}


def test_after_the_deadline_no_further_address_is_asked_for() -> None:
    def place(address: str, language: str) -> str:
        raise AssertionError

    flow = placed(["192.0.2.1", "192.0.2.2", "192.0.2.3"], "en", place)
    assert flow.send(None) == Call("page.place", place, ("192.0.2.1", "en"), is_vital=False)
    assert flow.send("Vienna") == Call("page.place", place, ("192.0.2.2", "en"), is_vital=False)
    places: Places | None = None
    try:
        flow.throw(BackendUnavailable("it did not return within 2 s"))
    except StopIteration as end:
        places = end.value
    assert places == {"192.0.2.1": "Vienna"}
    assert "place() did not answer within backend_timeout" in places.warning


def test_neither_a_step_nor_its_failure_shows_the_address() -> None:
    assert "192.0.2.1" not in repr(Call("page.place", print, ("192.0.2.1", "en")))
