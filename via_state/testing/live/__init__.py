"""Live pages in tests: what a tab sees, without a browser."""

from via_state.testing.live.tab import LiveTab, live_tab

__all__ = ["LiveTab", "live_tab"]
