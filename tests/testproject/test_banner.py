"""The banner's page: an async view over one value."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client

from testproject.banner.models import Notice
from testproject.banner.state import Site
from via_state.pod.pod import Pod
from via_state.testing.live import live_tab


def test_a_script_replaces_the_banner_and_reads_it_back(client: Client, pod: Pod) -> None:
    written = client.post("/banner/?format=json", {"text": "Hello"}).json()
    read = client.get("/banner/?format=json").json()

    assert written == read == {"value": "Hello", "offset": None, "pod": pod.pod_id}


async def test_the_same_under_asgi(async_client: AsyncClient) -> None:
    await async_client.post("/banner/", {"text": "Hello"})

    assert (await async_client.get("/banner/?format=json")).json()["value"] == "Hello"


def test_a_person_who_replaces_the_banner_is_sent_back_to_the_page(client: Client) -> None:
    answer = client.post("/banner/", {"text": "<script>"}, follow=True)

    assert answer.redirect_chain == [("/banner/", 302)]
    assert ">&lt;script&gt;</output>" in answer.text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" ", "Write something: the banner can&#x27;t be empty."),
        ("x" * 121, "The banner has at most 120 characters, not 121."),
    ],
)
def test_a_bad_text_is_refused_with_a_sentence(client: Client, text: str, sentence: str) -> None:
    script = client.post("/banner/?format=json", {"text": text})
    page = client.post("/banner/", {"text": text})

    assert script.status_code == page.status_code == 400
    assert script.json() == {"error": sentence.replace("&#x27;", "'")}
    assert sentence in page.text
    assert Site.banner.read() == "Welcome"


def staff(*permissions: str) -> User:
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.mark.django_db(transaction=True)
def test_who_may_send_notices_tells_everybody_from_the_admin_and_it_is_logged(client: Client) -> None:
    ada = staff("send_notice", "view_notice")
    client.force_login(ada)
    with live_tab(client, "/banner/") as tab:
        answer = client.post(
            "/admin/banner/notice/add/", {"text": "Tea is ready", "level": "warning"}, follow=True
        )
        assert "Sent. 1 tabs of this process show it" in answer.text
        tab.until(lambda: tab.notices == ["Tea is ready"])
    [entry] = LogEntry.objects.all()
    assert (entry.user, entry.action_flag, entry.object_repr) == (ada, ADDITION, "Tea is ready")
    [sent] = Notice.objects.all()
    assert client.get(f"/admin/banner/notice/{sent.pk}/change/").status_code == 200  # to be looked at
    for verb in ("change", "delete"):
        assert (
            client.post(f"/admin/banner/notice/{sent.pk}/{verb}/", {"text": "x", "post": "yes"}).status_code == 403
        )


@pytest.mark.django_db
@pytest.mark.parametrize("permissions", [[], ["view_notice", "view_overview"]])
def test_who_may_not_send_notices_does_not(
    client: Client, permissions: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    client.force_login(staff(*permissions))
    with django_capture_on_commit_callbacks() as said:
        assert client.get("/admin/banner/notice/add/").status_code == 403
        assert client.post("/admin/banner/notice/add/", {"text": "x", "level": "info"}).status_code == 403
    assert not said
    assert not Notice.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("fields", [{"text": "", "level": "info"}, {"text": "x", "level": "shout"}])
def test_a_notice_that_is_none_is_sent_to_nobody(client: Client, fields: dict[str, str]) -> None:
    client.force_login(staff("send_notice"))
    assert 'class="errorlist"' in client.post("/admin/banner/notice/add/", fields).text
    assert not LogEntry.objects.exists()


def test_a_notice_says_how_many_tabs_of_this_process_it_reached(client: Client) -> None:
    assert client.post("/banner/?format=json", {"notice": "Tea is ready"}).json()["value"] == 0
    assert client.post("/banner/?format=json", {"notice": ""}).status_code == 400
