"""What the page shows of a user's sessions: rows, in groups of those that look alike, by last use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from sessionward.api.page.labels import MAX_USER_AGENT, Label, isolated, label_of, label_text, plain
from sessionward.api.page.languages import Catalogue
from sessionward.api.page.methods import methods_text
from sessionward.api.page.places import Places, placed
from sessionward.api.page.times import absolute, ago, machine, until
from sessionward.session.session import IMPERSONATION, Session
from sessionward.session.step import Flow
from sessionward.settings.page import Page

MAX_LABEL: Final = 80
"""Characters of a label that a function of the application returns."""
ONE_PROXY: Final = (
    "the page shows no addresses, since all sessions of a user have the same loopback or private one; if there is a proxy in front of"
    " the server, let the server trust the proxy's X-Forwarded-For; on your own machine, ignore this"
)


class Moment(NamedTuple):
    """A time: for machines, to the minute, and in words. A template writes it as an element ``<time>``."""

    iso: str
    absolute: str
    text: str

    def __html__(self) -> str:
        return f'<time datetime="{self.iso}" title="{self.absolute}">{escape(self.text)}</time>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One session, in the reader's language. Empty or None: not known, or not shown.

    ``question``: what the reader is asked before it ends.
    """

    id: str
    label: str
    shape: str
    place: str
    address: str
    agent: str
    methods: str
    since: Moment | None
    last_seen: Moment | None
    expires: Moment | None
    actor: str
    question: str
    is_impersonation: bool
    may_revoke: bool


class View(NamedTuple):
    """What the page shows. ``warning``: a sentence for the log, or empty."""

    current: Row
    groups: Sequence[Sequence[Row]]
    warning: str


def view_of(
    current: Session, others: Sequence[Session], now: datetime, catalogue: Catalogue, page: Page, *, impersonations: bool = False
) -> Flow[View]:
    """Returns what the page shows. ``impersonations``: whether the user may end those of others, too.

    It waits for nothing but ``page.place``.
    """
    addresses = [session.ip_address for session in (current, *others)]
    hidden = is_one_proxy(addresses)
    places = Places() if hidden else (yield from placed(addresses, catalogue.language, page.place))
    labels = _Labels(page.label, catalogue)

    sign_out, end = catalogue.gettext("Sign out %(device)s?"), catalogue.gettext("End the session of %(actor)s?")

    def row(session: Session) -> Row:
        is_impersonation = session.kind == IMPERSONATION
        label = label_of(session.user_agent)
        name = labels.of(session.user_agent, label)
        actor = plain(session.actor or "")[:MAX_LABEL] or (session.kind and "?")  # an id of invisible characters
        return Row(
            id=str(session.id),
            label=name,
            shape="person" if is_impersonation else _SHAPES.get(label.system, "") or _shape(label),
            place=places.get(session.ip_address or "", ""),
            address="" if hidden else plain(session.ip_address or ""),
            agent=plain(session.user_agent or "")[:MAX_USER_AGENT],
            methods=methods_text(session.methods, catalogue),
            since=_past(session.authenticated_at or session.issued_at, now, catalogue),
            last_seen=_past(session.last_seen_at, now, catalogue),
            expires=_future(session.expires_at, now, catalogue),
            actor=actor,
            question=end % {"actor": isolated(actor)} if is_impersonation else sign_out % {"device": isolated(name)},
            is_impersonation=is_impersonation,
            may_revoke=current.kind != IMPERSONATION and (impersonations or not is_impersonation),
        )

    rows = [row(session) for session in sorted(others, key=_by_use, reverse=True)]
    warning = labels.warning or places.warning or (ONE_PROXY if hidden and others else "")
    return View(row(current), _grouped(rows), warning)


def _grouped(rows: Iterable[Row]) -> Sequence[Sequence[Row]]:
    """Returns the rows in groups of one label at one place, by their latest use. Impersonations come first, each by itself."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        key = row.id if row.is_impersonation else (row.label, row.place or row.address)
        groups.setdefault(key, []).append(row)
    return sorted(groups.values(), key=lambda group: not group[0].is_impersonation)


def is_one_proxy(addresses: Sequence[str | None]) -> bool:
    """Returns whether all addresses are one loopback or private one, so that they are more likely a proxy's than the clients'."""
    if len(set(addresses)) > 1 or not addresses[0]:
        return False
    try:
        address = ip_address(addresses[0].partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _INSIDE if network.version == address.version)


_INSIDE: Final = tuple(
    ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""``is_private`` also has addresses of examples and tests (RFC 5737)."""


def _by_use(session: Session) -> tuple[datetime, str]:
    return session.last_seen_at or session.authenticated_at or session.issued_at or _LONG_AGO, str(session.id)


_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Labels:
    """Labels by a function of the application, if there is one. One that fails costs the label and not the page."""

    def __init__(self, name: Callable[[str], str] | None, catalogue: Catalogue) -> None:
        self.warning = ""
        self._name = name
        self._catalogue = catalogue

    def of(self, user_agent: str | None, label: Label) -> str:
        """Returns what a session is called. ``label``: by our own table."""
        if self._name is not None and user_agent:
            try:
                named = plain(self._name(user_agent))[:MAX_LABEL].strip()
                if named:
                    return named
            except Exception as error:
                self.warning = f"label() raised {type(error).__name__}; the page shows our own label"
        return label_text(label, self._catalogue)


_SHAPES: Final = {
    **dict.fromkeys(("iPhone", "Android", "HarmonyOS"), "phone"),
    "iPad": "tablet",
    **dict.fromkeys(("Windows", "Mac", "Linux", "ChromeOS"), "computer"),
}


def _shape(label: Label) -> str:
    return "screen" if label.system else "unknown"


def _past(moment: datetime | None, now: datetime, catalogue: Catalogue) -> Moment | None:
    return None if moment is None else Moment(machine(moment), absolute(moment), ago(moment, now, catalogue))


def _future(moment: datetime | None, now: datetime, catalogue: Catalogue) -> Moment | None:
    return None if moment is None else Moment(machine(moment), absolute(moment), until(moment, now, catalogue))
