"""What all pages have in common: the frame, the answers, the live connection."""
