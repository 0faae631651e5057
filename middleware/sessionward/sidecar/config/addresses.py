"""Where a sidecar listens, and where the application behind it does."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

BACKLOG = 2048
"""Connections that wait to be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: ``host:port``, ``[::1]:port``, ``unix:/path?mode=660&group=www-data``, or a socket that is passed to us.

    ``fd``: the number of a descriptor that listens already. ``systemd``: the name of a socket that systemd passes, empty
    for its first one.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = 0o600
    group: str = ""
    fd: int | None = None
    systemd: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError that says what is wrong."""
        if text.startswith("unix:"):
            return cls._parse_unix(text)
        if passed := re.fullmatch(r"fd:([0-9]{1,5})", text):
            return cls(fd=int(passed[1]))
        if named := re.fullmatch(r"systemd(?::([!-9;-~]{1,255}))?", text):
            return cls(systemd=named[1] or "")
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:/?\[\]\s]+):([0-9]{1,5})", text)
        if found is None or int(found[2]) > 65_535:
            raise ValueError(f"{text!r} is not an address such as '127.0.0.1:8080' or 'unix:/run/sessionward.sock'")
        return cls(host=found[1].strip("[]"), port=int(found[2]))

    @classmethod
    def _parse_unix(cls, text: str) -> Self:
        path, mark, query = text.removeprefix("unix:").partition("?")
        parts = [part.partition("=") for part in query.split("&")] if mark else []
        fields = {name: value for name, _, value in parts}
        mode, group = fields.pop("mode", "600"), fields.pop("group", "")
        known = re.fullmatch(r"0?[0-7]{3}", mode) and re.fullmatch(r"[A-Za-z0-9_.-]*", group)
        if not path.startswith("/") or fields or not known or len(parts) > 2:
            raise ValueError(f"{text!r} is not a socket such as 'unix:/run/sessionward.sock?mode=660&group=www-data'")
        return cls(path=path, mode=int(mode, 8), group=group)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if self.fd is not None:
            return f"fd:{self.fd}"
        if self.systemd is not None:
            return f"systemd:{self.systemd}" if self.systemd else "systemd"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine can connect. Of a passed socket we do not know it."""
        if self.path or self.host == "localhost":
            return True
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return False

    def bind(self) -> socket.socket:
        """Returns a socket that listens. Raises OSError."""
        if self.path:
            return self._bind_unix()
        if self.fd is not None:
            return _passed(self.fd)
        if self.systemd is not None:
            return _passed(_number_of(self.systemd))
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except UnicodeError:
            raise OSError(errno.EINVAL, "this is no name of a host") from None
        family, kind, protocol, _, place = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        return listening

    def _bind_unix(self) -> socket.socket:
        """Replaces a socket on which no process listens any more, never another file."""
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.stat(self.path).st_mode):
                raise OSError(errno.EEXIST, "there is a file that is no socket")
            with socket.socket(socket.AF_UNIX) as probe:
                probe.setblocking(False)  # one whose queue is full is in use too
                try:
                    probe.connect(self.path)
                except ConnectionRefusedError:
                    os.unlink(self.path)
                except BlockingIOError:
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
                else:
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        listening = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177 if self.group else 0o777 & ~self.mode)  # so that there is no moment at which it is open to more
        try:
            listening.bind(self.path)
            if self.group:
                os.chown(self.path, -1, _group_id(self.group))  # before the mode lets the group in
            os.chmod(self.path, self.mode)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        finally:
            os.umask(before)
        return listening


FIRST_PASSED = 3
"""The number of the first descriptor that systemd passes (sd_listen_fds(3))."""


def _number_of(name: str) -> int:
    """Returns the number of the descriptor that systemd passes under this name, or of the first one. Raises OSError.

    LISTEN_PID names the process that is meant. A worker that this process starts has another number, and inherits no
    descriptor: the process binds, and passes the socket on.
    """
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        raise OSError(errno.ENOENT, "systemd passes no socket to this process; start the .socket unit")
    if not name:
        return FIRST_PASSED
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")[: int(count)]
    if name not in names:
        raise OSError(errno.ENOENT, f"systemd passes no socket with this name, but {', '.join(names)}; see FileDescriptorName=")
    return FIRST_PASSED + names.index(name)


def _passed(number: int) -> socket.socket:
    """Returns a socket of its own over a passed descriptor, which listens already. Raises OSError."""
    listening = socket.socket(fileno=os.dup(number))
    try:
        if listening.type != socket.SOCK_STREAM or not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "the passed socket does not listen for connections")
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _group_id(name: str) -> int:
    if name.isdecimal():
        return int(name)
    from grp import getgrnam  # not on Windows

    try:
        return getgrnam(name).gr_gid
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no group {name}") from None


_UPSTREAM = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)(?::([0-9]{1,5}))?(/[^\s?#@]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where the application listens: ``http://host:port``, ``https://host:port``, or ``unix:/path``."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError that says what is wrong."""
        if re.fullmatch(r"unix:/[^?\s]+", text):
            return cls(path=text.removeprefix("unix:"))
        found = _UPSTREAM.fullmatch(text)
        if found is None:  # its text may hold a password, so it is not shown
            raise ValueError("it is not an address such as 'http://127.0.0.1:8000' or 'unix:/run/app.sock'")
        scheme, host, port, path = found.groups()
        if path not in (None, "/"):
            raise ValueError(f"it has the path {path!r}; requests go on with the path they came with, so leave it out")
        tls = scheme == "https"
        number = (443 if tls else 80) if port is None else int(port)
        if not 0 < number < 65_536:
            raise ValueError(f"{number} is not a port")
        return cls(host=host.strip("[]"), port=number, tls=tls)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"
