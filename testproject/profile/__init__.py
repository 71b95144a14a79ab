"""A name for each browser session."""
