"""Columns for texts that somebody else wrote: an error, a name, a host. Whatever they are given, it can be stored and shown."""

from __future__ import annotations

from typing import Any

from django.db import models

from via_state.core.text import LINE, TRACE, lines, one_line


class _Plain(models.Field):  # type: ignore[type-arg]
    """In migrations it is the field of Django's that it extends: the column is the same."""

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{type(self).__bases__[-1].__name__}", args, kwargs


class LineField(_Plain, models.TextField):  # type: ignore[type-arg]
    """One line."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return one_line(value, LINE) if isinstance(value, str) else value


class NameField(_Plain, models.CharField):  # type: ignore[type-arg]
    """One line, cut to ``max_length``."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return one_line(value, self.max_length or LINE) if isinstance(value, str) else value


class TraceField(_Plain, models.TextField):  # type: ignore[type-arg]
    """Several lines, as a traceback: of a longer one the end is kept."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return lines(value, TRACE) if isinstance(value, str) else value
