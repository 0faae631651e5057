"""Django with its own sessions and the admin's login, as they are: one line brings "sign out my other devices", WSGI or ASGI.

No view knows of sessionward, no setting is new and no cookie is added: ``DjangoBackend`` finds the sessions where Django keeps
them, by the settings that are there (``db`` here; ``cached_db``, ``cache`` and ``file`` need no other line), and ends them so
that a request which is under way does not bring them back. Left out: the admin's style sheets, and a limit on how often a
password may be tried.

Install and run, with one of the two servers. The secret is Django's own: keep it. ::

    pip install sessionward django gunicorn uvicorn
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')"
    python -m django_admin migrate
    python -m django_admin createsuperuser
    gunicorn django_admin:application --workers 2 --threads 8 --bind 127.0.0.1:8000
    uvicorn django_admin:asgi_application --port 8000

Browsers return the cookies over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and sessions are in example.db. Then open http://127.0.0.1:8000/admin/ in two browsers.
"""

import os
import sys

from django.conf import settings  # type: ignore[import-untyped]
from django.contrib import admin  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]
from django.core.management import execute_from_command_line  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.shortcuts import redirect  # type: ignore[import-untyped]
from django.template import engines  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from django.views.decorators.http import require_POST  # type: ignore[import-untyped]

import sessionward
from sessionward.backends.django import DjangoBackend

INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only

# The button stands beside "Log out" on every page of the admin.
BUTTON = """{% extends "admin/base_site.html" %}{% block userlinks %}{{ block.super }}
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
{% endblock %}"""
CART = """<!doctype html><title>Example</title>
{% if user.is_authenticated %}<p>You are {{ user }}. In your cart: {{ cart|default:"nothing" }}.
<form method="post" action="/cart">{% csrf_token %}<input name="item" maxlength="64"> <button>Add</button></form>
{% endif %}<p><a href="/admin/">The admin</a>"""

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
LOADERS = [
    ("django.template.loaders.locmem.Loader", {"admin/base_site.html": BUTTON, "cart.html": CART}),
    "django.template.loaders.app_directories.Loader",
]
CONTEXT = [f"django.{name}" for name in ("template.context_processors.request", "contrib.auth.context_processors.auth")]
CONTEXT += ["django.contrib.messages.context_processors.messages"]

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", ""),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "sessions", "messages")],
    MIDDLEWARE=MIDDLEWARE,
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": LOADERS, "context_processors": CONTEXT}}
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "example.db", "OPTIONS": {"timeout": 20}}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    STATIC_URL="static/",
    USE_TZ=True,
    SESSION_COOKIE_SECURE=not INSECURE,
    CSRF_COOKIE_SECURE=not INSECURE,
)


def home(request: HttpRequest) -> HttpResponse:
    template = engines["django"].get_template("cart.html")
    return HttpResponse(template.render({"cart": ", ".join(request.session.get("cart", []))}, request))


def cart(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return HttpResponse("Please sign in.", status=401)
    request.session["cart"] = [*request.session.get("cart", []), request.POST["item"]]
    return redirect("/")


django_wsgi, django_asgi = get_wsgi_application(), get_asgi_application()
urlpatterns = [path("", home), path("cart", require_POST(cart)), path("admin/", admin.site.urls)]

# --- new, beside the button and two imports; each line for its kind of server -----------------------------------------

application = sessionward.WSGIMiddleware(django_wsgi, backend=DjangoBackend())
asgi_application = sessionward.ASGIMiddleware(django_asgi, backend=DjangoBackend())

# With SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies" there is nothing on the server that could be ended.
# Then each browser that signs in gets a companion cookie of ours, which has a secret of its own:
#
#   from sessionward.backends.sql import SQLBackend
#   from sessionward.identify.django import SignedCookies
#
#   backend = SQLBackend("sqlite:///example.db")
#   backend.create_tables()
#   application = sessionward.WSGIMiddleware(django_wsgi, backend=backend, identify=SignedCookies(), secrets=[...])

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
