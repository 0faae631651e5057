"""Sessions in a table of the application, mapped column by column, sync and async.

``laravel_encrypted`` is in ``sessionward.backends.table.laravel``, since it imports ``cryptography``.
"""

from sessionward.backends.table.backend import AsyncTableBackend, TableBackend
from sessionward.backends.table.layout import Expires, RevokedBy, Timestamp
from sessionward.backends.table.rails import rails_signed
from sessionward.backends.table.transform import Transform, hmac_suffixed, sha256, sha512, verbatim

__all__ = [
    "AsyncTableBackend",
    "Expires",
    "RevokedBy",
    "TableBackend",
    "Timestamp",
    "Transform",
    "hmac_suffixed",
    "rails_signed",
    "sha256",
    "sha512",
    "verbatim",
]
