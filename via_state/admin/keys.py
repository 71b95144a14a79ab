"""Keys of families as a person reads them."""

from __future__ import annotations

from via_state.core.text import one_line
from via_state.declarations.catalog import handled_logs
from via_state.exceptions import InvalidKey

LENGTH = 500  # characters


def shown_parameters(log: str, key: str) -> str:
    """The parameters of a key of the declared ``log``, as ``room = 'a.b'``; "-" where it has none, or no code declares it."""
    for one in handled_logs(logs=[log], without_handlers=True):
        try:
            parameters = one.spec.parameters(key)
        except InvalidKey:
            break
        return one_line(", ".join(f"{name} = {value!r}" for name, value in parameters.items()), LENGTH) or "-"
    return "-"
