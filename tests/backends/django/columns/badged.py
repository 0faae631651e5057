"""Sessions with a row of another table."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> Any:
        from tests.backends.django.columns.models import Badged

        return Badged

    def create_model_instance(self, data: Any) -> Any:
        made = super().create_model_instance(data)
        from tests.backends.django.columns.models import Badge

        made.user = Badge.objects.create()
        return made
