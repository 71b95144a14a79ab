"""The way up: from a doorbell or a sweep to a reader.

`reconciler` asks the backplane what moved, once for the whole process, and tells its followers. One of them is `replicas`: a `projector` for each
log in memory, which folds it, and a `cell_copy` for each cell. Both are a `replica`: a ring makes it look at the backplane, in a `SingleFlight`.
When one has moved, `subscribers` wakes the event loops that read it, and `waiters` those who asked for as much. What readers see while a log is
folded again is decided in `core.visibility`.
"""
