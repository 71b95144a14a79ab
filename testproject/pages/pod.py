"""Which pod serves this page."""

from __future__ import annotations

import os

from django.http import HttpRequest

from via_state.pod.default import current_pod


def pod_id() -> str:
    """Unique for each start of a process."""
    return current_pod().pod_id


def pod(request: HttpRequest) -> dict[str, str]:
    """A context processor: ``VIA_POD_NAME`` is what whoever started the process calls it."""
    return {"pod_id": pod_id(), "pod_name": os.environ.get("VIA_POD_NAME", "pod")}
