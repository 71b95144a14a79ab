"""The Django app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ViaStateConfig(AppConfig):
    """Finds every app's ``state.py``. Opens nothing: connections are made on first use."""

    name = "via_state"
    label = "via_state"
    verbose_name = _("Live state")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from via_state import checks, signals  # noqa: F401 - both register themselves

        autodiscover_modules("state")
