"""Who looks at the admin, and what there is to see."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison
from via_state.models import DeadLetter, HandlerPosition


@dataclass
class Office:
    """A shop with a handler ``ship`` that fails for the orders in ``bad``, and gives those in ``poison`` up."""

    shop: Shop
    client: Client
    bad: set[int] = field(default_factory=set)
    poison: set[int] = field(default_factory=set)
    shipped: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        @self.shop.orders().on_event("ship")
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            if event.number in self.bad:
                raise RuntimeError(f"no <b>{event.number}</b>")
            if event.number in self.poison:
                raise Poison(f"{event.number} is bad")
            self.shipped.append(event.number)

    def letters(self, *numbers: int) -> list[DeadLetter]:
        """Dead letters of these orders."""
        self.poison |= set(numbers)
        worker = self.shop.work()
        self.shop.place(*numbers)
        rows = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=self.shop.world.prefix).order_by("pk")
        until(lambda: rows.count() >= len(numbers))
        self.shop.stop(worker)
        self.poison -= set(numbers)
        return list(rows)

    def stuck(self, *numbers: int) -> HandlerPosition:
        """The handler stands at the first of these, and nothing works any more."""
        self.bad |= {numbers[0]}
        worker = self.shop.work()
        self.shop.place(*numbers)
        until(lambda: HandlerPosition.objects.using(POSTGRES_ALIAS).filter(attempts__gt=0).exists())
        self.shop.stop(worker)
        return self.position()

    def position(self) -> HandlerPosition:
        return HandlerPosition.objects.using(POSTGRES_ALIAS).get(handler__prefix=self.shop.world.prefix)

    def sign_in(self, *permissions: str) -> None:
        """As somebody on the staff with these permissions only."""
        user = User.objects.create_user(f"bob{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        assert user.user_permissions.count() == len(permissions)
        self.client.force_login(user)

    def get(self, url: str) -> str:
        answer = self.client.get(url)
        assert answer.status_code == 200, (answer.status_code, url)
        return answer.content.decode()

    def act(self, model: str, action: str, *pks: int, across: bool = False) -> Any:
        """Choose an action for rows of a list."""
        data = {"action": action, "_selected_action": list(pks), "select_across": "1" if across else "0"}
        return self.client.post(changelist(model), data)

    def resolve(self, name: str, *letters: DeadLetter) -> list[str]:
        """Confirm; what was said."""
        answer = self.client.post(resolve_url(name), {"item": [one.pk for one in letters]})
        assert answer.status_code == 302
        return said(answer)


def changelist(model: str) -> str:
    return reverse(f"admin:via_state_{model}_changelist")


def change(row: Any) -> str:
    return reverse(f"admin:via_state_{row._meta.model_name}_change", args=[row.pk])


def resolve_url(name: str) -> str:
    return reverse("admin:via_state_deadletter_resolve", args=[name])


def move_url() -> str:
    return reverse("admin:via_state_handlerposition_move")


def said(answer: Any) -> list[str]:
    """The messages of this answer, not those that nobody has read yet."""
    return [str(one) for one in get_messages(answer.wsgi_request)._queued_messages]  # type: ignore[union-attr]


def items(page: str) -> list[str]:
    """The tokens that a confirmation page would send."""
    return [html.unescape(one) for one in re.findall(r'name="item" value="([^"]*)"', page)]


def entries() -> list[tuple[str, str]]:
    """What the admin's log holds, oldest first."""
    rows = LogEntry.objects.order_by("pk")
    return [(one.object_repr, one.get_change_message()) for one in rows]
