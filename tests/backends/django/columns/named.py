"""Sessions with the user's name."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> Any:
        from tests.backends.django.columns.models import Named

        return Named

    def create_model_instance(self, data: Any) -> Any:
        made = super().create_model_instance(data)
        from django.contrib.auth import get_user_model

        user = get_user_model().objects.filter(pk=data.get("_auth_user_id")).first()
        made.user = "" if user is None else user.get_username()
        return made
