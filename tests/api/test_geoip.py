"""The example ``examples/geoip.py`` names the place of an address, from a small file of the same format."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

from sessionward.api.page.places import placed
from sessionward.drive import run_sync
from tests.support.examples import EXAMPLES

SOURCE = EXAMPLES / "geoip.py"


@pytest.fixture
def geoip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program, over a file of two networks."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="City", languages=["en", "de"])
    vienna = {"city": {"names": {"en": "Vienna", "de": "Wien"}}, "country": {"names": {"en": "Austria", "de": "Österreich"}}}
    writer.insert_network(IPSet(["192.0.2.0/24", "2001:db8::/32"]), vienna)
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"country": {"names": {"en": "Japan"}}})
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"continent": {"code": "EU"}})
    writer.to_db_file(str(tmp_path / "cities.mmdb"))
    monkeypatch.setenv("GEOIP_FILE", str(tmp_path / "cities.mmdb"))
    spec = importlib.util.spec_from_file_location("geoip", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.CITIES.close()


@pytest.mark.parametrize(
    ("address", "language", "place"),
    [
        pytest.param("192.0.2.7", "de", "Wien, Österreich", id="in the reader's language"),
        pytest.param("192.0.2.7", "ja", "Vienna, Austria", id="in a language that the file has not"),
        pytest.param("2001:db8::7", "en", "Vienna, Austria", id="IPv6"),
        pytest.param("198.51.100.7", "de", "Japan", id="no city"),
        pytest.param("203.0.113.7", "en", None, id="no name"),
        pytest.param("127.0.0.1", "en", None, id="an address that the file has not"),
        pytest.param("no address", "en", None, id="no address"),
    ],
)
def test_an_address_has_the_place_that_the_file_says(geoip: ModuleType, address: str, language: str, place: str | None) -> None:
    found = run_sync(placed([address], language, geoip.place), lambda step: step.ask(None))
    assert found.get(address) == place


def test_the_program_is_short_and_says_how_to_install_it() -> None:
    source = SOURCE.read_text(encoding="utf-8")
    _, manual, program = source.split('"""', 2)
    assert re.search(r"^    pip install 'sessionward\[page\]' maxminddb$", manual, re.MULTILINE)
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    assert "geoip.py" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
