"""Pages that count: a tab with ``{% via_presence %}`` puts its visitor on a list for as long as it is open."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from via_state.declarations.presence import PresenceDefinition
from via_state.declarations.registry import registry
from via_state.exceptions import Closed, DeclarationError
from via_state.live.protocol.node import NodeSpec
from via_state.live.rendering.marking import marked
from via_state.live.rendering.tags import text_spec
from via_state.live.rendering.texts import HERE, key_of
from via_state.pod.attendance import attendance_of
from via_state.pod.pod import Pod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from via_state.live.serving.tab import Tab


def presence(request: HttpRequest | None, source: object, parameters: Mapping[str, object]) -> SafeString:
    """``{% via_presence %}``: a hidden place of the page, by which its visitor is here."""
    spec = text_spec(request, source, parameters)
    if not isinstance(registry.find(spec.name), PresenceDefinition):
        raise DeclarationError(f"{spec.name} is not a StatePresence, so that nobody can be on it.")
    node = NodeSpec.of("text", spec.name, dict(spec.arguments), "visitor", filter=HERE)
    return mark_safe(f"<span hidden{marked(node, request).attributes}></span>")


def came(pod: Pod, tab: Tab, spec: NodeSpec) -> None:
    """A tab shows this node. Where the node counts, its visitor is here. On any loop."""
    found = registry.find(spec.name) if spec.filter == HERE else None
    if isinstance(found, PresenceDefinition):
        with suppress(Closed):
            pod.thread.soon(
                attendance_of(pod).come, key_of(found, spec), found.spec(), _id(pod, tab), tab.ticket.user
            )


def went(pod: Pod, tab: Tab, spec: NodeSpec) -> None:
    """The tab shows it no more."""
    found = registry.find(spec.name) if spec.filter == HERE else None
    if isinstance(found, PresenceDefinition):
        with suppress(Closed):
            pod.thread.soon(_go, pod, key_of(found, spec), _id(pod, tab), tab.asleep)


def _go(pod: Pod, key: str, id: str, asleep: bool) -> None:
    attendance_of(pod).go(key, id, asleep=asleep)


def _id(pod: Pod, tab: Tab) -> str:
    """The same on all tabs of a user, or of a browser with a session. Who has neither is somebody on each tab."""
    return tab.ticket.user or f"~{tab.ticket.session or f'{pod.pod_id}.{tab.number}'}"
