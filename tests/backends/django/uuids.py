"""Users whose ids are UUIDs, and who sign in by an e-mail address."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from uuid import UUID, uuid4

from tests.backends.django.world import backend, delete, found, person, session, sign_in, store, whom


def case_the_id_is_the_text_of_the_uuid() -> None:
    ann = person("ann")
    assert str(UUID(ann)) == ann
    own, other = sign_in(ann), sign_in(ann)
    assert session(own).user_id == ann
    assert delete(own) == (200, 1)
    assert whom(other) == "nobody"
    assert backend().revoke_all(ann) == 1


def case_all_of_a_uuid_itself_can_be_ended() -> None:
    ann = person("ann")
    own = sign_in(ann)
    assert backend().revoke_all(uuid4()) == 0  # type: ignore[arg-type]
    assert backend().revoke_all(UUID(ann)) == 1  # type: ignore[arg-type]
    assert whom(own) == "nobody"


def case_an_id_that_is_no_uuid_signs_nobody_in() -> None:
    own = store()(sign_in(person("ann")))
    own["_auth_user_id"] = "1"
    own.save()
    assert found(str(own.session_key)) is None
