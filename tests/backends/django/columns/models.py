"""What may stand in such a column: a name, an id from another system, a row of another table."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class Badge(models.Model):
    """Its keys are no keys of users."""


class Named(AbstractBaseSession):
    user = models.CharField(max_length=150)

    @classmethod
    def get_session_store_class(cls) -> Any:
        from tests.backends.django.columns.named import SessionStore

        return SessionStore


class Foreign(AbstractBaseSession):
    user = models.UUIDField(default=uuid4)

    @classmethod
    def get_session_store_class(cls) -> Any:
        from tests.backends.django.columns.foreign import SessionStore

        return SessionStore


class Badged(AbstractBaseSession):
    user = models.ForeignKey(Badge, on_delete=models.CASCADE)

    @classmethod
    def get_session_store_class(cls) -> Any:
        from tests.backends.django.columns.badged import SessionStore

        return SessionStore
