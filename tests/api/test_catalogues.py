"""The catalogues say all that the page says, and nothing else, in every form that a number can ask for."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import PoFileError, read_po

import sessionward
from sessionward.api.page.languages import DEFAULT, catalogue
from sessionward.settings.page import LANGUAGES

ROOT: Final = Path(__file__).parents[2]
HOUSE: Final = Path(sessionward.__file__).parent
LOCALE: Final = HOUSE / "api/page/locale"
TRANSLATED: Final = [language for language in LANGUAGES if language != DEFAULT]
NUMBERS: Final = (0, 1, 2, 3, 10, 11, 99, 100, 102, 103, 1_000_000)
CATEGORIES: Final = ("zero", "one", "two", "few", "many", "other")
"""Of the Unicode CLDR, in the order in which a catalogue has the forms."""

languages = pytest.mark.parametrize("language", TRANSLATED)


class Sentence(NamedTuple):
    """``many`` is empty if there is no plural."""

    context: str
    one: str
    many: str


@cache
def sentences() -> Mapping[Sentence, str]:
    """All that the templates and the program say, and where."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    mappings = [(mapping["pattern"], mapping["method"]) for mapping in project["tool"]["babel"]["mappings"]]
    found: dict[Sentence, str] = {}
    for file, line, message, _, context in extract_from_dir(HOUSE, mappings, {}):
        one, many = (message, "") if isinstance(message, str) else message[:2]
        found.setdefault(Sentence(context or "", one, many), f"{file}:{line}")
    return found


@cache
def po(language: str) -> Catalog:
    with (LOCALE / language / "LC_MESSAGES/sessionward.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def messages(language: str) -> Iterator[tuple[Sentence, Message, Sequence[str]]]:
    """Each sentence of a catalogue with the forms of its translation."""
    for message in po(language):
        if message.id:
            one, many = (message.id, "") if isinstance(message.id, str) else message.id[:2]
            forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
            yield Sentence(message.context or "", one, many), message, [form or "" for form in forms]


def places(pattern: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", pattern))


def form_of(language: str, number: int) -> int:
    """Which form a number asks for, by the CLDR."""
    locale = Locale.parse(language)
    categories: list[str] = [category for category in CATEGORIES if category in {*locale.plural_form.tags, "other"}]
    return categories.index(locale.plural_form(number))


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert sorted(path.name for path in LOCALE.iterdir() if path.is_dir()) == TRANSLATED


def test_the_templates_and_the_program_are_both_read() -> None:
    read = {Path(where.partition(":")[0]).suffix for where in sentences().values()}
    assert read == {".html", ".py"}
    assert all(sentence.one.strip() for sentence in sentences())


@languages
def test_a_catalogue_has_each_sentence_of_the_page_and_no_other(language: str) -> None:
    translated = {sentence for sentence, _, _ in messages(language)}
    assert {sentence: where for sentence, where in sentences().items() if sentence not in translated} == {}
    assert translated - set(sentences()) == set()
    assert list(po(language).obsolete) == []


@languages
def test_each_sentence_is_translated_in_all_its_forms_and_none_is_a_guess(language: str) -> None:
    for sentence, message, forms in messages(language):
        assert not message.fuzzy, sentence
        assert len(forms) == (po(language).num_plurals if sentence.many else 1), sentence
        assert all(form.strip() for form in forms), sentence


@languages
def test_every_place_of_a_sentence_is_kept(language: str) -> None:
    """A form that only one number asks for may say it in a word: Arabic has a dual."""
    asking = [{number for number in range(1000) if form_of(language, number) == form} for form in range(6)]
    for sentence, _, forms in messages(language):
        for number, form in enumerate(forms):
            free = {"count"} if sentence.many and len(asking[number]) == 1 and number else set[str]()
            assert places(form) | free == places(sentence.one) | free, form
            assert "%" not in re.sub(r"%\(\w+\)s", "", form), form


def test_the_english_itself_has_its_places_in_both_forms() -> None:
    for sentence in sentences():
        assert not sentence.many or places(sentence.one) == places(sentence.many)
        assert "%" not in re.sub(r"%\(\w+\)s", "", sentence.one + sentence.many), sentence


@languages
@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_gets_the_form_that_its_language_has_for_it(language: str, number: int) -> None:
    plurals = [(sentence, forms) for sentence, _, forms in messages(language) if sentence.many]
    assert plurals
    for sentence, forms in plurals:
        said = catalogue(language).ngettext(sentence.one, sentence.many, number)
        assert said == forms[form_of(language, number)]
        assert said % {"count": number}


@languages
def test_the_numbers_of_this_test_ask_for_every_form(language: str) -> None:
    assert {form_of(language, number) for number in NUMBERS} == set(range(po(language).num_plurals))


ENDS: Final = {".": (".", "。"), "?": ("?", "？", "؟"), ":": (":",)}  # noqa: RUF001 this mark is meant


@languages
def test_a_translation_ends_as_its_sentence_does(language: str) -> None:
    for sentence, _, forms in messages(language):
        for form in forms:
            if sentence.one[-1] in ENDS:
                assert form.endswith(ENDS[sentence.one[-1]]), form
            elif sentence.one[-1].isalpha():
                assert not form.endswith((".", "。", ":", "?")), form


@languages
def test_a_translation_has_no_stray_space_and_no_markup(language: str) -> None:
    for sentence, _, forms in messages(language):
        for form in forms:
            assert "  " not in form
            assert not re.search(r"[<>&]", form), form
            assert form == form.strip() or sentence.one != sentence.one.strip(), form
            if language == "fr":
                assert not re.search(r" [?!:;]|'", form), f"a space that does not break, and a typographic apostrophe: {form}"


# --- compiling --------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that has the catalogues alone, not compiled."""
    pytest.importorskip("hatch_build", reason="the build of the wheel is in the checkout")
    ignored = shutil.ignore_patterns("*.mo")
    shutil.copytree(LOCALE, tmp_path / "middleware/sessionward/api/page/locale", ignore=ignored)
    return tmp_path


def compiled(checkout: Path) -> Mapping[str, bytes]:
    from hatch_build import compile_catalogues

    compile_catalogues(checkout)
    return {path.parts[-3]: path.read_bytes() for path in checkout.rglob("*.mo")}


def test_the_build_compiles_each_catalogue_and_two_builds_are_equal(checkout: Path) -> None:
    first = compiled(checkout)
    assert sorted(first) == TRANSLATED
    for path in checkout.rglob("*.mo"):
        path.unlink()
    assert compiled(checkout) == first
    assert [path.suffix for path in checkout.rglob("sessionward.*") if path.suffix not in (".po", ".mo")] == []


@languages
def test_a_catalogue_says_when_it_was_made_so_that_a_build_does_not_say_now(language: str) -> None:
    source = (LOCALE / language / "LC_MESSAGES/sessionward.po").read_text(encoding="utf-8")
    assert re.search(r'^"POT-Creation-Date: \d{4}-\d\d-\d\d \d\d:\d\d\+0000\\n"$', source, re.MULTILINE)


def test_a_changed_catalogue_is_compiled_again_and_another_is_not(checkout: Path) -> None:
    first = compiled(checkout)
    german = next(checkout.rglob("de/LC_MESSAGES/*.po"))
    german.write_text(german.read_text(encoding="utf-8").replace("Unbekanntes Gerät", "Irgendein Gerät"), encoding="utf-8")
    written = german.with_suffix(".mo").stat().st_mtime_ns
    os.utime(german, ns=(written + 1, written + 1))
    french = next(checkout.rglob("fr/LC_MESSAGES/*.mo"))
    french.write_bytes(b"not compiled again")

    again = compiled(checkout)

    assert "Irgendein Gerät".encode() in again["de"]
    assert again["fr"] == b"not compiled again"
    assert again["ja"] == first["ja"]


def test_a_damaged_catalogue_ends_the_build(checkout: Path) -> None:
    german = next(checkout.rglob("de/LC_MESSAGES/*.po"))
    german.write_text(german.read_text(encoding="utf-8") + '\nmsgid "never ended\n', encoding="utf-8")
    with pytest.raises(PoFileError, match="missing msgstr"):
        compiled(checkout)
    assert list(checkout.rglob("de/LC_MESSAGES/*.mo")) == []
