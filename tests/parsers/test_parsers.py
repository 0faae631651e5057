"""Whatever spelling a framework reads as a login cookie, we have taken it out or proved it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from sessionward.logins import Login, Names, read_logins, taken
from tests.parsers.fields import COPY, CORPUS, GOOD, fields
from tests.parsers.readers import READERS, Fields

NAMES = Names([b"session", b"remember_token", b"part-*"])
PLAIN = re.compile(r"[A-Za-z0-9._-]+")


def after_us(sent: Fields, *, proven: str | None) -> Fields:
    """The Cookie fields as the application gets them; ``proven``: the one value that goes with a live companion."""
    found = read_logins(lambda name: b"; ".join(sent) if name == b"cookie" else None, NAMES)
    refused = [login for login in found.logins if login.value != proven]
    left = taken(found, refused)
    if left is None:
        return sent
    scope = left.from_scope({"headers": [(b"cookie", field) for field in sent]})
    kept = [value for _, value in scope["headers"]]
    environ = {"HTTP_COOKIE": b"; ".join(sent).decode("latin-1")}
    left.from_environ(environ)
    assert environ.get("HTTP_COOKIE", "").encode("latin-1") == b"".join(kept), "both doors take out the same"
    return kept


def read(sent: Fields) -> dict[str, list[str]]:
    """What each framework reads as the value of a login cookie; parts of one value are joined, as the application would."""
    found: dict[str, list[str]] = {}
    for framework, reader in READERS.items():
        values = [value for name in ("session", "remember_token") for value in reader(sent, name)]
        parts = "".join(value for number in range(3) for value in reader(sent, f"part-{number}")[:1])
        found[framework] = [value for value in (*values, parts) if value]
    return found


def claim(sent: Fields) -> None:
    assert read(after_us(sent, proven=None)) == {framework: [] for framework in READERS}, "nothing is proved, so nothing may be read"
    for framework, values in read(after_us(sent, proven=GOOD)).items():
        assert set(values) <= {GOOD}, f"{framework} reads what nobody has proved"


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_what_a_framework_reads_as_a_login_is_taken_out_or_proved(text: str) -> None:
    claim([text.encode("latin-1")])


@settings(max_examples=4000)
@given(fields)
def test_so_is_whatever_can_be_made_of_the_same_parts(sent: Sequence[bytes]) -> None:
    claim(sent)


def test_what_is_proved_is_read_by_all() -> None:
    for pair in (f"session={GOOD}", f"remember_token={GOOD}", f"part-0={GOOD[:9]}; part-1={GOOD[9:]}"):
        assert read(after_us([f"theme=dark; {pair}".encode()], proven=GOOD)) == {framework: [GOOD] for framework in READERS}


def naively(sent: Fields) -> Fields:
    """The canary: cut at each semicolon, strip, compare the name."""
    pairs = [pair.strip() for field in sent for pair in field.split(b";")]
    return [
        b"; ".join(pair for pair in pairs if pair.partition(b"=")[0].strip() not in (b"session", b"remember_token", b"part-0", b"part-1"))
    ]


def test_the_naive_way_is_caught_by_the_corpus() -> None:
    passed = [text for text in CORPUS if any(read(naively([text.encode("latin-1")])).values())]
    assert len(passed) > 20


# --- no harm ----------------------------------------------------------------------------------------------------------


@settings(max_examples=2000)
@given(fields)
def test_a_plain_pair_of_another_name_stays_as_it_is_and_in_its_order(sent: Sequence[bytes]) -> None:
    marks = [b"first=1", b"theme=dark_mode", b"last=ab.c-d"]
    mixed = [marks[0], *sent[:1], marks[1], *sent[1:], marks[2]]
    pairs = [pair.strip(b" \t") for field in after_us([b"; ".join(mixed)], proven=None) for pair in field.split(b";")]
    assert [pair for pair in pairs if pair in marks] == marks


@pytest.mark.parametrize(
    "text", ["theme=dark", "a=1; b=2", "sessions=1; xsession=2; session-id=3; part-x=4; Session=5", 'prefs={"a":1}', "", ";;", "a"]
)
def test_where_no_login_is_nothing_changes(text: str) -> None:
    found = read_logins(lambda name: text.encode() if name == b"cookie" else None, NAMES)
    assert (found.logins, taken(found, [])) == ([], None)


@settings(max_examples=2000)
@given(fields)
def test_what_is_handed_to_the_identifier_stands_so_in_the_request(sent: Sequence[bytes]) -> None:
    whole = b"; ".join(sent)
    found = read_logins(lambda name: whole if name == b"cookie" else None, NAMES)
    for login in found.logins:
        assert isinstance(login, Login)
        assert b"".join(_value(found.pairs[place]) for place in login.places[:1]) in login.value.encode("latin-1")
        assert re.fullmatch(r"[\x21-\x7e]+", login.value)


def _value(pair: bytes) -> bytes:
    return pair.partition(b"=")[2].strip(b' \t"')


def test_a_canary_value_is_what_an_application_would_take() -> None:
    """Otherwise the claim would hold for want of a copy."""
    for framework, values in read([f"session={COPY}".encode()]).items():
        assert values == [COPY], framework
