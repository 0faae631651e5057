"""Reads the configuration again while a sidecar runs."""

from __future__ import annotations

import logging

from sessionward.errors import ConfigurationError
from sessionward.sidecar.build import check
from sessionward.sidecar.config.config import Config

log = logging.getLogger("sessionward")


def reread(config: Config) -> Config | None:
    """Returns the configuration that the same flags, variables and files give now, or None if that has a mistake.

    Logs what is wrong, and what only a restart changes. Blocks while files, names and certificates are read.
    """
    try:
        found = config.reread()
        check(found)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            log.error("%s", mistake)
        log.error("the configuration is wrong, so the old one stays in effect")
        return None
    except Exception as error:  # a broken module that the configuration names
        log.error("the configuration cannot be read: %s; the old one stays in effect", type(error).__name__)
        return None
    for told in found.told:
        log.warning("%s", told)
    log.info("the configuration was read again and is in effect for new requests")
    return found
