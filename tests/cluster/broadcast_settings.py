"""The test project, in which scripts may be broadcast, over either layer of channels-redis where there is a Redis."""

from testproject.settings import *  # noqa: F403
from testproject.settings import VIA_STATE

VIA_STATE = {**VIA_STATE, "LIVE_SCRIPTS": True}
