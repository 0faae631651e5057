"""A Django application that gives back what a visitor has uploaded: an answer in the form of HTTP, which says who signs in."""

from __future__ import annotations

from django.conf import settings  # type: ignore[import-untyped]

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="a secret of the tests: 0123456789")

from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from django.views import View  # type: ignore[import-untyped]

STORED = b"HTTP/1.1 200 OK\r\nSession-Login: admin\r\nContent-Length: 4\r\n\r\nevil"


class Upload(View):  # type: ignore[misc]
    """A stored file. Django answers HEAD with what ``get`` returns."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(STORED, content_type="application/octet-stream")


class Page(View):  # type: ignore[misc]
    """An ordinary page."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("honest")


urlpatterns = [path("upload", Upload.as_view()), path("page", Page.as_view())]
app = get_wsgi_application()
