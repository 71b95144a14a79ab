"""The client script of live pages, and what builds it."""
