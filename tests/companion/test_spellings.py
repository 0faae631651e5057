"""A pair is a login credential whatever its spelling; doubled ones, parts and rivals are judged one by one, never with a 400."""

from __future__ import annotations

from typing import Final

import pytest

from sessionward.credential.login_cookies import MAX_LOGINS
from tests.companion.conftest import Site
from tests.companion.identifiers import SIGNER, sealed
from tests.companion.shops import Browser
from tests.doors.sides import COOKIE

COPY: Final = sealed("ann.1")
BOB: Final = sealed("bob.1")
OCTAL: Final = "".join(f"\\{ord(letter):03o}" for letter in COPY)

FOREIGN: Final = {
    "a quoted name": f'"session"={COPY}',
    "a vertical tab in front": f"\x0bsession={COPY}",
    "a form feed behind": f"session\x0c={COPY}",
    "a byte beyond ASCII in front": f"\xa0session={COPY}",
    "a byte beyond ASCII inside": f"ses\xadsion={COPY}",
    "NUL inside": f"ses\x00sion={COPY}",
    "an escaped name": f"%73ession={COPY}",
    "an octal value": f'session="{OCTAL}"',
    "one octal escape": f'session="\\{ord(COPY[0]):03o}{COPY[1:]}"',
    "a blank inside the value": f"session={COPY} x",
    "behind a comma": f"x=1, session={COPY}",
    "behind a blank": f"x=1 session={COPY}",
    "behind a tab": f"x=1\tsession={COPY}",
    "behind a quoted value": f'x="1"session={COPY}',
    "an unclosed quote": f'session="{COPY}',
    "a quoted quote": f'session="\\"{COPY}"',
    "a comma in the value": f"session={COPY},x",
    "a part with a vertical tab": f"\x0bpart-0={COPY}",
    "remember-me in brackets": f"(remember)={COPY}",
    "a dollar version": f'$Version=1, session="{COPY}"',
}
PLAIN: Final = {
    "as it is set": f"session={COPY}",
    "in quotes": f'session="{COPY}"',
    "blanks around it": f" session = {COPY} ",
    "twice": f"session={COPY}; session={COPY}",
    "as a part": f"part-0={COPY}",
    "in a sandwich": f'x="a; session={COPY}; y=b"',
    "as a part of three digits": f"part-127={COPY}",
}


@pytest.fixture
def site(memory: Site) -> Site:
    """In memory only: what is read does not depend on the place."""
    return memory


@pytest.fixture
def ann(site: Site) -> Browser:
    """Signed in, with a companion; companions are compulsory."""
    _, browser = site.signing()
    browser.get("/login/ann.1")
    browser.press()
    return browser


def seen(browser: Browser) -> str:
    """The application's view of the Cookie field, without ours."""
    field = browser.house.seen[-1].header("cookie") or ""
    return "; ".join(pair for pair in field.split("; ") if not pair.startswith(COOKIE))


def ask(browser: Browser, cookie: str) -> str:
    """Without a companion."""
    answer = browser.house.ask("GET", "/me", ("Cookie", cookie))
    assert answer.status == 200
    assert answer.values("set-cookie") == []
    return answer.body.decode()


def shows(text: str) -> bool:
    return COPY in text or COPY[1:] in text or OCTAL in text


@pytest.mark.parametrize("spelling", [*FOREIGN, *PLAIN])
def test_once_companions_are_compulsory_no_spelling_reaches_the_application(ann: Browser, spelling: str) -> None:
    field = {**FOREIGN, **PLAIN}[spelling]
    assert ask(ann, f"theme=dark; {field}; lang=en") == "nobody"
    assert not shows(seen(ann))
    assert {"theme=dark", "lang=en"} <= set(seen(ann).split("; "))


@pytest.mark.parametrize("spelling", FOREIGN)
def test_a_foreign_spelling_is_taken_out_beside_a_live_companion_and_before_any_revocation(site: Site, spelling: str) -> None:
    _, browser = site.signing()
    assert ask(browser, FOREIGN[spelling]) == "nobody"
    assert not shows(seen(browser))
    browser.get("/login/ann.2")
    browser.planted = [FOREIGN[spelling]]
    assert browser.me() == "ann"
    assert not shows(seen(browser))
    assert seen(browser).endswith(f"session={sealed('ann.2')}")


@pytest.mark.parametrize("spelling", PLAIN)
def test_a_plain_spelling_passes_with_its_companion_as_it_stands(ann: Browser, spelling: str) -> None:
    ann.jar.pop("session")
    ann.planted = [PLAIN[spelling].strip()]
    assert ann.get("/sessions/session") == "ann"
    assert seen(ann) == PLAIN[spelling].strip()


@pytest.mark.parametrize(
    "value",
    [
        "forged",
        COPY[:-1],
        COPY + "x",
        COPY.replace("ann", "bob"),
        SIGNER.sign("ann.1").decode().upper(),
        "",
        "a=b",
        "\xe4",
    ],
)
@pytest.mark.parametrize("name", ["session", "remember", "part-0"])
def test_what_cannot_be_read_is_taken_out_companions_compulsory_or_not(site: Site, name: str, value: str) -> None:
    _, browser = site.signing()
    assert ask(browser, f"theme=dark; {name}={value}") == "nobody"
    assert seen(browser) == "theme=dark"
    browser.get("/login/ann.2")
    browser.planted = [f"{name}={value}"]
    assert browser.me() == "ann"
    assert seen(browser) == f"session={sealed('ann.2')}"


@pytest.mark.parametrize(
    "pair", ["sessions=1", "xsession=1", "session-id=1", "part-x=1", "part-=1", "part-1x=1", "session.1=1", "Session=1", "x=session"]
)
def test_other_cookies_pass_as_they_are(ann: Browser, pair: str) -> None:
    assert ask(ann, pair) == "nobody"
    assert seen(ann) == pair


# --- several ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("front", [True, False], ids=["in front", "behind"])
@pytest.mark.parametrize(
    "rival",
    [
        pytest.param(f"session={BOB}", id="another user's"),
        pytest.param(f"session={sealed('-.1')}", id="nobody's"),
        pytest.param("session=forged", id="a forged one"),
        pytest.param(f'session="{BOB}"', id="quoted"),
        pytest.param("session=", id="an empty one"),
        pytest.param(f"remember={BOB}", id="remember-me of another user"),
        pytest.param(f"part-0={BOB}", id="a part of another user's"),
    ],
)
def test_beside_a_companion_only_what_is_of_its_user_passes(ann: Browser, rival: str, front: bool) -> None:
    companion = f"{COOKIE}={ann.companion}"
    pairs = [rival, f"session={COPY}"] if front else [f"session={COPY}", rival]
    answer = ann.house.ask("GET", "/me", ("Cookie", "; ".join([*pairs, companion])))
    assert (answer.status, answer.body) == (200, b"ann")
    assert seen(ann) == f"session={COPY}"


def test_several_of_the_companions_user_pass_together(ann: Browser) -> None:
    ann.planted = [f"session={sealed('ann.7')}", f"remember={sealed('ann.8')}"]
    assert ann.me() == "ann"
    assert seen(ann) == f"session={sealed('ann.7')}; remember={sealed('ann.8')}; session={COPY}"


def test_a_session_that_names_nobody_passes_beside_a_remember_me_of_the_companions_user(ann: Browser) -> None:
    cart = sealed("-.1")
    ann.jar.update(session=cart, remember=COPY)
    assert ann.get("/sessions/session") == "ann"
    assert seen(ann) == f"session={cart}; remember={COPY}"


DIFFERENT: Final = [
    pytest.param(f"session={COPY}; session={BOB}", id="doubled, of two users"),
    pytest.param(f"session={BOB}; session={COPY}", id="doubled, the other way round"),
    pytest.param(f"session={COPY}; session={sealed('ann.2')}", id="doubled, of one user"),
    pytest.param(f"session={COPY}; remember={BOB}", id="the session and remember-me of two users"),
    pytest.param(f"session={COPY}; part-0={BOB}", id="a session and one in parts of two users"),
]


@pytest.mark.parametrize("cookie", DIFFERENT)
def test_without_a_companion_all_that_name_a_user_are_taken_out_and_nobody_is_adopted(site: Site, cookie: str) -> None:
    _, browser = site.signing()
    written = site.place.written()
    assert ask(browser, f"theme=dark; {cookie}") == "nobody"
    assert seen(browser) == "theme=dark"
    assert site.place.written() == written


def test_without_a_companion_a_cookie_planted_beside_a_cart_takes_only_itself_out(site: Site) -> None:
    _, browser = site.signing()
    cart = sealed("-.1")
    assert ask(browser, f"session={BOB}; session={cart}") == "nobody"
    assert seen(browser) == f"session={cart}"


def test_the_same_value_twice_is_one_login(site: Site) -> None:
    _, browser = site.signing()
    browser.planted = [f"session={COPY}"] * 2
    assert browser.me() == "ann"
    assert browser.companion is not None


@pytest.mark.parametrize("cookie", DIFFERENT)
def test_doubled_cookies_of_the_application_are_never_a_400_not_even_on_our_route(site: Site, cookie: str) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    assert browser.copied().press(("Cookie", cookie)).status == 401
    browser.planted = [cookie]
    assert browser.press().json() == {"count": 0}


def test_our_own_cookie_twice_is_a_400(site: Site, ann: Browser) -> None:
    other = Browser(ann.house)
    other.get("/login/bob.1")
    ann.planted = [f"{COOKIE}={other.companion}"]
    assert ann.ask("GET", "/me").error == "ambiguous_credentials"


def test_beside_one_that_a_sibling_host_has_planted_ours_counts(ann: Browser) -> None:
    ann.planted = [f"{COOKIE}=another"]
    assert ann.me() == "ann"


def test_who_sends_more_than_anybody_has_gets_none_through(site: Site) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    browser.planted = [f"session={sealed(f'ann.{number}')}" for number in range(10, 10 + MAX_LOGINS)]
    assert browser.me() == "nobody"
    assert seen(browser) == ""
    del browser.planted[0]
    browser.planted[0] = f"remember={COPY}"
    assert browser.me() == "ann"


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["in order", "mixed up"])
def test_parts_are_joined_by_their_numbers(site: Site, order: tuple[int, ...]) -> None:
    _, browser = site.signing()
    parts = [COPY[:5], COPY[5:9], COPY[9:]]
    browser.planted = [f"part-{number}={parts[number]}" for number in order]
    browser.me()
    assert browser.get("/sessions/session") == "ann"
    assert seen(browser) == "; ".join(browser.planted)
    thief = browser.copied()
    browser.press()
    thief.me()
    assert seen(thief) == ""


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([f"part-0={COPY}", f"part-0={COPY}"], id="a part twice"),
        pytest.param([f"part-2={COPY[:5]}", f"part-10={COPY[5:]}"], id="parts whose order depends on whether one counts or spells"),
        pytest.param([f"part-00={COPY}"], id="a part that begins with a zero"),
        pytest.param([f"part-1000={COPY}"], id="a part of a number that we do not count to"),
        pytest.param([f"part-0={COPY[0]}", f"part-0={COPY[1:]}"], id="a part twice that would make a whole"),
        pytest.param([f"part-0={COPY}", "part-1=x"], id="a part too many"),
        pytest.param([f"part-1={COPY[9:]}"], id="a part too few"),
    ],
)
def test_parts_that_make_no_whole_are_all_taken_out_beside_a_companion_too(site: Site, pairs: list[str]) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    browser.planted = pairs
    assert browser.me() == "ann"
    assert seen(browser) == f"session={COPY}"
    ask(browser, "; ".join(pairs))
    assert seen(browser) == ""
