"""The page of the demo, as HTML: signed out, and signed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Final
from uuid import UUID

from sessionward.cli.demo.device import Device

_ASSETS: Final = files("sessionward.cli.demo") / "assets"


def asset(name: str) -> str:
    """Returns the content of a file in ``assets``."""
    return (_ASSETS / name).read_text("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line in the list of devices."""

    device: Device
    since: str
    is_current: bool


def signed_out(name: str, *, was_signed_in: bool) -> str:
    """Returns the page with a field and a button. ``was_signed_in``: whether this browser had a session that it did not end itself."""
    status = _SIGNED_OUT.substitute(user=escape(name)) if was_signed_in else ""
    content = _template("signed_out.html").substitute(name=escape(name))
    title = "Signed out" if was_signed_in else "Sign in"
    return _template("page.html").substitute(title=title, state="out", session="", content=content, status=status)


def signed_in(session: UUID, user: str, rows: Iterable[Row], *, has_page: bool, revoked: int | None = None) -> str:
    """Returns the page with the user, the devices and the button.

    ``has_page``: whether there is a page *Your devices*, which comes with ``api=True``. ``revoked``: the count to report, or None.
    """
    devices = "".join(
        _ROW.substitute(
            picture=row.device.picture, name=escape(row.device.name), mark=_THIS_DEVICE if row.is_current else "", since=escape(row.since)
        )
        for row in rows
    )
    content = _template("signed_in.html").substitute(user=escape(user), devices=devices, more=_MORE if has_page else "")
    status = "" if revoked is None else f"<p>{counted(revoked)}</p>"
    return _template("page.html").substitute(
        title=f"Signed in as {escape(user)}", state="in", session=session, content=content, status=status
    )


def counted(revoked: int) -> str:
    """Returns what the page reports after the button. ``script.js`` reports the same."""
    if revoked == 0:
        return "No other device was signed in."
    return f"{revoked} other {'device was' if revoked == 1 else 'devices were'} signed out."


def _template(name: str) -> Template:
    return Template(asset(name))


_SIGNED_OUT: Final = Template(
    "<p><strong>This browser has been signed out.</strong></p>"
    "<p>Its session has ended: another device of $user can do that. You can sign in again.</p>"
)
_ROW: Final = Template(
    '<li><svg class="picture" aria-hidden="true"><use href="#$picture"/></svg>'
    '<div><span class="device">$name</span> $mark<small>signed in at <time>$since</time></small></div></li>\n'
)
_MORE: Final = (
    '<p class="hint">This page is the demo\u2019s own. With <code>api=True</code> comes another one:'
    ' <a href="/auth/sessions">Your devices</a>.</p>'
)
_THIS_DEVICE: Final = '<span class="mark">this device</span>'
