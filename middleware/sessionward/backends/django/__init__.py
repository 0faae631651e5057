"""Django's own sessions, in whichever engine: ``db``, ``cached_db``, ``cache``, ``file``, and those of known add-ons.

No setting beyond Django's own is needed::

    application = sessionward.WSGIMiddleware(get_wsgi_application(), backend=DjangoBackend())
"""

from sessionward.backends.django.backend import DjangoBackend

__all__ = ["DjangoBackend"]
