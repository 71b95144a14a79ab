"""Rows that belong to the project's own database, whichever backplane carries the logs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class OutboxRecord(models.Model):
    """An append that waits for the transaction it was made in, and then for the relay."""

    lane = models.PositiveSmallIntegerField()
    prefix = models.CharField(max_length=100)
    key = models.TextField()
    append_id = models.UUIDField()
    count = models.PositiveIntegerField()
    data = models.BinaryField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("outbox record")
        verbose_name_plural = _("outbox records")
        indexes: ClassVar = [models.Index(fields=["lane", "id"], name="via_state_outbox_lane")]

    def __str__(self) -> str:
        return f"{self.key} ({self.count})"


class OutboxLane(models.Model):
    """A row to lock: one relay at a time moves the records of a lane, which keeps each key's order."""

    lane = models.PositiveSmallIntegerField(primary_key=True)
    relayed = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("outbox lane")
        verbose_name_plural = _("outbox lanes")

    def __str__(self) -> str:
        return str(self.lane)
