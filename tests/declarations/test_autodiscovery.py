"""``state.py`` of every installed app is imported when Django starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.test import override_settings

from via_state.declarations.registry import registry

MODULE = "tests.declarations.discovered.state"


@pytest.fixture
def forgotten() -> Iterator[None]:
    sys.modules.pop(MODULE, None)
    yield
    sys.modules.pop(MODULE, None)


@pytest.mark.usefixtures("forgotten")
def test_state_modules_of_installed_apps_are_found_and_named_after_their_app() -> None:
    installed = [
        "tests.declarations.discovered",
        "via_state",
        "django.contrib.auth",
        "django.contrib.contenttypes",
    ]
    with override_settings(INSTALLED_APPS=installed):
        assert MODULE in sys.modules
        assert [str(definition) for definition in registry.definitions()] == ["discovered.Found.flag"]


def test_the_app_is_configured_explicitly() -> None:
    config = apps.get_app_config("via_state")
    assert config.name == "via_state"
    assert str(config.verbose_name) == "Live state"
    assert config.default_auto_field == "django.db.models.BigAutoField"
