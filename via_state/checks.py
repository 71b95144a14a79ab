"""System checks: what can't work is said before it fails."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.declarations.base import Declaration
from via_state.declarations.registry import registry
from via_state.declarations.session import StateSess
from via_state.exceptions import DeclarationError

SESSION_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"
STATE_MIDDLEWARE = "via_state.middleware.SessionStateMiddleware"


@register("via_state")
def check_declarations(**_: Any) -> list[CheckMessage]:
    """E001: a declaration that can't work. E002: keys that collide."""
    found: list[CheckMessage] = []
    sound = []
    for declaration in registry.declarations():
        try:
            declaration.resolve()
        except DeclarationError as error:
            problem, _, hint = str(error).partition(". ")
            found.append(Error(f"{problem}.", hint=hint or None, obj=declaration, id="via_state.E001"))
        else:
            sound.append(declaration)
    for one, other in itertools.combinations(sound, 2):
        if one.template.overlaps(other.template) and not _agree(one, other):
            found.append(
                Error(
                    f"{one} and {other} share the key {one.template.text!r}.",
                    hint="Give one of them another key=. To share the state on purpose, write the same key= on both "
                    "and declare the same types.",
                    obj=other,
                    id="via_state.E002",
                )
            )
    return found


def _agree(one: Declaration, other: Declaration) -> bool:
    """Whether two declarations share a key on purpose."""
    return (
        type(one) is type(other)
        and one.declared_key is not None
        and one.declared_key == other.declared_key
        and one.identity() == other.identity()
    )


@register("via_state")
def check_settings(**_: Any) -> list[CheckMessage]:
    """E003: a setting. E004: the backend. E005: the database. And what the backend itself checks."""
    found: list[CheckMessage] = [
        Error(message, hint=hint, id="via_state.E003") for message, hint in settings.problems()
    ]
    if found:
        return found
    if settings.DATABASE not in django_settings.DATABASES:
        hint = f"Known aliases: {', '.join(django_settings.DATABASES)}."
        found.append(Error(f"VIA_STATE['DATABASE'] is {settings.DATABASE!r}.", hint=hint, id="via_state.E005"))
    try:
        backend = import_string(settings.BACKEND)
    except ImportError as error:
        hint = f"{error}. Is the extra installed? For example: pip install 'via-state[postgres]'"
        return [
            *found,
            Error(f"VIA_STATE['BACKEND'] {settings.BACKEND!r} can't be imported.", hint=hint, id="via_state.E004"),
        ]
    if not (isinstance(backend, type) and issubclass(backend, Backplane)):
        hint = "Name a subclass of via_state.backplanes.base.Backplane."
        return [
            *found,
            Error(f"VIA_STATE['BACKEND'] {settings.BACKEND!r} is no backplane.", hint=hint, id="via_state.E004"),
        ]
    return [*found, *backend.check(settings.backplane_options())]


@register("via_state")
def check_sessions(**_: Any) -> list[CheckMessage]:
    """E006: session state without sessions. W001: signed cookies can revive state that was flushed."""
    if not any(isinstance(one, StateSess) for one in registry.declarations()):
        return []
    return list(_session_problems(django_settings.MIDDLEWARE))


def _session_problems(middleware: list[str]) -> Iterator[CheckMessage]:
    if SESSION_MIDDLEWARE not in middleware:
        hint = f"Add {SESSION_MIDDLEWARE!r} to MIDDLEWARE."
        yield Error("StateSess is declared, but there are no sessions.", hint=hint, id="via_state.E006")
    elif STATE_MIDDLEWARE not in middleware and django_settings.SESSION_ENGINE.endswith("signed_cookies"):
        yield CheckWarning(
            "Sessions live in signed cookies: an old cookie can revive session state that was flushed.",
            hint=f"Add {STATE_MIDDLEWARE!r} to MIDDLEWARE, behind SessionMiddleware.",
            id="via_state.W001",
        )


@register(Tags.security, "via_state", deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    """W002: the memory backplane, where several processes are likely."""
    if settings.problems() or not settings.BACKEND.endswith(".MemoryBackplane"):
        return []
    return [
        CheckWarning(
            "The memory backplane keeps state in one process: with several, each has a state of its own, and a restart "
            "loses it.",
            hint="Set VIA_STATE['BACKEND'] to 'via_state.backplanes.postgres.PostgresBackplane', or run one process.",
            id="via_state.W002",
        )
    ]
