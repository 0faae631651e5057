"""Sessions with an id from another system."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> Any:
        from tests.backends.django.columns.models import Foreign

        return Foreign

    def create_model_instance(self, data: Any) -> Any:
        made = super().create_model_instance(data)
        made.user = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
        return made
