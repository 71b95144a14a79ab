"""A curve as SVG: both axes logarithmic, each point with its value. It has a ground of its own, light or dark as the reader's system is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 80, 30, 64, 60
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2933; }
.ground { fill: #ffffff; } .grid { stroke: #d5dbe3; } .line { fill: none; stroke-width: 2.5; } .title { font-weight: 600; }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
.c0 { stroke: #1f6feb; } .d0 { fill: #1f6feb; } .c1 { stroke: #b35900; stroke-dasharray: 6 4; } .d1 { fill: #b35900; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .ground { fill: #1a1c1e; } .grid { stroke: #3a4048; } .value { stroke: #1a1c1e; }
  .c0 { stroke: #6cb0ff; } .d0 { fill: #6cb0ff; } .c1 { stroke: #ffb366; } .d1 { fill: #ffb366; }
}
</style>"""


@dataclass(frozen=True)
class Curve:
    """A line of points; its name is empty where it is the only one."""

    name: str
    points: Sequence[tuple[float, float]]


def short(value: float) -> str:
    """1,000,000 as 1 M, 64,300 as 64 k, 0.35 as it is."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.2g}" if value < 10 else f"{value:.3g}"


def draw(title: str, unit: str, of: str, curves: Sequence[Curve]) -> str:
    """The drawing. ``unit`` is that of the values; ``of`` says what grows from left to right."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    bottom, top = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    top = max(top, bottom + 1)
    first, last = math.log10(min(xs)), math.log10(max(xs))

    def across(x: float) -> float:
        return LEFT + (math.log10(x) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(y) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="16" y="24">{escape(title)}</text>',
        f'<text x="16" y="44">{escape(unit)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(of)}</text>',
    ]
    for power in range(bottom, top + 1):
        y = down(10.0**power)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(10.0**power)}</text>')
    parts += [
        f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 24}" text-anchor="middle">{short(x)}</text>'
        for x in sorted(set(xs))
    ]
    for number, curve in enumerate(curves):
        places = [(across(x), down(y), y) for x, y in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
        parts.append(f'<polyline class="line c{number}" points="{path}"/>')
        for place, (x, y, value) in enumerate(places):
            anchor = "start" if place == 0 else "end" if place == len(places) - 1 else "middle"
            parts.append(f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
            # The lowest of several has its value below, so that two that are close can both be read.
            below = len(curves) > 1 and value == min(dict(one.points)[curve.points[place][0]] for one in curves)
            parts.append(
                f'<text class="value" x="{x:.1f}" y="{y + 20 if below else y - 9:.1f}" text-anchor="{anchor}">{short(value)}</text>'
            )
        if curve.name:
            x = WIDTH - RIGHT - 300 + 150 * number
            parts.append(f'<line class="line c{number}" x1="{x}" x2="{x + 24}" y1="40" y2="40"/>')
            parts.append(f'<text x="{x + 30}" y="44">{escape(curve.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
