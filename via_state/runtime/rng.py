"""The one source of randomness for pauses and for choices that must differ from process to process."""

from __future__ import annotations

from random import SystemRandom

#: Without a state: a project that seeds its own stays reproducible, and forked children do not wait in step.
rng = SystemRandom()
