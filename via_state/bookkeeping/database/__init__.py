"""Rows of the project's database. Its clock decides what is over; its row locks decide who is first."""
