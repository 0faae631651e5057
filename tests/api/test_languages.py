"""Which language the page has, and that each catalogue is read wherever the package is."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Final

import pytest

import sessionward
from sessionward import ConfigurationError
from sessionward.api.page import languages
from sessionward.api.page.languages import DEFAULT, best, catalogue
from sessionward.settings.page import LANGUAGES

HOUSE: Final = Path(sessionward.__file__).parent


@pytest.mark.parametrize(
    ("field", "language"),
    [
        pytest.param(None, "en", id="no field"),
        pytest.param(b"", "en", id="an empty field"),
        pytest.param(b"*", "en", id="any"),
        pytest.param(b"de", "de", id="one"),
        pytest.param(b"fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr", id="MDN's example"),
        pytest.param(b"de-AT", "de", id="a country of it"),
        pytest.param(b"de_AT", "de", id="with an underscore"),
        pytest.param(b"zh-Hant-TW,ja;q=0.5", "ja", id="one that we have not, then one that we have"),
        pytest.param(b"JA-jp", "ja", id="capitals"),
        pytest.param(b"en;q=0.5,de;q=0.8", "de", id="by weight, not by order"),
        pytest.param(b"es,fr", "es", id="of equal ones the first"),
        pytest.param(b"fr;q=0.001,es;q=0.002", "es", id="three digits"),
        pytest.param(b"de;q=0", "en", id="excluded"),
        pytest.param(b"de-AT;q=0", "en", id="a country of it is excluded"),
        pytest.param(b"de;q=0.1, fr;q=0.5, de;q=0.9", "fr", id="two weights of one"),
        pytest.param(b"de;q=0, fr;q=0.1", "fr", id="excluded, and another"),
        pytest.param(b"de;q=0.000, *", "en", id="excluded from any"),
        pytest.param(b"de-AT, de;q=0", "en", id="a country of an excluded one"),
        pytest.param(b"de-AT;q=0, de", "de", id="a country is excluded, and the language is not"),
        pytest.param(b"*, de;q=0.5", "en", id="any before one"),
        pytest.param(b"*, en;q=0, de;q=0.5", "de", id="any but English"),
        pytest.param(b"de, *;q=0.5", "de", id="one before any"),
        pytest.param(b"xx, *;q=0.5, de;q=0.1", "en", id="any between"),
        pytest.param(b"ar-EG,ar;q=0.9", "ar", id="Arabic"),
        pytest.param(b" de ; q=0.5 ,\tes ;q=0.6", "es", id="spaces"),
        pytest.param(b"de;Q=0.9,fr;q=0.5", "de", id="a capital Q"),
        pytest.param(b"de;q=2,fr;q=0.5", "fr", id="a weight that is none"),
        pytest.param(b"de;level=1,fr;q=0.5", "fr", id="a parameter that is none"),
        pytest.param(b"de\xff,fr;q=0.5", "fr", id="bytes that are no letters"),
        pytest.param(b",,;,de", "de", id="empty ranges"),
        pytest.param(b"xx," * 19 + b"de", "de", id="the last of 20 ranges"),
        pytest.param(b"xx," * 20 + b"de", "en", id="behind 20 ranges"),
        pytest.param(b" " * 510 + b"de", "de", id="the last of 512 bytes"),
        pytest.param(b" " * 512 + b"de", "en", id="behind 512 bytes"),
        pytest.param(b"d", "en", id="the start of one"),
        pytest.param(b"../../de", "en", id="a path"),
    ],
)
def test_the_page_speaks_the_language_that_the_browser_prefers(field: bytes | None, language: str) -> None:
    assert best(field) == language


def test_another_set_of_languages_is_possible() -> None:
    assert best(b"pt-br;q=0.9, pt;q=0.8", ["en", "pt-BR"]) == "pt-BR"


@pytest.mark.parametrize("piece", [b"a", b"a-", b",", b";", b"de;q=", b"de;q=0.1,", b"*", b" ", b"\xff"])
def test_a_long_field_takes_no_longer_than_another(piece: bytes) -> None:
    field = piece * (100_000 // len(piece))
    began = time.thread_time()
    best(field)
    assert time.thread_time() - began < 0.05


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_its_catalogue_and_its_direction(language: str) -> None:
    found = catalogue(language)
    assert found is catalogue(language), "it is read once"
    assert (found.language, found.direction) == (language, "rtl" if language == "ar" else "ltr")
    assert (found.gettext("Unknown device") == "Unknown device") is (language == DEFAULT)


def test_a_language_that_we_have_not_is_refused_with_those_that_we_have() -> None:
    with pytest.raises(ConfigurationError, match=r"no language 'xx'; it has ar, de, en, es, fr, ja"):
        catalogue("xx")


def test_a_checkout_that_was_never_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere(_: str) -> Path:
        return tmp_path

    monkeypatch.setattr(languages, "files", nowhere)
    with pytest.raises(ConfigurationError, match="'de' is not compiled; in a checkout run: pip install -e"):
        catalogue.__wrapped__("de")


def test_catalogues_are_read_from_a_zipped_wheel(tmp_path: Path) -> None:
    archive = tmp_path / "sessionward.whl"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(HOUSE.rglob("*")):
            if path.suffix in (".py", ".mo"):
                zipped.write(path, Path("sessionward") / path.relative_to(HOUSE))
    program = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "from sessionward.api.page import languages\n"
        f"assert languages.__file__.startswith({str(archive)!r})\n"
        "print(ascii([languages.catalogue(language).gettext('Your devices') for language in languages.LANGUAGES]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "Ihre Ger\\xe4te" in done.stdout
    assert "Vos appareils" in done.stdout
