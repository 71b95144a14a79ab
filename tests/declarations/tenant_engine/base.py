from __future__ import annotations

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Of one tenant at a time."""

    def set_schema(self, schema_name: str) -> None:
        self.schema_name = schema_name
