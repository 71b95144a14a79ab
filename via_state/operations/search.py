"""What a key, the id of a record, the name of a handler, a trace or a process leads to: rows of the books, found by how they begin.

Each statement goes by an index, or reads a bounded number of rows. What is in logs is not looked through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db.models import Q, QuerySet

from via_state.bookkeeping.database import halted_keys, tables
from via_state.declarations.catalog import handled_logs
from via_state.exceptions import InvalidKey
from via_state.operations.condition import LIMIT

#: Rows of a kind that are shown; dead letters, the newest ones, that are looked through for a trace; characters of a term.
EACH, LETTERS, LONGEST = 5, 2_000, 512
#: A W3C trace id, or a traceparent that has one.
_TRACE = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")


class Lead(NamedTuple):
    """A row that was found. ``model``: whose, in lower case; ``pk`` is ``None`` where all rows that begin so are meant."""

    model: str
    text: str
    pk: int | str | None


class Found(NamedTuple):
    """``declared``: what the term is as a key, in words; "" where this code has no such key. ``passed_over``: models of which nobody looked."""

    leads: list[Lead]
    declared: str
    passed_over: list[str]


def search(term: str, may_view: Callable[[str], bool]) -> Found:
    """What ``term`` leads to, of the models that somebody may view; what is exactly so comes first. Raises what the database raises."""
    term = term.strip()[:LONGEST]
    leads: list[Lead] = []
    passed_over = [model for model in _LOOKS if not may_view(model)]
    for model, look in _LOOKS.items():
        if term and model not in passed_over:
            leads += list(look(term))
    return Found(leads, _declared(term), passed_over)


def _rows(model: str, rows: QuerySet, column: str, term: str, *more: str) -> Iterator[Lead]:  # type: ignore[type-arg]
    """Those whose column is ``term``, then those whose column begins so."""
    exact = list(rows.filter(**{column: term}).order_by().values_list("pk", column, *more)[: EACH + 1])
    begins = rows.filter(**{f"{column}__startswith": term}).exclude(pk__in=[row[0] for row in exact]).order_by()
    found = [*exact, *sorted(begins.values_list("pk", column, *more)[: EACH + 1], key=lambda row: str(row[1]))]
    yield from (Lead(model, " · ".join(map(str, row[1:])), row[0]) for row in found[:EACH])
    if len(found) > EACH:
        yield Lead(model, f"all that begin with {term!r}", None)


def _handlers(term: str) -> Iterator[Lead]:
    begin = Q(name__startswith=term) | Q(template__startswith=term)
    few = tables.handlers.rows().filter(begin).order_by().values_list("template", "name", "pk")[:LIMIT]
    found = sorted(few, key=lambda row: (term not in row[:2], row))
    yield from (Lead("eventhandler", f"{template} · {name}", pk) for template, name, pk in found[:EACH])
    if len(found) > EACH:
        yield Lead("eventhandler", f"all that begin with {term!r}", None)


def _positions(term: str) -> Iterator[Lead]:
    handlers = list(tables.handlers.rows().values_list("pk", flat=True)[:LIMIT])
    yield from _rows(
        "handlerposition", tables.positions.rows().filter(handler__in=handlers), "key", term, "handler__name"
    )


def _letters(term: str) -> Iterator[Lead]:
    rows = tables.dead_letters.rows()
    for column in ("key", "record_id"):
        yield from _rows("deadletter", rows, column, term, "handler", "offset")
    if (trace := _TRACE.fullmatch(term.lower())) is not None:
        newest = list(rows.order_by("-added_at", "-id").values_list("pk", flat=True)[:LETTERS])
        of_trace = rows.filter(pk__in=newest, metadata__contains=trace[1]).order_by("-id")
        for pk, *what in of_trace.values_list("pk", "key", "handler", "offset")[:EACH]:
            yield Lead("deadletter", " · ".join(map(str, what)), pk)


def _snapshots(term: str) -> Iterator[Lead]:
    yield from _rows("snapshotrow", tables.snapshots.rows(), "key", term, "offset")


def _halted(term: str) -> Iterator[Lead]:
    yield from _rows("haltedkey", halted_keys.current(tables.halted_keys.rows()), "key", term, "reason", "host")


def _peers(term: str) -> Iterator[Lead]:
    rows = tables.peers.rows().filter(Q(host__startswith=term) | Q(id__startswith=term)).order_by("-lease_until")
    for pk, host, pid in rows.values_list("pk", "host", "pid")[:EACH]:
        yield Lead("peerrow", f"{host}, process {pid}", pk)


_LOOKS: dict[str, Callable[[str], Iterator[Lead]]] = {
    "eventhandler": _handlers,
    "handlerposition": _positions,
    "haltedkey": _halted,
    "deadletter": _letters,
    "snapshotrow": _snapshots,
    "peerrow": _peers,
}


def _declared(term: str) -> str:
    for one in handled_logs(without_handlers=True):
        if one.spec.name == term:
            return f"{term!r} is declared"
        try:
            parameters = one.spec.parameters(term)
        except InvalidKey:
            continue
        if parameters:
            shown = ", ".join(f"{name} = {value!r}" for name, value in parameters.items())
            return f"{term!r} is a key of {one.spec.name!r}, with {shown}"
    return ""
