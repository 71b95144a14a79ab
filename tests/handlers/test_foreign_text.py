"""What a visitor typed comes back in an error: it forges no line of a log, and reaches no terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import models

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison
from via_state.models import DeadLetter, HandlerPosition, HandlerWorker
from via_state.pod.default import use_pod

HOSTILE = "typed\nCRITICAL forged: root logged in\r\n\x1b[2J\x1b]0;owned\x07\x9b8m\u202etxt.exe\x00\ud800"
#: How it shows.
SHOWN = r"typed\nCRITICAL forged: root logged in\r\n\x1b[2J\x1b]0;owned\x07\x9b8m\u202etxt.exe\x00\ud800"


@pytest.fixture
def site(durable_shop: Shop) -> Iterator[Shop]:
    with use_pod(durable_shop.pod):
        yield durable_shop


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str) -> str:
    """What a terminal is sent, colours and progress included."""
    screen = Terminal()
    with suppress(SystemExit):
        call_command(*arguments, stdout=screen, stderr=screen, force_color=True)
    return screen.getvalue()


def harmless(text: str) -> bool:
    """No line is forged, and the escape sequences are ours: colours that end, and the one that clears a line."""
    lines = text.split("\n")
    for ours in ("\x1b[31;1m", "\x1b[33;1m", "\x1b[32;1m", "\x1b[36;1m", "\x1b[0m", "\r\x1b[K"):
        text = text.replace(ours, "")
    return text.replace("\n", "").isprintable() and not any(line.startswith("CRITICAL") for line in lines)


def test_errors_of_handlers_in_logs_rows_and_commands(
    site: Shop, caplog: pytest.LogCaptureFixture, log_values: None
) -> None:
    @site.orders().on_event("ship", dead_letter=lambda event, delivery, error: None)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise Poison(HOSTILE) if event.number == 1 else ValueError(HOSTILE)

    caplog.set_level(logging.DEBUG, "via_state.handlers")
    caplog.handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    worker = site.work()
    site.place(1, 2)
    letters = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix)
    positions = HandlerPosition.objects.using(POSTGRES_ALIAS).filter(handler__prefix=site.world.prefix)
    until(lambda: letters.exists() and positions.filter(attempts__gt=8).exists())
    site.stop(worker)

    letter, position = letters.get(), positions.get()
    assert letter.error.endswith(f"Poison: {SHOWN}")
    assert position.last_error == f"ValueError: {SHOWN}"
    for trace in (letter.traceback, position.last_traceback):
        assert trace.startswith("Traceback (most recent call last):\n  File")
        assert "\ntyped" not in trace
        assert harmless(trace.replace("\nCRITICAL", ""))

    assert caplog.text.count(SHOWN) > 1
    said = [line for line in caplog.text.split("\n") if line]
    assert all(line.isprintable() for line in said)
    assert all(line.startswith(("DEBUG via", "INFO via", "WARNING via", "ERROR via", "    ")) for line in said)

    # As code before this one stored it, or another program.
    raw = models.Value(HOSTILE.replace("\x00", "").replace("\ud800", ""), output_field=models.TextField())
    letters.update(error=raw)
    positions.update(last_error=raw, next_attempt_at=None)
    HandlerWorker.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix).update(host=raw)
    for command in (
        ["state_status"], ["replay_dead_letters", "--dry-run"], ["replay_dead_letters"], ["compact_state"], ["retire_handler"]
    ):  # fmt: skip
        assert harmless(run(*command)), run(*command)
    assert r"typed\nCRITICAL forged" in run("state_status")
