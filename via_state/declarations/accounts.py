"""Where a user's state is kept: the same place for every object that stands for the same account, and for no other one.

The account is the row of the model at the root of multi-table inheritance; a proxy's is that of its concrete model. Accounts of
``AUTH_USER_MODEL`` go by their primary key, those of other models by their model and primary key, each as Django's own
sessions store it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model

from via_state.conf import settings
from via_state.declarations.keys import escape, unescape
from via_state.exceptions import InvalidKey, UserRequired

if TYPE_CHECKING:
    from via_state.declarations.owners import User

MAX_HOME = 110  # characters, so that the longest key of a family still fits


def home_of(user: User | None) -> str | None:
    """Where the state of a user is; None for a visitor who is nobody, or was never saved. Raises `UserRequired`, `InvalidKey`."""
    if user is None or not user.is_authenticated:
        return None
    users = get_user_model()
    if isinstance(user, Model):
        table = _table_of(type(user), users)
        pk = getattr(user, table.pk.attname)
    elif settings.TOKEN_USERS:
        table, pk = _table_of(users, users), user.pk
    else:
        kind = type(user)
        raise UserRequired(
            f"A {kind.__module__}.{kind.__qualname__} is of no model: its pk may be that of an account of another site. Bind the "
            f"account itself, or, where every such pk is a primary key of {users._meta.label}, say "
            "VIA_STATE['TOKEN_USERS'] = True."
        )
    return None if pk is None else table.home(pk)


def account_home(model: type[Model], pk: Any) -> str:
    """Where the state of the account with this primary key is. Raises `InvalidKey` for what is not a primary key of the model."""
    return _table_of(model, get_user_model()).home(pk)


def split_home(key: str) -> tuple[Mapping[str, str], str] | None:
    """The key of user state as the parameters that name the account, as text, and the rest; None for another key.

    A name that was too long to be stored is given as the hash that stands for it.
    """
    words = key.split(".", 4)
    if words[:2] == ["via", "user"] and len(words) > 3:
        return {"user": _shown(words[2])}, key.split(".", 3)[3]
    if words[:2] == ["via", "account"] and len(words) > 4:
        return {"user": _shown(words[3]), "model": _shown(words[2])}, words[4]
    return None


def _shown(word: str) -> str:
    try:
        return unescape(word)
    except ValueError:
        return word


class _Table:
    """A model whose rows are accounts. Their homes are in ``room``; ``label`` begins their names there."""

    def __init__(self, model: type[Model], room: str, label: str = "") -> None:
        self.model, self.room, self.label = model, room, label
        self.pk = model._meta.pk

    def home(self, pk: Any) -> str:
        """Where the state of one row is. Raises `InvalidKey`."""
        column = self.pk
        try:
            # As Django's sessions do: by way of the text, so that "7" and 7, or two spellings of a UUID, are one account.
            text = column.value_to_string(SimpleNamespace(**{column.attname: column.to_python(pk)}))  # type: ignore[arg-type]
        except (ValidationError, ValueError, TypeError):
            raise InvalidKey(f"{pk!r:.80} is not a primary key of {self.model._meta.label}.") from None
        name = self.label + escape(str(text))
        if len(name) > MAX_HOME - len(self.room):
            name = "~~" + blake2b(name.encode(), digest_size=20).hexdigest()  # no escaped text begins like that
        return f"{self.room}.{name}"


@lru_cache(maxsize=64)
def _table_of(model: type[Model], users: type[Model]) -> _Table:
    root = root_model(model)
    if root is root_model(users):
        return _Table(root, "via.user")
    return _Table(root, "via.account", f"{escape(root._meta.label_lower)}.")


def root_model(model: type[Model]) -> type[Model]:
    """The model whose row is the account."""
    users = get_user_model()
    found: Any = users if issubclass(model, users) else model._meta.concrete_model
    for parent, link in found._meta.parents.items():
        if link is not None:
            return root_model(parent)
    return found  # type: ignore[no-any-return]
