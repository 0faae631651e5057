"""Runs the claims that are made for the site in SESSIONWARD_SITE, and prints as JSON what became of each, by name."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from importlib import import_module

import django


def outcome(case: Callable[[], None]) -> str:
    from tests.backends.django.world import clean

    try:
        clean()
        case()
    except BaseException:
        return traceback.format_exc()
    return "holds"


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.backends.django.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from tests.backends.django.settings import SITE
    from tests.backends.django.world import empty_cache

    call_command("migrate", verbosity=0, run_syncdb=True)
    outcomes: dict[str, str] = {}
    only = os.environ.get("SESSIONWARD_CASE", "")
    for name in SITE.claims:
        module = import_module(f"tests.backends.django.{name}")
        cases = {
            case: function for case, function in vars(module).items() if case.startswith("case_") and function.__module__ == module.__name__
        }
        outcomes |= {f"{name}.{case}": outcome(function) for case, function in cases.items() if only in f"{name}.{case}"}
    empty_cache()
    connections.close_all()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
