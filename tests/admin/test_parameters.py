"""Whatever stands in the address of a page: it is an ordinary page or a refusal, and it tells nothing that the page does not show."""

from __future__ import annotations

import random
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.urls import reverse

from tests.admin.office import Office, changelist, move_url, resolve_url
from tests.admin.test_pages import MODELS as LISTS
from tests.admin.test_pages import names, rows
from tests.conftest import POSTGRES_ALIAS
from via_state.admin.readonly import ReadOnlyAdmin
from via_state.models import OutboxRecord, Overview

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

MODELS = (*LISTS, OutboxRecord)

#: The filters' own parameters, by model.
OURS = {
    "deadletter": ("status__exact", "status__isnull", "handler", "template", "event_name", "added_at__gte", "added_at__lt", "added_at__isnull"),
    "handlerposition": ("of", "state"),
    "outboxrecord": ("status__exact", "status__isnull"),
}  # fmt: skip
DJANGOS = ("q", "p", "o", "ot", "e", "all", "_popup", "_to_field", "_facets", "is_facets")
ODD = [
    "", "\0", "a\0b", "%", "_", "\\", "'", '"', "(", "[a", "*", "-", "-1", "0", "1", "9" * 18, "9" * 400, "9" * 5000, "1e9", "²", "٣", "nan",
    "\ud7ff", "\U0010ffff", "\u202e", "x" * 10_000, "None", "True", "new", "2020-01-01", "0001-01-01 00:00:00+14:00", "9999-12-31 23:59:59-14:00",
    "2020-13-45", "0000-00-00", "a,b", "id", "-id", "1.-2.3", "..", "../../x", "{}", "%00", "%ff", "<script>",
]  # fmt: skip
LOOKUPS = (
    "data__startswith", "data", "payload__contains", "payload__regex", "manifest__startswith", "last_traceback__icontains", "key__gt",
    "handler__prefix__startswith", "handler__template", "prefix", "id__in", "pk", "no_such_column", "status__in", "error__regex", "added_at__year",
)  # fmt: skip


def test_every_page_of_ours_is_tried() -> None:
    ours = {model for model, one in admin.site._registry.items() if isinstance(one, ReadOnlyAdmin)}
    assert ours == {*MODELS, Overview}


def test_the_overview_asks_nothing_of_its_address(office: Office) -> None:
    rows(office, "orders")
    office.sign_in("view_overview")
    plain = office.client.get(changelist("overview")).status_code
    for name in (*LOOKUPS, *DJANGOS):
        for value in ("o", "\0", "9" * 400):
            assert office.client.get(changelist("overview"), {name: value}).status_code == plain == 200, name


def test_a_list_is_asked_only_by_its_filters(office: Office) -> None:
    rows(office, "orders")
    office.sign_in(*(f"view_{names(model)}" for model in MODELS))
    for model in MODELS:
        for lookup in LOOKUPS:
            if lookup not in OURS.get(names(model), ()):
                answer = office.client.get(changelist(names(model)), {lookup: "o"})
                assert answer.status_code == 400, (names(model), lookup)
        for name in OURS.get(names(model), ()):
            assert office.client.get(changelist(names(model)), {name: "0"}).status_code in (200, 302), name


@pytest.mark.filterwarnings("ignore:DateTimeField:RuntimeWarning")  # Django's own filter of dates
def test_odd_parameters_give_a_page_or_a_refusal(office: Office) -> None:
    rows(office, "orders")
    choice = random.Random(12)
    tried = [
        (names(model), [(name, "\0")]) for model in MODELS for name in ("q", "p", *OURS.get(names(model), ()))
    ]
    for _ in range(150):
        model = names(choice.choice(MODELS))
        known = (*DJANGOS, *OURS.get(model, ()) * 3)
        tried.append(
            (model, [(choice.choice(known), choice.choice(ODD)) for _ in range(choice.choice((1, 1, 3)))])
        )
    for model, given in tried:
        address = f"{changelist(model)}?{urlencode(given)}"
        assert office.client.get(address).status_code in (200, 302, 400), address


def test_odd_rows_are_not_there(office: Office) -> None:
    for model in MODELS:
        for odd in ("\0", "a\0b", "²", "9" * 18, "9" * 400, "-1", "%00", "../x", "\u202e"):
            for page in ("change", "history"):
                address = reverse(f"admin:via_state_{names(model)}_{page}", args=[odd])
                assert office.client.get(address).status_code in (302, 403, 404), address


def test_odd_forms_are_refused(office: Office) -> None:
    (letter,) = office.letters(1)
    for odd in ("", "\0", "a\0b", "²", "9" * 18, "9" * 400, "9" * 5000, "-1", "nan", "%00"):
        for action in ("replay_selected", odd):
            data = {"action": action, "_selected_action": [odd], "index": odd, "select_across": odd}
            answer = office.client.post(changelist("deadletter"), data)
            assert answer.status_code in (200, 302, 400), (action, odd)
        for url in (resolve_url("replay"), move_url()):
            for item in (odd, f"{letter.pk}:{odd}", f"{letter.pk}:1:{odd}"):
                assert office.client.get(url, {"item": item}).status_code in (200, 302, 400), item
                assert office.client.post(url, {"item": item}).status_code in (200, 302, 400), item
    letter.refresh_from_db()
    assert letter.status == "new"
