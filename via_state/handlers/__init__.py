"""Side effects of events: handlers that run at least once for every record, in order, on one worker at a time."""
