"""How much each side does in one round, the same for all."""

#: Seconds after which a round of appends, of tasks or of messages ends: a slow disk makes it shorter, not longer.
SECONDS = 2.0
#: Threads that append at once, each to a log of its own.
CALLERS = 16
#: Events of a log that is folded from its beginning, and how many were appended at once.
REPLAY, PACK = 20_000, 1000
#: Tasks that wait for one worker, and how many it does at once; more than anybody does in a round.
TASKS, LANES = 3_000, 16
#: Messages through a channel layer: so many one after the other; or by so many senders at once, for the time of a round.
SINGLE, SENDERS, TEXT = 400, 64, "x" * 300
