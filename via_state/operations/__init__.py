"""What a person asks for: the admin's pages and the commands call this, and know neither tables nor each other.

* `handlers`: which event handlers there are; retire and rename one. `positions`: resume one, move the record that blocks it into the dead letters;
  `moves`: what resuming elsewhere would mean.
* `dead_letters`: choose, discard and prune; `replay` runs a handler again, with a position that `borrowing` holds meanwhile.
* `logs`: which logs a command is about; `reports`: how each stands; `compaction`; `snapshots`: retire those of old code.
* `outbox`: put back and discard; `erasures`: what waits to be erased.
* `doctor`: what is wrong with a running system, and whose doing it is. `overview`: whether it is well, at a glance. Both read the `condition` of
  the books; `truth` are the figures that metrics show of all processes.
* `load`: what the backplane takes.
* `state_move`: from one backplane to another, with `copy_backplane` and `translate_positions`.

An operation says no with an error of via_state, most often `Refused`: a sentence that says what is in the way and what to do. What
changes something takes ``by``, who asks for it. Every function is a plain call, or a coroutine for the pod's loop where it says so.

It imports declarations, handlers, pods and the books. The admin, the commands and checks import it; nothing below does.
"""
