"""What the handler processes share: each handler writes a row for each event that it was given."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from via_state import Delivery, Retry, State, StateAppEvents

TABLE = "chaos_effects"


@dataclass(frozen=True, slots=True)
class Step:
    """An event with a number of its own."""

    number: int

    def fold(self, count: int) -> int:
        return count + 1


class Chaos(State):
    steps = StateAppEvents(Step, key="chaos.{lane}", snapshot_interval=0)


def effect(handler: str, event: Step, delivery: Delivery) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (handler, key, number, log_offset) VALUES (%s, %s, %s, %s)",
            [handler, delivery.key, event.number, delivery.offset],
        )


@Chaos.steps.on_event("plain", retry=Retry(max=0.2))
def plain(event: Step, delivery: Delivery) -> None:
    effect("plain", event, delivery)


@Chaos.steps.on_event("exact", retry=Retry(max=0.2), atomic=True)
def exact(event: Step, delivery: Delivery) -> None:
    effect("exact", event, delivery)


@Chaos.steps.on_event("batched", retry=Retry(max=0.2), atomic=True, batch=10)
def batched(event: Step, delivery: Delivery) -> None:
    effect("batched", event, delivery)
