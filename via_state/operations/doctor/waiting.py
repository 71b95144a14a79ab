"""What waits, and should not for long: the outbox, and state of owners that are gone."""

from __future__ import annotations

from via_state.bookkeeping.database import outbox, tables
from via_state.core.findings import Finding, bad, lasted, some

#: Seconds after which a record that waits in the outbox is a fault; failures after which an erasure is.
STALLED, ATTEMPTS = 60.0, 3


def waiting() -> list[Finding]:
    """The outbox, and erasures."""
    return [*_outbox(), *_erasures()]


def _outbox() -> list[Finding]:
    backlog = outbox.backlog()
    found = []
    if backlog.oldest > STALLED:
        found.append(
            bad(
                "D304",
                f"{backlog.waiting:,} records wait in the outbox, the oldest for {lasted(backlog.oldest)}: nobody relays them, or it "
                "fails.",
                "Start a worker (manage.py run_projectors), and look into its log.",
            )
        )
    if backlog.aside:
        first = outbox.set_aside().order_by("pk").first()
        why = "" if first is None else f" The first, of {first.key!r}: {first.error}"
        text = f"{backlog.aside:,} records were set aside by the outbox: they can't be appended.{why}"
        found.append(bad("D304", text, "Mend the cause, then manage.py replay_outbox"))
    return some("D304", found, "Nothing waits in the outbox for long.")


def _erasures() -> list[Finding]:
    rows = tables.erasures.rows().filter(attempts__gte=ATTEMPTS)
    worst = rows.order_by("-attempts").first()
    if worst is None:
        return some("D310", [], "No erasure fails.")
    text = f"The state of {rows.count():,} deleted users could not be erased, {worst.attempts} times and more: {worst.last_error}"
    return [bad("D310", text, "Mend the cause: it is tried again by itself.")]
