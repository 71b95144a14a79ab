"""The contexts in which templates of blocks are rendered: each begins empty, and a shared one knows nothing of a visitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.template import Context, RequestContext

from via_state.exceptions import SharedFragmentIsPersonal
from via_state.live.visitors.visitor import Visitor

#: What stands for the CSRF token in a block; the page puts its own there.
CSRF = "via-csrf"
#: What is not there in shared renders.
PERSONAL = frozenset({"request", "user", "perms", "messages", "csrf_token"})


class SharedContext(Context):
    """Asking it for what is personal raises `SharedFragmentIsPersonal`. It notes that, too: ``{% if %}`` hides errors."""

    def __init__(self, fragment: str, data: Mapping[str, Any]) -> None:
        super().__init__(dict(data))
        self.fragment = fragment
        self.asked: list[str] = []

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            self._refuse(key)
            raise

    def get(self, key: Any, otherwise: Any = None) -> Any:
        """As a context's, but for what is personal."""
        if key in PERSONAL and key not in self:
            self._refuse(key)
        return super().get(key, otherwise)

    def _refuse(self, key: str) -> None:
        if key in PERSONAL:
            self.asked.append(key)
            raise personal(self.fragment, f"the variable {key!r}")

    def check(self) -> None:
        """Raise what a template hid."""
        if self.asked:
            raise personal(self.fragment, f"the variable {self.asked[0]!r}")


def personal(fragment: str, what: str) -> SharedFragmentIsPersonal:
    """The error for a shared fragment that uses what is of one visitor."""
    return SharedFragmentIsPersonal(
        f"The fragment {fragment!r} is shared, and uses {what}. One render is for all: leave shared=True out, or move that part "
        "to a fragment of its own."
    )


def visitor_context(visitor: Visitor, data: Mapping[str, Any]) -> RequestContext:
    """The visitor stands for the request, so the project's context processors run."""
    context = RequestContext(visitor)  # type: ignore[arg-type]
    context.update({"csrf_token": CSRF, **data})  # over what the processors give
    return context
