"""Settings of the worker processes: one PostgreSQL, reached through the port that the test names, and NATS where it
names servers.
"""

import os

SECRET_KEY = "tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "via_state",
    "via_state.backplanes.postgres",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("VIA_DATABASE_HOST", "127.0.0.1"),
        "PORT": os.environ["VIA_DATABASE_PORT"],
        "USER": "postgres",
        "NAME": os.environ["VIA_DATABASE_NAME"],
    }
}
VIA_STATE = {
    "BACKEND": "via_state.backplanes.postgres.PostgresBackplane",
    "OPTIONS": {"TIMEOUT": 3.0},
    "PREFIX": os.environ["VIA_PREFIX"],
    "APPEND_TIMEOUT": 300.0,
    "READ_TIMEOUT": 60.0,
    "UPDATE_TIMEOUT": 300.0,
    "OUTBOX_INTERVAL": 0.5,
}
if servers := os.environ.get("VIA_NATS_SERVERS"):
    VIA_STATE |= {
        "BACKEND": "via_state.backplanes.nats.NatsBackplane",
        "OPTIONS": {
            "SERVERS": servers.split(","),
            "REPLICAS": int(os.environ.get("VIA_NATS_REPLICAS", "1")),
            "TIMEOUT": 3.0,
        },
    }
if os.environ.get("VIA_SNAPSHOTS") == "eager":
    VIA_STATE |= {"SNAPSHOT_INTERVAL": 1, "COMPACT_MIN_AGE": 0}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if "VIA_LEASE" in os.environ:
    VIA_STATE |= {"HANDLER_LEASE": float(os.environ["VIA_LEASE"])}
if "VIA_PEER_LEASE" in os.environ:
    VIA_STATE |= {"PEER_LEASE": float(os.environ["VIA_PEER_LEASE"])}
