"""Cookie fields that nobody sends in peace: the corpus of attacks, and a strategy that makes more of the same parts."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

GOOD: Final = "ann.7f3c-good_value"
"""The one value that the identifier accepts."""
COPY: Final = "ann.0000-copied"
"""A value that the application would take, too, and that nobody has proved."""

NAMES: Final = ["session", "remember_token", "part-0", "part-1"]
BLANKS: Final = [
    " ",
    "\t",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1f",
    "\x85",
    "\xa0",
    "\u2003".encode().decode("latin-1"),
    "\ufeff".encode().decode("latin-1"),
]

CORPUS: Final = [
    f"session={COPY}",
    f'session="{COPY}"',
    f"session={COPY}; session={GOOD}",
    f"session={GOOD}; session={COPY}",
    f'x="a; session={COPY}; y=b"',
    f'x="a\\"; session={COPY}; y=b"',
    f'session="{COPY}',
    f'session={COPY}"',
    'session="\\141nn.0000-copied"',
    f'x=" session={COPY}',
    f"x=1 session={COPY}",
    f"x=1, session={COPY}",
    f"x=1,session={COPY}",
    f"x session={COPY}",
    f"=session={COPY}",
    f"session ={COPY}",
    f"session= {COPY}",
    f"session==\t{COPY}",
    f"$Version=1; session={COPY}; $Path=/",
    f"Path=/; session={COPY}",
    f"expires=Wed, 09 Jun 2027 10:18:14 GMT; session={COPY}",
    f"x=Wed, 09 Jun 2027 10:18:14 GMT session={COPY}",
    f"%73ession={COPY}",
    "session=%61nn.0000-copied",
    f"x=[session={COPY}",
    f"x=\\session={COPY}",
    f"x=\xe9session={COPY}",
    f"\xe9session={COPY}",
    f"ses\x00sion={COPY}",
    f"session\x00={COPY}",
    f"x=y\rsession={COPY}",
    f"x=y\nsession={COPY}",
    f"Session={COPY}",
    "session",
    "session=",
    f"session={COPY};;;",
    f"part-0={COPY[:4]}; part-1={COPY[4:]}",
    f"part-1={COPY[4:]}; part-0={COPY[:4]}",
    f"part-0={GOOD[:4]}; part-1={GOOD[4:]}; part-1={COPY[4:]}",
    "; ".join(f"x{number}=1" for number in range(3000)) + f"; session={COPY}",
    "; ".join([f"session={COPY}"] * 40),
    "x=" + "\\" * 62_000 + f"; session={COPY}",
    "x=" + '"' * 16_000 + f"; session={COPY}",
    *(f"{blank}session={COPY}" for blank in BLANKS),
    *(f"session{blank}={COPY}" for blank in BLANKS),
    *(f"session={blank}{COPY}" for blank in BLANKS),
    *(f"session={COPY}{blank}" for blank in BLANKS),
    *(f"x=1{blank}session={COPY}" for blank in BLANKS),
    *(f"{chr(byte)}session={COPY}" for byte in range(256)),
    *(f"x=1{chr(byte)}session={COPY}" for byte in range(256)),
    *(f'x="1"{chr(byte)}session={COPY}' for byte in range(256)),
    *(f"session{chr(byte)}={COPY}" for byte in range(256)),
    *(f"ses{chr(byte)}sion={COPY}" for byte in range(256)),
    *(f"session={chr(byte)}{COPY}" for byte in range(256)),
    *(f"session={COPY}{chr(byte)}" for byte in range(256)),
]

_PIECES = st.sampled_from(
    [
        *NAMES,
        *(f"{name}=" for name in NAMES),
        *(f"{name}={COPY}" for name in NAMES),
        *(f"{name}={GOOD}" for name in NAMES),
        *(f'{name}="{COPY}"' for name in NAMES),
        "sessions=1",
        "xsession=1",
        "part-=1",
        "part-x=1",
        "theme=dark",
        GOOD,
        COPY,
        COPY[:5],
        "=",
        "==",
        ";",
        "; ",
        ",",
        ", ",
        '"',
        '\\"',
        "\\",
        "\\073",
        "\\075",
        "%3d",
        "%3b",
        "$Version=1",
        "Path=/",
        "expires=Wed, 09 Jun 2027 10:18:14 GMT",
        "GMT",
        "[",
        "]",
        "{",
        "(",
        *BLANKS,
    ]
)

texts = st.lists(_PIECES | st.characters(max_codepoint=255), max_size=14).map("".join)
fields = st.lists(texts.map(lambda text: text.encode("latin-1", "replace")), min_size=1, max_size=2)
