"""Lists that stay fast, however many rows there are."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

#: As many rows are counted and can be paged through; filters and the search go further.
COUNTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to `COUNTED`, no further."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        self.found = rows.values("pk")[: COUNTED + 1].count()
        return min(self.found, COUNTED)


class BoundedChangeList(ChangeList):
    """Leaves out the columns that a list does not show, and lets the admin look things up for the rows of the page."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return found.defer(*self.model_admin.heavy)  # type: ignore[attr-defined]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        #: Whether there are more than can be paged through.
        self.more = self.paginator.found > COUNTED
        self.counted = COUNTED
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count  # no link to all of them: these are
        self.result_list = list(self.result_list)
        self.model_admin.prepare(request, self.result_list)  # type: ignore[attr-defined]
