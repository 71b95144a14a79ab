"""HTTP, static files, live pages and other WebSockets of the test project, for any ASGI server."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
django = get_asgi_application()

# These need the apps, which are ready only now.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402

from testproject.routing import websocket_urlpatterns  # noqa: E402
from via_state.live import live  # noqa: E402

application = live(
    ProtocolTypeRouter(
        {
            "http": ASGIStaticFilesHandler(django),
            "websocket": AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns)),
        }
    )
)
