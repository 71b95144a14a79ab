"""What a connection may do: who it is must be known at once, all of it is bounded, and nothing stays when it ends."""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import logging
import weakref
from pathlib import Path
from threading import Event

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import via_state.live
from testproject.servers.waiting import wait_until
from tests.faults import FaultyBackplane
from tests.live.stage import Add, Stage
from via_state.conf import DEFAULTS
from via_state.live.protocol.codes import SIGNED_OUT, UNASKED
from via_state.live.protocol.frames import MAX_LINES, Garbage, Message, decode
from via_state.live.protocol.limits import MESSAGES_BURST
from via_state.live.rendering.fragments import fragments
from via_state.live.serving import consumer
from via_state.live.serving.hubs import hubs_of
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, live_tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]


def silent(client: Client) -> LiveTab:
    """A page whose connection says nothing."""
    tab = LiveTab(client, "/counter/")
    say, tab.say = tab.say, lambda **_: None  # type: ignore[method-assign]
    tab.open()
    tab.say = say  # type: ignore[method-assign]
    return tab


def test_c2_a_connection_that_does_not_say_who_it_is_is_closed(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "HELLO", 0.05)
    tab = silent(client)
    tab.until(lambda: tab.closed == UNASKED)
    assert not tab.frames


@pytest.mark.parametrize(
    "first", [{"add": []}, {"ping": 1}, {"ack": 0}, {"drop": []}], ids=["add", "ping", "ack", "drop"]
)
def test_c2_a_connection_begins_with_a_hello(client: Client, pod: Pod, first: dict[str, object]) -> None:
    tab = silent(client)
    tab.say(**first)
    tab.until(lambda: tab.closed == UNASKED)


def test_c2_and_says_it_once(client: Client, pod: Pod) -> None:
    with live_tab(client, "/counter/") as tab:
        tab.say(hello=tab.ticket, nodes=[])
        tab.until(lambda: tab.closed == UNASKED)


def test_c2_a_ticket_that_is_forged_or_too_old_loads_the_page_again(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_tab(client, "/counter/") as tab:
        tab.drop()
        monkeypatch.setitem(DEFAULTS, "LIVE_TOKEN_AGE", -100.0)
        tab.connect()
        tab.until(lambda: tab.closed == SIGNED_OUT)
        monkeypatch.undo()
        tab.drop()
        tab.ticket = tab.ticket[:-1] + ("A" if tab.ticket[-1] != "A" else "B")
        tab.connect()
        tab.until(lambda: tab.closed == SIGNED_OUT)
        assert tab.byes == ["reload", "reload"]


def test_c3_another_login_in_the_same_browser_ends_the_pages_of_the_one_before(client: Client, pod: Pod) -> None:
    client.force_login(User.objects.create_user("ada"))
    with live_tab(client, "/room/7/") as tab:
        tab.settled()
        client.force_login(User.objects.create_user("bob"))
        (hub,) = hubs_of(pod)
        hub.loop.call_soon_threadsafe(hub.recheck)
        tab.until(lambda: tab.closed == 4401)
        tab.back()
        tab.until(lambda: tab.byes == ["signed-out"] * 2)


def test_c3_what_was_copied_before_a_logout_opens_nothing_after_it(client: Client, pod: Pod) -> None:
    user = User.objects.create_user("ada")
    client.force_login(user)
    Stage(user).unread.set(3)
    with live_tab(client, "/own/") as tab:
        tab.settled()
        stolen = client.cookies["sessionid"].value
        client.logout()
        tab.until(lambda: tab.closed == 4401)
        client.cookies["sessionid"] = stolen
        tab.frames.clear()
        for _ in range(2):
            tab.back().until(lambda: tab.closed == 4401)
        assert not tab.frames


@pytest.mark.parametrize("extra", [0, 1])
def test_c4_a_message_has_only_so_many_bytes(extra: int) -> None:
    line = '{"ping":1}'
    text = line + " " * (100 + extra - len(line))
    if extra:
        with pytest.raises(Garbage):
            decode(text, 100)
    else:
        assert decode(text, 100) == [Message(ping=1)]


@pytest.mark.parametrize("extra", [0, 1])
def test_c4_and_only_so_many_lines(extra: int) -> None:
    text = "\n".join(['{"ping":1}'] * (MAX_LINES + extra))
    if extra:
        with pytest.raises(Garbage):
            decode(text, 100_000)
    else:
        assert len(decode(text, 100_000)) == MAX_LINES


def test_c4_a_tab_says_only_so_much_at_once(client: Client, pod: Pod) -> None:
    with live_tab(client, "/counter/") as tab:
        tab.settled()
        for _ in range(MESSAGES_BURST - 2):
            tab.say(ping=1)
        tab.say(add=[[tab.nodes[0].token, {}]])
        tab.until(lambda: sum(frame.kind == "t" for frame in tab.frames) == 1)
        assert tab.closed is None
        for _ in range(MESSAGES_BURST):
            tab.say(ping=1)
        tab.until(lambda: tab.closed == UNASKED)


def test_c4_refusals_push_no_answer_out_and_are_bounded(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_tab(client, "/counter/") as tab:
        tab.settled()
        tab.say(add=[["forged", {}]] * 50)
        tab.until(lambda: len(tab.refused) == 50)
        monkeypatch.setitem(DEFAULTS, "LIVE_NODES", 10)
        tab.say(add=[["forged", {}]] * 50)
        tab.until(lambda: tab.closed == UNASKED)


def test_c7_a_pod_that_nobody_has_any_more_is_gone_with_its_hubs(
    client: Client, backplane: FaultyBackplane
) -> None:
    pod = Pod(backplane, owns_backplane=False)
    with use_pod(pod), live_tab(client, "/counter/", pod=pod) as tab:
        tab.settled()
    pod.close()
    (hub,) = hubs_of(pod)
    gone = weakref.ref(pod)
    del pod, tab
    assert not hub.tabs
    # The timer of the hello is forgotten when it would have been due.
    wait_until(lambda: gc.collect() >= 0 and gone() is None, "its end")


def test_c4_an_endless_change_of_what_a_page_shows_ends_its_connection(client: Client, pod: Pod) -> None:
    with live_tab(client, "/counter/") as tab:
        tab.settled()
        node = tab.nodes[0]
        for _ in range(MESSAGES_BURST):
            tab.say(drop=[node.id])
            tab.say(add=[[node.token, {}]])
        tab.until(lambda: tab.closed == UNASKED)
        (hub,) = hubs_of(pod)
        assert not hub.groups


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_lines = st.text() | _json.map(json.dumps) | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("hello", "nodes", "add", "drop", "ack", "ping", "away", "deflate", "eval"), _json)
).map(json.dumps)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_lines)
def test_c5_whatever_comes_is_a_message_or_garbage(text: str) -> None:
    try:
        messages = decode(text, 10_000)
    except Garbage:
        return
    assert all(isinstance(one, Message) for one in messages)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"nodes":' * 1000, '{"hello": "' + "\\ud800" + '"}', "\ud800", "1e999", "NaN"]
)
def test_c5_deep_and_broken_texts_are_garbage(text: str) -> None:
    with pytest.raises(Garbage):
        decode(text, 1_000_000)


def test_c5_garbage_is_logged_once_a_minute_and_without_a_traceback(
    client: Client, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "via_state.live"):
        for _ in range(3):
            with live_tab(client, "/counter/") as tab:
                tab.raw("garbage")
                tab.until(lambda tab=tab: tab.closed is not None)  # type: ignore[misc]
    (line,) = [one for one in caplog.records if one.name == "via_state.live"]
    assert line.exc_info is None
    assert "garbage" not in line.getMessage()


def test_c6_nothing_that_a_tab_says_names_code() -> None:
    """No module of the package looks anything up by a name that comes from the wire."""
    lookups = {"getattr", "setattr", "import_string", "import_module", "get_template", "eval", "exec"}
    folder = Path(via_state.live.__file__).parent
    for module in (*(folder / "serving").glob("*.py"), folder / "protocol" / "frames.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in lookups:
                constant = len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
                assert constant or ast.unparse(node) == "import_module(settings.SESSION_ENGINE)", ast.unparse(node)


def test_c7_however_connections_end_nothing_of_them_stays(client: Client, pod: Pod) -> None:
    """Cut, closed by us, refused, in the middle of a hello: a hundred of each."""
    with live_tab(client, "/room/7/") as tab:
        for _ in range(100):
            tab.back()
            tab.drop()
            tab.connect()
            tab.raw("garbage")
            tab.drop()
            tab.connect()
        tab.settled()
        (hub,) = hubs_of(pod)
        assert (len(hub.tabs), len(hub.groups)) == (1, 1)
    assert not hub.tabs
    assert not hub.groups
    pod.drain()
    gc.collect()
    assert not any(one.subscribers for one in pod.replicas.logs())
    tasks = asyncio.run_coroutine_threadsafe(_tasks(), hub.loop).result(60)
    assert tasks == 0


def test_c7_a_tab_that_ends_while_its_rights_are_asked_leaves_nothing(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = Event(), Event()

    def slow(user: object) -> bool:
        asked.set()
        return answer.wait(60)

    client.force_login(User.objects.create_user("ada", is_staff=True))
    with live_tab(client, "/staff/") as tab:
        tab.settled()
        (hub,) = hubs_of(pod)
        (served,) = hub.tabs
        node = tab.nodes[0]
        monkeypatch.setattr(fragments.get("stage/staff.html"), "allow", slow)
        tab.say(drop=[node.id])
        tab.say(add=[[node.token, {}]])
        assert asked.wait(60)
        hub.loop.call_soon_threadsafe(hub.dismiss, served)
        tab.until(lambda: tab.closed == SIGNED_OUT)
        answer.set()
    assert not served.seats
    assert not hub.groups


async def _tasks() -> int:
    await asyncio.sleep(0)
    return len(asyncio.all_tasks()) - 1


def test_a_hidden_value_is_in_no_frame_of_another(client: Client, pod: Pod) -> None:
    """T5: state of a session is found by the connection's own visitor, never by the token."""
    other = Client()
    other.post("/own/", {"text": "hidden"})
    with live_tab(other, "/own/") as theirs, live_tab(client, "/own/") as mine:
        mine.say(add=[[one.token, {}] for one in theirs.nodes])
        Stage.total.append(Add())
        mine.until(lambda: mine.refused == ["token"] * len(theirs.nodes))
        assert "hidden" not in str(mine.frames)
