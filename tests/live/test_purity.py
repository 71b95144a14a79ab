"""What decides about frames and positions does no I/O, knows no clock, and stands on nothing of Django."""

from __future__ import annotations

from pathlib import Path

import pytest

import via_state.live
from tests.core.test_purity import ALLOWED, imported

FOLDER = Path(via_state.live.__file__).parent
PURE = [
    f"protocol/{one}" for one in ("node", "vector", "frames", "delta", "pacing", "limits", "content", "codes")
] + [
    "announcing/sequences",
    "announcing/kept",
]


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_of_live_pages_imports_only_what_computes(name: str) -> None:
    own = {f"via_state.live.{one.replace('/', '.')}" for one in PURE}
    for module in imported(FOLDER / f"{name}.py"):
        inside = module in own or module.startswith("via_state.core.")
        assert inside or module.split(".")[0] in {*ALLOWED, "base64"}, f"{name} imports {module}"
