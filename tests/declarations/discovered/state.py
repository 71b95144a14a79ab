"""State that nobody imports by hand."""

from via_state import State, StateApp


class Found(State):
    flag = StateApp(bool, key="discovered.flag")
