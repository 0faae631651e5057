"""Django with the admin's login and Django's own sessions, mode application: one line puts the endpoint in front.

It is ``application = WSGIMiddleware(get_wsgi_application(), backend=DjangoBackend())``, or the same under ASGI. Only this line
and the button are new: there is no secret, no table and no cookie of ours. ``cached_db``, ``cache`` and ``file`` need the same.
Sign in as ``ann`` ("correct horse battery"). Install, then run one of the two servers::

    pip install sessionward django gunicorn uvicorn
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    export DJANGO_SUPERUSER_PASSWORD="correct horse battery"
    python -m django_admin migrate
    python -m django_admin createsuperuser --noinput --username ann --email ann@example.com
    gunicorn django_admin:application --workers 2 --threads 8 --bind 127.0.0.1:8000
    uvicorn django_admin:asgi_application --port 8000

Then open http://127.0.0.1:8000/admin/ in two browsers. A restart keeps everybody signed in: see example.db.
"""

import os
import sys

from django.conf import settings  # type: ignore[import-untyped]
from django.contrib import admin  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]
from django.core.management import execute_from_command_line  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.django import DjangoBackend

SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY:
    raise RuntimeError("SECRET_KEY is not set; the docstring of this file shows how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"
BUTTON = """{% extends "admin/base_site.html" %}{% block userlinks %}{{ block.super }}
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
{% endblock %}"""
CONTEXT = ("template.context_processors.request", "contrib.auth.context_processors.auth", "contrib.messages.context_processors.messages")

settings.configure(
    SECRET_KEY=SECRET_KEY,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[f"django.contrib.{app}" for app in ("admin", "auth", "contenttypes", "sessions", "messages")],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": [f"django.{name}" for name in CONTEXT],
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"admin/base_site.html": BUTTON}),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "example.db", "OPTIONS": {"timeout": 20}}},
    STATIC_URL="static/",
    SESSION_COOKIE_SECURE=not INSECURE,
    CSRF_COOKIE_SECURE=not INSECURE,
)

application = WSGIMiddleware(get_wsgi_application(), backend=DjangoBackend())
asgi_application = ASGIMiddleware(get_asgi_application(), backend=DjangoBackend())
urlpatterns = [path("admin/", admin.site.urls)]  # after the lines above, which load the admin

# SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies" keeps no sessions, so it needs companions (mode companion):
#
#   from sessionward.backends.sql import SQLBackend
#   from sessionward.identify.django import SignedCookies
#
#   backend = SQLBackend("sqlite:///example.db")
#   backend.create_tables()
#   application = WSGIMiddleware(get_wsgi_application(), backend=backend, identify=SignedCookies(), secrets=[...])

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
