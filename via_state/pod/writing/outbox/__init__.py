"""Appends that belong to a database transaction: rows written with it, relayed to their logs after it commits.

A row belongs to a *lane*, a sixteenth of the project's keys. A lane is relayed by the one pod that holds its *lease*, so the
records of a key keep their order. The lease ends by the database's clock; a pod that is killed or frozen is relieved of it.

    claim    the first of some rows of one key says which rows are one append, its id, and where the head of the log was before
    renew    the lease, which fails where it was lost: right before each attempt
    append   the rows as one pack, through the backplane; no longer than half of the lease
    remove   these rows

Up to a hundred keys take each step together, with the next rows of each. Each step is a single statement on a single table, in no transaction: nothing is locked while anything is waited for, and a
``TRUNCATE`` can't meet one of ours half-way. Whoever finds rows that were claimed already, by a pod that is gone or by itself
before an error, looks into the log for their append id, from the noted head on. Only if the id is not there are they appended, under
the same id. So a record is appended twice only if a process is frozen between the renewal and the sending, and wakes when the
backplane has forgotten the id.

What can never be appended is set aside: kept in the table with its error, for a person. What can't be appended now is tried
again, alone, and holds up its key only.

* `RelayedOutbox` (`outbox`): the part of a pod; adds rows, rings lanes, looks for rows that nobody relays. `ImmediateOutbox`: for
  state in memory, where the commit itself appends.
* `LaneRelay` (`relay`): moves the records of one lane. `proof`: whether an append id is in a log.
* The statements are in `bookkeeping.database`: `outbox_lanes` the leases, `outbox` the records.
"""

from via_state.pod.writing.outbox.outbox import ImmediateOutbox, Outbox, RelayedOutbox

__all__ = ["ImmediateOutbox", "Outbox", "RelayedOutbox"]
