"""Whose session ended, or whose rights changed, shows in tabs at once, in every process: they are closed, or looked at again.

At most once, and never in the way of a logout or a save: what does not arrive is found when all tabs are looked at, each ``LIVE_RECHECK``.
Changes that Django sends no signal for (``QuerySet.update``, SQL) are found then, too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import HttpRequest

from via_state.declarations.registry import registry
from via_state.declarations.session_id import Flushes
from via_state.exceptions import ViaStateError
from via_state.live.announcing.announcement import End, Recheck
from via_state.live.announcing.announcer import announcer_of
from via_state.live.announcing.audience import ALL, User
from via_state.live.visitors.tokens import digest
from via_state.pod.default import current_pod, existing_pod
from via_state.pod.pod import Pod

logger = logging.getLogger("via_state.live")

#: What a save of a user may change that matters here.
_FIELDS = {"password", "is_active", "is_staff", "is_superuser"}


def watch_logins() -> None:
    """Connect to the signals of logins, users and their rights."""
    user_logged_out.connect(_logged_out, dispatch_uid="via_state.tabs_of_logout")
    user_logged_in.connect(_logged_in, dispatch_uid="via_state.tabs_of_login")
    try:
        users = get_user_model()
    except ImproperlyConfigured:
        return  # a project without users
    post_save.connect(_user_saved, sender=users, dispatch_uid="via_state.tabs_of_user")
    post_delete.connect(_user_deleted, sender=users, dispatch_uid="via_state.tabs_of_user")
    for name in ("groups", "user_permissions"):
        if through := getattr(getattr(users, name, None), "through", None):
            m2m_changed.connect(_rights_changed, sender=through, dispatch_uid=f"via_state.tabs_of_{name}")
    if apps.is_installed("django.contrib.auth"):
        through = apps.get_model("auth", "Group").permissions.through
        m2m_changed.connect(_rights_of_all_changed, sender=through, dispatch_uid="via_state.tabs_of_permissions")


def end_tabs_of(keys: Iterable[str]) -> None:
    """The sessions with these keys are over: their tabs are closed. Does not wait, and raises nothing."""
    for key in keys:
        # A process that serves pages with state has a pod; one that serves none needs no new one.
        _announce(End(digest(key)), current_pod if any(registry.definitions()) else existing_pod)


def _logged_out(*, request: HttpRequest | None = None, **_: Any) -> None:
    session: Any = getattr(request, "session", None)
    if session is not None and not Flushes.watch(session) and session.session_key:
        end_tabs_of([session.session_key])


def _logged_in(*, request: HttpRequest | None = None, **_: Any) -> None:
    """The key that the browser came with is another one now."""
    session: Any = getattr(request, "session", None)
    if request is None or session is None or Flushes.watch(session):
        return
    before = request.COOKIES.get(django_settings.SESSION_COOKIE_NAME, "")
    if before and before != session.session_key:
        end_tabs_of([before])


def _user_saved(
    *, instance: Model, created: bool, using: str, update_fields: Collection[str] | None = None, **_: Any
) -> None:
    if not created and (update_fields is None or _FIELDS & set(update_fields)):
        _recheck(instance, using)


def _user_deleted(*, instance: Model, using: str, **_: Any) -> None:
    _recheck(instance, using)


def _rights_changed(*, action: str, instance: Model, reverse: bool, using: str, **_: Any) -> None:
    if action.startswith("post_"):
        _recheck(None if reverse else instance, using)


def _rights_of_all_changed(*, action: str, using: str, **_: Any) -> None:
    if action.startswith("post_"):
        _recheck(None, using)


def _recheck(user: Model | None, using: str) -> None:
    """After the commit: one user's tabs, or all."""
    if existing_pod() is None:
        return  # a command that saves users; nobody's tabs are here
    what = Recheck(ALL if user is None else User(user))
    transaction.on_commit(partial(_announce, what, existing_pod), using=using, robust=True)


def _announce(what: End | Recheck, find: Any) -> None:
    try:
        pod: Pod | None = find()
        if pod is not None:
            pod.thread.submit(_say(pod, what))
    except Exception:
        logger.exception(
            "Tabs are not told that a session or a user changed; they are looked at within LIVE_RECHECK."
        )


async def _say(pod: Pod, what: End | Recheck) -> None:
    try:
        await announcer_of(pod).say(what)
    except ViaStateError as error:
        logger.info("Other processes may not know that a session or a user changed, until LIVE_RECHECK: %s", error)
