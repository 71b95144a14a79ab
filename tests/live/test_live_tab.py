"""What a project's tests see of a live page: in a TestCase, in an event loop, and what they say where they fail."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, TestCase

from tests.live.stage import Add, Say, Stage, kept, staged
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, alive_tab, connection, live_tab


class InATestCase(TestCase):
    """Everything in one transaction, as most tests of Django projects are."""

    def setUp(self) -> None:
        self.enterContext(staged)

    def test_two_tabs_show_what_one_of_them_sent(self) -> None:
        with live_tab(self.client, "/counter/") as ada, live_tab(Client(), "/counter/") as bob:
            before = int(ada.text("#total"))
            ada.submit("form", number="3")
            for tab in (ada, bob):
                tab.sees("#total", str(before + 3))

    def test_a_block_reads_what_the_test_has_written(self) -> None:
        """Its render has a thread, and so a connection, of its own."""
        self.client.force_login(User.objects.create_user("ada"))
        with live_tab(self.client, "/room/7/") as tab:
            Stage.room.at(room=7).append(Say("hi"))
            tab.until(lambda: tab.text("#room").endswith("hi ada"))
            User.objects.update(username="bob")
            Stage.room.at(room=7).append(Say("ho"))
            tab.until(lambda: tab.text("#room").endswith("hiho bob"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("site", "cluster")
def test_a_form_is_sent_as_a_browser_does_and_shows_its_answer(client: Client) -> None:
    """A live place in it stays one."""
    kept.clear()
    with live_tab(client, "/say/") as tab:
        assert tab.submit("#say").status_code == 200
        assert {name: kept[0].getlist(name) for name in kept[0] if name != "csrfmiddlewaretoken"} == {
            "text": ["-"], "to": ["b"], "first": ["one"], "yes": ["on"], "r": ["1"],
        }  # fmt: skip
        tab.sees("#say b", "At least three letters.")
        tab.submit("#say", text="ab", yes=[])
        assert (tab.text("#say textarea"), "yes" in kept[1]) == ("ab", False)
        Stage.total.append(Add(4))
        tab.sees("#say span", "4")
        assert tab.submit("#say", text="hello").status_code == 302
        tab.sees("#say b", "")
        assert tab.text("#say textarea") == "-"
        with pytest.raises(AssertionError, match="has no id"):
            tab.submit(".bare", text="")
        with pytest.raises(AssertionError, match="'#none' is not a form of the page"):
            tab.submit("#none")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("site")
async def test_in_an_event_loop_a_tab_is_awaited(async_client: AsyncClient, cluster: list[Pod]) -> None:
    one, other = cluster
    async with alive_tab(async_client, "/counter/", pod=one) as tab:
        assert (await tab.asubmit("form", number="3")).status_code == 302
        await tab.asees("#total", "3")
        await tab.asleep()
        await Stage.total.aappend(Add())
        await tab.aback()
        await tab.asees("#total", "4")
        await tab.aon(other)
        await tab.asettled()
        await tab.auntil(lambda: "=" in [frame.kind for frame in tab.frames])
    async with alive_tab(async_client, "/say/", pod=one) as say:
        await say.asubmit("#say", text="no")
        await say.asees("#say b", "At least three letters.")
        await say.asubmit("#say", text="yes")
        await say.asees("#say b", "")
    async with alive_tab(async_client, "/room/7/", pod=one) as room:
        await Stage.closed.at(room=7).aset(True)
        await room.ais_gone("#room [data-via]", "denied")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("site", "cluster")
def test_where_something_does_not_come_the_page_is_shown(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with live_tab(client, "/room/7/") as tab:
        Stage.room.at(room=7).append(Say("hi"))
        tab.sees("#room", "hi")
        monkeypatch.setattr(connection, "DEADLINE", 0.05)
        with pytest.raises(AssertionError, match=r"'#room' shows 'hi', not 'bye'(.|\n)*<li>hi</li>"):
            tab.sees("#room", "bye")
        with pytest.raises(AssertionError, match=r"'#none' is not on the page:(.|\n)*<li>hi</li>"):
            tab.text("#none")
        tab.drop()
        with pytest.raises(AssertionError, match="not connected"):
            tab.say(ping=1)
    with pytest.raises(AssertionError, match="GET /nowhere/at/all/ answered 404"):
        LiveTab(client, "/nowhere/at/all/").open()
