"""Live pages in tests: what a tab sees, without a browser."""

from via_state.testing.live.awaited import AwaitedTab, alive_tab
from via_state.testing.live.tab import LiveTab, live_tab

__all__ = ["AwaitedTab", "LiveTab", "alive_tab", "live_tab"]
