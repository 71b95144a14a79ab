"""``python -m tests.matrix``: the built wheel with other Pythons and Djangos, as far as their interpreters are found here."""
