"""Distributed live state for Django: declare it like model fields, every process sees the same value."""

from via_state.core.delivery import Retry
from via_state.core.offsets import Offset
from via_state.core.presence import Member
from via_state.declarations.app import StateApp, StateAppEvents
from via_state.declarations.event_log import Foldable
from via_state.declarations.presence import StatePresence
from via_state.declarations.session import StateSess, StateSessEvents
from via_state.declarations.state import State
from via_state.declarations.user import StateUser, StateUserEvents
from via_state.exceptions import Poison, RetryAfter
from via_state.handlers.declaration import Delivery
from via_state.origin import context
from via_state.pod.default import current_pod

__all__ = [
    "Delivery",
    "Foldable",
    "Member",
    "Offset",
    "Poison",
    "Retry",
    "RetryAfter",
    "State",
    "StateApp",
    "StateAppEvents",
    "StatePresence",
    "StateSess",
    "StateSessEvents",
    "StateUser",
    "StateUserEvents",
    "context",
    "current_pod",
]
__version__ = "0.1.0"
