"""Who looks at a page, what the page says of them, and what it may ask for in their name."""
