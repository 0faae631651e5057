"""The story in the terminal: three devices sign in, one presses the button."""

from __future__ import annotations

import http.client
import json
import os
import sys


def tell(host: str, port: int) -> None:
    """Plays the story against the demo at this address, and prints it."""
    devices = [_Device(name, host, port) for name in ("laptop", "phone", "tablet")]
    print(bold("Ada signs in on three devices."))
    for device in devices:
        device.send("POST", "/sign-in", "user=ada")
        print(f"  {device.name:8} {device.state()}")
    print(bold('\nAda presses "Sign out my other devices" on the laptop.'))
    status, text = devices[0].send("DELETE", "/auth/sessions")
    print(f"  DELETE /auth/sessions\n  {status} {text}")
    print(bold("\nWho is signed in now?"))
    for device in devices:
        print(f"  {device.name:8} {device.state()}")
    sys.stdout.flush()


def bold(text: str) -> str:
    """Returns the text in bold if stdout is a terminal."""
    return _styled(1, text)


class _Device:
    """A browser, as far as the story needs one: it keeps its cookies."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self._address = host, port
        self._cookies: dict[str, str] = {}

    def send(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {
            "User-Agent": f"{self.name.capitalize()} in the terminal",
            "Cookie": cookies,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        for field in response.headers.get_all("Set-Cookie", []):
            name, _, value = field.partition(";")[0].partition("=")
            self._cookies[name] = value
        text = response.read().decode()
        connection.close()
        return response.status, text

    def state(self) -> str:
        user = json.loads(self.send("GET", "/me")[1])["user"]
        return _styled(32, f"signed in as {user}") if user else _styled(31, "signed out")


def _styled(code: int, text: str) -> str:
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ  # https://no-color.org
    return f"\x1b[{code}m{text}\x1b[0m" if coloured else text
