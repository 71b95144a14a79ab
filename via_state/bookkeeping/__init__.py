"""What the cluster writes down about itself: how far handlers have come, snapshots, who is alive, what is halted, what waits.

A *port* is a module of this folder that says what can be asked. It has two adapters: `database`, rows that all processes of
a project share, and `memory`, for a backplane whose state ends with its process. Which one a pod uses follows from its backplane.

* `books`: all that a pod writes down. Rows or memory is decided there, once for a pod, and nowhere else.
* `positions`: how far event handlers have come, who runs them, and the records that they gave up on.
* `peers`: the processes. `snapshots`: folded values. `halted_keys`: what is halted on a pod. `erasures`: owners that are gone. `rates`: what
  was done in each minute.
* The outbox has no port: in memory there is none, because a commit itself appends. Its statements are `database.outbox` and
  `database.outbox_lanes`. Neither have dead letters a port of their own: a position keeps them when it passes over a record, and in
  memory nobody but that process could look at them.
* `database.tables` is the only module that knows in which database rows are kept (``DATABASE``) and which of them are this
  project's (``PREFIX``). `runtime.database_errors.reaching` is where an error of that database becomes one of ours.
* `database.commits`: transactions of ours in which code of the project runs. `database.retention`: what keeps records from
  being discarded, and the lock under which that is decided.

The room imports the backplanes' contract, the runtime and the core. Pods, handlers and operations import it; none of it
decides what a record or a snapshot means: that is the core's.
"""
