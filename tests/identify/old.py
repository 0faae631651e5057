"""Libraries that import what Python has deprecated."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", UserWarning)  # Pyramid's own, of pkg_resources
    from pyramid.config import Configurator  # type: ignore[import-untyped]
    from pyramid.request import Request  # type: ignore[import-untyped]
    from pyramid.response import Response  # type: ignore[import-untyped]
    from pyramid.session import SignedCookieSessionFactory  # type: ignore[import-untyped]
    from webtest import TestApp  # type: ignore[import-untyped]

__all__ = ["Configurator", "Request", "Response", "SignedCookieSessionFactory", "TestApp"]
