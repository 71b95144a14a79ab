"""Whose state it is: one place for every object that stands for an account, and another one for every other account."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.signals import post_delete
from django.test import override_settings
from django.test.utils import isolate_apps
from rest_framework_simplejwt.models import TokenUser
from rest_framework_simplejwt.tokens import AccessToken

from via_state import State, StateUser
from via_state.backplanes.base import MAX_KEY
from via_state.declarations import accounts
from via_state.declarations.accounts import MAX_HOME, home_of
from via_state.declarations.keys import MAX_MEMBER
from via_state.declarations.owner_end import erase_on_delete
from via_state.declarations.registry import registry
from via_state.exceptions import InvalidKey, UserRequired


class Ulid:
    """A primary key that is an object, as those of ULIDs and of MongoDB are."""

    def __init__(self, text: str) -> None:
        if len(text) != 6:
            raise ValueError(text)
        self.text = text

    def __str__(self) -> str:
        return self.text.upper()


class UlidField(models.CharField):  # type: ignore[type-arg]
    def to_python(self, value: Any) -> Any:
        try:
            return value if value is None or isinstance(value, Ulid) else Ulid(value)
        except ValueError as error:
            raise ValidationError("no ULID") from error


with isolate_apps("tests"):

    class Customer(AbstractBaseUser):
        """A second user class, beside AUTH_USER_MODEL."""

        class Meta:
            app_label = "shop"

    class Uuid(AbstractBaseUser):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)

        class Meta:
            app_label = "shop"

    class Text(AbstractBaseUser):
        email = models.CharField(primary_key=True, max_length=300)

        class Meta:
            app_label = "shop"

    class Object(AbstractBaseUser):
        id = UlidField(primary_key=True, max_length=6)

        class Meta:
            app_label = "shop"

    class ProxyOfUser(User):
        class Meta:
            app_label = "shop"
            proxy = True

    class Employee(User):
        class Meta:
            app_label = "shop"

    class Manager(Employee):
        class Meta:
            app_label = "shop"

    class Contractor(Customer):
        class Meta:
            app_label = "shop"

    class Profile(models.Model):
        note = models.TextField(primary_key=True)

        class Meta:
            app_label = "shop"

        def __str__(self) -> str:
            return self.note

    class Freelancer(Profile, User):
        class Meta:
            app_label = "shop"

        def __str__(self) -> str:
            return self.note

    class AgentOfContractor(Contractor):
        class Meta:
            app_label = "shop"
            proxy = True


def test_accounts_of_the_user_model_go_by_their_primary_key() -> None:
    assert home_of(User(pk=7)) == "via.user.7"


@pytest.mark.parametrize(
    "other",
    [
        User(pk="7"),
        ProxyOfUser(pk=7),
        Employee(id=7, user_ptr_id=7),
        Manager(id=7, user_ptr_id=7, employee_ptr_id=7),
        Freelancer(id=7, user_ptr_id=7, note="x"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_one_account_has_one_home(other: Any) -> None:
    assert home_of(other) == home_of(User(pk=7))


def test_classes_that_share_a_table_share_the_home() -> None:
    """Whatever the AUTH_USER_MODEL is."""
    home = home_of(Customer(pk=7))
    assert home == "via.account.shop~2Ecustomer.7"
    for one in (Contractor(id=7, customer_ptr_id=7), AgentOfContractor(id=7, customer_ptr_id=7)):
        assert home_of(one) == home


def test_a_user_model_that_inherits_a_table_is_its_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "get_user_model", lambda: Contractor)
    assert home_of(Contractor(id=7, customer_ptr_id=7)) == home_of(Customer(pk=7)) == "via.user.7"


def test_two_user_classes_share_nothing() -> None:
    class Shop(State):
        theme = StateUser(str, key="accounts.theme")

    people = [User(pk=7), Customer(pk=7), Text(email="7")]
    for person in people:
        Shop(person).theme.set(type(person).__name__)
    assert [Shop(person).theme.read() for person in people] == ["User", "Customer", "Text"]


def test_what_is_stored_for_a_primary_key_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    pk = uuid.UUID(int=5)
    assert home_of(Uuid(id=pk)) == home_of(Uuid(id=str(pk))) == home_of(Uuid(id=pk.hex))
    assert home_of(Object(id=Ulid("abcdef"))) == home_of(Object(id="abcdef")) == "via.account.shop~2Eobject.ABCDEF"
    monkeypatch.setattr(accounts, "get_user_model", lambda: Object)
    assert home_of(Object(id=Ulid("abcdef"))) == "via.user.ABCDEF"


def test_no_two_primary_keys_share_a_home() -> None:
    texts = [
        "a",
        "a.b",
        "a~2Eb",
        "A",
        "",
        "ä",
        "~",
        "7",
        "7.theme",
        "x" * 100,
        "x" * 101,
        "." * 100,
        "x" * 300,
        "x" * 299 + "y",
    ]
    homes = [home_of(Text(email=text)) for text in texts] + [home_of(User(pk=7)), home_of(Customer(pk=7))]
    assert len(set(homes)) == len(homes)
    for one, other in itertools.permutations([str(home) for home in homes], 2):
        assert not other.startswith(f"{one}.")
    for home in homes:
        assert len(str(home)) <= MAX_HOME
    assert MAX_HOME + 1 + MAX_MEMBER <= MAX_KEY


@pytest.mark.parametrize(
    "nobody", [None, AnonymousUser(), User(), Customer()], ids=["None", "anonymous", "new", "other"]
)
def test_nobody_has_no_home(nobody: Any) -> None:
    assert home_of(nobody) is None


def token_user(claim: object) -> Any:
    token = AccessToken()
    token["user_id"] = claim
    return TokenUser(token)


class Site(State):
    theme = StateUser(str, key="accounts.site.theme")


def test_a_users_token_is_refused_unless_the_project_says_whose_it_is() -> None:
    for verb in (
        lambda: Site(token_user("7")).theme.read(),
        lambda: Site({"user": token_user("7")}).theme.set("x"),
    ):
        with pytest.raises(UserRequired, match=r"tests\.Site\.theme: .*TokenUser is of no model.*TOKEN_USERS"):
            verb()


def test_a_users_token_is_the_account_where_the_project_says_so() -> None:
    with override_settings(VIA_STATE={"TOKEN_USERS": True}):
        assert home_of(token_user("7")) == home_of(token_user(7)) == "via.user.7"
        assert home_of(token_user(None)) is None
        for claim in ("ann", "7.0", ["7"], "1" * 5000):
            with pytest.raises(InvalidKey, match=r"is not a primary key of auth\.User"):
                home_of(token_user(claim))


def test_a_model_without_users_is_no_owner() -> None:
    from via_state.exceptions import NotBound

    with pytest.raises(NotBound):
        Site(Group(pk=7))  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_the_deletion_of_a_roots_row_is_what_erases() -> None:
    """Of tables that inherit one another, Django deletes the root's row as well, unless it is told to keep it."""
    registry.add(Site, [Site.theme.definition])
    ann = User.objects.create(pk=7, username="ann")
    kept: list[Any] = [Employee(id=7, user_ptr_id=7), Customer(pk=7)]
    erased: list[Any] = [User(pk=7), ProxyOfUser(pk=7)]
    for one in [*kept, *erased]:
        Site(ann).theme.set("dark")
        erase_on_delete(sender=type(one), instance=one, using="default")
        assert Site(ann).theme.read() == ("" if any(one is other for other in erased) else "dark")


@pytest.mark.django_db(transaction=True)
def test_what_does_not_concern_users_keeps_its_fast_deletions() -> None:
    assert post_delete.has_listeners(User)
    assert not post_delete.has_listeners(Group)
