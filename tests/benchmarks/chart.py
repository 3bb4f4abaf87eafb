"""The chart in the README: what a call costs in each framework, drawn from the last measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

ROW, BAR, LEFT, WIDTH, GAP = 22, 14, 110, 720, 40
HALF = (WIDTH - GAP) // 2
OURS, THEIRS, BARE, INK, QUIET = "#96481f", "#8b8578", "#2c5f84", "#24231f", "#625e55"


def chart(costs: Mapping[str, Mapping[str, float]], title: str) -> str:
    """An SVG: for each protocol, the microseconds of each contender, as bars beside each other."""
    rows = max(map(len, costs.values()))
    height = 64 + rows * ROW + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="Georgia, serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#faf8f3"/>',
        _text(16, 24, title, INK, 'font-weight="bold"'),
    ]
    for index, (protocol, own) in enumerate(costs.items()):
        parts += _half(16 + index * (HALF + GAP - 16), protocol.upper(), own)
    return "\n".join([*parts, "</svg>", ""])


def _half(left: float, title: str, costs: Mapping[str, float]) -> Iterator[str]:
    yield _text(left, 48, title, QUIET)
    most = max(costs.values())
    room = HALF - LEFT - 60
    for index, (name, cost) in enumerate(sorted(costs.items(), key=lambda item: item[1])):
        y = 58 + index * ROW
        width = max(1.0, cost / most * room)
        colour = {"microweb": OURS, "bare": BARE}.get(name, THEIRS)
        label = "no framework" if name == "bare" else name
        weight = 'font-weight="bold"' if name == "microweb" else ""
        yield _text(left + LEFT - 8, y + BAR - 2, label, INK, f'text-anchor="end" {weight}')
        yield (
            f'<rect x="{left + LEFT:.0f}" y="{y}" width="{width:.1f}" height="{BAR}"'
            f' fill="{colour}"/>'
        )
        yield _text(left + LEFT + width + 6, y + BAR - 2, f"{cost:.1f}", QUIET)


def _text(x: float, y: float, text: str, colour: str, more: str = "") -> str:
    attributes = f'x="{x:.0f}" y="{y:.0f}" fill="{colour}" {more}'.rstrip()
    return f"<text {attributes}>{escape(text)}</text>"
