"""The page between a button and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    from via_state.admin.readonly import ReadOnlyAdmin


@dataclass(frozen=True, slots=True)
class Item:
    """One row that something would be done to.

    ``token`` comes back when it is confirmed; empty where ``note`` says why nothing can be done. ``lines`` are names and
    values, ``text`` is shown as it is.
    """

    title: str
    token: str
    lines: Sequence[tuple[str, str]]
    text: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``items`` is what it would be done to."""

    title: str
    explanation: str
    button: str
    action: str
    back: str
    items: Sequence[Item]
    note: str = ""

    @property
    def possible(self) -> int:
        """To how many it can be done."""
        return sum(bool(item.token) for item in self.items)


def confirmation(admin: ReadOnlyAdmin, request: HttpRequest, question: Question) -> TemplateResponse:
    """The page that asks; it posts the tokens as ``item``."""
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": question.title,
        "subtitle": None,
        "opts": admin.opts,
        "question": question,
        "media": admin.media,
    }
    request.current_app = admin.admin_site.name
    return TemplateResponse(request, "admin/via_state/confirmation.html", context)
