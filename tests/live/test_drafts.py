"""What a view makes of a request that asks what is wrong with a form so far; and what is said of a page that can't ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django import forms
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST
from django.views.generic import CreateView, FormView

from tests.live.pieces import templates
from tests.live.tagged import LOAD, rendered
from via_state import live
from via_state.exceptions import DeclarationError
from via_state.live.rendering.drafts import METHOD
from via_state.testing.live import alive_tab, live_tab

saved: list[dict[str, Any]] = []


class Note(forms.Form):
    """Every field may be empty: what is not sent is valid."""

    text = forms.CharField(max_length=5, required=False)
    when = forms.SplitDateTimeField(required=False)
    when_else = forms.CharField(max_length=2, required=False)
    secret = forms.CharField(min_length=4, required=False, widget=forms.PasswordInput)

    def clean(self) -> None:
        raise_for = self.cleaned_data.get("text")
        if raise_for == "both":
            raise forms.ValidationError("Not together.")


def kept(request: HttpRequest, form: forms.Form) -> HttpResponse:
    if form.is_valid():
        saved.append(form.cleaned_data)
        return redirect(request.path)
    return render(request, "note.html", {"form": form}, status=400 if form.is_bound else 200)


def note(request: HttpRequest) -> HttpResponse:
    return kept(request, live.form(request, Note))


def pair(request: HttpRequest) -> HttpResponse:
    other = live.form(request, Note, sent_with="b-text", prefix="b")
    return HttpResponse(f"{live.validating(request)} {other.is_bound} {sorted(other.errors)}")


async def awaited(request: HttpRequest) -> HttpResponse:
    from asgiref.sync import sync_to_async

    return await sync_to_async(note)(request)


class Notes(live.LiveFormMixin, FormView):  # type: ignore[type-arg]
    form_class = Note
    template_name = "note.html"
    success_url = "/class/"

    def form_valid(self, form: Note) -> HttpResponse:
        return kept(self.request, form)


class NewUser(live.LiveFormMixin, CreateView):  # type: ignore[type-arg]
    model = User
    fields = ("username",)
    template_name = "note.html"
    success_url = "/user/"


def by_method(request: HttpRequest) -> HttpResponse:
    return kept(request, Note(request.POST if request.method == "POST" else None))


def by_data(request: HttpRequest) -> HttpResponse:
    return kept(request, Note(request.POST or None))


@require_POST
def only_post(request: HttpRequest) -> HttpResponse:
    return kept(request, Note(request.POST))


@require_http_methods(["GET", "HEAD", "POST"])
def listed(request: HttpRequest) -> HttpResponse:
    return kept(request, live.form(request, Note))


class Plain(FormView):  # type: ignore[type-arg]
    form_class = Note
    template_name = "note.html"

    def form_valid(self, form: Note) -> HttpResponse:
        return kept(self.request, form)


FORGETFUL = {
    "by_method": by_method,
    "by_data": by_data,
    "only_post": only_post,
    "listed": listed,
    "plain": Plain.as_view(),
}
urlpatterns = [
    path("note/", note),
    path("pair/", pair),
    path("awaited/", awaited),
    path("class/", Notes.as_view()),
    path("user/", NewUser.as_view()),
    *(path(f"{name}/", view) for name, view in FORGETFUL.items()),
]

PAGE = (
    LOAD
    + '{% via_scripts %}{% via_validate %}<form id="note" method="post" data-via-form data-via-validate>{% csrf_token %}{{ form.as_div }}</form>'
)


@pytest.fixture(autouse=True)
def site() -> Any:
    saved.clear()
    with templates(note=PAGE), override_settings(ROOT_URLCONF=__name__):
        yield


def ask(client: Client, where: str, touched: str, **typed: Any) -> Any:
    return client.generic(
        METHOD,
        where,
        urlencode(typed),
        "application/x-www-form-urlencoded",
        headers={"X-Via": f"validate; {touched}"},
    )


@pytest.mark.parametrize("name", FORGETFUL)
def test_a_view_that_does_not_know_of_it_is_not_able_to_save_what_is_typed(name: str) -> None:
    for touched in ("text", ""):
        answer = ask(Client(), f"/{name}/", touched, text="ok")
        assert answer.status_code in (200, 405)
        assert b"errorlist" not in answer.content
    assert saved == []
    assert Client().post(f"/{name}/", {"text": "ok"}).status_code == 302
    assert [one["text"] for one in saved] == ["ok"]


@pytest.mark.parametrize("where", ["/note/", "/class/", "/awaited/"])
def test_errors_are_of_the_fields_that_were_touched_and_nothing_is_valid(where: str) -> None:
    client = Client()
    typed = {"text": "too long", "when_0": "never", "when_1": "", "when_else": "long"}
    for touched, wrong in {"text": {"text"}, "when_0": {"when"}, "when_else,x": {"when_else"}, "": set()}.items():
        answer = ask(client, where, touched, **typed)
        assert set(answer.context["form"].errors) == wrong, touched
        assert answer.content.count(b"errorlist") == len(wrong)
    assert b'value="too long" maxlength="5" aria-invalid="true"' in ask(client, where, "text", **typed).content
    fine = ask(client, where, "text", text="fine")
    assert (fine.context["form"].errors, saved) == ({}, [])
    assert ask(client, where, "text", text="both").context["form"].non_field_errors() == [], (
        "what is of the whole waits until it is sent"
    )
    assert client.post(where, {"text": "fine"}).status_code == 302
    assert client.post(where, {"text": "both"}).status_code in (200, 400)
    assert [one["text"] for one in saved] == ["fine"]


@pytest.mark.django_db
def test_a_model_form_asks_the_database_and_writes_nothing() -> None:
    User.objects.create_user("ann")
    assert ask(Client(), "/user/", "username", username="ann").context["form"].errors
    assert not ask(Client(), "/user/", "username", username="bob").context["form"].errors
    assert Client().post("/user/", {"username": "bob"}).status_code == 302
    assert User.objects.count() == 2


def request(body: bytes, touched: str = "text") -> HttpRequest:
    return RequestFactory().generic(
        METHOD, "/", body, "application/x-www-form-urlencoded", headers={"X-Via": f"validate; {touched}"}
    )


def test_what_is_only_asked_about_has_no_data_to_save() -> None:
    form = live.form(request(b"text=ok"), Note)
    assert (form.is_bound, form.is_valid(), form.errors) == (True, False, {})
    assert not hasattr(form, "cleaned_data")
    with pytest.raises(DeclarationError, match="not sent"):
        form.save()  # type: ignore[attr-defined]
    with pytest.raises(DeclarationError, match="NoteFormSet is not one"):
        live.form(request(b"text=ok"), forms.formset_factory(Note))  # type: ignore[type-var]


def test_of_several_forms_that_one_is_meant_whose_field_is_there() -> None:
    assert ask(Client(), "/pair/", "b-when_1", **{"b-text": "", "b-when_1": "x"}).content == b"True True ['when']"
    assert ask(Client(), "/pair/", "a-text", **{"a-text": "too long"}).content == b"True False []"
    assert Client().post("/pair/", {"b-text": "too long"}).content == b"False True ['text']"
    assert Client().get("/pair/").content == b"False False []"


def test_it_is_bounded_and_protected_as_a_post_is() -> None:
    strict = Client(enforce_csrf_checks=True)
    assert ask(strict, "/note/", "text", text="too long").status_code == 403
    with live_tab(strict, "/note/") as tab:
        assert tab.fill("#note", text="too long").status_code == 400
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=2):
        assert ask(Client(), "/note/", "text", a=1, b=2, c=3).status_code == 400
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        assert ask(Client(), "/note/", "text", text="x" * 20).status_code == 400


def test_a_tab_of_a_test_types_and_sees_what_is_wrong() -> None:
    with live_tab(Client(), "/note/") as tab:
        tab.fill("#note", text="too long", secret="abc")
        tab.sees("#note .errorlist", "Ensure this value has at most 5 characters (it has 8).")
        assert len(tab.page.find(".errorlist")) == 1, "a password is not sent before the form is"
        tab.fill("#note", text="fine")
        assert not tab.page.find(".errorlist")
        assert tab.submit("#note", secret="").status_code == 302
        assert saved[0]["text"] == "fine"
        with pytest.raises(AssertionError, match="QUERY answered 405"):
            tab.page.find("#note")[0].attributes["action"] = "/only_post/"
            tab.fill("#note", text="x")


async def test_in_an_event_loop_too() -> None:
    async with alive_tab(AsyncClient(), "/awaited/") as tab:
        await tab.afill("#note", text="too long")
        await tab.asees("#note .errorlist", "Ensure this value has at most 5 characters (it has 8).")


def test_the_page_loads_the_script_with_its_nonce_and_the_name_of_the_header() -> None:
    from tests.live.pieces import request as page_request

    with override_settings(CSRF_HEADER_NAME="HTTP_X_OTHER"):
        html = rendered("{% via_scripts %}{% via_validate %}", page_request(csp_nonce="abc"))
    assert html.endswith(
        '<script type="module" src="/static/via_state/via-validate-1.js" nonce="abc" data-via-header="X-Other"></script>'
    )
    with pytest.raises(DeclarationError, match="via_scripts"):
        rendered("{% via_validate %}")

    @live.fragment("partform.html")
    def block(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with pytest.raises(Exception, match="not into one"):
        rendered('{% via_live "partform.html" %}', partform=LOAD + "{% via_validate %}")


def test_a_form_that_nothing_checks_is_named(tmp_path: Path) -> None:
    backend = "django.template.backends.django.DjangoTemplates"
    setting = override_settings(TEMPLATES=[{"BACKEND": backend, "DIRS": [tmp_path], "OPTIONS": {}}])

    def found() -> list[str]:
        with setting:
            return [str(one) for one in run_checks(tags=["via_state"]) if one.id == "via_state.W035"]

    assert found() == []
    (tmp_path / "form.html").write_text("<form data-via-form data-via-validate></form>")
    assert "form.html" in found()[0]
    (tmp_path / "page.html").write_text("{% via_validate %}")
    assert found() == []
