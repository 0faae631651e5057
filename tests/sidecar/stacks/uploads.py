"""A Django application that gives back what a visitor has uploaded: an answer in the form of HTTP, which says who signs in."""

from __future__ import annotations

from django.conf import settings

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="a secret of the tests: 0123456789")

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import View

STORED = b"HTTP/1.1 200 OK\r\nSession-Login: admin\r\nContent-Length: 4\r\n\r\nevil"


class Upload(View):
    """A stored file. Django answers HEAD with what ``get`` returns."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(STORED, content_type="application/octet-stream")


class Page(View):
    """An ordinary page."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("honest")


urlpatterns = [path("upload", Upload.as_view()), path("page", Page.as_view())]
app = get_wsgi_application()
