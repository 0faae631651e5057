"""The cells of the matrix: one framework, one check, one door, and what came of it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, Literal

from tests.matrix.checks import CHECKS, Contract
from tests.matrix.site import Site, WSGISite
from tests.matrix.story import DoesNotApply, Door

SHOP_KEY: Final = "secret-of-the-application-below-shop"

Verdict = Literal["passed", "failed", "raised", "does not apply"]
Way = Literal["door", "naive"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check. ``why``: the reason that it does not apply, or the traceback.

    ``failed``: the claim does not hold. ``raised``: the story could not be told to its end.
    """

    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Framework:
    """Where the site of a framework is written."""

    title: str
    """As it stands in the matrix."""
    module: str
    name: str
    alone: bool = False
    """It is configured once for a whole process (Django), so it has one of its own."""
    redis: bool = False
    """It keeps its sessions there."""

    def make(self, place: Path) -> Site:
        kind: Callable[[Path], Site] = getattr(importlib.import_module(f"tests.matrix.sites.{self.module}"), self.name)
        return kind(place)


FRAMEWORKS: Final[Mapping[str, Framework]] = {
    "django-db": Framework("Django `db`", "django_engines", "DjangoDb", alone=True),
    "django-db-saving": Framework("Django `db`, `SESSION_SAVE_EVERY_REQUEST`", "django_engines", "DjangoDbSaving", alone=True),
    "django-db-asgi": Framework("Django `db` under ASGI", "django_engines", "DjangoDbASGI", alone=True),
    "django-cached-db": Framework("Django `cached_db`", "django_engines", "DjangoCachedDb", alone=True),
    "django-cache": Framework("Django `cache`", "django_engines", "DjangoCache", alone=True),
    "django-file": Framework("Django `file`", "django_engines", "DjangoFile", alone=True),
    "django-signed-cookies": Framework("Django `signed_cookies`", "django_engines", "DjangoSignedCookies", alone=True),
    "headless-db": Framework("allauth headless, client `app` (`db`)", "django_headless", "HeadlessDb", alone=True),
    "headless-cached-db": Framework("allauth headless, client `app` (`cached_db`)", "django_headless", "HeadlessCachedDb", alone=True),
    "flask-login": Framework("Flask-Login", "flask_login", "FlaskLogin"),
    "flask-session": Framework("Flask-Session (Redis)", "flask_session", "FlaskSession", redis=True),
    "starlette": Framework("Starlette `SessionMiddleware`", "starlette_session", "StarletteSession"),
    "fastapi": Framework("FastAPI `SessionMiddleware`", "starlette_session", "FastAPISession"),
    "starsessions": Framework("starsessions (Redis)", "starsessions_redis", "Starsessions", redis=True),
    "litestar": Framework("Litestar, server-side (Redis)", "litestar_sessions", "LitestarServerSide", redis=True),
    "litestar-cookie": Framework("Litestar, client-side", "litestar_sessions", "LitestarClientSide"),
    "beaker": Framework("Beaker (Bottle)", "beaker_bottle", "BeakerBottle"),
    "pyramid": Framework("Pyramid `SignedCookieSession`", "pyramid_signed", "PyramidSigned"),
    "quart": Framework("Quart", "quart_session", "QuartSession"),
    "fastapi-users": Framework("fastapi-users `DatabaseStrategy`", "fastapi_users_db", "FastAPIUsersSite"),
    "knox": Framework("Knox", "django_knox", "Knox", alone=True),
    "jwt": Framework("JWT in a cookie (PyJWT)", "jwt_cookie", "JWTCookie"),
    "jwt-header": Framework("JWT in a header (PyJWT)", "jwt_header", "JWTHeader"),
}
"""The rows of the matrix, by the names that stand in the tests' ids."""

DOORS: Final[Mapping[Way, Door]] = {
    "door": lambda site, /, **settings: site.install(**settings),
    "naive": lambda site, /, **settings: site.install_naively(**settings),
}


@cache
def outcome_of(framework: str, check: str, way: Way = "door") -> Outcome:
    """Run one check, once; in a process of its own where the framework needs that."""
    found = FRAMEWORKS[framework]
    return outcomes_alone(framework)[way][check] if found.alone else run(found.make, check, DOORS[way], counts=way == "door")


def run(make: Callable[[Path], Site], check: str, door: Door, *, counts: bool = True) -> Outcome:
    """Run one check here and now. ``counts``: False for a door that cannot tell how many there were."""
    with tempfile.TemporaryDirectory(prefix="sessionward-matrix-") as folder:
        site = make(Path(folder))
        try:
            if check in site.excuses:
                return Outcome("does not apply", site.excuses[check])
            beside = partial(neighbour, site, Path(folder) / "shop")
            told = counts or site.on_server
            CHECKS[check](Contract(site, door, beside, counts=site.counts_all and told, many=10_000 if counts else 100))
        except DoesNotApply as reason:
            return Outcome("does not apply", str(reason))
        except AssertionError:
            return Outcome("failed", traceback.format_exc())
        except Exception:
            return Outcome("raised", traceback.format_exc())
        finally:
            site.close()
    return Outcome("passed")


def neighbour(site: Site, place: Path) -> Site:
    """A site of another framework below ``/shop``, whose session cookie is called as this one's."""
    if isinstance(site, WSGISite):
        from tests.matrix.sites.flask_login import FlaskLogin

        return FlaskLogin(place, cookie=site.neighbour_cookie, path="/shop", key=SHOP_KEY)
    from tests.matrix.sites.starlette_session import StarletteSession

    return StarletteSession(place, cookie=site.neighbour_cookie, path="/shop", key=SHOP_KEY)


@cache
def outcomes_alone(framework: str) -> Mapping[Way, Mapping[str, Outcome]]:
    """All checks of a framework, run by ``python -m tests.matrix.alone``."""
    command = [sys.executable, "-m", "tests.matrix.alone", framework]
    here = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=here, env={**os.environ}, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode != 0:
        raise AssertionError(f"{framework} could not be run:\n{ended.stderr[-4000:]}")
    told: dict[Way, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return {way: {check: Outcome(**outcome) for check, outcome in outcomes.items()} for way, outcomes in told.items()}


def all_outcomes(framework: str) -> dict[Way, dict[str, dict[str, str]]]:
    """All checks of a framework in this process, ready to be written as JSON."""
    make = FRAMEWORKS[framework].make
    return {way: {check: asdict(run(make, check, door, counts=way == "door")) for check in CHECKS} for way, door in DOORS.items()}
