"""Forms that say what is wrong while they are filled in: a page asks the form's own view, and nothing is sent.

What asks is no POST: its method is ``QUERY``, which is safe by definition, and of which Django makes no ``request.POST``. A view that does not
know of it, or that older code answers, finds nothing in it that could be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.views.generic import View

from via_state.exceptions import DeclarationError
from via_state.live.rendering.written import ASKED

F = TypeVar("F", bound=BaseForm)

METHOD, WORD = "QUERY", "validate"


def validating(request: HttpRequest) -> bool:
    """Whether a page asks what is wrong with a form that somebody fills in. Nothing was sent, and nothing is to be done."""
    return request.method == METHOD and request.headers.get(ASKED, "").partition(";")[0] == WORD


def form(
    request: HttpRequest, form_class: Callable[..., F], *args: Any, sent_with: str | None = None, **kwargs: Any
) -> F:
    """A form of this request: bound to what was sent, to what is typed so far, or to nothing.

    Of what is typed so far it has the errors of those fields alone that somebody typed in. Such a form is never valid, whatever is in it:
    ``is_valid()`` is false, there is no ``cleaned_data``, and ``save()`` raises.

    ``form_class`` is called with ``args`` and ``kwargs``, and with ``data`` and ``files`` where there are any. ``sent_with``: where a page has
    several forms, the name of a field that only this one has; a request without it is about another form.
    """
    asks = validating(request)
    if not asks and request.method != "POST":
        return form_class(*args, **kwargs)
    data = QueryDict(request.body, encoding=request.encoding) if asks else request.POST
    if sent_with is not None and sent_with not in data:
        return form_class(*args, **kwargs)
    made = form_class(*args, **{"data": data, "files": None if asks else request.FILES, **kwargs})
    return _draft(made, request) if asks else made


def _draft(made: F, request: HttpRequest) -> F:
    if not isinstance(made, BaseForm):
        raise DeclarationError(f"live.form makes forms, and {type(made).__name__} is not one.")
    names = {made.add_prefix(name): name for name in made.fields}
    sent = map(unquote, request.headers[ASKED].partition(";")[2].strip().split(","))
    touched, whole = {_field_of(one, names) for one in sent}, made.full_clean

    def full_clean() -> None:
        whole()
        for name in set(made.errors) - touched:
            del made.errors[name]
        vars(made).pop("cleaned_data", None)

    vars(made).update(full_clean=full_clean, is_valid=lambda: False, save=_refuse)
    return made


def _field_of(sent: str, names: dict[str, str]) -> str | None:
    """Whose widget has this name: that of a field, or with more after it, as those have that are made of several."""
    while sent and sent not in names:
        sent = sent.rpartition("_")[0]
    return names.get(sent)


def _refuse(*_: Any, **__: Any) -> None:
    raise DeclarationError(
        "This form was not sent: a page asks what is wrong with it so far. Save it only where form.is_valid() says so."
    )


if TYPE_CHECKING:
    from django.views.generic.edit import FormView

    _Base = FormView[Any]
else:
    _Base = object


class LiveFormMixin(_Base):
    """Before ``FormView``, ``CreateView`` or ``UpdateView``: their form says what is wrong while it is filled in."""

    http_method_names = [*View.http_method_names, METHOD.lower()]

    def query(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, with what is wrong with the form so far."""
        return self.get(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> Any:
        """The form of this request."""
        return form(self.request, form_class or self.get_form_class(), **self.get_form_kwargs())
