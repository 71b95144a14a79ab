"""The markup of a block: the function of its fragment, then the template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist, PermissionDenied
from django.http import Http404
from django.template import loader
from django.template.backends.django import Template

from via_state.exceptions import DeclarationError, FragmentUnknown
from via_state.live.protocol.content import Content, Gone, Watched, place
from via_state.live.protocol.delta import plain
from via_state.live.protocol.node import NodeSpec
from via_state.live.rendering.contexts import SharedContext, personal, visitor_context
from via_state.live.rendering.fragments import PAGE, Fragment, fragments
from via_state.live.rendering.memo import memos
from via_state.live.rendering.painting import Painting, painting
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import current_pod
from via_state.pod.reading.tracked_reads import TrackedReads

#: How many keys of state one block may read.
MOST_READS = 64
_GONE = (PermissionDenied, Http404, ObjectDoesNotExist)


class Block:
    """One render of a block. ``visitor`` is asked for nothing but language and time zone where the block is shared."""

    def __init__(self, spec: NodeSpec, visitor: Visitor, *, inline: bool = False) -> None:
        """Raises `Gone` where this code has no such fragment, or one with other arguments."""
        self.spec = spec
        self.fragment = fragment_of(spec)
        self.values = self.fragment.values(spec)
        self.page = str(dict(spec.arguments).get(PAGE, ""))
        self.visitor = visitor.again(page=self.page)
        self._inline = inline

    def arguments(self) -> tuple[Any, ...]:
        """The positional arguments of the fragment's function."""
        return () if self.fragment.shared else (self.visitor,)

    def checked(self, data: Any) -> Mapping[str, Any]:
        """What the function gave. Raises `DeclarationError` for anything else than a dict."""
        if not isinstance(data, Mapping):
            raise DeclarationError(
                f"{self.fragment}: its function gave a {type(data).__name__}. Return the template's context, a dict."
            )
        return data

    def paint(self, data: Mapping[str, Any], group: tuple[str, ...]) -> str:
        """The markup."""
        template = template_of(self.fragment)
        memo = memos.begin(group)
        token = painting.set(Painting(self.visitor, shared=self.fragment.shared, inline=self._inline, memo=memo))
        try:
            if self.fragment.shared:
                shared = SharedContext(self.fragment.name, data)
                html = template.render(shared)
                shared.check()
            else:
                html = template.render(visitor_context(self.visitor, data))
        finally:
            painting.reset(token)
        if not self._inline:
            memos.finished(group, memo)
        return plain(html)

    def content(self, html: str, reads: TrackedReads) -> Content:
        """With what it was made of. Raises `SharedFragmentIsPersonal` for state of somebody in a shared block, `NotFollowed`."""
        at, watched, halted = {}, {}, False
        for key, read in reads.of(current_pod()).items():
            if self.fragment.shared and key.startswith("via."):
                raise personal(self.fragment.name, f"state of a user or a session, {read.spec.name!r}")
            name = self.visitor.names.of(key)
            at[name], watched[name] = place(read.spec, read.shown), Watched(key, read.spec)
            halted = halted or read.shown.halted is not None
        return Content(html, at, watched, halted)


def fragment_of(spec: NodeSpec) -> Fragment:
    """Raises `Gone` for a name that this code does not declare."""
    try:
        return fragments.get(spec.name)
    except FragmentUnknown as error:
        raise Gone("missing") from error


def template_of(fragment: Fragment) -> Any:
    """The compiled template of a fragment. Raises ``TemplateDoesNotExist``, and ImproperlyConfigured for one that does not escape."""
    found = loader.get_template(fragment.name)
    if not isinstance(found, Template) or not found.backend.engine.autoescape:
        raise ImproperlyConfigured(
            f"{fragment}: its template is not rendered by Django's engine with autoescape on, so its output can't be trusted in pages "
            "of others."
        )
    return found.template


class gone_as:  # noqa: N801 - a context manager, used as a function
    """What a fragment's function says of the visitor: it may not be seen, or is no longer there. Raises `Gone`."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, _GONE):
            raise Gone("denied" if isinstance(error, PermissionDenied) else "missing") from error
