"""What all our admin pages have in common: rows of this project, to be looked at."""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import translation
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from via_state.admin.changelist import BoundedChangeList, BoundedPaginator
from via_state.conf import settings
from via_state.operations.pages import ours

logger = logging.getLogger("via_state.admin")

IN_MEMORY = (
    "This project uses the memory backplane: what event handlers did, the records they gave up on, and snapshots live in the "
    "memory of each process, and end with it. So there is nothing to list here. Choose another one with VIA_STATE['BACKEND']."
)

#: A search that finds no more rows than this names them to the database.
FEW = 1_000


def memory_hint() -> str:
    """Why the lists are empty, where the backplane keeps everything in memory; else nothing."""
    return "" if import_string(settings.BACKEND).durable else IN_MEMORY


def in_english(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page of ours is in English, all of it: Django's own words beside ours would be half a sentence in each language."""

    @functools.wraps(view)
    def shown(*args: Any, **kwargs: Any) -> HttpResponse:
        if (translation.get_language() or "").startswith("en"):
            return view(*args, **kwargs)
        with translation.override("en"):
            answer = view(*args, **kwargs)
            if isinstance(answer, TemplateResponse):
                answer.render()
            return answer

    return shown


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows the rows of ``PREFIX`` in ``DATABASE``; nobody adds, changes or deletes them by hand."""

    #: Columns that a list does not load.
    heavy: ClassVar[Sequence[str]] = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 50
    sortable_by: ClassVar[Any] = ()  # only by what has an index

    class Media:
        css: ClassVar = {"all": ["via_state/admin.css"]}

    @property
    def urls(self) -> list[URLPattern]:
        every: list[URLPattern] = self.get_urls()
        return [URLPattern(one.pattern, in_english(one.callback), one.default_args, one.name) for one in every]

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_our_permission(self, request: HttpRequest, name: str) -> bool:
        """Whether the user may view the rows, and has this permission of the model as well."""
        label, model = self.opts.app_label, self.opts.model_name
        allowed: bool = request.user.has_perm(f"{label}.{name}_{model}")
        return allowed and self.has_view_permission(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # Django allows any lookup of the model's own columns: who may look at the list could ask for what it does not show,
        # and guess the data of snapshots letter by letter.
        return lookup in self._lookups

    @cached_property
    def _lookups(self) -> set[str]:
        """What the filters of the list put into its address."""
        found = set()
        for one in self.list_filter:
            if isinstance(one, str):
                found |= {f"{one}{lookup}" for lookup in ("__exact", "__isnull", "__gte", "__lt")}
            elif isinstance(one, type) and issubclass(one, admin.SimpleListFilter):
                found.add(str(one.parameter_name))
        return found

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.own(super().get_queryset(request))

    def own(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of this project."""
        return ours(rows)

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[BoundedChangeList]:
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # As one text: keys may hold spaces.
        term = search_term.strip()
        if not term or not self.search_fields:
            return queryset, False
        found: set[int] = set()
        for name in self.search_fields:
            begins = {f"{name}__startswith": term}
            found |= set(queryset.filter(**begins).order_by().values_list("pk", flat=True)[: FEW + 1])
        if len(found) <= FEW:
            # Left to itself a database may read all rows in the order of the list, until it has found enough.
            return queryset.filter(pk__in=found), False
        every = (Q(**{f"{name}__startswith": term}) for name in self.search_fields)
        return queryset.filter(functools.reduce(operator.or_, every)), False

    def prepare(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Look up what the columns of a page need besides the rows."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not all(map(self._usable, (*request.GET.lists(), *request.POST.lists()))):
            raise BadRequest("The address or the form holds what no database can look for.")
        return super().changelist_view(request, {"via_hint": memory_hint(), **(extra_context or {})})

    def _usable(self, given: tuple[str, Sequence[object]]) -> bool:
        """Whether a parameter can be compared with a column. Django finds out too late, when it reads the rows."""
        name, values = given
        if any("\0" in str(value) for value in (name, *values)):
            return False
        if name != ACTION_CHECKBOX_NAME:
            return True
        try:
            return all(self.opts.pk.to_python(value) is not None for value in values)
        except ValidationError:
            return False

    def keep_entry(self, request: HttpRequest, row: Model, text: str) -> None:
        """Write what was done into the admin's log. That it was done is true also where this fails."""
        try:
            self.log_change(request, row, text)
        except Exception:
            logger.exception(
                "%s: %s: %s The admin's log could not keep this entry.", request.user.get_username(), row, text
            )
            self.message_user(request, f"{row}: done, but the admin's log could not keep it.", messages.WARNING)

    def buttons(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        """What can be done on a row's own page: addresses and labels."""
        return []

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        buttons = [] if row is None else self.buttons(request, row)
        return super().render_change_form(request, {**context, "via_buttons": buttons}, *args, **kwargs)
