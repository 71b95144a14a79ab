"""Registers the system checks of via_state: each hint ends with the address of what the documentation says about it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from via_state.conf import settings

Check = Callable[..., list[CheckMessage]]


def register(*tags: str, **options: Any) -> Callable[[Check], Check]:
    """Django's ``register``, for a check of ours. Hints get an address where ``DOCS_URL`` says which site it is on."""

    def decorate(check: Check) -> Check:
        @functools.wraps(check)
        def with_addresses(**given: Any) -> list[CheckMessage]:
            found = check(**given)
            if settings.DOCS_URL:
                for message in found:
                    message.hint = (
                        f"{message.hint or ''} See {settings.page('reference', str(message.id))}".strip()
                    )
            return found

        checks.register(*tags, **options)(with_addresses)
        return with_addresses

    return decorate
