"""What waits, and should not for long: the outbox, and state of owners that are gone."""

from __future__ import annotations

from via_state.bookkeeping.database import tables
from via_state.core.findings import Finding, bad, lasted, several
from via_state.operations.condition import Condition

#: Seconds after which a record that waits in the outbox is a fault; failures after which an erasure is.
STALLED, ATTEMPTS = 60.0, 3


def outbox(condition: Condition) -> list[Finding]:
    """Records that nobody relays, and those that can't be."""
    one, found = condition.outbox, []
    if one.oldest > STALLED:
        found.append(
            bad(
                "D304",
                f"{several(one.waiting, 'record waits', 'records wait', one.shown[0])} in the outbox, the oldest for {lasted(one.oldest)}: nobody "
                "relays them, or it fails.",
                "Start a worker (manage.py run_projectors), and look into its log.",
            )
        )
    if one.aside:
        text = f"{several(one.aside, 'record was', 'records were', one.shown[1])} set aside by the outbox: they can't be appended. The first, of {one.why}"
        found.append(bad("D304", text, "Mend the cause, then manage.py replay_outbox"))
    return found


def erasures() -> list[Finding]:
    """Those that fail again and again. Two statements of its own."""
    rows = tables.erasures.rows().filter(attempts__gte=ATTEMPTS)
    worst = rows.order_by("-attempts").first()
    if worst is None:
        return []
    text = f"The state of {several(rows.count(), 'deleted user', 'deleted users')} could not be erased, {worst.attempts} times and more: {worst.last_error}"
    return [bad("D310", text, "Mend the cause: it is tried again by itself.")]
