"""Where a user's state is kept: the same place for every object that stands for the same account, and for no other one.

The account is the row of the model at the root of multi-table inheritance; a proxy's is that of its concrete model. Accounts of
``AUTH_USER_MODEL`` go by their primary key, those of other models by their model and primary key, each as Django's own
sessions store it.
"""

from __future__ import annotations

from hashlib import blake2b
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model

from via_state.conf import settings
from via_state.declarations.keys import escape
from via_state.exceptions import InvalidKey, UserRequired

if TYPE_CHECKING:
    from via_state.declarations.owners import User

MAX_HOME = 110  # characters, so that the longest key of a family still fits


def home_of(user: User | None) -> str | None:
    """Where the state of a user is; None for a visitor who is nobody, or was never saved. Raises `UserRequired`, `InvalidKey`."""
    if user is None or not user.is_authenticated:
        return None
    if isinstance(user, Model):
        model = root_model(type(user))
        pk = getattr(user, model._meta.pk.attname)
    elif settings.TOKEN_USERS:
        model, pk = root_model(get_user_model()), user.pk
    else:
        kind = type(user)
        raise UserRequired(
            f"A {kind.__module__}.{kind.__qualname__} is of no model: its pk may be that of an account of another site. Bind the "
            f"account itself, or, where every such pk is a primary key of {get_user_model()._meta.label}, say "
            "VIA_STATE['TOKEN_USERS'] = True."
        )
    return None if pk is None else account_home(model, pk)


def account_home(model: type[Model], pk: Any) -> str:
    """Where the state of the account with this primary key is. Raises `InvalidKey` for what is no primary key of the model."""
    model = root_model(model)
    column = model._meta.pk
    try:
        # As Django's sessions do: by way of the text, so that "7" and 7, or two spellings of a UUID, are one account.
        text = column.value_to_string(SimpleNamespace(**{column.attname: column.to_python(pk)}))  # type: ignore[arg-type]
    except (ValidationError, ValueError, TypeError):
        raise InvalidKey(f"{pk!r:.80} is not a primary key of {model._meta.label}.") from None
    if model is root_model(get_user_model()):
        home, name = "via.user", escape(str(text))
    else:
        home, name = "via.account", f"{escape(model._meta.label_lower)}.{escape(str(text))}"
    if len(name) > MAX_HOME - len(home):
        name = "~~" + blake2b(name.encode(), digest_size=20).hexdigest()  # no escaped text begins like that
    return f"{home}.{name}"


def root_model(model: type[Model]) -> type[Model]:
    """The model whose row is the account."""
    users = get_user_model()
    found: Any = users if issubclass(model, users) else model._meta.concrete_model
    for parent, link in found._meta.parents.items():
        if link is not None:
            return root_model(parent)
    return found  # type: ignore[no-any-return]
