"""Saying no."""

from __future__ import annotations

from via_state.exceptions import ViaStateError


class Refused(ViaStateError):
    """An operation was not begun. The message says why, and what to do."""
