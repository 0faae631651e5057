"""The settings of the Django project."""

import os

SECRET_KEY = "the project's own secret: 0123456789 abcdefghijklmnopqrstuvwxyz"
ROOT_URLCONF = "tests.sidecar.apps.django_shop"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DJANGO_SHOP_DATABASE", ":memory:")}}
SESSION_ENGINE = f"django.contrib.sessions.backends.{os.environ.get('DJANGO_SHOP_ENGINE', 'db')}"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
