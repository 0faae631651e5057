"""Django's settings for one of the sites; SESSIONWARD_SITE says which, and where its database is."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import make_url

from tests.backends.django.sites import SITES

_NAME, _URL, _PLACE = os.environ["SESSIONWARD_SITE"].split("|")
SITE = SITES[_NAME]
URL = make_url(_URL)

if URL.get_backend_name() == "mysql":
    import pymysql

    pymysql.install_as_MySQLdb()

ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mysql": "mysql"}
CACHES_OF: dict[str, dict[str, Any]] = {
    "locmem": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache"},
    "django-redis": {"BACKEND": "django_redis.cache.RedisCache"},
}
REDIS = os.environ.get("SESSIONWARD_TEST_REDIS", "redis://127.0.0.1:6379/0")

SECRET_KEY = "a-secret-of-the-application-with-more-than-fifty-characters-0001"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.backends.django.views"
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{ENGINES[URL.get_backend_name()]}",
        "NAME": URL.database,
        "USER": URL.username or "",
        "PASSWORD": URL.password or "",
        "HOST": URL.host or "",
        "PORT": str(URL.port or ""),
        "CONN_MAX_AGE": SITE.conn_max_age,
        "ATOMIC_REQUESTS": SITE.atomic_requests,
    }
}
CACHES = {
    "default": CACHES_OF[SITE.cache]
    | ({} if SITE.cache == "locmem" else {"LOCATION": REDIS, "KEY_PREFIX": f"sessionward-test-{os.getpid()}"})
}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", *SITE.apps]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"]
if "allauth" in SITE.apps:
    MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
if "allauth.headless" in SITE.apps:
    ACCOUNT_EMAIL_VERIFICATION = "none"
    ACCOUNT_LOGIN_METHODS = {"username"}
    ACCOUNT_RATE_LIMITS = False
if "user_sessions" in SITE.apps:
    MIDDLEWARE[0] = "user_sessions.middleware.SessionMiddleware"
if "qsessions" in SITE.apps:
    MIDDLEWARE[0] = "qsessions.middleware.SessionMiddleware"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"context_processors": []}}]
AUTH_USER_MODEL = SITE.user
AUTHENTICATION_BACKENDS = [
    "tests.backends.django.people.sign_in.PlainBackend" if SITE.user == "people.Plain" else "django.contrib.auth.backends.ModelBackend"
]
SESSION_ENGINE = SITE.engine
SESSION_FILE_PATH = _PLACE
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
LOGGING_CONFIG = None
