"""Filters of lists. Their choices come from the code and from the registered handlers, never from a million rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from via_state.admin.events import codecs
from via_state.operations.handlers import all_registered, declared
from via_state.operations.peers import alive_workers


class _Named(SimpleListFilter):
    """One value of a column; also one that is not among the choices, given in the address."""

    def names(self) -> Iterable[str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = self.used_parameters.get(str(self.parameter_name))
        return [(name, name) for name in sorted({*self.names(), *([str(chosen)] if chosen else [])})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.none() if "\0" in value else queryset.filter(**{str(self.parameter_name): value})


class HandlerFilter(_Named):
    title = "event handler"
    parameter_name = "handler"

    def names(self) -> Iterable[str]:
        return [*all_registered().values_list("name", flat=True), *(name for _, name in declared())]


class LogFilter(_Named):
    title = "declaration"
    parameter_name = "template"

    def names(self) -> Iterable[str]:
        return [*all_registered().values_list("template", flat=True), *(log for log, _ in declared())]


class EventNameFilter(_Named):
    title = "event"
    parameter_name = "event_name"

    def names(self) -> Iterable[str]:
        logs = {log for log, _ in declared()} | set(all_registered().values_list("template", flat=True))
        types = [one for log, codec in codecs().items() if log in logs for one in codec.types]
        return {name for one in types for name in (one.name, *one.aliases)}


class PositionHandlerFilter(SimpleListFilter):
    """Of which handler."""

    title = "event handler"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(row.pk), str(row)) for row in all_registered().order_by("name", "template")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(handler=int(value)) if value.isdecimal() and len(value) < 19 else queryset.none()


class PositionStatusFilter(SimpleListFilter):
    """How a position stands."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("stuck", "Stuck"), ("halted", "Halted"), ("running", "Held by a worker")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "stuck":
                return queryset.filter(STUCK)
            case "halted":
                return queryset.filter(HALTED)
            case "running":
                return queryset.filter(worker__in=list(alive_workers().values_list("pk", flat=True)))
        return queryset


#: A record fails; the handler was told to halt. As the indexes find them.
STUCK = Q(stuck_since__isnull=False, halted="")
HALTED = Q(halted__gt="")
