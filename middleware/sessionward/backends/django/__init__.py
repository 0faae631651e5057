"""Django's own sessions, in the engines ``db``, ``cached_db``, ``cache`` and ``file``, and in those of known add-ons.

It needs no settings but Django's own::

    application = sessionward.WSGIMiddleware(get_wsgi_application(), backend=DjangoBackend())
"""

from sessionward.backends.django.backend import DjangoBackend

__all__ = ["DjangoBackend"]
