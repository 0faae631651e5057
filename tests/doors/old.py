"""WebOb and WebTest, whose import warns of a module that the standard library is about to lose."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import webob  # type: ignore[import-untyped]
    import webtest  # type: ignore[import-untyped]

__all__ = ["webob", "webtest"]
