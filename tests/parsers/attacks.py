"""Cookie fields that no browser sends: the corpus of attacks, each byte in each place, and a strategy that goes on from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from hypothesis import strategies as st

from tests.parsers.judged import COPY, GOOD

NASTY: Final = [bytes([byte]) for byte in (*range(0x21), *range(0x7F, 0x100))]
"""All bytes that pass for a blank, a control character or a letter somewhere."""
MARKS: Final = [bytes([byte]) for byte in b"\"'\\,;=:()<>@[]{}/?$%&*+!#^|~`"]
UNICODE_BLANKS: Final = [
    chr(point).encode() for point in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)
]
COPIED: Final = COPY.encode()
OWN: Final = GOOD.encode()
OCTAL: Final = b"".join(b"\\%03o" % byte for byte in COPIED)
PERCENT: Final = b"".join(b"%%%02x" % byte for byte in COPIED)
DATE: Final = b"Wed, 09 Jun 2027 10:18:14 GMT"
ASCTIME: Final = b"Wed Jun  9 10:18:14 2027"

VALUES: Final = [
    COPIED, b'"' + COPIED + b'"', b'"' + COPIED, COPIED + b'"', b'"' + OCTAL + b'"', b'"\\' + COPIED + b'"', b'"\\"' + COPIED + b'\\""',
    OCTAL, PERCENT, b'"' + PERCENT + b'"', b"'" + COPIED + b"'", b"=" + COPIED, COPIED + b" x", COPIED + b",x", COPIED + b"\\",
    OWN + COPIED, OWN, b'"' + OWN + b'"', b'""' + OWN, b'"', b'""', b"", b'"' + OWN + b'";"' + COPIED, OWN + b"=", OWN.upper(),
]  # fmt: skip

PLACES: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "in front of the name": (b"", b"session=" + COPIED),
    "behind another": (b"x=1", b"session=" + COPIED),
    "behind a quoted one": (b'x="1"', b"session=" + COPIED),
    "behind half a quoted one": (b'x="1', b'session=' + COPIED + b'"'),
    "behind a bare name": (b"x", b"session=" + COPIED),
    "behind an empty one": (b"x=", b"session=" + COPIED),
    "behind an equals sign": (b"=", b"session=" + COPIED),
    "behind a date": (b"expires=" + DATE, b"session=" + COPIED),
    "behind ours": (b"session=" + OWN, b"session=" + COPIED),
    "behind ours in quotes": (b'session="' + OWN + b'"', b"session=" + COPIED),
    "in the name": (b"ses", b"sion=" + COPIED),
    "behind the name": (b"session", b"=" + COPIED),
    "in front of the value": (b"session=", COPIED),
    "in front of quotes": (b"session=", b'"' + COPIED + b'"'),
    "in front of octal quotes": (b"session=", b'"' + OCTAL + b'"'),
    "behind quotes": (b'session="' + COPIED + b'"', b""),
    "in the value": (b"session=" + COPIED[:40], COPIED[40:]),
    "behind the value": (b"session=" + COPIED, b""),
    "between values": (b"session=" + OWN, COPIED),
    "in front of a part": (b"x=1", b"session-0=" + COPIED),
    "in the name of a part": (b"session-", b"0=" + COPIED),
    "behind the name of a part": (b"session-0", b"=" + COPIED),
    "between parts": (b"session-0=" + COPIED[:40], b"session-1=" + COPIED[40:]),
    "in front of a part of a high number": (b"x=1", b"session-1000=" + COPIED),
    "behind the name of a part of a high number": (b"session-1000", b"=" + COPIED),
    "in front of remember-me": (b"x=1", b"remember_token=" + COPIED),
    "in a sandwich": (b'x="a', b" session=" + COPIED + b'; y=b"'),
}  # fmt: skip


def every_byte(place: tuple[bytes, bytes]) -> Iterator[bytes]:
    """The pair of parts with each byte between them, with each two of the bytes that parsers care for, and with some texts."""
    front, behind = place
    texts = [b"", b"; ", b" ; ", b"\r\n ", b"\\073", b"%3b", b"%3d", b'\\";', b'";"', b"; $Path=/; ", b"; Path=/; ", *UNICODE_BLANKS]
    cared_for = [*b'"\\,;= \n\x0b\x1f\xa0']
    for between in [*(bytes([byte]) for byte in range(256)), *texts, *(bytes(two) for two in product(cared_for, repeat=2))]:
        yield front + between + behind


SESSION: Final = b"session=" + COPIED
CUT: Final = next(place for place in range(1, len(OWN)) if OWN[place:] > OWN[:place])
"""Where the two parts of the own value stand in their order if they are ordered as text."""
CORPUS: Final[Mapping[str, list[bytes]]] = {
    **{f"the value {number}": [b"session=" + value] for number, value in enumerate(VALUES)},
    "as it is set": [SESSION],
    "the own one behind": [SESSION + b"; session=" + OWN],
    "the own one in front": [b"session=" + OWN + b"; " + SESSION],
    "the own one between": [SESSION + b"; session=" + OWN + b"; " + SESSION],
    "an empty one beside": [b"session=; " + SESSION],
    "three fields": [b"session=" + OWN, SESSION, b"session=" + OWN],
    "a field of its own": [b"x=1", SESSION],
    "a value over two fields": [b"session=", COPIED],
    "quotes over two fields": [b'session="', COPIED + b'"'],
    "quotes of another over two fields": [b'x="', SESSION + b'"'],
    "a sandwich": [b'x="a; ' + SESSION + b'; y=b"'],
    "a sandwich with an escape": [b'x="a\\"; ' + SESSION + b'; y=b"'],
    "a sandwich that falls together": [b'session="; ' + SESSION + b'; ' + COPIED + b'"'],
    "a name that falls together": [b"ses; " + SESSION + b"; sion=" + COPIED],
    "a pair that falls together": [b"session; " + SESSION + b"; =" + COPIED],
    "nothing but a name": [b"session"],
    "no name": [b"=" + SESSION],
    "a value without a name": [COPIED],
    "other case": [b"Session=" + COPIED + b"; SESSION=" + COPIED],
    "a dollar": [b"$session=" + COPIED],
    "an old version": [b'$Version="1"; session="' + COPIED + b'"; $Path="/"'],
    "an old version and a comma": [b'$Version=1, session="' + COPIED + b'"'],
    "a path in front": [b"Path=/; " + SESSION],
    "a path behind": [SESSION + b"; Path=/"],
    "a date in front": [b"expires=" + DATE + b"; " + SESSION],
    "a date and a blank in front": [b"x=" + DATE + b" " + SESSION],
    "a date of another kind and a blank": [b"x=" + ASCTIME + b" " + SESSION],
    "a date in quotes": [b'x="' + DATE + b'" ' + SESSION],
    "a date without its zone": [b"x=" + DATE[:-4] + b" " + SESSION],
    "commas": [b"x=1," + SESSION + b",y=2"],
    "a name in percents": [b"%73ession=" + COPIED],
    "parts": [b"session-0=" + COPIED[:40] + b"; session-1=" + COPIED[40:]],
    "parts mixed up": [b"session-1=" + COPIED[40:] + b"; session-0=" + COPIED[:40]],
    "parts of two": [b"session-0=" + OWN[:9] + b"; session-1=" + OWN[9:] + b"; session-1=" + COPIED],
    "one part": [b"session-0=" + COPIED],
    "one part of a high number": [b"session-999=" + COPIED],
    "one part of a higher number": [b"session-1000=" + COPIED],
    "one part of a number that no computer reads": [b"session-" + b"9" * 5000 + b"=" + COPIED],
    "one part of many zeros": [b"session-" + b"0" * 5000 + b"=" + COPIED],
    "parts by two spellings": [b"session-0=" + OWN + b"; session-00=" + COPIED],
    "a part twice that makes a whole": [b"session-0=" + OWN[:CUT] + b"; session-0=" + OWN[CUT:]],
    "a part twice that makes a whole, the other way round": [b"session-0=" + OWN[CUT:] + b"; session-0=" + OWN[:CUT]],
    "parts that are ordered by name, not by number": [b"session-2=" + OWN[:9] + b"; session-10=" + OWN[9:]],
    "parts whose zero puts them in front": [b"session-02=" + OWN[9:] + b"; session-1=" + OWN[:9]],
    "a part and a whole": [b"session=" + OWN + b"; session-0=" + COPIED],
    "a sign in the number": [b"session-+1=" + COPIED + b"; session--1=" + COPIED],
    "digits of another script": ["session-\u0663=".encode() + COPIED, b"session-\xb2=" + COPIED],
    "three thousand pairs": [b"; ".join(b"x%d=1" % number for number in range(3000)) + b"; " + SESSION],
    "three thousand logins": [b"; ".join([b"session=%d" % number for number in range(3000)] + [SESSION])],
    "sixteen kilobytes": [b"x=" + b"a" * (16384 - 3 - len(SESSION)) + b";" + SESSION],
    # (Over 62 000 backslashes the standard library itself takes a minute, CVE-2024-7592; our reader gets them in test_shapes.)
    "backslashes": [b'x="' + b"\\" * 1_000 + b'"; ' + SESSION],
    "backslashes in ours": [b'session="' + b"\\" * 1_000 + COPIED + b'"'],
    "quotes": [b"x=" + b'"' * 16_001 + b"; " + SESSION],
    "semicolons": [b";" * 60_000 + SESSION],
}  # fmt: skip

_NAMES: Final = [b"session", b"session-0", b"session-1", b"session-10", b"session-1000", b"remember_token"]
_PARTS: Final = [
    *_NAMES, *(name + b"=" for name in _NAMES), *(name + b"=" + COPIED for name in _NAMES), *(name + b"=" + OWN for name in _NAMES),
    *(b"session=" + value for value in VALUES), *VALUES, OWN[:9], OWN[9:], b"session-0=" + OWN[:9], b"session-1=" + OWN[9:],
    b"sessions=1", b"xsession=1", b"session-=1", b"session-x=1", b"Session=" + COPIED, b"x=1", b'x="', b"x=a b", b"y", b"$Version=1",
    b"$session=" + COPIED, b"Path=/", b"secure", b"expires=" + DATE, b"x=" + ASCTIME, b"GMT", b"\\073", b"\\075", b"%3d", b"%3b",
]  # fmt: skip
_JOINTS: Final = [b"; ", b";", b" ", b",", b"=", b'"', b"\\", b"\t", b"\n", b"\x0b", b" = ", b'";', b'; "']

# One draw for each fragment: thousands of examples are to take seconds.
_fragments = st.sampled_from([*_PARTS, *_JOINTS * 6, *NASTY, *MARKS, *UNICODE_BLANKS])
_built = st.lists(_fragments, min_size=1, max_size=12).map(b"".join)
_paired = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=6).map(b"; ".join)

fields: Final = st.lists(_built | _paired | st.binary(max_size=30), min_size=1, max_size=3)
"""The Cookie fields of one request."""
