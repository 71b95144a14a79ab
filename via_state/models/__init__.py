"""Rows that belong to the project's own database, whichever backplane carries the logs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from via_state.fields import LineField, NameField, TraceField
from via_state.models.outbox import OutboxLane, OutboxRecord

__all__ = [
    "DeadLetter",
    "EventHandler",
    "HaltedKey",
    "HandlerPosition",
    "HandlerWorker",
    "LogLock",
    "OutboxLane",
    "OutboxRecord",
    "Overview",
    "OwnerErasure",
    "PeerRow",
    "RateRow",
    "SnapshotRow",
]

#: Of a PostgreSQL index that also finds how a text begins. Other databases ignore it.
PATTERN = "varchar_pattern_ops"


class LogLock(models.Model):
    """A row to lock: whoever registers what keeps a log's records, and whoever discards records, locks it first.

    ``name`` is the declared key, or the template of a family: registering for a family keeps the records of the logs of all its keys.
    """

    prefix = models.CharField(max_length=100)
    name = models.CharField(max_length=512)
    passed = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("log gate")
        verbose_name_plural = _("log gates")
        constraints: ClassVar = [models.UniqueConstraint(fields=["prefix", "name"], name="via_state_lock_name")]

    def __str__(self) -> str:
        return self.name


class SnapshotRow(models.Model):
    """The newest snapshot of one log by one code, and the older ones that let the log be compacted, with their data.

    ``log_hash`` stands for prefix, key and epoch: some databases compare text without regard to case. ``data`` is null while
    the code folds from the start and only says that it needs all records.
    """

    log_hash = models.CharField(max_length=32)
    fingerprint = models.CharField(_("code"), max_length=16)
    prefix = models.CharField(max_length=100)
    template = models.CharField(_("declaration"), max_length=512)
    key = models.CharField(max_length=512)
    epoch = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    manifest = models.TextField()
    offset = models.BigIntegerField(default=0)
    record_id = models.CharField(max_length=64, default="")
    digest = models.CharField(max_length=16, default="")
    data = models.BinaryField(null=True)
    saved_at = models.DateTimeField()
    candidate = models.BigIntegerField(default=0)
    candidate_record_id = models.CharField(max_length=64, default="")
    candidate_data = models.BinaryField(null=True)
    candidate_at = models.DateTimeField(null=True)
    compactable = models.BigIntegerField(default=0)
    compactable_record_id = models.CharField(max_length=64, default="")
    compactable_data = models.BinaryField(null=True)
    compacted = models.BigIntegerField(default=0)
    lease_owner = models.CharField(max_length=32, default="")
    lease_until = models.DateTimeField(null=True)
    diverged = LineField(default="")

    class Meta:
        db_table = "via_state_snapshot"
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["log_hash", "fingerprint"], name="via_state_snapshot_code")
        ]
        indexes: ClassVar = [
            models.Index(fields=["prefix", "template"], name="via_state_snapshot_name"),
            models.Index(fields=["prefix", "key"], name="via_state_snapshot_key", opclasses=[PATTERN, PATTERN]),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.fingerprint})"


class PeerRow(models.Model):
    """A process. It is alive until ``lease_until``, by the database's clock, and leaves when it ends well.

    ``id`` is its pod's, which halted keys, snapshot leases and workers name. ``fingerprints`` and ``events``: what its code reads, see
    `bookkeeping.peers.Code`.
    """

    id = models.CharField(primary_key=True, max_length=32)
    prefix = models.CharField(max_length=100)
    host = NameField(max_length=200)
    pid = models.PositiveIntegerField()
    roles = models.CharField(max_length=200, default="")
    doorbell = models.CharField(max_length=10, default="unknown")
    fingerprints = models.JSONField(default=dict)
    events = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    lease_until = models.DateTimeField()

    class Meta:
        db_table = "via_state_peer"
        verbose_name = _("process")
        verbose_name_plural = _("processes")
        indexes: ClassVar = [models.Index(fields=["prefix", "lease_until"], name="via_state_peer_alive")]

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"


class Overview(PeerRow):
    """The admin's overview: no rows of its own, and a permission to view it."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("overview")
        verbose_name_plural = _("overview")


class HaltedKey(models.Model):
    """A projection that is halted on one pod, which renews the row's lease while it is, and removes it after."""

    prefix = models.CharField(max_length=100)
    key = models.CharField(max_length=512)
    pod = models.CharField(max_length=32)
    host = NameField(max_length=200)
    reason = models.CharField(max_length=20)
    text = LineField()
    offset = models.BigIntegerField()
    since = models.DateTimeField()
    lease_until = models.DateTimeField()

    class Meta:
        verbose_name = _("halted key")
        verbose_name_plural = _("halted keys")
        indexes: ClassVar = [models.Index(fields=["prefix", "key"], name="via_state_halted_key")]

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class EventHandler(models.Model):
    """A registered event handler. While the row exists, it keeps the records that the handler has not had.

    ``template`` is the declared key. All logs of a family are kept, present and future ones.
    """

    prefix = models.CharField(max_length=100)
    template = models.CharField(_("declaration"), max_length=512)
    name = models.CharField(max_length=100)
    start = models.CharField(max_length=5)
    atomic = models.BooleanField(default=False)
    max_attempts = models.PositiveIntegerField(null=True)
    give_up_after = models.FloatField(null=True)
    ready = models.BooleanField(default=False)
    registered_at = models.DateTimeField()

    class Meta:
        verbose_name = _("event handler")
        verbose_name_plural = _("event handlers")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["prefix", "template", "name"], name="via_state_handler_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.template})"


class HandlerPosition(models.Model):
    """How far a handler has come in one log, and which worker runs it.

    Only the worker that holds the newest ``fence`` writes. ``position_hash`` stands for handler and key: some databases compare text
    without regard to case, and rows are found by it alone. ``in_flight_offset`` is the offset that is being delivered, 0 for none: whoever takes over from a dead
    worker counts it as an attempt. -1: a dead letter is replayed. Below that: several records are delivered in one transaction, up to
    offset -1 - n. ``wanted_by``: who waits for the
    worker to hand over, before it begins another record.
    """

    handler = models.ForeignKey(EventHandler, on_delete=models.CASCADE, related_name="positions")
    position_hash = models.CharField(max_length=32)
    key = models.CharField(max_length=512)
    epoch = models.CharField(max_length=64, default="")
    offset = models.BigIntegerField(default=0)
    record_id = models.CharField(max_length=64, default="")
    from_floor = models.BooleanField(default=False)
    in_flight_offset = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    stuck_since = models.DateTimeField(null=True)
    last_error = LineField(default="")
    last_traceback = TraceField(default="")
    halted = models.CharField(max_length=20, default="")
    halted_text = LineField(default="")
    worker = models.CharField(max_length=32, default="")
    fence = models.BigIntegerField(default=0)
    # With a default of the database: while a deploy rolls out, older code inserts rows, too.
    wanted_by = models.CharField(max_length=32, default="", db_default="")

    class Meta:
        verbose_name = _("handler position")
        verbose_name_plural = _("handler positions")
        permissions: ClassVar = [
            ("move_to_dead_letters_handlerposition", "Can move blocked records into the dead letters"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["position_hash"], name="via_state_position_hash"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["worker"], name="via_state_position_worker"),
            models.Index(fields=["stuck_since", "handler"], name="via_state_position_stuck"),
            models.Index(fields=["halted", "handler"], name="via_state_position_halted"),
            models.Index(fields=["key"], name="via_state_position_key", opclasses=[PATTERN]),
        ]

    def __str__(self) -> str:
        return self.key


class HandlerWorker(models.Model):
    """A process that runs event handlers. Its positions are free when ``lease_until`` has passed.

    A ``worker_group`` shares the same handlers and keys. ``peer`` is the process that it is in; empty for a replay.
    """

    id = models.CharField(primary_key=True, max_length=32)
    prefix = models.CharField(max_length=100)
    worker_group = models.CharField(max_length=32)
    peer = models.CharField(_("process"), max_length=32, default="")
    host = NameField(max_length=200)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    lease_until = models.DateTimeField()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        indexes: ClassVar = [models.Index(fields=["prefix"], name="via_state_worker_prefix")]

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"


class DeadLetter(models.Model):
    """A record that an event handler gave up on, kept for a person."""

    class Reason(models.TextChoices):
        """Why the handler gave it up."""

        FAILED = "failed", _("the handler failed")
        UNREADABLE = "unreadable", _("could not be decoded")

    class Status(models.TextChoices):
        """What was done about it."""

        NEW = "new", _("new")
        REPLAYED = "replayed", _("replayed")
        DISCARDED = "discarded", _("discarded")

    prefix = models.CharField(max_length=100)
    template = models.CharField(_("declaration"), max_length=512)
    handler = models.CharField(max_length=100)
    key = models.CharField(max_length=512)
    epoch = models.CharField(max_length=64)
    offset = models.BigIntegerField()
    record_id = models.CharField(max_length=64)
    event_name = models.CharField(max_length=255)
    event_version = models.PositiveIntegerField()
    payload = models.TextField()
    # With a default of the database: while a deploy rolls out, older code inserts rows, too.
    metadata = models.TextField(default="", db_default="")
    reason = models.CharField(max_length=10, choices=Reason, default=Reason.FAILED)
    error = LineField()
    traceback = TraceField(default="")
    attempts = models.PositiveIntegerField()
    first_failed_at = models.DateTimeField(null=True)
    added_at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status, default=Status.NEW)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = NameField(max_length=200, default="")

    class Meta:
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")
        permissions: ClassVar = [
            ("replay_deadletter", "Can replay dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["prefix", "handler", "record_id"], name="via_state_letter_record")
        ]
        indexes: ClassVar = [
            # Each as the admin lists them, newest first.
            models.Index(fields=["prefix", "added_at", "id"], name="via_state_letter_added"),
            models.Index(fields=["prefix", "status", "added_at", "id"], name="via_state_letter_status"),
            models.Index(fields=["prefix", "reason", "added_at", "id"], name="via_state_letter_reason"),
            models.Index(fields=["prefix", "handler", "added_at", "id"], name="via_state_letter_handler"),
            models.Index(fields=["prefix", "handler", "status", "added_at", "id"], name="via_state_letter_open"),
            models.Index(fields=["prefix", "template", "added_at", "id"], name="via_state_letter_log"),
            # As they are counted.
            models.Index(
                fields=["prefix", "handler", "template", "added_at"],
                name="via_state_letter_waiting",
                condition=models.Q(status="new"),
            ),
            models.Index(fields=["prefix", "event_name", "added_at", "id"], name="via_state_letter_event"),
            models.Index(fields=["prefix", "key"], name="via_state_letter_key", opclasses=[PATTERN, PATTERN]),
            models.Index(fields=["prefix", "record_id"], name="via_state_letter_id", opclasses=[PATTERN, PATTERN]),
        ]

    def __str__(self) -> str:
        return f"{self.handler}: {self.key} at {self.offset}"


class RateRow(models.Model):
    """What all processes did in one minute, which is kept for two hours.

    ``minute`` is Unix time / 60. ``done``: deliveries of an event handler that went well, ``failed``: those that did not. Of events that
    were appended, ``template`` and ``handler`` are empty.
    """

    prefix = models.CharField(max_length=100)
    minute = models.PositiveBigIntegerField()
    template = models.CharField(max_length=512, default="")
    handler = models.CharField(max_length=100, default="")
    done = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "via_state_rate"
        verbose_name = _("rate")
        verbose_name_plural = _("rates")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["prefix", "minute", "template", "handler"], name="via_state_rate_minute"
            )
        ]

    def __str__(self) -> str:
        return f"{self.handler or 'events'} in minute {self.minute}"


class OwnerErasure(models.Model):
    """The state of a deleted owner, until it is erased.

    ``home`` is what the owner's keys begin with; ``keys`` is the rest of those that the code of the deletion knew.
    """

    prefix = models.CharField(max_length=100)
    home = models.CharField(max_length=512)
    keys = models.JSONField(default=list)
    asked_at = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveIntegerField(default=0)
    last_error = LineField(default="")

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        indexes: ClassVar = [models.Index(fields=["prefix", "attempts", "id"], name="via_state_erasure_next")]

    def __str__(self) -> str:
        return self.home
