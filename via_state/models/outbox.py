"""Rows of the outbox."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from via_state.fields import LineField, NameField


class OutboxRecord(models.Model):
    """An append that waits for the transaction it was made in, and then for the relay.

    ``key_hash`` stands for the key: some databases compare text without regard to case. While ``batch`` is set, the rows whose ids
    are in ``members``, this one first, are one append with that id, begun by whoever held the lane then; ``epoch``, ``offset`` and
    ``record_id`` say where the head of the log was before. A row that is set aside is not tried again until somebody says so.
    """

    class Status(models.TextChoices):
        """Whether the relay takes it."""

        WAITING = "waiting", _("waiting")
        ASIDE = "aside", _("set aside")
        DISCARDED = "discarded", _("discarded")

    prefix = models.CharField(max_length=100)
    lane = models.PositiveSmallIntegerField()
    key_hash = models.CharField(max_length=32)
    key = models.CharField(max_length=512)
    count = models.PositiveIntegerField()
    data = models.BinaryField()
    created = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    batch = models.UUIDField(null=True)
    members = models.TextField(default="")
    epoch = models.CharField(max_length=64, default="")
    offset = models.BigIntegerField(default=0)
    record_id = models.CharField(max_length=64, default="")
    error = LineField(default="")
    set_aside_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = NameField(max_length=200, default="")

    class Meta:
        verbose_name = _("outbox record")
        verbose_name_plural = _("outbox records")
        permissions: ClassVar = [
            ("replay_outboxrecord", "Can put outbox records that were set aside back into the outbox"),
            ("discard_outboxrecord", "Can discard outbox records that were set aside"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["prefix", "status", "lane", "id"], name="via_state_outbox_lane"),
            # As the admin lists them.
            models.Index(fields=["prefix", "status", "id"], name="via_state_outbox_status"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.pk})"


class OutboxLane(models.Model):
    """A part of the keys of one project, whose records one relay at a time moves: that keeps each key's order.

    It belongs to ``lease_owner`` until ``lease_until``, by the database's clock; to nobody while that is empty. Each lease
    has an owner of its own, so the name is the fence as well.
    """

    prefix = models.CharField(max_length=100)
    lane = models.PositiveSmallIntegerField()
    lease_owner = models.CharField(max_length=32, default="")
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("outbox lane")
        verbose_name_plural = _("outbox lanes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["prefix", "lane"], name="via_state_outbox_lanes")]

    def __str__(self) -> str:
        return str(self.lane)
