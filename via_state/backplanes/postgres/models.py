"""The tables as Django sees them, so that ``flush`` empties them between tests. The SQL is in the migration."""

from __future__ import annotations

from typing import Self

from django.db import connections, models


class Rows(models.QuerySet[models.Model]):
    """None in a database of another vendor, where the tables are not made: so ``dumpdata`` of a whole project passes them over."""

    def using(self, alias: str | None) -> Self:
        rows = super().using(alias)
        return rows if connections[rows.db].vendor == "postgresql" else rows.none()


class Log(models.Model):
    """The head row of a log. Appending locks it, which makes the order of offsets the order of commits."""

    prefix = models.CharField(max_length=100)
    key = models.TextField()
    epoch = models.UUIDField()
    last = models.BigIntegerField()
    last_append = models.UUIDField(null=True)
    last_index = models.IntegerField()
    floor = models.BigIntegerField()
    floor_record = models.TextField()
    xid = models.BigIntegerField()

    objects = Rows.as_manager()

    class Meta:
        base_manager_name = "objects"  # of dumpdata --all
        db_table = "via_state_log"
        constraints = [models.UniqueConstraint(fields=["prefix", "key"], name="via_state_log_key")]

    def __str__(self) -> str:
        return self.key


class Pack(models.Model):
    """The records of one append."""

    pk = models.CompositePrimaryKey("log_id", "first")
    log_id = models.BigIntegerField()
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    append_id = models.UUIDField()
    created = models.DateTimeField()
    data = models.BinaryField()

    objects = Rows.as_manager()

    class Meta:
        base_manager_name = "objects"  # of dumpdata --all
        db_table = "via_state_pack"
        constraints = [models.UniqueConstraint(fields=["log_id", "append_id"], name="via_state_pack_append")]

    def __str__(self) -> str:
        return f"{self.log_id}: {self.first} to {self.last}"


class Cell(models.Model):
    """A current value. ``rev`` and ``write_id`` together say which write it is."""

    pk = models.CompositePrimaryKey("prefix", "key")
    prefix = models.CharField(max_length=100)
    key = models.TextField()
    data = models.BinaryField()
    rev = models.BigIntegerField()
    write_id = models.UUIDField()
    written = models.DateTimeField()
    expires = models.DateTimeField(null=True)
    xid = models.BigIntegerField()

    objects = Rows.as_manager()

    class Meta:
        base_manager_name = "objects"  # of dumpdata --all
        db_table = "via_state_cell"

    def __str__(self) -> str:
        return self.key
