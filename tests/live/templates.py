"""The templates of `tests.live.stage`."""

from __future__ import annotations

from typing import Any

PAGE = (
    "{% load via_state %}<!doctype html><head>{% via_scripts %}</head><body>{% block body %}{% endblock %}</body>"
)
TEMPLATES = {
    "page.html": PAGE,
    "counter.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<p id="total">{% via_text "tests.Stage.total" %}</p>'
    '<progress id="bar" max="9" {% via_attr "tests.Stage.total" to="value" %}></progress>'
    '<form method="post">{% csrf_token %}{{ form.number.errors }}<input name="number" value="1"></form>{% endblock %}',
    "own.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<p id="mine">{% via_text "tests.Stage.mine" %}</p><p id="unread">{% via_text "tests.Stage.unread" %}</p>{% endblock %}',
    "say.html": '{% extends "page.html" %}{% load via_state %}{% block body %}<form id="say" method="post" data-via-form>{% csrf_token %}'
    '<b>{{ error }}</b>{% via_text "tests.Stage.total" %}<textarea name="text">\n{{ text }}</textarea><input type="file" name="file">'
    '<select name="to"><option value="a">A</option><option value="b" selected>B</option></select><select name="first"><option>one</option><option>two</option></select>'
    '<input type="checkbox" name="yes" checked><input type="checkbox" name="no"><input type="radio" name="r" value="1" checked>'
    '<input name="off" disabled value="x"><button name="press">Say</button></form>'
    '<form class="bare" method="post" data-via-form>{% csrf_token %}<input name="text"></form>{% endblock %}',
    "room_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="room">{% via_live "stage/room.html" room=room %}</section>{% endblock %}',
    "table_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="table">{% via_live "stage/table.html" shared %}</section>{% endblock %}',
    "stock_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="stock">{% via_live "stage/stock.html" product=7 %}</section>{% endblock %}',
    "staff_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="staff">{% via_live "stage/staff.html" %}</section>{% endblock %}',
    "stage/room.html": "{% load via_state %}<ol>{% via_for line in lines %}<li>{{ line }}</li>{% endvia_for %}</ol> <b>{{ name }}</b>",
    "stage/table.html": '{% load via_state %}<h2>{{ banner }}</h2><p class="sum">{{ total }}</p>'
    '<p class="inner">{% via_text "tests.Stage.total" %}</p>',
    "stage/stock.html": '<p class="left">{{ left }}</p>',
    "stage/staff.html": '<p class="secret">{{ total }}</p>',
}


def setting(templates: dict[str, str]) -> list[dict[str, Any]]:
    """What ``TEMPLATES`` is with these."""
    loader = ("django.template.loaders.locmem.Loader", templates)
    processors = ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth"]
    return [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": processors,
                "loaders": [("django.template.loaders.cached.Loader", [loader])],
            },
        }
    ]


SETTING = setting(TEMPLATES)
