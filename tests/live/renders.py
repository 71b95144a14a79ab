"""Renders for tests: of a text, and of a fragment, by every way there is."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync

from tests.live.pieces import visitor
from via_state.live.protocol.content import Content
from via_state.live.protocol.node import NodeSpec
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.renderer import arender, locate, render
from via_state.live.visitors.visitor import Visitor


def text(name: str, arguments: dict[str, Any] | None = None, audience: Any = "all", **more: Any) -> NodeSpec:
    return NodeSpec.of("text", f"tests.{name}", arguments or {}, audience, **more)


def both(spec: NodeSpec, who: Visitor | None = None) -> Content:
    """The content; every way of rendering gives the same."""
    who = who or visitor()
    found = render(spec, who)
    awaited = async_to_sync(arender)(spec, who)
    assert (awaited[:2], awaited.halted) == (found[:2], found.halted)
    assert {name: one.key for name, one in locate(spec, found.at, who).items()} == {
        name: one.key for name, one in found.watched.items()
    }
    return found


def html(name: str, arguments: dict[str, Any] | None = None, who: Visitor | None = None) -> str | None:
    return both(fragments.get(f"{name}.html").spec(arguments or {}), who).body
