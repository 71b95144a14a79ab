"""One line of text that everybody sees."""

from __future__ import annotations

from via_state import State, StateApp


class Site(State):
    banner = StateApp(str, default="Welcome", key="banner")
