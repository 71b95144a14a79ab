"""The NATS JetStream backplane: logs in a stream with a subject per key, cells in a key-value bucket."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from via_state.backplanes.nats.backend import NatsBackplane

__all__ = ["NatsBackplane"]


def __getattr__(name: str) -> object:
    # Not imported at once: whoever only looks at this package need not have nats-py.
    if name == "NatsBackplane":
        from via_state.backplanes.nats.backend import NatsBackplane

        return NatsBackplane
    raise AttributeError(name)
