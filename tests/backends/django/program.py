"""The process of one site: SESSIONWARD_SITE says which. It runs the claims that a test asks for, as ``module.case_name``."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
from importlib import import_module

import django

from tests.support.claims import answer


def check(claim: str) -> None:
    from tests.backends.django.world import clean

    module, _, case = claim.partition(".")
    clean()
    getattr(import_module(f"tests.backends.django.{module}"), case)()


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.backends.django.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from tests.backends.django.world import empty_cache

    call_command("migrate", verbosity=0, run_syncdb=True)
    answer(check)
    empty_cache()
    connections.close_all()


if __name__ == "__main__":
    main()
