"""How the pages look: in one language, and with no column cut."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import ViewportSize

from tests.admin.office import Office, change, changelist, move_url, resolve_url
from tests.cluster.chromium import chromium
from tests.conftest import POSTGRES_ALIAS

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

#: Words of Django's admin, as a German site has them.
GERMAN = ("auswählen", "ansehen", "Geschichte", "Aktion:", "Startseite", "Abmelden", "zurück")


def test_a_page_is_in_one_language_whatever_that_of_the_site(office: Office, settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    (letter,) = office.letters(4)
    row = office.stuck(1)
    pages = [
        changelist("deadletter"),
        change(letter),
        f"{resolve_url('replay')}?item={letter.pk}",
        changelist("handlerposition"),
        change(row),
        f"{move_url()}?item={row.pk}",
        changelist("eventhandler"),
        changelist("overview"),
    ]
    for url in pages:
        page = office.get(url)
        assert not [word for word in GERMAN if word in page], url
        assert 'lang="en' in page
    assert "Abmelden" in office.get("/admin/"), "pages of others are as they were"


def test_no_column_of_a_list_is_cut(office: Office, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    office.letters(4)
    office.stuck(1, 2)
    session = office.client.cookies["sessionid"].value
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    cut = {}
    with chromium() as browser:
        tab = browser.new_page(viewport=ViewportSize(width=1280, height=800))
        tab.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        for model in ("deadletter", "handlerposition", "eventhandler"):
            tab.goto(live_server.url + changelist(model))
            seen, whole = tab.evaluate("(e => [e.clientWidth, e.scrollWidth])(document.querySelector('.results'))")
            if whole > seen:
                cut[model] = whole - seen
    assert cut == {}, "so many pixels"


def test_a_record_that_is_given_up_at_once_says_when_it_failed(office: Office) -> None:
    (letter,) = office.letters(4)
    assert letter.first_failed_at == letter.added_at
