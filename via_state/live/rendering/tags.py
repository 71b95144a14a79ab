"""What the template tags do."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from via_state.declarations.definition import Definition
from via_state.declarations.handle import Handle
from via_state.declarations.owners import RequestOwner
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError, NotFollowed
from via_state.live.protocol.node import NodeSpec, Scalar
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.marking import element, marked, visitor_of
from via_state.live.rendering.markup import refuse_attribute, runs, tag_name
from via_state.live.rendering.painting import painting
from via_state.live.rendering.texts import AUDIENCES, TO, filter_of, key_of
from via_state.pod.default import current_pod


def text(
    request: HttpRequest | None,
    source: object,
    parameters: Mapping[str, object],
    *,
    tag: str = "span",
    filter: str = "",
    prefix: str = "",
    suffix: str = "",
) -> SafeString:
    """``{% via_text %}``: an element whose text is the state."""
    spec = text_spec(request, source, parameters, filter=filter, prefix=prefix, suffix=suffix)
    plain = request is None and painting.get() is None
    return element(tag_name(tag), marked(spec, request, plain=plain), html=False)


def attribute(
    request: HttpRequest | None,
    source: object,
    parameters: Mapping[str, object],
    *,
    to: str,
    filter: str = "",
    prefix: str = "",
    suffix: str = "",
) -> SafeString:
    """``{% via_attr %}``: an attribute of the element in which the tag stands, whose value is the state."""
    refuse_attribute(to)
    spec = text_spec(request, source, {TO: to, **parameters}, filter=filter, prefix=prefix, suffix=suffix)
    # What stands in the element is not ours to write: the client is sent the text.
    found = marked(spec, request, plain=request is None and painting.get() is None, empty=to == "text")
    value = found.body
    written = "" if value is None or to == "text" or runs(to, value) else f' {to}="{escape(value)}"'
    return mark_safe(f'{found.attributes} data-via-to="{to}"{written}'.strip())


def block(
    request: HttpRequest | None,
    name: str,
    arguments: Mapping[str, object],
    *,
    tag: str = "div",
    shared: bool = False,
) -> SafeString:
    """``{% via_live %}``: an element whose content is a fragment. ``shared`` says what the fragment says; it is there to be read."""
    fragment = fragments.get(name)
    if shared and not fragment.shared:
        raise DeclarationError(f"{fragment} is not shared. Leave the word out, or declare it with shared=True.")
    visitor = visitor_of(request)
    page = ""
    if fragment.by_page and visitor is not None:
        page = (
            visitor.get_full_path() if painting.get() is not None or request is None else request.get_full_path()
        )
    spec = fragment.spec(arguments, page)
    plain = request is None and painting.get() is None
    return element(tag_name(tag), marked(spec, request, plain=plain), html=True)


def text_of(handle: Handle[Any]) -> SafeString:
    """``{{ Counter.total.text }}``: what ``{% via_text %}`` gives."""
    owner = handle._owner
    request = owner._request if isinstance(owner, RequestOwner) else None
    spec = text_spec(request, handle, {})
    return element("span", marked(spec, request), html=False)


def state_of(owner: Any, label: str) -> Handle[Any]:
    """``request.user|state:"inbox.Inbox.unread"``: the state of this owner."""
    definition = definition_of(label)
    state: Any = definition.state
    handle: Handle[Any] = getattr(state(owner), definition.name)
    return handle


# Texts --------------------------------------------------------------------------------------------------------


def text_spec(
    request: HttpRequest | None,
    source: object,
    parameters: Mapping[str, object],
    *,
    filter: str = "",
    prefix: str = "",
    suffix: str = "",
) -> NodeSpec:
    """The node that shows a declaration, named as ``"chat.Chat.count"`` or given as it is, with the parameters of its key.

    Raises `DeclarationError`, `InvalidKey`, and `NotFollowed` for state that was bound to somebody else than the visitor.
    """
    given: dict[str, Scalar] = {name: _scalar(value) for name, value in parameters.items()}
    if isinstance(source, Handle):
        definition = source.definition
        definition.spec()
        if source._member is not None:
            given = {**definition.template().parse(source._member), **given}
        _refuse_others(source, request)
        label = str(definition)
    elif isinstance(source, str):
        definition, label = definition_of(source), str.__str__(source)
    else:
        raise DeclarationError(
            f"A live text was given a {type(source).__name__}. Give the name of a declaration, as 'chat.Chat.count', or the declaration."
        )
    if filter:
        filter_of(filter)
    spec = NodeSpec.of(
        "text",
        label,
        given,
        AUDIENCES[definition.scope.name],
        filter=str.__str__(filter),
        prefix=str.__str__(prefix),
        suffix=str.__str__(suffix),
    )
    key_of(definition, spec)
    return spec


def definition_of(label: str) -> Definition[Any]:
    """Raises `DeclarationError` for a name that nothing has."""
    definition: Definition[Any] | None = registry.find(label)
    if definition is None:
        near = difflib.get_close_matches(label, registry.labels(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Write app_label.Class.name."
        raise DeclarationError(f"Nothing is declared as {str.__str__(label)!r:.100}. {hint}")
    definition.spec()
    return definition


def _scalar(value: object) -> Scalar:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return value if isinstance(value, bool) else int(value)
    raise DeclarationError(
        f"A parameter of a live text is a {type(value).__name__}. Give a string, an integer or a UUID."
    )


def _refuse_others(handle: Handle[Any], request: HttpRequest | None) -> None:
    if handle._pod not in (None, current_pod()):
        raise NotFollowed(f"{handle} is bound to another pod. A page follows the pod that serves it.")
    if handle._owner is None:
        return  # it is the visitor's
    visitor = visitor_of(request)
    place = handle.scope.place(handle, "read", writes=False)
    home = None if visitor is None else visitor.names.home(handle.scope.name)
    if handle.scope.owner and home != (None if place is None else place.home):
        raise NotFollowed(
            f"{handle} is bound to somebody else than the visitor of this page. Show it in a live block: {{% via_live %}}."
        )
