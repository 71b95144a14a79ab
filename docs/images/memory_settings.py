"""Settings of a picture: the project as it is before VIA_STATE names a backplane."""

from testproject.settings import *  # noqa: F403

VIA_STATE: dict[str, object] = {}
