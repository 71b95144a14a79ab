"""Values of the project's data are in no line of any log, unless ``LOG_VALUES`` is set: wherever the project's code puts one into an error."""

from __future__ import annotations

import ast
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from django.test import override_settings

import via_state
from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from tests.pod import board
from tests.pod.board import Board, Fragile
from via_state import Delivery, Poison, logs, telemetry
from via_state.core import text
from via_state.exceptions import BackplaneUnavailable, EventRefused, KeyHalted, ValueRefused
from via_state.models import DeadLetter
from via_state.pod.default import use_pod
from via_state.testing import pods

SECRET = "4111 1111 1111 1111"
ROOT = Path(via_state.__file__).parent


class Book:
    """All that the loggers of via_state say, at every level, as two formatters write it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def said(self) -> str:
        ours = [one for one in self._caplog.records if one.name.partition(".")[0] == "via_state"]
        plain = logging.Formatter("%(message)s")
        return "\n".join(f"{plain.format(one)} {vars(one)}" for one in ours)


@pytest.fixture
def book(caplog: pytest.LogCaptureFixture) -> Book:
    for name in logs.LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    return Book(caplog)


@pytest.fixture(params=["memory", "postgres"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    if request.param == "postgres":
        request.getfixturevalue("postgres")
        request.getfixturevalue("transactional_db")
    with shop_of(request.param) as made, use_pod(made.pod):
        yield made


def chained() -> Exception:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ConnectionError(f"POST /pay?card={SECRET}") from error
    except ConnectionError as error:
        found = ExceptionGroup(SECRET, [error, ValueError(SECRET)])
    found.add_note(SECRET)
    return found


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
@pytest.mark.parametrize(
    "error",
    [lambda: ValueError(SECRET), lambda: Poison(SECRET), chained],
    ids=["value", "poison", "chained"],
)
def test_what_handlers_and_their_hooks_raise(shop: Shop, book: Book, error: Callable[[], Exception]) -> None:
    tried: list[int] = []

    def hook(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        tried.append(1)
        raise RuntimeError(SECRET)

    @shop.orders().on_event("ship", dead_letter=hook)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        tried.append(1)
        raise error()

    shop.place(1)
    worker = shop.work()
    until(lambda: len(tried) > 4)
    shop.stop(worker)
    assert "ship" in book.said
    assert SECRET not in book.said


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
def test_a_dead_letter_has_what_its_line_has_not(postgres: object, book: Book) -> None:
    with shop_of("postgres") as shop:

        @shop.orders().on_event("ship")
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            raise Poison(SECRET)

        shop.place(1)
        worker = shop.work()
        letters = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
        until(letters.exists)
        shop.stop(worker)
        assert SECRET in letters.get().error
        assert SECRET in letters.get().traceback
        assert "gave up on 'orders'" in book.said
        assert "Poison (LOG_VALUES shows its text)" in book.said
        assert SECRET not in book.said


def test_what_a_fold_raises_and_whoever_meets_the_halt(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    board.healed.clear()

    def fold(self: Fragile, total: int) -> int:
        raise ValueError(SECRET)

    monkeypatch.setattr(Fragile, "fold", fold)
    with pods(1) as (pod,):
        fragile = Board.fragile.using(pod)
        fragile.append(Fragile(-1), wait=False)
        wait_until(lambda: fragile.status().halted is not None, "the halt")
        with pytest.raises(KeyHalted, match=SECRET) as raised:  # whoever asks for it is told
            fragile.read()
        logging.getLogger("via_state.live").error("A block failed: %s", raised.value, exc_info=raised.value)
    assert "'tests.fragile' is halted: Fragile.fold raised ValueError (record " in book.said
    assert "fold(self" not in book.said
    assert "raise ValueError(SECRET)" in book.said  # the line of code
    assert SECRET not in book.said


def test_what_events_cells_subscribers_and_hooks_have_in_them(book: Book) -> None:
    with pods(1) as (pod,):
        with pytest.raises(EventRefused):
            Board.numbers.using(pod).append(SECRET)  # type: ignore[arg-type]
        with pytest.raises(ValueRefused):
            Board.hits.using(pod).update(lambda value: SECRET)  # type: ignore[arg-type, return-value]

        @telemetry.EpochReset.subscribe
        def broken(event: telemetry.EpochReset) -> None:
            raise RuntimeError(SECRET)

        telemetry.EpochReset("a", "a").emit()
    assert "A subscriber of EpochReset raised" in book.said
    assert SECRET not in book.said


def database_error(connection: Any) -> Exception:
    atomic = transaction.atomic(using=POSTGRES_ALIAS)
    with pytest.raises(IntegrityError) as raised, atomic, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE cards (number text PRIMARY KEY) ON COMMIT DROP")
        for _ in range(2):
            cursor.execute("INSERT INTO cards VALUES (%s)", [SECRET])
    return raised.value


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_an_error_of_the_database_names_the_constraint_and_no_row(postgres: object) -> None:
    error = database_error(connections[POSTGRES_ALIAS])
    assert SECRET in str(error)
    assert logs.plain(error) == 'duplicate key value violates unique constraint "cards_pkey"'
    with pytest.raises(DataError) as raised, connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT %s::int", [SECRET])
    assert SECRET in str(raised.value)
    assert SECRET not in logs.plain(raised.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OperationalError("connection refused\nIs the server running?"), "connection refused"),
        (psycopg.OperationalError("the server closed the connection"), "the server closed the connection"),
        (sqlite3.OperationalError("database is locked"), "database is locked"),
        (ConnectionRefusedError(111, SECRET), "Connection refused"),
        (BackplaneUnavailable("The backplane is away."), "The backplane is away."),
        (TimeoutError(), "TimeoutError"),
        (msgspec.ValidationError(SECRET), "ValidationError (LOG_VALUES shows its text)"),
        (ConnectionError(SECRET), "ConnectionError (LOG_VALUES shows its text)"),
    ],
)
def test_errors_of_servers_and_of_ours_keep_their_text(error: Exception, said: str) -> None:
    assert logs.plain(error) == said


def test_a_subclass_that_the_project_made_is_the_projects() -> None:
    class Declined(BackplaneUnavailable):
        pass

    assert logs.plain(Declined(SECRET)) == "Declined (LOG_VALUES shows its text)"


def test_with_the_setting_lines_and_tracebacks_have_all_of_it(book: Book, settings: Any) -> None:
    settings.VIA_STATE = {**django_settings.VIA_STATE, "LOG_VALUES": True}
    logger = logging.getLogger("via_state.pod")
    logger.error("It failed: %s", chained(), exc_info=chained())
    assert book.said.count(SECRET) > 4


@pytest.mark.parametrize(
    ("debug", "value", "shown"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_what_debug_says_is_so_where_the_setting_is_left_out(debug: bool, value: bool | None, shown: bool) -> None:
    with override_settings(DEBUG=debug, VIA_STATE={"LOG_VALUES": value}):
        assert text.show_values() is shown


def test_what_is_no_switch_is_refused_by_a_check() -> None:
    with override_settings(VIA_STATE={"LOG_VALUES": "no"}):
        assert any("VIA_STATE['LOG_VALUES'] is 'no'." in str(one) for one in run_checks())


def test_an_error_goes_to_the_log_as_an_error() -> None:
    """And not as a text that was made of it, of which nobody could tell whether a value is in it."""
    for source in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).lstrip("_self.").startswith("logger."):
                for argument in node.args[1:]:
                    made = ast.unparse(argument)
                    assert not isinstance(argument, ast.JoinedStr), f"{source}: {made}"
                    assert not made.startswith(("str(", "repr(", "error_line(", "error_trace(")), (
                        f"{source}: {made}"
                    )
