"""Users with a UUID and an e-mail address, and users that have next to nothing of Django's."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class People(BaseUserManager):
    def create_user(self, name: str) -> Person:
        person = self.model(email=f"{name}@app.example")
        person.set_password("secret")
        person.save(using=self._db)
        return person  # type: ignore[no-any-return]


class Person(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid4)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)

    USERNAME_FIELD = "email"
    objects = People()


class PlainPeople(models.Manager):
    def create_user(self, name: str) -> Plain:
        return self.create(name=name)  # type: ignore[no-any-return]


class Plain(models.Model):
    """Without a session hash: Django then takes a session for as long as its user exists."""

    name = models.CharField(max_length=255, primary_key=True)
    last_login = models.DateTimeField(null=True)

    is_active = True
    is_authenticated = True
    is_anonymous = False
    USERNAME_FIELD = "name"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = PlainPeople()

    def get_username(self) -> str:
        return str(self.name)
