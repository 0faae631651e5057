"""Tells systemd what state the service is in (sd_notify(3)).

The protocol is one datagram to a unix socket, which is less code than a dependency on a library for it.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(*states: str) -> None:
    """Sends these assignments if systemd waits for them (``Type=notify`` or ``notify-reload``). A failure changes nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # the abstract namespace of Linux
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.setblocking(False)
        telling.connect(address)
        telling.send("\n".join(states).encode())


def reloading() -> str:
    """Returns the assignments that begin a reload. systemd compares the time with the one at which it has sent the signal."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status(text: str) -> str:
    """Returns the assignment of the line that ``systemctl status`` shows."""
    return f"STATUS={text}"
