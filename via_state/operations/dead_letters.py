"""Choosing dead letters, and what a person does with them but replaying them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.position_rows import positions_at
from via_state.models import DeadLetter
from via_state.operations.handlers import declared
from via_state.operations.logs import check_keys
from via_state.operations.names import check_names
from via_state.operations.refusal import Refused
from via_state.operations.replay import new

#: Rows of one statement: a short lock, and a step of the progress.
PORTION = 500


def choose(
    *,
    statuses: Collection[str] = ("new",),
    handlers: Collection[str] = (),
    keys: Collection[str] = (),
    ids: Collection[int] = (),
    older_than: timedelta | None = None,
    newer_than: timedelta | None = None,
) -> QuerySet[DeadLetter]:
    """The letters of these statuses that fit, oldest first; what is left out restricts nothing. Raises `Refused` for an unknown name."""
    every = tables.dead_letters.rows()
    found = every.filter(status__in=statuses)
    if handlers:
        known = [*every.values_list("handler", flat=True).distinct(), *(name for _, name in declared())]
        check_names(handlers, known, "event handler")
        found = found.filter(handler__in=handlers)
    if keys:
        check_keys(keys, (name for pair in every.values_list("key", "template").distinct() for name in pair))
        found = found.filter(Q(key__in=keys) | Q(template__in=keys))
    if ids:
        there = set(every.filter(pk__in=ids).values_list("pk", flat=True))
        if missing := sorted(set(ids) - there):
            raise Refused(f"There is no dead letter {missing[0]}.")
        found = found.filter(pk__in=ids)
    if older_than is not None:
        found = found.filter(added_at__lt=Now() - older_than)
    if newer_than is not None:
        found = found.filter(added_at__gte=Now() - newer_than)
    return found.order_by("pk")


def position_of(letter: DeadLetter) -> int | None:
    """The number of the position of a letter's handler on its key; None where it was retired."""
    handlers = tables.handlers.rows().filter(template=letter.template, name=letter.handler)
    rows = positions_at(handlers.values_list("pk", flat=True), [letter.key])
    return rows.values_list("pk", flat=True).first()


def discard(letter: DeadLetter, by: str) -> bool:
    """Say that nothing more is to be done about a letter; False when it was resolved already."""
    return bool(new(letter).update(status=DeadLetter.Status.DISCARDED, resolved_at=Now(), resolved_by=by))


def discard_all(letters: QuerySet[DeadLetter], by: str) -> Iterator[tuple[int, int]]:
    """`discard` each; after each portion how many were looked at, and how many discarded."""
    for portion in _portions(letters):
        yield len(portion), sum(discard(letter, by) for letter in portion)


def prune(letters: QuerySet[DeadLetter]) -> Iterator[tuple[int, int]]:
    """Remove them for good; after each portion how many were looked at, and how many removed."""
    for portion in _portions(letters):
        # With the conditions: a letter that was given up again meanwhile stays.
        yield len(portion), letters.filter(pk__in=[letter.pk for letter in portion]).delete()[0]


def _portions(letters: QuerySet[DeadLetter]) -> Iterator[list[DeadLetter]]:
    after = 0
    while portion := list(letters.filter(pk__gt=after).order_by("pk").only("pk")[:PORTION]):
        after = portion[-1].pk
        yield portion
