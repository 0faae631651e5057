"""How the users without a session hash sign in."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend


class PlainBackend(BaseBackend):
    def get_user(self, user_id: str) -> Any:
        from tests.backends.django.people.models import Plain

        return Plain.objects.filter(pk=user_id).first()
