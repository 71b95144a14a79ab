"""The Django app."""

from contextlib import suppress

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
        from django.contrib.auth.signals import user_logged_out

        from via_state import (
            checks,  # noqa: F401 - registers them
            constraints,  # noqa: F401 - the same
            logs,
            origin,
        )
        from via_state.conf import settings as our_settings
        from via_state.core import text
        from via_state.declarations import handle
        from via_state.declarations.owner_end import watch_deletions
        from via_state.declarations.session_end import end_on_logout
        from via_state.live import checks as live_checks  # noqa: F401 - the same
        from via_state.live.announcing.session_ends import watch_logins
        from via_state.live.rendering import tags
        from via_state.metrics import consumers, exposition, folds, live, messages, process  # noqa: F401 - subscribe

        with suppress(ImportError):  # the package is optional
            from via_state import otel

            otel.install()
        logs.guard()
        logs.trace_id = origin.trace_id
        handle.live_text = tags.text_of
        text.show_values = lambda: bool(our_settings.LOG_VALUES)
        user_logged_out.connect(end_on_logout, dispatch_uid="via_state.end_on_logout")
        watch_deletions()
        watch_logins()
        autodiscover_modules("state")
