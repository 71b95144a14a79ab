"""System checks: what each one says, and that using the state says the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import registry
from django.test import override_settings

from tests.declarations.events import AddItem, Mute, Tick
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser
from via_state.backplanes.memory import MemoryBackplane
from via_state.exceptions import DeclarationError

if TYPE_CHECKING:
    from decimal import Decimal as Amount

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "via_state.middleware.SessionStateMiddleware",
]


def found(**options: Any) -> list[CheckMessage]:
    return run_checks(tags=["via_state"], **options)


def ids(**options: Any) -> list[str | None]:
    return [message.id for message in found(**options)]


class Opaque:
    """What msgspec can't decode."""


@dataclass
class Holder:
    parts: list[dict[str, Opaque]]

    def fold(self, count: int) -> int:
        return count


class NotRecord:
    def fold(self, count: int) -> int:
        return count


@dataclass
class Unannotated:
    def fold(self, count):  # type: ignore[no-untyped-def]
        return count


@dataclass
class Unresolvable:
    def fold(self, total: Amount) -> Amount:
        return total


@dataclass
class NoParameter:
    def fold(self) -> int:
        return 0


@dataclass
class Named:
    event_name = "Tick"

    def fold(self, count: int) -> int:
        return count


@dataclass
class Nameless:
    event_name = ""

    def fold(self, count: int) -> int:
        return count


@dataclass
class Optional:
    def fold(self, best: int | None) -> int | None:
        return best


class NeedsArguments:
    def __init__(self, one: int) -> None: ...


def anything(*arguments: Any, **options: Any) -> Any:
    """A declaration that type checkers refuse."""
    return cast(Any, StateAppEvents)(*arguments, **options)


def anyvalue(*arguments: Any, **options: Any) -> Any:
    """A declaration that type checkers refuse."""
    return cast(Any, StateApp)(*arguments, **options)


@pytest.mark.parametrize(
    ("declare", "check", "message"),
    [
        (lambda: StateApp(int, key="a..b"), "E002", "an empty word"),
        (lambda: anything(), "E003", "no events"),
        (lambda: anything(NotRecord), "E003", "NotRecord can't be an event. Declare it as a dataclass"),
        (lambda: anything("AddItem"), "E003", "AddItem"),
        (lambda: anything(Mute), "E004", "The event Mute has no fold. Write: def fold"),
        (lambda: StateAppEvents(Unannotated), "E005", "Annotate its first parameter after self, 'count'"),
        (
            lambda: StateAppEvents(Unresolvable),
            "E005",
            "name 'Amount' is not defined. Import the type at run time",
        ),
        (lambda: anything(NoParameter), "E005", "does not take a value"),
        (lambda: anyvalue(), "E005", r"no value type. Write StateApp\(str\), or StateApp\[int"),
        (lambda: anyvalue(default=3), "E005", "no value type"),
        (lambda: anything(Tick, AddItem), "E006", "Tick folds <class 'int'> and AddItem folds list"),
        (lambda: StateAppEvents(Optional), "E007", "not a class to call. Give default=None"),
        (lambda: anyvalue(int | None), "E007", "not a class to call. Give default=None"),
        (lambda: StateAppEvents(Tick, value=NeedsArguments), "E007", r"NeedsArguments\(\) raised TypeError"),
        (lambda: StateApp(int, default=lambda: 1 // 0), "E007", "the default raised ZeroDivisionError"),
        (lambda: anyvalue(int, default="x"), "E007", "initial value 'x' is not of the type <class 'int'>"),
        (lambda: StateApp(Opaque), "E008", "can't be stored: it holds a <class 'tests"),
        (lambda: StateApp(dict[str, list[Opaque]]), "E008", "can't be stored: it holds a <class 'tests"),
        (lambda: anyvalue(list[int] | set[int], default=list), "E008", "can't be stored: Type unions may not"),
        (lambda: StateAppEvents(Holder), "E008", "The event Holder can't be stored"),
        (lambda: StateAppEvents(Tick, Named), "E009", "'Tick' is claimed by"),
        (lambda: StateAppEvents(Nameless), "E009", "event_name"),
        (lambda: StateAppEvents(Tick, retired=("Tick",)), "E009", "retired"),
        (lambda: StateAppEvents(Tick, retired="Old"), "E009", "Give a tuple of stored event names"),
    ],
)
def test_a_declaration_that_cannot_work_is_reported_and_refused(
    declare: Callable[[], Any], check: str, message: str
) -> None:
    state = type("Bad", (State,), {"__module__": __name__, "field": declare()})

    (problem,) = found()
    assert problem.id == f"via_state.{check}"
    assert problem.hint
    assert str(problem.obj) == "tests.Bad.field"
    with pytest.raises(DeclarationError, match=message) as refused:
        cast(Any, state).field.read()
    assert str(refused.value) == f"{problem.obj}: {problem.msg} {problem.hint}"


def test_an_unresolvable_annotation_does_not_matter_when_the_type_is_written() -> None:
    class Feed(State):
        total = StateAppEvents(Unresolvable, value=float)

    assert found() == []
    assert Feed.total.read() == 0.0


def test_types_may_be_defined_after_the_declaration() -> None:
    class Feed(State):
        later = StateAppEvents(UsesLater)

    assert found() == []
    assert Feed.later.read() == Later()


@dataclass
class UsesLater:
    def fold(self, later: Later) -> Later:
        return later


@dataclass
class Later:
    count: int = 0


def test_sound_declarations_pass() -> None:
    class Feed(State):
        items = StateAppEvents(AddItem)
        banner = StateApp(str)

    assert found() == []


@pytest.mark.parametrize(
    ("setting", "message", "hint"),
    [
        ([], "not a dictionary", "VIA_STATE = "),
        ({"BACKND": "x"}, "BACKND", "Did you mean 'BACKEND'"),
        ({"READ_TIMEOUT": "soon"}, "READ_TIMEOUT", "seconds"),
        ({"RECONCILE_INTERVAL": -1}, "RECONCILE_INTERVAL", "seconds"),
        ({"OPTIONS": []}, "OPTIONS", "dictionary"),
        ({"PREFIX": ""}, "PREFIX", "string"),
        ({"DOCS_URL": "docs"}, "DOCS_URL", "make docs"),
        ({"UVLOOP": "yes"}, "UVLOOP", "True or False"),
    ],
)
def test_a_bad_setting_is_reported(setting: Any, message: str, hint: str) -> None:
    with override_settings(VIA_STATE=setting):
        (problem,) = found()
    assert problem.id == "via_state.E010"
    assert message in problem.msg
    assert hint in str(problem.hint)


BARE = """
import sys
sys.modules.update(psycopg=None, nats=None)  # as if they were not installed
import django
from django.conf import settings
from django.core.checks import run_checks
settings.configure(INSTALLED_APPS=["via_state"])
django.setup()
for path in sys.argv[1:]:
    settings.VIA_STATE = {"BACKEND": path}
    [problem] = run_checks(tags=["via_state"])
    print(problem.id, problem.hint)
"""


def test_a_backend_that_can_not_be_imported_says_what_to_install() -> None:
    packages = "via_state.backplanes.postgres", "via_state.backplanes.nats"
    paths = [
        f"{packages[0]}.PostgresBackplane",
        f"{packages[1]}.NatsBackplane",
        f"{packages[1]}.Nats",
        "shop.Plane",
    ]
    command = [sys.executable, "-c", BARE, *paths]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [one.partition(": ")[2] for one in said[:2]] == [
        "pip install 'via-state[postgres]'",
        "pip install 'via-state[nats]'",
    ]
    assert all("E011 Check the path. Those of via_state are" in one for one in said[2:])


class CheckedBackplane(MemoryBackplane):
    @classmethod
    def check(cls, options: Any) -> list[CheckMessage]:
        return [CheckMessage(40, f"it saw {options['COLOUR']} and {options['DATABASE']}", id="adapter.E001")]


@pytest.mark.parametrize(
    "path", ["nowhere.Backplane", "django.Backplane", "x", "via_state.State", "via_state.conf"]
)
def test_a_backend_that_is_no_backplane_is_reported(path: str) -> None:
    with override_settings(VIA_STATE={"BACKEND": path}):
        (problem,) = found()
        assert problem.id == "via_state.E011"
        assert problem.hint
        assert found(include_deployment_checks=True) == [problem]


def test_the_backend_checks_its_own_options() -> None:
    path = f"{__name__}.CheckedBackplane"
    with override_settings(VIA_STATE={"BACKEND": path, "OPTIONS": {"COLOUR": "red"}}):
        assert [(problem.id, problem.msg) for problem in found()] == [("adapter.E001", "it saw red and default")]


def test_an_unknown_database_is_reported() -> None:
    with override_settings(VIA_STATE={"DATABASE": "elsewhere"}):
        (problem,) = found()
    assert problem.id == "via_state.E012"
    assert "default" in str(problem.hint)
    backend = "via_state.backplanes.postgres.PostgresBackplane"
    with override_settings(VIA_STATE={"BACKEND": backend, "DATABASE": "elsewhere"}):
        assert [one.id for one in found() if "elsewhere" in one.msg] == ["via_state.E012"]


def test_an_engine_that_changes_schemas_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As django-tenants' does."""
    tenants = {"ENGINE": "tests.declarations.tenant_engine", "NAME": "x"}
    monkeypatch.setitem(django_settings.DATABASES, "tenants", tenants)
    shared = "via_state.backplanes.nats.NatsBackplane"
    with override_settings(VIA_STATE={"BACKEND": shared}):
        assert ids() == []
    with override_settings(VIA_STATE={"BACKEND": shared, "DATABASE": "tenants"}):
        (problem,) = found()
    assert problem.id == "via_state.E026"
    assert "tests.declarations.tenant_engine" in problem.msg
    assert "PREFIX" in str(problem.hint)

    class Site(State):
        theme = StateUser(str)

    with override_settings(VIA_STATE={"BACKEND": shared}):
        (problem,) = found()
    assert problem.id == "via_state.E027"
    monkeypatch.setitem(tenants, "ENGINE", "no.such.engine")
    assert ids() == []


def test_session_state_needs_sessions() -> None:
    with override_settings(MIDDLEWARE=[]):
        assert ids() == []

        class Site(State):
            profile = StateSess(str)

        assert ids() == ["via_state.E013"]
    with override_settings(MIDDLEWARE=MIDDLEWARE[::-1]):
        assert ids() == ["via_state.E013"]
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        assert ids() == []


def test_session_state_in_signed_cookies_is_refused() -> None:
    with override_settings(
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies", MIDDLEWARE=MIDDLEWARE
    ):
        assert ids() == []

        class Site(State):
            profile = StateSess(str)

        (problem,) = found()
        assert problem.id == "via_state.E040"
        assert "SESSION_ENGINE" in str(problem.hint)
    for engine in ("db", "cache", "cached_db", "file"):
        with override_settings(
            SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", MIDDLEWARE=MIDDLEWARE[:1]
        ):
            assert ids() == []


class SharedBackplane(MemoryBackplane):
    shared = True


def test_a_deployment_with_state_in_one_process_is_warned_of() -> None:
    assert ids(include_deployment_checks=True) == ["via_state.W002"]
    with override_settings(VIA_STATE={"BACKEND": f"{__name__}.SharedBackplane"}):
        assert ids(include_deployment_checks=True) == []


def test_our_tag_asks_no_database() -> None:
    """From Django 6.1 on, ``check --tag via_state`` names all databases. pytest-django lets nobody ask one here."""
    run_checks(tags=["via_state"], databases=list(django_settings.DATABASES))


def test_hints_end_with_the_address_of_the_documentation_where_that_is_known() -> None:
    wrong = {"BACKEND": "nowhere.Backplane"}
    with override_settings(VIA_STATE={**wrong, "DOCS_URL": "https://docs.example.com/state/"}):
        (problem,) = found()
    assert str(problem.hint).endswith(" See https://docs.example.com/state/reference.html#via_state.E011")
    with override_settings(VIA_STATE=wrong):
        (problem,) = found()
    assert "See" not in str(problem.hint)


def test_every_check_of_ours_is_registered_where_hints_get_their_address() -> None:
    ours = [
        one
        for one in registry.get_checks(include_deployment_checks=True)
        if one.__module__.startswith("via_state.")
    ]
    assert len(ours) > 8
    assert all(hasattr(one, "__wrapped__") for one in ours)
