"""An app whose state is found by autodiscovery."""
