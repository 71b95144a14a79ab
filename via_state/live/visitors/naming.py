"""What a page calls the state that it shows: the wire key, but for what belongs to somebody.

State of the visitor's own session and user is ``~session.…`` and ``~user.…`` with the key as it was declared, so that no page says whose
it is, and what it names is found again for the visitor of the connection alone.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model

from via_state.core.specs import CellSpec, LogSpec
from via_state.declarations.accounts import account_home, split_home
from via_state.declarations.definition import Definition
from via_state.declarations.registry import registry
from via_state.declarations.session_id import home_of_session, state_ttl
from via_state.exceptions import InvalidKey, NotFollowed
from via_state.live.protocol.content import Gone, Watched
from via_state.live.visitors.tokens import Ticket
from via_state.pod import members

SESSION, USER = "~session", "~user"
#: Begins what names state of another user, of whom it tells no more than a number.
OTHER = "~@"
_NUMBER = re.compile(
    r"via\.(?:user|account\.[^.]+)\.(?:[0-9]{1,20}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\."
)


class Names:
    """Those of one visitor's pages."""

    def __init__(self, ticket: Ticket) -> None:
        self._homes: dict[str, str] = {}
        if ticket.sid:
            self._homes[SESSION] = home_of_session(ticket.sid)
        if ticket.user:
            with suppress(InvalidKey):  # the model has another primary key now
                self._homes[USER] = account_home(get_user_model(), ticket.user)

    def home(self, scope: str) -> str | None:
        """Where the visitor's state of a scope is: "session" or "user". None where they have none."""
        return self._homes.get("~" + scope)

    def of(self, key: str) -> str:
        """What a page calls a wire key. Raises `NotFollowed` for state of somebody else, whom the name would tell."""
        for name, home in self._homes.items():
            if key == home or key.startswith(home + "."):
                return name + key[len(home) :]
        if not key.startswith("via."):
            return key
        if _NUMBER.match(key):
            return OTHER + key.removeprefix("via.")
        raise NotFollowed(
            "A live block reads state of another session, or of a user whose primary key tells who they are. The page would name "
            "them. Read it outside of the block, or keep it in a StateApp."
        )

    def find(self, name: str) -> Watched:
        """The state that a page calls so. Raises `Gone` for what nothing declares. Queries nothing."""
        if name.startswith(OTHER):
            key = "via." + name.removeprefix(OTHER)
            split = split_home(key)
            return Watched(key, spec_for(declared("user", "" if split is None else split[1])))
        for known, scope in ((SESSION, "session"), (USER, "user")):
            if name != known and not name.startswith(known + "."):
                continue
            if (home := self._homes.get(known)) is None:
                raise Gone("missing")
            if name == known:  # what the owner has written at all
                return Watched(home, members.spec_of(session_ttl() if scope == "session" else None))
            rest = name.removeprefix(known + ".")
            return Watched(f"{home}.{rest}", spec_for(declared(scope, rest)))
        return Watched(name, spec_for(declared("app", name)))


def declared(scope: str, key: str) -> Definition[Any]:
    """The declaration that has this key. Raises `Gone`."""
    found: Definition[Any] | None = registry.reading(scope, key)
    if found is None:
        raise Gone("missing")
    return found


def spec_for(definition: Definition[Any]) -> LogSpec[Any] | CellSpec[Any]:
    """How its state is stored and read; cells of a session for as long as one lasts."""
    spec: LogSpec[Any] | CellSpec[Any] = definition.spec()
    if isinstance(spec, CellSpec) and definition.scope.name == "session":
        return replace(spec, ttl=session_ttl())
    return spec


def session_ttl() -> float:
    """For how many seconds state of a session is kept when no request says it."""
    return state_ttl(django_settings.SESSION_COOKIE_AGE)
