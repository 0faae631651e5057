"""The OpenAPI document is valid, and has exactly the routes and the errors that there are."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID

import pytest
from openapi_spec_validator import validate

from sessionward.api.document import openapi
from sessionward.api.routes import Routes
from sessionward.backends import Carrier
from sessionward.credential.carriers import own_carriers
from sessionward.response.answer import Problem
from sessionward.settings import Settings
from tests.doors.sides import SECRET, SESSIONS

ID: Final = UUID("00000000-0000-4000-8000-000000000000")
DOCUMENT: Final = openapi(SESSIONS, "", own_carriers("__Host-session-ward"))


@pytest.mark.parametrize(
    "carriers",
    [
        pytest.param(own_carriers("session-ward"), id="our own"),
        pytest.param([Carrier.header("X-Key", scheme="Key"), Carrier.cookie("sid"), Carrier.cookie("remember")], id="an application's"),
        pytest.param([Carrier.header("Authorization", scheme="Token")], id="an application's token"),
    ],
)
def test_the_document_is_valid(carriers: Any) -> None:
    document = json.loads(json.dumps(openapi("/account/devices", "/shop", carriers)))
    validate(document)
    assert len(document["components"]["securitySchemes"]) == len(carriers)
    assert [*document["components"]["securitySchemes"]] == [name for way in document["security"] for name in way]


def test_the_document_has_exactly_the_routes() -> None:
    table = Routes(Settings(secrets=(SECRET.encode(),), api=True))
    documented = {path.replace("{id}", str(ID)): {*map(str.upper, item)} - {"PARAMETERS"} for path, item in DOCUMENT["paths"].items()}
    for path, methods in documented.items():
        found = table.at(path.encode())
        assert found is not None, path
        assert {*found} - {"HEAD"} == methods, path
        assert ("HEAD" in found) == ("GET" in found), path
    named = {f"{SESSIONS}/{name.decode()}" for name in table._named}
    assert named <= set(documented)


def test_each_error_is_described_by_its_own_words() -> None:
    text = json.dumps(DOCUMENT)
    for problem in Problem:
        if problem is not Problem.METHOD:  # it is the answer to what the document does not have
            assert json.dumps(problem.reason)[1:-1] in text
            assert json.dumps(problem.id) in text
