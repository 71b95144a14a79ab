"""Whether this code can continue from the snapshots that are stored: asked before it is deployed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from via_state.core.manifest import Manifest
from via_state.core.snapshots import SnapshotSpec, migration_path
from via_state.declarations.problems import Problem


def missing_bridge(spec: SnapshotSpec[Any], stored: Iterable[Manifest]) -> Problem | None:
    """What a declaration lacks. ``stored`` are the manifests of the snapshots of logs that were compacted."""
    others = list(stored)
    if not others or any(spec.manifest.folds_like(one) for one in others):
        return None
    newest = max(others, key=lambda one: one.version)
    changes = spec.manifest.differences(newest)
    before, now = newest.version, spec.manifest.version
    if before == now:
        return Problem(
            "E015",
            f"Its code changed ({changes}) and its version did not, while records were discarded that only the snapshots of "
            "the code before cover.",
            f"Write version={now + 1} and register @….migration({now}, {now + 1}); the function may return the value as it is.",
        )
    if migration_path(spec.migrations, before, now) is None:
        return Problem(
            "E016",
            f"Records were discarded that only snapshots of version {before} cover, and no migration leads to version {now} "
            f"({changes}).",
            f"Register @….migration({before}, {now}).",
        )
    return None


def parse_manifests(texts: Iterable[str]) -> list[Manifest]:
    """Manifests of their stored forms; those of a later via_state are left out."""
    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(Manifest.parse(text))
    return found
