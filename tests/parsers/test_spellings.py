"""Whatever spelling a framework reads as a login cookie, we have taken it out or it has been proved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

import pytest
from hypothesis import given, settings

from tests.parsers.attacks import CORPUS, PLACES, every_byte, fields
from tests.parsers.frameworks import ALL, ASGI
from tests.parsers.judged import (
    COPY,
    GOOD,
    cookie_fields,
    environ_with,
    judge,
    logins_of,
    naive,
    readings,
    scope_with,
    unproven,
)

COMPANIONS = pytest.mark.parametrize("proven", [None, GOOD], ids=["nothing is proved", "one value is proved"])


@COMPANIONS
@pytest.mark.parametrize("attack", CORPUS)
def test_no_framework_reads_an_unproved_login_from_the_corpus(attack: str, proven: str | None) -> None:
    assert unproven(CORPUS[attack], proven) == {}


@COMPANIONS
@pytest.mark.parametrize("place", PLACES)
def test_nor_behind_any_byte_in_any_place(place: str, proven: str | None) -> None:
    read = {field: found for field in every_byte(PLACES[place]) if (found := unproven([field], proven))}
    assert read == {}


@settings(max_examples=3000)
@given(fields)
def test_nor_from_whatever_can_be_made_of_such_parts(sent: Sequence[bytes]) -> None:
    assert unproven(sent, None) == {}
    assert unproven(sent, GOOD) == {}


@settings(max_examples=500)
@given(fields)
def test_nor_where_a_server_joins_the_fields_by_commas(sent: Sequence[bytes]) -> None:
    assert unproven([b",".join(sent)], GOOD) == {}


@pytest.mark.parametrize("name", ["session", "session-0", "remember_token"])
def test_a_name_that_foreign_bytes_hide_is_taken_out_whether_one_of_these_reads_it_or_not(name: str) -> None:
    """The next framework may read it, or the next version of one."""
    foreign = [chr(byte) for byte in (*range(0x20), *range(0x7F, 0x100), *b'"(),/:<>?@[\\]{}')]
    hidden = [name[:place] + byte + name[place:] for byte in foreign for place in (0, 3, len(name))]
    for pair in [*hidden, f"%{ord(name[0]):x}{name[1:]}"]:
        scope, _ = judge([f"a=1; {pair}={COPY}; b=2".encode("latin-1")], GOOD)
        assert cookie_fields(scope) == [b"a=1; b=2"], pair


@pytest.mark.parametrize("bare", ["session", "session-0", "remember_token", "session-1000", "\xa0session", "session="])
def test_so_is_a_name_without_a_value(bare: str) -> None:
    assert cookie_fields(judge([f"a=1; {bare}; b=2".encode("latin-1")], GOOD)[0]) == [b"a=1; b=2"]


@pytest.mark.parametrize("attack", [attack for attack in CORPUS if attack.startswith("a part twice")])
def test_a_part_that_is_there_twice_is_taken_out_even_if_the_two_make_what_is_proved(attack: str) -> None:
    assert cookie_fields(judge(CORPUS[attack], GOOD)[0]) == []


@pytest.mark.parametrize("framework", ["Django, ASGI", "Litestar"])  # one joins by commas, the other looks at one
def test_a_login_in_several_fields_is_read_as_it_was_judged(framework: str) -> None:
    scope, _ = judge([f"session-0={GOOD[:9]}".encode(), f"session-1={GOOD[9:]}".encode()], GOOD)
    assert logins_of(ASGI[framework](scope)) == {GOOD}


# --- the proof of the claim -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pairs", [f"session={GOOD}", f'session="{GOOD}"', f"remember_token={GOOD}", f"session-0={GOOD[:9]}; session-1={GOOD[9:]}"]
)
def test_what_is_proved_is_read_by_all(pairs: str) -> None:
    """Beaker reads no parts: it signs the whole."""
    for framework, read in readings(*judge([f"theme=dark; {pairs}".encode()], GOOD)):
        if framework != "Beaker" or "-0=" not in pairs:
            assert logins_of(read) == {GOOD}, framework


def test_a_copy_is_read_by_all_where_nobody_judges() -> None:
    sent = [f"session={COPY}".encode()]
    read = {framework: logins_of(pairs) for framework, pairs in readings(scope_with(sent), environ_with(sent))}
    assert list(read) == list(ALL)
    assert all(values == {COPY} for values in read.values())


@COMPANIONS
def test_a_naive_reader_is_caught(proven: str | None) -> None:
    by_attack = {attack: unproven(sent, proven, decide=naive) for attack, sent in CORPUS.items()}
    by_place = {place: [unproven([field], proven, decide=naive) for field in islice(every_byte(PLACES[place]), 256)] for place in PLACES}
    assert sum(map(bool, by_attack.values())) >= 6
    assert sum(any(found) for found in by_place.values()) >= 12
    caught = {framework for found in (*by_attack.values(), *chain.from_iterable(by_place.values())) for framework in found}
    assert set(ALL) - caught <= STRICT


STRICT = {"Werkzeug", "Werkzeug, sansio", "Werkzeug, parse_cookie", "Quart"}
"""They read a name in no more spellings than the naive reader does."""
