"""Settings of the test project. Without environment variables: SQLite and the memory backplane, one process.

``VIA_DATABASE_PORT`` names a PostgreSQL server on loopback, and makes it the database and the backplane;
``PGPASSFILE`` names the file with its password. ``VIA_NATS_SERVERS``, with them, names NATS servers, and makes them the
backplane; ``VIA_NATS_TOKEN_FILE`` the file with their token. ``VIA_SECRET_KEY`` or ``VIA_SECRET_KEY_FILE`` sets the key.
``VIA_LAYER`` names the channel layer: ``backplane``, or ``redis`` at ``VIA_REDIS``, whose password is in the file
``VIA_REDIS_PASSWORD_FILE``. ``VIA_SESSION_ENGINE`` and ``VIA_DEBUG`` are for scripts.
"""

from __future__ import annotations

import os
from pathlib import Path

from testproject.servers.secret import secret

BASE_DIR = Path(__file__).resolve().parent.parent

# Of this checkout, or of the demo's data: nobody else can sign a session for it.
SECRET_KEY = os.environ.get("VIA_SECRET_KEY") or secret(
    Path(os.environ.get("VIA_SECRET_KEY_FILE", BASE_DIR / ".demo" / "secret-key"))
)
DEBUG = os.environ.get("VIA_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "via_state",
    "testproject.pages",
    "testproject.counter",
    "testproject.chat",
    "testproject.banner",
    "testproject.profile",
    "testproject.orders",
    "testproject.jobs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "testproject.pages.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "via_state.middleware.SessionStateMiddleware",
    "via_state.middleware.ReadYourWritesMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "testproject.pages.middleware.UnavailableMiddleware",
]

ROOT_URLCONF = "testproject.urls"
ASGI_APPLICATION = "testproject.asgi.application"
WSGI_APPLICATION = "testproject.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "testproject.pages.pod.pod",
            ],
        },
    }
]


def postgres(port: str, name: str = "postgres") -> dict[str, object]:
    """A server of `testproject.servers` as a Django database."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": port,
        "USER": "postgres",
        "NAME": name,
    }


DATABASES: dict[str, dict[str, object]]
VIA_STATE: dict[str, object]
if port := os.environ.get("VIA_DATABASE_PORT"):
    INSTALLED_APPS.append("via_state.backplanes.postgres")
    DATABASES = {"default": postgres(port, os.environ.get("VIA_DATABASE_NAME", "postgres"))}
    VIA_STATE = {"BACKEND": "via_state.backplanes.postgres.PostgresBackplane"}
    if servers := os.environ.get("VIA_NATS_SERVERS"):
        VIA_STATE = {
            "BACKEND": "via_state.backplanes.nats.NatsBackplane",
            "OPTIONS": {"SERVERS": servers.split(",")},
        }
        if token := os.environ.get("VIA_NATS_TOKEN_FILE"):
            VIA_STATE["OPTIONS"] = {"SERVERS": servers.split(","), "TOKEN": Path(token).read_text().strip()}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
    VIA_STATE = {}

CHANNEL_LAYERS: dict[str, dict[str, object]] = {}
match os.environ.get("VIA_LAYER"):
    case "backplane":
        CHANNEL_LAYERS = {"default": {"BACKEND": "via_state.layers.BackplaneChannelLayer"}}
    case "redis":
        password = Path(os.environ["VIA_REDIS_PASSWORD_FILE"]).read_text().strip()
        CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [f"redis://:{password}@{os.environ['VIA_REDIS']}/0"]},
            }
        }

SESSION_ENGINE = os.environ.get("VIA_SESSION_ENGINE", "django.contrib.sessions.backends.db")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGIN_URL = "admin:login"
