"""The page *Your devices* of a sidecar: what its options make, and what is refused at start."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

import pytest

from sessionward import ConfigurationError
from sessionward.api.page import Page
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.gate import Gate
from tests.api.houses import GateHouse, sign_in
from tests.doors.keepers import Memory
from tests.doors.sides import SESSIONS, town

GIVEN: Final = {"upstream": "http://127.0.0.1:9", "backend": "memory"}


def settings_of(**flags: Any) -> Any:
    return configure("serve", {**GIVEN, **flags}, {}).settings


def test_each_option_is_a_field_of_the_page() -> None:
    flags = {
        "page-name": "Acme",
        "page-accent": "teal",
        "page-css": "/x.css",
        "page-logo": "/x.png",
        "page-language": "de",
        "page-change-password": "/password",
        "page-tokens": "/keys",
    }
    page = settings_of(api=True, **flags)["page"]
    assert page == Page(name="Acme", accent="teal", css="/x.css", logo="/x.png", language="de", change_password="/password", tokens="/keys")
    assert pickle.loads(pickle.dumps(page)) == page, "a worker gets it"
    assert "page" not in settings_of(api=True)


@pytest.mark.parametrize(
    ("flags", "mistake"),
    [
        pytest.param({"page-name": "Acme"}, "page-name: there is no page without the session API; give --api, too", id="no API"),
        pytest.param({"api": True, "page-accent": "nice"}, "page-accent: 'nice' is not a colour", id="no colour"),
        pytest.param(
            {"api": True, "page-change-password": "x"},
            "page-change-password: must be a path such as '/account/password' or an https URL, not 'x'",
            id="no path",
        ),
        pytest.param({"api": True, "page-templates": "/nowhere"}, "page-templates: '/nowhere' has neither", id="no templates"),
    ],
)
def test_a_wrong_option_is_refused_at_start(flags: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(**flags)
    assert [each for each in caught.value.mistakes if each.startswith(mistake)]


def test_a_browser_gets_the_page_with_the_name_and_the_template_of_the_application(tmp_path: Path) -> None:
    (tmp_path / "layout.html").write_text(
        '{% extends "sessionward/layout.html" %}{% block footer %}<p>Bye</p>{% endblock %}', encoding="utf-8"
    )
    settings = dict(settings_of(api=True, **{"page-name": "Acme", "page-templates": str(tmp_path)}))
    assert Gate(Memory(), settings).mode.settings.page == settings["page"]
    house = GateHouse(town, Memory(), **{**settings, "secrets": ["the secret of a sidecar: 0123456789abcdef"]})
    answer = house.ask("GET", SESSIONS, ("Accept", "text/html"))
    assert answer.status == 401
    assert b"Acme" in answer.body
    assert b"Bye" in answer.body
    assert sign_in(house).is_live()
    house.close()
