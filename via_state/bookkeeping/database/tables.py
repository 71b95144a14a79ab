"""Our tables as this project sees them: the rows of its ``PREFIX`` in the database ``DATABASE``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.apps import apps
from django.db import transaction
from django.db.models import Model, QuerySet

from via_state.conf import settings

if TYPE_CHECKING:
    from via_state import models

M = TypeVar("M", bound=Model)


class Table(Generic[M]):
    """One table, by its model's name: models load after the modules that use them."""

    def __init__(self, model: str) -> None:
        self._name = model

    @property
    def model(self) -> type[M]:
        """The table's model."""
        return apps.get_model("via_state", self._name)

    def rows(self) -> QuerySet[M]:
        """The rows of this project."""
        return ours(self._all())

    def new(self, **columns: Any) -> M:
        """A row of this project that is not stored yet."""
        return self.model(prefix=settings.PREFIX, **columns)

    def create(self, **columns: Any) -> None:
        """Store a new row; receivers of Django's signals hear of it."""
        self.new(**columns).save(using=settings.DATABASE, force_insert=True)

    def add(self, *rows: M, keep: bool = False) -> None:
        """Store new rows. With ``keep``, those that are there already stay as they are."""
        self._all().bulk_create(rows, ignore_conflicts=keep, batch_size=500)

    def _all(self) -> QuerySet[M]:
        return self.model._default_manager.using(settings.DATABASE)


class _Parts(Table[M]):
    """Rows without a prefix: each belongs to a row that has one, and is reached by its number."""

    def rows(self) -> QuerySet[M]:
        return self._all()

    def new(self, **columns: Any) -> M:
        return self.model(**columns)


handlers: Table[models.EventHandler] = Table("EventHandler")
#: Of handlers, or held by workers, that are this project's.
positions: Table[models.HandlerPosition] = _Parts("HandlerPosition")
peers: Table[models.PeerRow] = Table("PeerRow")
workers: Table[models.HandlerWorker] = Table("HandlerWorker")
dead_letters: Table[models.DeadLetter] = Table("DeadLetter")
snapshots: Table[models.SnapshotRow] = Table("SnapshotRow")
log_locks: Table[models.LogLock] = Table("LogLock")
halted_keys: Table[models.HaltedKey] = Table("HaltedKey")
outbox: Table[models.OutboxRecord] = Table("OutboxRecord")
outbox_lanes: Table[models.OutboxLane] = Table("OutboxLane")
erasures: Table[models.OwnerErasure] = Table("OwnerErasure")
rates: Table[models.RateRow] = Table("RateRow")


def ours(rows: QuerySet[M]) -> QuerySet[M]:
    """Of any rows of one of our tables, those of this project."""
    return rows.using(settings.DATABASE).filter(prefix=settings.PREFIX)


def of_handlers(rows: QuerySet[models.HandlerPosition]) -> QuerySet[models.HandlerPosition]:
    """The same of positions, which have no prefix."""
    # Their numbers rather than a join: the database then knows how many rows to expect.
    pks = list(handlers.rows().values_list("pk", flat=True))
    return rows.using(settings.DATABASE).filter(handler__in=pks)


def save(row: Model, *columns: str) -> None:
    """Store a row that was read; only some columns, where they are named."""
    row.save(using=settings.DATABASE, update_fields=columns or None)


def atomic(*, durable: bool = False) -> AbstractContextManager[Any]:
    """A transaction of the database that holds them. ``durable``: RuntimeError where one is open already."""
    return transaction.atomic(using=settings.DATABASE, durable=durable)
