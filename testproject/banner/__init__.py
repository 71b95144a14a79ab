"""One line for everybody."""
