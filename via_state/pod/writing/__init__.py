"""The way down: from a verb to the backplane.

* `appender`: the appends of one key that come while another is in flight travel together, in order, and so do those of many keys.
  `groups`: what waits, key by key. `answers`: whoever waits is told; `folding`: when this pod has folded it. `immediate`: appends that wait for nothing.
* `outbox`: appends that belong to a database transaction.
* `cell_update` and `cell_write`: an optimistic update, in rounds of compare-and-swap; one write, sent until it is known what became of it.
* `erasures`: what an owner leaves is removed. `commits`: nothing that runs after a commit can make it look failed.
"""
