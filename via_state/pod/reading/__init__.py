"""The way up: from a doorbell or a sweep to a reader.

`reconciler` asks the backplane what moved, once for the whole process, and tells its followers. One of them is `replicas`: a `projector` for each
log in memory, which folds it, and a `cell_copy` for each cell. When one has another value, `subscribers` wakes the event loops that read it.
"""
