"""Which carrier."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.live.announcing.carriers.backplane import BackplaneCarrier
from via_state.live.announcing.carriers.base import Carrier
from via_state.live.announcing.carriers.layer import ALIAS, LayerCarrier
from via_state.live.announcing.carriers.local import LocalCarrier
from via_state.pod.pod import Pod

IN_MEMORY = "channels.layers.InMemoryChannelLayer"
OURS = "via_state.layers.BackplaneChannelLayer"


def layer_backend() -> str:
    """The dotted path of the layer that ``CHANNEL_LAYERS`` names, or nothing."""
    layers: Any = getattr(django_settings, "CHANNEL_LAYERS", None)
    one = layers.get(ALIAS) if isinstance(layers, dict) else None
    path = one.get("BACKEND") if isinstance(one, dict) else None
    return path if isinstance(path, str) else ""


def chosen(backplane: Backplane | type[Backplane]) -> str:
    """What ``BROADCAST`` comes to: "layer", "backplane" or "local"."""
    if settings.BROADCAST != "auto":
        return str(settings.BROADCAST)
    if layer_backend() not in ("", IN_MEMORY, OURS):
        return "layer"
    return "backplane" if backplane.max_message_bytes else "local"


def make_carrier(pod: Pod) -> Carrier:
    """That of a pod. On its loop."""
    match chosen(pod.backplane):
        case "layer":
            return LayerCarrier()
        case "backplane" if pod.messages.max_bytes:
            return BackplaneCarrier(pod.messages)
        case _:
            return LocalCarrier()
