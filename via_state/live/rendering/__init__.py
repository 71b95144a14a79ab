"""What a live place shows: declared, rendered for its first paint and for each frame by the same code, and written into the page."""
