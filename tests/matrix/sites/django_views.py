"""The views of the Django sites, with Django's own login."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.urls import path

from tests.matrix.browser import NOBODY, Gate

GATES: list[Gate] = []
"""Where the slow views wait: the last one is the site's."""


def found(request: HttpRequest) -> dict[str, str]:
    user = request.user.get_username() if request.user.is_authenticated else NOBODY
    return {"user": user, "cart": request.session.get("cart", "")}


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponseForbidden()
    login(request, user)
    return HttpResponse("welcome")


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("bye")


def me(request: HttpRequest) -> HttpResponse:
    return JsonResponse(found(request))


def cart(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = request.POST["item"]
    return HttpResponse("thanks")


def visit(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = "tea"
    return HttpResponse("hello")


def slow_read(request: HttpRequest) -> HttpResponse:
    before = found(request)
    GATES[-1].hold()
    return JsonResponse({**before, "still": request.session.get("cart", "")})


def slow_write(request: HttpRequest) -> HttpResponse:
    before = found(request)
    GATES[-1].hold()
    request.session["cart"] = request.POST["item"]
    return JsonResponse(before)


def slow_renew(request: HttpRequest) -> HttpResponse:
    """As after a changed password: ``update_session_auth_hash()`` does nothing else."""
    found(request)
    GATES[-1].hold()
    request.session.cycle_key()
    return HttpResponse(request.session.session_key)


urlpatterns = [
    path("login", log_in),
    path("logout", log_out),
    path("me", me),
    path("cart", cart),
    path("anonymous-visit", visit),
    path("slow-read", slow_read),
    path("slow-write", slow_write),
    path("slow-renew", slow_renew),
]
