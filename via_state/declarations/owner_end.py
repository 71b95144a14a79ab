"""A user's state goes with the user."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import post_delete

from via_state import telemetry
from via_state.conf import settings
from via_state.declarations.accounts import account_home, root_model
from via_state.declarations.registry import registry
from via_state.declarations.user_scope import USER
from via_state.pod.default import current_pod

logger = logging.getLogger("via_state.erasures")


def watch_deletions() -> None:
    """Connect to the models of users alone: a receiver for all would take Django's fast deletions from every model."""
    users = [model for model in apps.get_models() if hasattr(model, "is_authenticated")]
    for model in {*users, *map(root_model, users)}:
        post_delete.connect(erase_on_delete, sender=model, dispatch_uid="via_state.erase_on_delete")


def erase_on_delete(*, sender: type[Model], instance: Model, using: str, **_: Any) -> None:
    """Receiver of ``post_delete``. Prevents no deletion."""
    try:
        root = root_model(sender)
        # Where tables inherit one another, Django deletes the root's row as well, and says so; or is told to keep it.
        if not settings.ERASE_ON_DELETE or sender._meta.concrete_model is not root:
            return
        keys, families = user_keys()
        if keys or families:
            home = account_home(root, getattr(instance, root._meta.pk.attname))
            current_pod().erasures.ask(home, keys, using)
    except Exception:
        telemetry.ErasureFailed().emit()
        logger.exception(
            "The state of a deleted %s is not erased. See manage.py forget_owner.", sender._meta.label
        )


def user_keys() -> tuple[list[str], bool]:
    """The keys that one user may have, and whether there are families beside them."""
    found, families = set(), False
    for definition in registry.definitions():
        if definition.scope is USER and definition.problem() is None:
            template = definition.template()
            families = families or template.family
            if not template.family:
                found.add(template.text)
    return sorted(found), families
