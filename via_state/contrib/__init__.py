"""For other apps of Django's: each module needs one that via_state itself does not."""
