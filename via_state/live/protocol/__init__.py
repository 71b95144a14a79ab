"""What tabs and servers say to each other about nodes. Pure: no I/O, no clock, nothing of Django."""
