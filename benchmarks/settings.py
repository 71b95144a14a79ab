"""Settings of the benchmarks: one PostgreSQL, on the port that ``python -m benchmarks`` started it on; perhaps NATS."""

import os

SECRET_KEY = "benchmarks"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "benchmarks.served"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "via_state",
    "via_state.backplanes.postgres",
    "benchmarks",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["VIA_DATABASE_PORT"],
        "USER": "postgres",
        "NAME": "postgres",
    }
}
VIA_STATE = {"BACKEND": "via_state.backplanes.postgres.PostgresBackplane", "COMPACT_MIN_AGE": 0}
if os.environ.get("VIA_BENCH_BACKPLANE") == "nats":
    VIA_STATE |= {
        "BACKEND": "via_state.backplanes.nats.NatsBackplane",
        "OPTIONS": {"SERVERS": os.environ["VIA_BENCH_NATS"], "PREFIX": "bench"},
    }
if os.environ.get("VIA_BENCH_UVLOOP"):
    VIA_STATE["UVLOOP"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
