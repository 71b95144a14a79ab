"""A counter that everybody shares."""
