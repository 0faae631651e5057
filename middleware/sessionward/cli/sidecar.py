"""The commands of the sidecar: ``serve``, ``authz``, ``check-config``, ``print-config``, ``doctor`` and ``snippet``."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from sessionward.errors import ConfigurationError

COMMANDS: Final = ("serve", "authz", "check-config", "print-config", "doctor", "snippet")
BAD_CONFIGURATION: Final = 2

_EPILOG: Final = """\
You can give each option as a flag (--upstream), as an environment variable (SESSIONWARD_UPSTREAM) or as a key of a TOML file
(upstream = "..."). A flag takes precedence over the variable, and the variable over the file. A secret cannot be a flag,
since every user of the machine can see flags: use a variable, a key, or a file (--secret-file).

exit codes: 0 done; 1 failed (doctor: warnings); 2 the configuration is wrong (doctor: or errors); 3 cannot listen; 4 the
backend failed at start; 128 + the signal if it cut requests under way. SIGTERM and SIGQUIT drain, a second one cuts; SIGINT
drains without delay; SIGHUP reads the configuration again; SIGUSR1 reopens the access log."""


def add_commands(commands: Any) -> None:
    """Adds the sidecar's commands to the parser."""
    from sessionward.sidecar.config.options import FILE, OPTIONS
    from sessionward.sidecar.config.values import switch, texts

    helps = {
        "serve": "run a reverse proxy in front of one application, in any language",
        "authz": "answer the authorization requests of a proxy that you have: nginx, Caddy, Traefik, HAProxy, Envoy",
        "check-config": "list the mistakes in the configuration, and start nothing",
        "doctor": "try the configuration of serve against the real application and backend, and change nothing",
        "print-config": "print the effective configuration as TOML, with secrets masked",
    }
    for command, said in helps.items():
        parser = commands.add_parser(
            command,
            help=said,
            description=said,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("--config", metavar="FILE", help="a TOML file with these options")
        if command.endswith("-config"):
            parser.add_argument(
                "--for",
                dest="command_for",
                choices=("serve", "authz"),
                default="serve",
                help="the command whose configuration it is (serve)",
            )
        for option in OPTIONS:
            if option.only not in ("", "serve" if command == "doctor" else command) and not command.endswith("-config"):
                continue
            shown = "" if option.default in (None, ()) or isinstance(option.default, bool) else f" ({option.default})"
            if option.is_secret:
                parser.add_argument(f"--{option.name}", dest="secret_flag", action=_NoFlag, help=argparse.SUPPRESS)
                parser.add_argument(f"--{option.name}{FILE}", metavar="FILE", help=f"a file with {option.help}".replace("%", "%%"))
            elif option.read is switch:
                parser.add_argument(f"--{option.name}", nargs="?", const="true", metavar="true|false", help=option.help + shown)
            elif option.read is texts:
                parser.add_argument(f"--{option.name}", action="append", metavar="VALUE", help=option.help)
            else:
                parser.add_argument(f"--{option.name}", metavar="VALUE", help=option.help + shown)
    snippet = commands.add_parser("snippet", help="print a tested configuration for a proxy that you have")
    snippet.add_argument("engine", choices=("nginx", "caddy", "traefik", "haproxy", "haproxy-lua", "envoy"))
    snippet.add_argument("--authz", default="127.0.0.1:8090", help="where sessionward authz listens (127.0.0.1:8090)")
    snippet.add_argument("--app", default="127.0.0.1:8000", help="where the application listens (127.0.0.1:8000)")
    snippet.add_argument("--listen", default="127.0.0.1:8080", help="where the proxy listens (127.0.0.1:8080)")
    _add_authz_options(snippet)


def _add_authz_options(snippet: argparse.ArgumentParser) -> None:
    """Adds the options that ``sessionward authz`` gets too: it decides, and the proxy must send what it decides by."""
    snippet.add_argument(
        "--preflight",
        choices=("check", "pass"),
        default="check",
        help="pass: CORS preflights reach the application without a session, a body or a credential (check)",
    )
    snippet.add_argument(
        "--exempt-paths",
        action="append",
        default=[],
        metavar="PREFIX",
        help="path prefixes that pass without a check and without our credential; repeatable",
    )
    snippet.add_argument(
        "--api", action="store_true", help="the path of the sessions and all paths below it are those of sessionward authz"
    )
    snippet.add_argument("--login-url", metavar="URL", help="where a browser without a session is sent when it asks for a page")
    snippet.add_argument(
        "--cache",
        nargs="?",
        const="/run/sessionward-checks",
        metavar="FOLDER",
        help="nginx: keep the answers of sessionward authz --lease on the same machine in this folder (/run/sessionward-checks)",
    )


class _NoFlag(argparse.Action):
    """Refuses a secret as a flag, and does not repeat its value."""

    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, _values: object, option_string: str | None = None) -> None:
        name = (option_string or "").removeprefix("--")
        parser.error(f"--{name} is not a flag, since every user of the machine can see flags: use --{name}-file, a variable or a key")


def run(chosen: argparse.Namespace) -> int:
    """Runs a command. Returns its exit code."""
    if chosen.command == "snippet":
        from sessionward.sidecar.snippet import snippet

        try:
            configuration = snippet(
                chosen.engine,
                authz=chosen.authz,
                app=chosen.app,
                listen=chosen.listen,
                preflight=chosen.preflight,
                exempt_paths=chosen.exempt_paths,
                login_url=chosen.login_url,
                cache=chosen.cache,
                api=chosen.api,
            )
        except (ConfigurationError, ValueError) as wrong:
            mistakes = wrong.mistakes if isinstance(wrong, ConfigurationError) else [wrong]
            print("\n".join(f"sessionward: {mistake}" for mistake in mistakes), file=sys.stderr)
            return BAD_CONFIGURATION
        print(configuration, end="")
        return 0
    command: str = getattr(chosen, "command_for", "serve" if chosen.command == "doctor" else chosen.command)
    names = vars(chosen)
    flags = {name.replace("_", "-"): value for name, value in names.items() if value is not None and name not in ("command", "command_for")}
    try:
        if chosen.command in ("serve", "authz"):
            from sessionward.sidecar.signals import during_start

            with during_start():
                return _carry_out(chosen.command, command, flags)
        return _carry_out(chosen.command, command, flags)
    except ConfigurationError as error:
        print("\n".join(f"sessionward: {mistake}" for mistake in error.mistakes), file=sys.stderr)
        return BAD_CONFIGURATION
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiohappyeyeballs", "httptools", "prometheus_client"):
            raise
        print(f"sessionward: {error.name} is not installed; pip install 'sessionward[sidecar]'", file=sys.stderr)
        return BAD_CONFIGURATION


def _carry_out(asked: str, command: str, flags: Mapping[str, Any]) -> int:
    import logging
    import os

    from sessionward.sidecar.config import config
    from sessionward.sidecar.config.sources import collect

    given, mistakes = collect(flags, os.environ, command)
    made = config.remembered(config.made_of(command, given, mistakes), flags, os.environ)
    if asked == "doctor":
        from sessionward.sidecar.doctor.run import doctor

        logging.getLogger("sessionward").addHandler(logging.NullHandler())  # what the backend logs at its start is among the findings
        return doctor(made, lambda line: print(line, flush=True))
    for told in made.told:
        print(f"sessionward: {told}", file=sys.stderr)
    if asked == "print-config":
        print("\n".join(printed(given)))
        return 0
    from sessionward.sidecar import build, serve

    print(f"sessionward: {build.check(made)}", file=sys.stderr)
    if asked == "check-config":
        print("ok")
        return 0
    return serve.run(made)


_SHOWN: Final = frozenset(
    [
        "kind",
        "user_key",
        "user",
        "session_cookie",
        "remember_cookie",
        "cookie",
        "cookies",
        "user_claim",
        "algorithms",
        "header",
        "audience",
        "issuer",
        "leeway",
        "lifetime",
        "remember_lifetime",
        "token_lifetime",
        "max_age",
        "samesite",
        "query",
        "claim",
        "algorithm",
        "field",
        "format",
        "pattern",
        "digest",
        "key_derivation",
        "expires",
        "timeout",
    ]
)
"""Keywords of identifiers whose values are not secret. Every other keyword may be secret."""


def printed(given: Mapping[str, Any]) -> list[str]:
    """Returns the lines of a TOML file with the effective configuration. Each line says where its value comes from."""
    from sessionward.sidecar.config.backend import without_password
    from sessionward.sidecar.config.options import BY_NAME
    from sessionward.sidecar.config.values import MASK

    lines: list[str] = []
    for name, each in given.items():
        if name not in BY_NAME or each.value == ():
            continue
        value = each.value
        if BY_NAME[name].is_secret:
            value = [MASK] * len(value)
        elif name == "backend":
            value = without_password(value)
        lines.append(f"{name} = {toml(value)}  # {' '.join(each.source.splitlines())}")
    table = given.get("identify-table")
    if table is not None:
        lines += ["", "[identify]"]
        for key, value in table.value.items():
            shown = key in _SHOWN or key.endswith("-file") or (key == "key" and table.value.get("kind") == "redis")
            if key in ("database", "url") and isinstance(value, str):
                shown, value = True, without_password(value)
            name = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
            lines.append(f"{name} = {toml(value if shown else MASK)}")
    return lines


def toml(value: Any) -> str:
    """Returns a ``str``, a number, a ``bool`` or a list of these as TOML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, cast('Sequence[Any]', value)))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
