"""Tokens, their signatures, and the reader that finds them among everything else a client may send."""

from __future__ import annotations

import copy
import pickle
import re
import string
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from itsdangerous import Signer

from sessionward.backends import Carrier, Credential
from sessionward.credential.carriers import (
    OWN_FIELDS,
    CredentialSource,
    Unproven,
    cookie_values,
    holds_own,
    read_carriers,
    read_own,
    without_cookie,
)
from sessionward.credential.token import ALPHABET, TOKEN_LENGTH, Proofs, Signature, is_token, new_token
from sessionward.request.request import Fields, fields_in
from sessionward.session.steps import Find, Login
from tests.support.core import (
    DOORS,
    NAME,
    OLD_SECRET,
    PAIR,
    RIVAL,
    SECRET,
    SIGNATURE,
    SIGNED,
    SIGNED_RIVAL,
    TOKEN,
    UNCHECKED,
    Door,
    Field,
    environ_of,
    request_of,
    scope_of,
    unsigned,
)
from tests.support.sessions import new_session

RAPID = [bytes([number]) for number in [*range(0x21), *range(0x7F, 0x100)]]
"""Every byte that could pass for a blank, a control character or a letter of some encoding."""
UNICODE_BLANKS = [chr(n) for n in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)]

# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(TOKEN, id="the token of the contract"),
        pytest.param(b"000000000000000000000000003vSKjy", id="zeros"),
        pytest.param(b"AAAAAAAAAAAAAAAAAAAAAAAAAA0HTix5", id="one letter only"),
        pytest.param(RIVAL, id="mixed"),
        pytest.param(b"XEmSyVZEMEhEmTyIx1QrwZxf6B00wdJr", id="a check padded with zeros"),
    ],
)
def test_golden_tokens_have_the_form_of_ours(token: bytes) -> None:
    assert is_token(token)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(UNCHECKED, id="its check fails"),
        pytest.param(TOKEN[:-1], id="one byte short"),
        pytest.param(TOKEN + b"A", id="one byte long"),
        pytest.param(TOKEN.swapcase(), id="in other case"),
        pytest.param(b"0123456789abcdef0123456789abcdef", id="32 hexadecimal digits"),
        pytest.param(TOKEN[:31] + b"\n", id="a line feed at the end"),
        pytest.param(TOKEN[:10] + b"-" + TOKEN[11:], id="a byte outside the alphabet"),
        pytest.param(b" " + TOKEN[1:], id="a blank in front"),
        pytest.param("é".encode() * 16, id="letters, but not of ASCII"),
    ],
)
def test_everything_else_has_not(value: bytes) -> None:
    assert not is_token(value)


@pytest.mark.parametrize(
    "body",
    [b"-" * 26, TOKEN[:25] + b"_", b"\x00" * 26, b"\xff" * 26, b" " + TOKEN[1:26], "é".encode() * 13],
    ids=["dashes", "an underscore", "NULs", "bytes beyond ASCII", "a blank", "letters, but not of ASCII"],
)
def test_a_check_that_holds_does_not_make_a_token_of_bytes_outside_the_alphabet(body: bytes) -> None:
    assert not is_token(checked(body))
    assert is_token(checked(TOKEN[:26]))


def checked(body: bytes) -> bytes:
    """The body and its check, worked out digit by digit."""
    rest, digits = zlib.crc32(body), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return body + digits.encode()


@given(st.text(ALPHABET, min_size=26, max_size=26))
def test_the_check_is_the_crc_32_in_base_62(body: str) -> None:
    assert is_token(checked(body.encode()))


def test_every_single_wrong_character_is_noticed() -> None:
    wrong = [TOKEN[:i] + bytes([c]) + TOKEN[i + 1 :] for i in range(TOKEN_LENGTH) for c in ALPHABET.encode() if c != TOKEN[i]]
    assert not any(map(is_token, wrong))


def test_new_tokens_have_the_form_of_ours_and_are_never_equal() -> None:
    tokens = {new_token() for _ in range(20_000)}
    assert len(tokens) == 20_000
    assert all(is_token(token.encode()) for token in tokens)


def test_every_random_character_may_be_any_of_the_alphabet() -> None:
    tokens = [new_token() for _ in range(2_000)]
    assert all({token[place] for token in tokens} == set(ALPHABET) for place in range(26))


def test_tokens_come_from_the_cryptographic_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.choice", lambda alphabet: alphabet[0])
    assert new_token() == "000000000000000000000000003vSKjy"


def test_the_alphabet_is_in_the_order_of_its_check() -> None:
    assert string.digits + string.ascii_uppercase + string.ascii_lowercase == ALPHABET


# --- a credential shows nothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param("{}".format, id="format"),
        pytest.param("{:>60}".format, id="format with a width"),
        pytest.param(lambda c: f"{c!r}{c!s}{c}", id="an f-string"),
        pytest.param(lambda c: "%s %r" % (c, c), id="percent"),  # noqa: UP031 - it is what is tried
        pytest.param(lambda c: repr(Find(c)), id="in a question"),
        pytest.param(lambda c: repr([c, {c: c}]), id="in a list and a dict"),
        pytest.param(lambda c: repr(ValueError(c)), id="in an exception"),
        pytest.param(lambda c: f"{c!r} {Login(new_session('ada', c.reveal()))!r}", id="in a login"),
    ],
)
def test_a_credential_shows_nothing(shown: Callable[[Credential], str]) -> None:
    credential = Credential(TOKEN)
    text = shown(credential)
    assert TOKEN.decode() not in text
    assert credential.digest.hex() not in text
    assert repr(credential.digest) not in text
    assert "<Credential>" in text


def test_a_credential_shows_nothing_in_a_traceback_with_locals() -> None:
    def fails(credential: Credential) -> None:
        raise ValueError(credential)

    try:
        fails(Credential(TOKEN))
    except ValueError as failure:
        text = "".join(traceback.TracebackException.from_exception(failure, capture_locals=True).format())
    assert "credential = <Credential>" in text
    assert TOKEN.decode() not in text
    assert repr(Credential(TOKEN).digest) not in text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_credential_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="secret") as refused:
        pickle.dumps(Credential(TOKEN), protocol)
    assert TOKEN.decode() not in str(refused.value)


def test_a_credential_is_not_copied_and_has_no_dictionary() -> None:
    with pytest.raises(TypeError):
        copy.copy(Credential(TOKEN))
    assert not hasattr(Credential(TOKEN), "__dict__")


def test_a_credential_reveals_its_bytes_and_digest_when_asked() -> None:
    assert Credential(TOKEN).reveal() == TOKEN.decode()
    assert Credential(b"\xe9\x00").reveal() == "\xe9\x00"
    assert Credential(TOKEN).digest == sha256(TOKEN).digest()


def test_equal_credentials_are_those_of_the_same_bytes() -> None:
    assert Credential(TOKEN) == Credential(TOKEN)
    assert Credential(TOKEN) != Credential(RIVAL)
    assert Credential(TOKEN) != TOKEN
    assert len({Credential(TOKEN), Credential(TOKEN), Credential(RIVAL)}) == 2


# --- signatures -------------------------------------------------------------------------------------------------------

KEYS = st.binary(min_size=32, max_size=80)


def test_golden_signatures() -> None:
    assert SIGNED == b"MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE.PxP1Hi2EBMXejPjbOYEMP06w2EL40ipImtFCxy_kXoM"
    ticket = Signature([SECRET.encode()], "ticket", "shop").sign(b"3.ada")
    assert ticket == b"3.ada.foG9jdwsL9Atx8B7uDFvRGv-MBSExWneN6XuZSHZZkc"


@given(KEYS, st.binary(), st.sampled_from(["cookie", "ticket"]), st.text(max_size=20))
def test_signatures_are_those_of_itsdangerous_byte_for_byte(key: bytes, value: bytes, purpose: str, audience: str) -> None:
    standard = Signer(key, f"sessionward.{purpose}.v1:{audience}".encode(), key_derivation="hmac", digest_method=sha256)
    ours = Signature([key], purpose, audience)
    assert ours.sign(value) == standard.sign(value)
    assert unsigned(ours, standard.sign(value)) == value
    assert standard.unsign(ours.sign(value)) == value


def test_the_newest_secret_signs_and_the_older_ones_verify_until_they_are_dropped() -> None:
    new, old = SECRET.encode(), OLD_SECRET.encode()
    before, during, after = Signature([old], "cookie"), Signature([new, old], "cookie"), Signature([new], "cookie")
    assert during.sign(TOKEN) == after.sign(TOKEN) != before.sign(TOKEN)
    assert unsigned(during, before.sign(TOKEN)) == TOKEN
    assert unsigned(during, after.sign(TOKEN)) == TOKEN
    assert unsigned(after, before.sign(TOKEN)) is None
    assert unsigned(before, during.sign(TOKEN)) is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Signature([SECRET.encode()], "ticket"), id="another purpose"),
        pytest.param(Signature([SECRET.encode()], "cookie", "shop"), id="another audience"),
        pytest.param(Signature([OLD_SECRET.encode()], "cookie"), id="another secret"),
        pytest.param(Signature([], "cookie"), id="no secret"),
    ],
)
def test_what_was_signed_for_something_else_proves_nothing(other: Signature) -> None:
    assert unsigned(SIGNATURE, SIGNED) == TOKEN
    assert unsigned(other, SIGNED) is None


@pytest.mark.parametrize("cut", range(len(SIGNED)))
def test_a_truncated_signature_proves_nothing(cut: int) -> None:
    assert unsigned(SIGNATURE, SIGNED[:cut]) is None


def other_spellings() -> list[bytes]:
    """What base64 decodes to the same signature."""
    standard = Signer(SECRET, b"sessionward.cookie.v1:", key_derivation="hmac", digest_method=sha256)
    last = (ALPHABET + "-_").encode()
    spellings = [SIGNED[:-1] + bytes([c]) for c in last if c != SIGNED[-1]] + [SIGNED + b"=", SIGNED + b"=="]
    return [spelling for spelling in spellings if standard.validate(spelling)]


def test_only_the_one_spelling_of_a_signature_is_taken() -> None:
    spellings = other_spellings()
    assert len(spellings) >= 4, "these are signatures to itsdangerous itself"
    for spelling in spellings:
        assert unsigned(SIGNATURE, spelling) is None
        assert read(cookie(spelling)) == (Unproven.INVALID, CredentialSource.COOKIE)


# --- the reader -------------------------------------------------------------------------------------------------------


def read(*fields: Field, door: Door = "asgi") -> tuple[Credential | Unproven, CredentialSource]:
    fields = tuple(seen_by(door, *fields))
    fresh = read_own(fields, NAME, Proofs(SIGNATURE))
    for _ in range(2):  # what is remembered changes no answer
        assert read_own(fields, NAME, REMEMBERED) == fresh
    return fresh


REMEMBERED = Proofs(SIGNATURE)
"""What all tests of this file have proved."""


def seen_by(door: Door, *fields: Field) -> Fields:
    """The fields that carry credentials, as one of the doors finds them."""
    if door == "wsgi":
        return fields_in(environ_of(*fields), OWN_FIELDS)
    return [field for field in scope_of(*fields)["headers"] if field[0] in OWN_FIELDS]


def cookie(value: bytes) -> Field:
    return (b"cookie", NAME + b"=" + value)


def raw(field: bytes) -> Field:
    return (b"cookie", field)


def token(value: bytes) -> Field:
    return (b"x-session-token", value)


def auth(value: bytes) -> Field:
    return (b"authorization", value)


OURS, THEIRS = Credential(TOKEN), Credential(RIVAL)
NOTHING = (Unproven.NONE, CredentialSource.NOTHING)
INVALID = (Unproven.INVALID, CredentialSource.COOKIE)
FOREIGN = (Unproven.FOREIGN, CredentialSource.HEADER)
BY_HEADER = (OURS, CredentialSource.HEADER)
BY_COOKIE = (OURS, CredentialSource.COOKIE)
TWO_HEADERS = (Unproven.AMBIGUOUS, CredentialSource.HEADER)
TWO_COOKIES = (Unproven.AMBIGUOUS, CredentialSource.COOKIE)
TWO_FOREIGN = (Unproven.AMBIGUOUS_FOREIGN, CredentialSource.HEADER)

Case = tuple[str, Sequence[Field], tuple[Credential | Unproven, CredentialSource]]

ORDER: Sequence[Case] = [
    ("nothing", [], NOTHING),
    ("token header", [token(TOKEN)], BY_HEADER),
    ("bearer", [auth(b"Bearer " + TOKEN)], BY_HEADER),
    ("cookie", [cookie(SIGNED)], BY_COOKIE),
    ("token header over cookie", [token(TOKEN), cookie(SIGNED_RIVAL)], BY_HEADER),
    ("bearer over cookie", [cookie(SIGNED_RIVAL), auth(b"Bearer " + TOKEN)], BY_HEADER),
    ("token header over two cookies that differ", [token(TOKEN), cookie(SIGNED), cookie(SIGNED_RIVAL)], BY_HEADER),
    ("no fall-back from a token that is not ours", [token(b"guest"), cookie(SIGNED)], FOREIGN),
    ("no fall-back from a token whose check fails", [token(UNCHECKED), cookie(SIGNED)], FOREIGN),
    ("no fall-back from two tokens that are not ours", [token(b"a"), token(b"b"), cookie(SIGNED)], TWO_FOREIGN),
    ("empty token header is absent", [token(b""), cookie(SIGNED)], BY_COOKIE),
    ("blank token header is absent", [token(b" \t "), cookie(SIGNED)], BY_COOKIE),
    ("token header of commas is absent", [token(b" , ,"), cookie(SIGNED)], BY_COOKIE),
    ("empty authorization is absent", [auth(b""), cookie(SIGNED)], BY_COOKIE),
    ("foreign bearer is the application's own", [auth(b"Bearer eyJhbGciOi.x.y"), cookie(SIGNED)], BY_COOKIE),
    ("bearer whose check fails is the application's own", [auth(b"Bearer " + UNCHECKED), cookie(SIGNED)], BY_COOKIE),
    ("bearer of 32 hexadecimal digits is an API key", [auth(b"Bearer 0123456789abcdef0123456789abcdef")], NOTHING),
    ("basic is the application's own", [auth(b"Basic YTpi"), cookie(SIGNED)], BY_COOKIE),
    ("basic beside a token header", [auth(b"Basic YTpi"), token(TOKEN)], BY_HEADER),
    ("foreign bearer beside a token header", [auth(b"Bearer other"), token(TOKEN)], BY_HEADER),
]

HEADERS: Sequence[Case] = [
    ("same token twice", [token(TOKEN), token(TOKEN)], BY_HEADER),
    ("same token joined by a comma", [token(TOKEN + b", " + TOKEN)], BY_HEADER),
    ("two tokens", [token(TOKEN), token(RIVAL)], TWO_HEADERS),
    ("two tokens joined by a comma", [token(TOKEN + b"," + RIVAL)], TWO_HEADERS),
    ("ours and a foreign one", [token(TOKEN + b",guest")], TWO_HEADERS),
    ("a foreign one and ours", [token(b"guest"), token(TOKEN)], TWO_HEADERS),
    ("two foreign ones", [token(b"a,b")], TWO_FOREIGN),
    ("foreign twice", [token(b"a, a")], FOREIGN),
    ("ours and an empty one", [token(TOKEN + b","), token(b"")], BY_HEADER),
    ("token and bearer alike", [token(TOKEN), auth(b"Bearer " + TOKEN)], BY_HEADER),
    ("token and bearer that differ", [token(TOKEN), auth(b"Bearer " + RIVAL)], TWO_HEADERS),
    ("foreign token and our bearer", [token(b"guest"), auth(b"Bearer " + TOKEN)], TWO_HEADERS),
    ("two bearers", [auth(b"Bearer " + TOKEN), auth(b"Bearer " + RIVAL)], TWO_HEADERS),
    ("two bearers joined by a comma", [auth(b"Bearer " + TOKEN + b",Bearer " + RIVAL)], TWO_HEADERS),
    ("bearer twice", [auth(b"Bearer " + TOKEN), auth(b"bearer " + TOKEN)], BY_HEADER),
    ("basic and our bearer", [auth(b"Basic YTpi"), auth(b"Bearer " + TOKEN)], TWO_HEADERS),
    ("basic and our bearer joined by a comma", [auth(b"Basic YTpi, Bearer " + TOKEN)], TWO_HEADERS),
    ("lower-case bearer", [auth(b"bearer " + TOKEN)], BY_HEADER),
    ("upper-case bearer", [auth(b"BEARER " + TOKEN)], BY_HEADER),
    ("bearer with two blanks", [auth(b"Bearer  " + TOKEN)], NOTHING),
    ("bearer with three blanks", [auth(b"Bearer   " + TOKEN)], NOTHING),
    ("bearer without a blank", [auth(b"Bearer" + TOKEN)], NOTHING),
    ("bearer with a tab", [auth(b"Bearer\t" + TOKEN)], NOTHING),
    ("bearer with a comma", [auth(b"Bearer, " + TOKEN)], NOTHING),
    ("bearer with a quoted token", [auth(b'Bearer "' + TOKEN + b'"')], NOTHING),
    ("bearer alone", [auth(b"Bearer")], NOTHING),
    ("bearer and blanks round it", [auth(b" \tBearer " + TOKEN + b" \t")], BY_HEADER),
    ("another scheme with our token", [auth(b"Token " + TOKEN)], NOTHING),
    ("no scheme with our token", [auth(TOKEN)], NOTHING),
    ("blanks round the token", [token(b" \t" + TOKEN + b"\t ")], BY_HEADER),
    ("a blank inside", [token(TOKEN[:9] + b" " + TOKEN[9:])], FOREIGN),
    ("quoted token", [token(b'"' + TOKEN + b'"')], FOREIGN),
    ("signed token in a header", [token(SIGNED)], FOREIGN),
    ("folded line", [token(b"guest\r\n " + TOKEN)], FOREIGN),
    ("one byte short", [token(TOKEN[:-1])], FOREIGN),
    ("one byte long", [token(TOKEN + b"0")], FOREIGN),
    ("1 MiB of token", [token(b"A" * 2**20)], FOREIGN),
    ("1 MiB of commas", [token(b"," * 2**20), cookie(SIGNED)], BY_COOKIE),
    ("null, None and the like", [token(b"null"), token(b"null")], FOREIGN),
]

COOKIES: Sequence[Case] = [
    ("among others", [raw(b"a=1; " + PAIR + b"; b=2")], BY_COOKIE),
    ("without blanks after semicolons", [raw(b"a=1;" + PAIR + b";b=2")], BY_COOKIE),
    ("blanks and tabs round name and value", [raw(b"a=1; \t" + NAME + b" \t= \t" + SIGNED + b"\t ;b")], BY_COOKIE),
    ("in one of three fields", [raw(b"a=1"), raw(PAIR), raw(b"b=2")], BY_COOKIE),
    ("same twice", [raw(PAIR + b"; " + PAIR)], BY_COOKIE),
    ("same in two fields", [raw(PAIR), raw(PAIR)], BY_COOKIE),
    ("two that differ", [raw(PAIR), cookie(SIGNED_RIVAL)], TWO_COOKIES),
    ("two that differ in one field", [raw(PAIR + b"; " + NAME + b"=" + SIGNED_RIVAL)], TWO_COOKIES),
    ("ours and an empty one", [raw(PAIR + b"; " + NAME + b"=")], BY_COOKIE),
    ("an empty one and ours", [raw(NAME + b"=; " + PAIR)], BY_COOKIE),
    ("ours and a forged one", [raw(PAIR + b"; " + NAME + b"=" + SIGNED[:-1])], BY_COOKIE),
    ("a forged one, two of ours that differ", [raw(NAME + b"=a; " + PAIR + b"; " + NAME + b"=" + SIGNED_RIVAL)], TWO_COOKIES),
    ("two forged ones", [raw(NAME + b"=a; " + NAME + b"=b")], INVALID),
    ("empty value", [cookie(b"")], INVALID),
    ("token without a signature", [cookie(TOKEN)], INVALID),
    ("token with an empty signature", [cookie(TOKEN + b".")], INVALID),
    ("forged", [cookie(TOKEN + b"." + b"A" * 43)], INVALID),
    ("truncated", [cookie(SIGNED[:-1])], INVALID),
    ("one byte long", [cookie(SIGNED + b"A")], INVALID),
    ("another token under our signature", [cookie(RIVAL + SIGNED[TOKEN_LENGTH:])], INVALID),
    ("of another purpose", [cookie(Signature([SECRET.encode()], "ticket").sign(TOKEN))], INVALID),
    ("of another audience", [cookie(Signature([SECRET.encode()], "cookie", "shop").sign(TOKEN))], INVALID),
    ("by another secret", [cookie(Signature([OLD_SECRET.encode()], "cookie").sign(TOKEN))], INVALID),
    ("well signed, but not a token", [cookie(SIGNATURE.sign(UNCHECKED))], INVALID),
    ("well signed, but empty", [cookie(SIGNATURE.sign(b""))], INVALID),
    ("quoted", [cookie(b'"' + SIGNED + b'"')], INVALID),
    ("quote in front", [cookie(b'"' + SIGNED)], INVALID),
    ("quote behind", [cookie(SIGNED + b'"')], INVALID),
    ("octal", [cookie(b"\\115" + SIGNED[1:])], INVALID),
    ("quoted octal", [cookie(b'"\\115' + SIGNED[1:] + b'"')], INVALID),
    ("percent-encoded dot", [cookie(SIGNED.replace(b".", b"%2E"))], INVALID),
    ("percent-encoded token", [cookie(b"%4d" + SIGNED[1:])], INVALID),
    ("value in other case", [cookie(SIGNED.swapcase())], INVALID),
    ("value with an equals sign in front", [cookie(b"=" + SIGNED)], INVALID),
    ("joined by a comma behind", [cookie(SIGNED + b", a=1")], INVALID),
    ("joined by a comma in front", [raw(b"a=1, " + PAIR)], NOTHING),
    ("two fields that a server joined by a comma", [raw(PAIR + b"," + NAME + b"=" + SIGNED_RIVAL)], INVALID),
    ("in a quoted value of another", [raw(b'x="a; ' + PAIR + b'; y=b"')], BY_COOKIE),
    ("behind a quote that never ends", [raw(b'x="a; ' + PAIR)], BY_COOKIE),
    ("behind brackets", [raw(b"a[b]=1; " + PAIR)], BY_COOKIE),
    ("behind JSON", [raw(b'x={"a":1}; ' + PAIR)], BY_COOKIE),
    ("behind bytes that are not ASCII", [raw(b"x=\xff\xfe; " + PAIR)], BY_COOKIE),
    ("behind attributes", [raw(b"HttpOnly; path=/; expires=Wed, 21 Oct 2015 07:28:00 GMT; " + PAIR)], BY_COOKIE),
    ("behind empty pairs", [raw(b";; ;" + PAIR + b";")], BY_COOKIE),
    ("behind $Version", [raw(b"$Version=1; " + PAIR + b"; $Path=/")], BY_COOKIE),
    ("nameless", [raw(b"=" + PAIR)], NOTHING),
    ("nameless with only our name", [raw(b"=" + NAME)], NOTHING),
    ("bare name", [raw(NAME)], NOTHING),
    ("bare name and ours", [raw(NAME + b"; " + PAIR)], BY_COOKIE),
    ("$name", [raw(b"$" + PAIR)], NOTHING),
    ("name in lower case", [raw(NAME.lower() + b"=" + SIGNED)], NOTHING),
    ("name in lower case with our name in its value", [raw(NAME.lower() + b"=" + NAME)], NOTHING),
    ("name in upper case", [raw(NAME.upper() + b"=" + SIGNED)], NOTHING),
    ("quoted name", [raw(b'"' + NAME + b'"=' + SIGNED)], NOTHING),
    ("percent-encoded name", [raw(NAME.replace(b"-", b"%2D") + b"=" + SIGNED)], NOTHING),
    ("ours as the end of another name", [raw(b"x" + PAIR)], NOTHING),
    ("ours as the beginning of another name", [raw(NAME + b"x=" + SIGNED)], NOTHING),
    ("ours without its prefix", [raw(b"session-ward=" + SIGNED)], NOTHING),
    ("our name with underscores", [raw(NAME.replace(b"-", b"_") + b"=" + SIGNED)], NOTHING),
    ("our name as a value", [raw(b"a=" + PAIR)], NOTHING),
    ("our name in a value and ours", [raw(b"a=" + NAME + b"=x; " + PAIR)], BY_COOKIE),
    ("empty field", [raw(b"")], NOTHING),
    ("3000 pairs before ours", [raw(b"a=1; " * 3000 + PAIR)], BY_COOKIE),
    ("3000 pairs after ours", [raw(PAIR + b"; a=1" * 3000)], BY_COOKIE),
    ("3000 of ours", [raw(b"; ".join([PAIR] * 3000))], BY_COOKIE),
    ("3000 of ours and one other", [raw(b"; ".join([PAIR] * 3000) + b"; " + NAME + b"=x")], BY_COOKIE),
    ("800 that a sibling has planted, and ours", [raw(b"; ".join([NAME + b"=%032d" % n for n in range(800)] + [PAIR]))], BY_COOKIE),
    ("62 kB of backslashes in quotes", [cookie(b'"' + b"\\" * 62_000 + b'"')], INVALID),
    ("62 kB of backslashes in another", [raw(b'x="' + b"\\" * 62_000 + b'"; ' + PAIR)], BY_COOKIE),
    ("1 MiB of semicolons", [raw(b";" * 2**20 + PAIR)], BY_COOKIE),
]

ALL = [*ORDER, *HEADERS, *COOKIES]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("fields", "expected"), [pytest.param(case[1], case[2], id=case[0]) for case in ALL])
def test_a_request_is_read_by_the_rules_of_the_contract(
    fields: Sequence[Field], expected: tuple[Credential | Unproven, CredentialSource], door: Door
) -> None:
    assert read(*fields, door=door) == expected


def test_spoken_ids_are_used_once() -> None:
    assert len({case[0] for case in ORDER}) == len(ORDER)
    assert len({case[0] for case in HEADERS}) == len(HEADERS)
    assert len({case[0] for case in COOKIES}) == len(COOKIES)


@pytest.mark.parametrize("twin", [b"x_session_token", b"x-session_token", b"X-Session-Token", b"x-session-token2", b"authorisation"])
def test_twins_of_our_headers_are_not_credentials(twin: bytes) -> None:
    """In an environ they cannot be told apart; servers that matter drop them."""
    assert read((twin, TOKEN)) == NOTHING
    assert read((twin, TOKEN), cookie(SIGNED_RIVAL)) == (THEIRS, CredentialSource.COOKIE)


@pytest.mark.parametrize("byte", RAPID, ids=lambda byte: f"0x{byte.hex()}")
def test_only_blank_and_tab_are_trimmed(byte: bytes) -> None:
    trimmed = byte in (b" ", b"\t")
    for name, expected in ((byte + NAME, NOTHING), (NAME + byte, NOTHING)):
        assert read(raw(b"a=1;" + name + b"=" + SIGNED)) == (BY_COOKIE if trimmed else expected)
        assert read(raw(name + b"=" + SIGNED)) == (BY_COOKIE if trimmed else expected)
    for value in (byte + SIGNED, SIGNED + byte):
        assert read(cookie(value)) == (BY_COOKIE if trimmed else INVALID)
    for value in (byte + TOKEN, TOKEN + byte):
        assert read(token(value)) == (BY_HEADER if trimmed else FOREIGN)
    assert read(auth(byte + b"Bearer " + TOKEN)) == (BY_HEADER if trimmed else NOTHING)
    assert read(auth(b"Bearer " + TOKEN + byte)) == (BY_HEADER if trimmed else NOTHING)
    assert read(auth(b"Bearer " + byte + TOKEN)) == NOTHING


@pytest.mark.parametrize("blank", UNICODE_BLANKS, ids=lambda blank: f"U+{ord(blank):04X}")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be"])
def test_no_other_blank_of_unicode_makes_our_name(blank: str, encoding: str) -> None:
    shadow = blank.encode(encoding)
    if not set(shadow) & set(b"\t ;"):
        assert read(raw(shadow + NAME + b"=" + SIGNED_RIVAL + b"; " + PAIR)) == BY_COOKIE
    assert read(raw(blank.encode("utf-8") + NAME + b"=" + SIGNED_RIVAL + b"; " + PAIR)) == BY_COOKIE


WRAPS: Sequence[Callable[[bytes], Field]] = (
    raw,
    token,
    auth,
    lambda field: cookie(b'"' + field),
    lambda field: auth(b"Bearer " + TOKEN + b"," + field),
)


@pytest.mark.parametrize("piece", [b"a=1; ", b"\\", b'"', NAME + b"; ", NAME + b"=; ", PAIR + b"; ", b",", b"=", b" ", TOKEN + b","])
def test_the_time_to_read_is_linear_in_the_length(piece: bytes) -> None:
    """Eight times as much may take eight times as long, with a wide margin; a square law would take 64 times."""
    for wrap in WRAPS:
        few, many = (cost(wrap(piece * (length // len(piece)))) for length in (40_000, 320_000))
        assert many / few < 40


def cost(field: Field) -> float:
    """The least of a few measurements, and never less than the clock can tell."""
    fields = seen_by("asgi", field)
    times: list[float] = []
    for _ in range(3):
        begun = time.thread_time()
        read_own(fields, NAME, Proofs(SIGNATURE))
        times.append(time.thread_time() - begun)
    return min(times) + 5e-6


# --- whatever a client may send ---------------------------------------------------------------------------------------

NOISE = [b";", b"; ", b"=", b",", b" ", b"\t", b'"', b"\\", b"\\101", b"%3d", b"\x00", b"\xa0", b"\x85", b"\n", b"\x0b", b"\x1c"]
WORDS = [b"a=1", b"$Version=1", b"Bearer ", b"bearer ", b"Basic x", NAME, NAME.lower(), NAME + b"=", TOKEN, RIVAL, UNCHECKED]
WHOLE = [SIGNED, SIGNED_RIVAL, PAIR, SIGNED[:-1], SIGNED + b"=", b"; " + PAIR, b";" + NAME + b"="]
PIECES = st.sampled_from([*NOISE, *WORDS, *WHOLE])
BYTES = st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=12).map(b"".join)
FIELDS = st.lists(
    st.tuples(st.sampled_from([b"cookie", b"authorization", b"x-session-token", b"x_session_token", b"accept"]), BYTES), max_size=4
)

WRITTEN = re.compile(rb"(?:^|;)[ \t]*" + re.escape(NAME) + rb"[ \t]*=([^;]*)", re.DOTALL)


@given(FIELDS)
@example([cookie(SIGNED), cookie(SIGNED)])
@example([token(TOKEN), auth(b"Bearer " + TOKEN)])
def test_a_reader_gives_exactly_what_was_issued_or_nothing(fields: list[Field]) -> None:
    reading, source = read(*fields)
    if isinstance(reading, Credential):
        value = reading.reveal().encode("latin-1")
        assert value in (TOKEN, RIVAL)
        if source is CredentialSource.COOKIE:
            written = {found.strip(b" \t") for found in WRITTEN.findall(b"; ".join(v for n, v in fields if n == b"cookie"))}
            assert {found for found in written if found in (SIGNED, SIGNED_RIVAL)} == {SIGNATURE.sign(value)}
        else:
            listed = b",".join(field for name, field in fields if name in (b"x-session-token", b"authorization"))
            assert {part.strip(b" \t") for part in listed.split(b",")} & {value, b"Bearer " + value, b"bearer " + value}
    else:
        assert isinstance(reading, Unproven)
        assert (reading is Unproven.NONE) == (source is CredentialSource.NOTHING)


@given(BYTES)
def test_our_cookie_is_read_by_the_letter_of_the_rule(field: bytes) -> None:
    assert cookie_values(field, NAME) == [found.strip(b" \t") for found in WRITTEN.findall(field)]


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_the_reader_fail(noise: bytes) -> None:
    for fields in ([raw(noise)], [cookie(noise)], [token(noise)], [auth(noise)], [auth(b"Bearer " + noise)]):
        for door in DOORS:
            assert not isinstance(read(*fields, door=door)[0], Credential)


@given(FIELDS)
def test_both_doors_read_alike(fields: list[Field]) -> None:
    fields = [(name, value) for name, value in fields if b"_" not in name]
    assert read(*fields, door="asgi") == read(*fields, door="wsgi")


# --- an application's own carriers ------------------------------------------------------------------------------------

CARRIERS = (Carrier.header("X-Key"), Carrier.header("Authorization", scheme="Key"), Carrier.cookie("sid"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param([], (Unproven.NONE, CredentialSource.NOTHING), id="nothing"),
        pytest.param([(b"x-key", b"k1")], (Credential(b"k1"), CredentialSource.HEADER), id="header"),
        pytest.param([(b"x-key", b"k1"), raw(b"sid=s1")], (Credential(b"k1"), CredentialSource.HEADER), id="the first carrier decides"),
        pytest.param([(b"x-key", b" "), raw(b"sid=s1")], (Credential(b"s1"), CredentialSource.COOKIE), id="an empty header is absent"),
        pytest.param([auth(b"KEY  k2 ")], (Credential(b"k2"), CredentialSource.HEADER), id="a scheme in any case"),
        pytest.param([auth(b"Bearer k2")], (Unproven.NONE, CredentialSource.NOTHING), id="another scheme"),
        pytest.param([(b"x-key", b"k1,k2")], (Unproven.AMBIGUOUS, CredentialSource.HEADER), id="two values in a header"),
        pytest.param([raw(b"sid=a; sid=b")], (Unproven.AMBIGUOUS, CredentialSource.COOKIE), id="two cookies"),
        pytest.param([raw(b"sid=a; sid=a; sid=")], (Credential(b"a"), CredentialSource.COOKIE), id="one cookie thrice, once empty"),
        pytest.param([raw(b"SID=a; xsid=b; =sid")], (Unproven.NONE, CredentialSource.NOTHING), id="other names"),
        pytest.param([token(TOKEN), cookie(SIGNED)], (Unproven.NONE, CredentialSource.NOTHING), id="our own carriers are not read"),
    ],
)
def test_an_applications_own_carriers_are_read_in_their_order(fields: list[Field], expected: tuple[object, CredentialSource]) -> None:
    assert read_carriers(request_of(*fields).header, CARRIERS) == expected


# --- taking out -------------------------------------------------------------------------------------------------------

OTHER_PAIRS = BYTES.filter(lambda pair: b";" not in pair and pair.partition(b"=")[0].strip(b" \t") != NAME)


@given(st.lists(st.tuples(OTHER_PAIRS, st.booleans()), max_size=6))
def test_taking_our_cookie_out_keeps_every_other_byte(pairs: list[tuple[bytes, bool]]) -> None:
    """The ends of a field apart, where blanks have no meaning."""
    field = b";".join(b";".join([other, b" " + PAIR] if ours_follows else [other]) for other, ours_follows in pairs)
    assert without_cookie(field, NAME) == b";".join(other for other, _ in pairs).strip(b" \t")


@given(BYTES)
def test_what_was_taken_out_is_not_read_any_more(field: bytes) -> None:
    assert read(raw(without_cookie(field, NAME))) == NOTHING


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param(b"x-session-token", TOKEN, True, id="token"),
        pytest.param(b"x-session-token", b"a, " + TOKEN, True, id="token in a list"),
        pytest.param(b"x-session-token", b"guest", False, id="foreign token"),
        pytest.param(b"x-session-token", UNCHECKED, False, id="token whose check fails"),
        pytest.param(b"authorization", b"Bearer " + TOKEN, True, id="bearer"),
        pytest.param(b"authorization", b"Basic x, bearer " + TOKEN, True, id="bearer in a list"),
        pytest.param(b"authorization", b"Bearer x", False, id="foreign bearer"),
        pytest.param(b"authorization", TOKEN, False, id="no scheme"),
        pytest.param(b"x-other", TOKEN, False, id="another header"),
        pytest.param(b"x-session-token", b"", False, id="empty"),
    ],
)
def test_a_field_holds_ours_where_it_would_be_read(name: bytes, value: bytes, expected: bool) -> None:
    assert holds_own(name, value) is expected


@given(BYTES)
def test_a_header_is_read_as_ours_only_if_it_holds_ours(value: bytes) -> None:
    for name in (b"x-session-token", b"authorization"):
        reading, _ = read((name, value))
        assert holds_own(name, value) == (isinstance(reading, Credential) or reading is Unproven.AMBIGUOUS)
