"""What is wrong with a running system, and whose doing it is: `manage.py state_doctor`.

* `doctor`: looks everywhere. `catalog`: the ids, each with a part of `docs/troubleshooting.md`.
* `database`: whether the project's database answers, has the tables and the right time (D1xx; more of PostgreSQL comes from the backplane).
* `cluster`: processes and releases; `handlers`: event handlers, dead letters; `keys`: halted keys; `waiting`: the outbox and erasures; `pages`: the channel layer, cookies and policies (D3xx).

What the servers of a backplane say is the backplane's business: `Backplane.examine` (D1xx of PostgreSQL, D2xx of NATS). Each statement
is bounded; nothing is changed. What ``SILENCED_SYSTEM_CHECKS`` names as ``via_state.D120`` is left out.

What the books say is read once (`operations.condition`), and judged by functions of that, which the overview shows as well.
"""
