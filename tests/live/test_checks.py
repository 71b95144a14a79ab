"""What the checks say about the carrier of broadcasts."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from tests.live.world import CORE
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
def test_what_would_not_reach_everybody_or_would_reach_others_is_said(
    layer: str | None, config: dict[str, Any], settings: dict[str, Any], expected: set[str]
) -> None:
    assert ids(layer, config, **settings) == expected
