"""Numbers a minute as a small curve, drawn on the server."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 96, 20


def sparkline(numbers: Sequence[int], what: str) -> SafeString:
    """An SVG, and in words for who can't see it: ``what`` is counted."""
    most = max(numbers, default=0)
    step = WIDTH / max(len(numbers) - 1, 1)
    points = " ".join(
        f"{index * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * number / max(most, 1):.1f}"
        for index, number in enumerate(numbers)
    )
    return format_html(
        '<svg class="via-spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        "<title>{}</title>"
        '<polyline points="{}"/></svg>',
        WIDTH,
        HEIGHT,
        WIDTH,
        HEIGHT,
        words := f"{what} in each of the last {len(numbers)} minutes: {most:,} at most, {sum(numbers):,} in all",
        words,
        points,
    )
