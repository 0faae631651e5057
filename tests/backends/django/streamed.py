"""A response that is streamed from the database is the application's, down to its connection."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from tests.backends.django.world import bare, person, sign_in, visit


def case_what_is_read_while_the_answer_goes_out_is_read_to_its_end() -> None:
    people = [person(f"person {number}") for number in range(150)]  # more than one lot of rows
    own = sign_in(people[0])
    whole = bare("/streamed", own)
    assert whole.body.count(b"\n") == len(people)
    assert any(name.lower() == "set-cookie" for name, _ in whole.headers), "it sets the cookie, so the door looks at it"
    assert visit("/streamed", own).body == whole.body
