"""Tools for tests of projects that use via_state.

pytest users get the fixtures of ``via_state.testing.plugin`` by installing the package; `StateTestMixin` does the same
for Django's ``TestCase``.
"""

from via_state.testing.deliveries import make_delivery
from via_state.testing.draining import adrain, drain
from via_state.testing.isolation import StateTestMixin, memory_pod, settings_pod
from via_state.testing.pods import pods

__all__ = ["StateTestMixin", "adrain", "drain", "make_delivery", "memory_pod", "pods", "settings_pod"]
