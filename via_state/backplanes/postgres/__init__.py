"""The PostgreSQL backplane: cells and logs as rows of the project's own database."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from via_state.backplanes.postgres.backend import PostgresBackplane

__all__ = ["PostgresBackplane"]


def __getattr__(name: str) -> object:
    # Not imported at once: Django imports this package while it loads apps, whether or not psycopg is there.
    if name == "PostgresBackplane":
        from via_state.backplanes.postgres.backend import PostgresBackplane

        return PostgresBackplane
    raise AttributeError(name)
