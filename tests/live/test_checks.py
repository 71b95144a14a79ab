"""What the checks say about the carrier of broadcasts, and about the server."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.checks.registry import registry
from django.test import override_settings

from tests.live.world import CORE
from via_state.live import checks
from via_state.live.announcing.carriers.choice import IN_MEMORY

POSTGRES = "via_state.backplanes.postgres.PostgresBackplane"
REMOTE, HERE = {"hosts": ["redis://redis.example:6379"]}, {"hosts": ["redis://127.0.0.1:6379"]}
KEYS = {"symmetric_encryption_keys": ["x"]}


def ids(layer: str | None, config: dict[str, Any], **settings: Any) -> set[str]:
    layers = {} if layer is None else {"default": {"BACKEND": layer, "CONFIG": config}}
    with override_settings(VIA_STATE={"BACKEND": POSTGRES, **settings}, CHANNEL_LAYERS=layers):
        found = run_checks(tags=["via_state"], include_deployment_checks=True)
    ours = {"via_state.E045", "via_state.W030", "via_state.W031", "via_state.W032"}
    return {str(one.id).removeprefix("via_state.") for one in found if one.id in ours and one.hint}


@pytest.mark.parametrize(
    ("layer", "config", "settings", "expected"),
    [
        (None, {}, {}, set()),
        (None, {}, {"BROADCAST": "layer"}, {"E045"}),
        ("no.such.Layer", {}, {"BROADCAST": "layer"}, {"E045"}),
        (None, {}, {"BROADCAST": "local"}, {"W030"}),
        (IN_MEMORY, {}, {"BROADCAST": "layer"}, {"W030"}),
        (IN_MEMORY, {}, {}, set()),
        (None, {}, {"BROADCAST": "local", "BACKEND": "via_state.backplanes.memory.MemoryBackplane"}, set()),
        (CORE, HERE, {}, set()),
        (CORE, REMOTE, {}, {"W032"}),
        (CORE, {**REMOTE, **KEYS}, {}, set()),
        (CORE, REMOTE, {"BROADCAST": "backplane"}, set()),
        (None, {}, {"LIVE_SCRIPTS": True}, {"W031"}),
    ],
)
def test_o2_what_would_not_reach_everybody_or_would_reach_others_is_said(
    layer: str | None, config: dict[str, Any], settings: dict[str, Any], expected: set[str]
) -> None:
    assert ids(layer, config, **settings) == expected


@pytest.mark.parametrize(
    ("hosts", "daphne", "expected"),
    [
        (["example.org"], "4.2.2", set()),
        (["example.org"], "4.10.0", set()),
        (["example.org"], None, set()),
        (["example.org"], "4.2.1", {"via_state.W034"}),
        (["example.org"], "4.1", {"via_state.W034"}),
        (["example.org", "*"], None, {"via_state.W033"}),
    ],
)
def test_o2_a_site_of_any_name_and_a_server_without_bounds_are_named(
    hosts: list[str], daphne: str | None, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if daphne is None:
            raise metadata.PackageNotFoundError(name)
        return daphne

    monkeypatch.setattr(metadata, "version", version)
    with override_settings(ALLOWED_HOSTS=hosts):
        found = checks.check_server_of_deployment()
    assert {str(one.id) for one in found if one.hint} == expected
    registered = [one.__name__ for one in registry.get_checks(include_deployment_checks=True)]  # type: ignore[attr-defined]
    assert "check_server_of_deployment" in registered


def test_o2_a_weak_secret_key_is_named_by_django() -> None:
    """Tokens and tickets, and what carriers take, are keyed with it."""
    with override_settings(SECRET_KEY="django-insecure-short"):
        found = run_checks(tags=["security"], include_deployment_checks=True)
    assert "security.W009" in {one.id for one in found}
