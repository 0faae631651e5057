"""What the Python stacks answer with."""

from __future__ import annotations

import gzip

PAGE = b"".join(b"line %06d of a file that is read in parts\n" % number for number in range(3_000))
PACKED = gzip.compress(PAGE, mtime=0)
BIG = bytes(range(256)) * 12_000
ETAG = '"a1b2"'
COOKIES = ["first=1; Path=/", "second=2; Path=/; HttpOnly", "first=3; Path=/a"]
