"""Event handlers that can't work are refused where they are declared, or by the checks; in memory they run by themselves."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.handlers.world import Cancelled, Placed, until
from tests.testing.outside import outside_of_tests
from via_state import Delivery, State, StateAppEvents, current_pod
from via_state.checks import check_handlers
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError
from via_state.handlers.execution import call


@pytest.fixture(autouse=True)
def only_declared_here() -> Iterator[None]:
    with registry.isolated():
        yield


def handle(event: object, delivery: Delivery) -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "middle"}, "Write 'first' or 'head'"),
        ({"retry": 3}, "retry=Retry"),
        ({"atomic": 1}, "True or False"),
        ({"dead_letter": "x"}, "dead_letter="),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    with pytest.raises(DeclarationError, match=said):
        Orders.log.on_event("ship", **options)(handle)


def generator(event: object, delivery: Delivery) -> Any:
    yield event


async def async_generator(event: object, delivery: Delivery) -> Any:
    yield event


class Generating:
    """Called like a function."""

    def __call__(self, event: object, delivery: Delivery) -> Any:
        yield event


def with_client(function: Any) -> Any:
    """A decorator that gives one more argument."""

    @functools.wraps(function)
    def wrapper(event: object, delivery: Delivery) -> None:
        function(event, delivery, "a client")

    return wrapper


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (generator, "generator is a generator: calling it runs nothing"),
        (async_generator, "async_generator is a generator"),
        (functools.partial(generator), "is a generator"),
        (Generating(), "is a generator"),
        (lambda event: None, r"takes \(event\), and is called with \(event, delivery\)"),
        (lambda event, delivery, client: None, "and is called with"),
        (lambda *, event, delivery: None, "and is called with"),
    ],
)
def test_a_handler_that_would_never_run_is_refused(function: Any, said: str) -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    with pytest.raises(DeclarationError, match=said):
        Orders.log.on_event("ship")(function)


@pytest.mark.parametrize("hook", [generator, lambda event, delivery: None])
def test_a_dead_letter_hook_that_would_never_run_is_refused(hook: Any) -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    with pytest.raises(DeclarationError, match=r"dead_letter= .* Remove the yield|dead_letter= .* called with"):
        Orders.log.on_event("ship", dead_letter=hook)(handle)


@pytest.mark.parametrize(
    "function",
    [
        handle,
        lambda event, delivery, more=None: None,
        lambda *arguments: None,
        functools.partial(lambda client, event, delivery: None, "a client"),
        with_client(lambda event, delivery, client: None),
        print,
    ],
)
def test_a_handler_that_can_be_called_is_taken(function: Any) -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    assert Orders.log.on_event("ship")(function) is function


def test_a_handler_that_hides_a_generator_fails() -> None:
    with pytest.raises(TypeError, match="Remove the yield"):
        call(lambda event, delivery: generator(event, delivery), None, None)


def test_names_must_be_names_and_free() -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders.{shop}")

    with pytest.raises(DeclarationError, match="give a name"):
        Orders.log.on_event("")(handle)
    with pytest.raises(DeclarationError, match="not a function"):
        Orders.log.on_event("ship")(3)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="not on one of its members"):
        Orders.log.at(shop=1).on_event("ship")
    Orders.log.on_event("ship")(handle)
    Orders.log.on_event("ship")(handle)  # a reloaded module
    with pytest.raises(DeclarationError, match="has this name already"):
        Orders.log.on_event("ship")(lambda event, delivery: None)


def test_events_of_another_log_are_found_by_a_check() -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    Orders.log.on_event("refund", Cancelled)(handle)
    (found,) = check_handlers()
    assert found.id == "via_state.E030"
    assert "Cancelled" in found.msg


def test_two_handlers_of_one_name_on_a_shared_key_are_found_by_a_check() -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    class Same(State):
        log = StateAppEvents(Placed, key="orders")

    Orders.log.on_event("ship")(handle)
    Same.log.on_event("ship")(lambda event, delivery: None)
    (found,) = check_handlers()
    assert found.id == "via_state.E031"


def test_with_the_memory_backplane_the_process_runs_its_handlers_by_itself() -> None:
    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    got: list[int] = []

    @Orders.log.on_event("ship")
    def ship(event: Placed, delivery: Delivery) -> None:
        got.append(event.number)

    with outside_of_tests(), override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.05}):
        Orders.log.append(Placed(1))
        until(lambda: got == [1])
        current_pod().drain()
        current_pod().close()


def test_a_decorator_without_parentheses_is_refused_at_once() -> None:
    with registry.isolated():

        class Shop(State):
            orders = StateAppEvents(Placed, key="orders")

        with pytest.raises(DeclarationError, match=r"Write @….on_event\('ship'\)"):

            @Shop.orders.on_event  # type: ignore[call-overload,untyped-decorator,unused-ignore]
            def ship(event: Placed, delivery: Delivery) -> None: ...
