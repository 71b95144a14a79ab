"""The PostgreSQL backplane as a Django app of its own: its tables exist only where it is used."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PostgresBackplaneConfig(AppConfig):
    """Add ``via_state.backplanes.postgres`` to INSTALLED_APPS, then ``manage.py migrate``."""

    name = "via_state.backplanes.postgres"
    label = "via_state_postgres"
    verbose_name = _("Live state on PostgreSQL")
    default_auto_field = "django.db.models.BigAutoField"
