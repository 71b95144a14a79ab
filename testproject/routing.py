"""Where the WebSockets are."""

from __future__ import annotations

from channels.exceptions import DenyConnection
from django.urls import path, re_path

from testproject.banner.state import Site
from testproject.chat.forms import RoomForm
from testproject.chat.state import Chat
from testproject.counter.consumers import AsyncPressConsumer, PressConsumer
from testproject.counter.state import Counter
from testproject.orders.state import Orders
from testproject.pages.live import Followed, LiveConsumer, RefusingConsumer, Scope
from testproject.profile.state import Visitor


def room(scope: Scope) -> Followed:
    """The room that the path names."""
    form = RoomForm(scope["url_route"]["kwargs"])
    if not form.is_valid():
        raise DenyConnection
    return Chat.room.at(room=form.cleaned_data["room"])


websocket_urlpatterns = [
    path("ws/counter/", LiveConsumer.as_asgi(state=lambda scope: Counter.total)),
    path("ws/counter/press/", AsyncPressConsumer.as_asgi()),
    path("ws/counter/press/sync/", PressConsumer.as_asgi()),
    path("ws/chat/<str:room>/", LiveConsumer.as_asgi(state=room)),
    path("ws/banner/", LiveConsumer.as_asgi(state=lambda scope: Site.banner)),
    path("ws/profile/", LiveConsumer.as_asgi(state=lambda scope: Visitor(scope).profile)),
    path("ws/orders/", LiveConsumer.as_asgi(state=lambda scope: Orders.book)),
    path("ws/carrier/", LiveConsumer.as_asgi(state=lambda scope: Orders.carrier)),
    re_path("", RefusingConsumer.as_asgi()),
]
