"""Grouped horizontal bars as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.gauntlet.spread import Spread

COLOURS = ("#9aa0a6", "#e8a33d", "#b5651d", "#5b8def", "#1a9e57", "#8fd3ae")
LEFT, WIDTH, RIGHT = 300, 520, 90
BAR, GAP, HEAD = 12, 14, 58
TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of bars; a bar that was not measured is None."""

    title: str
    bars: tuple[Spread | None, ...]


def bars(title: str, names: Sequence[str], groups: Sequence[Group]) -> str:
    """A picture of `groups`, each with a bar for each of `names`: the median, with a line from least to most.

    What is infinite goes to the edge, with an arrow.
    """
    longest = max((_most(bar) for group in groups for bar in group.bars if bar), default=0.0)
    scale = WIDTH / _ceiling(longest)
    step = len(names) * BAR + GAP
    height = HEAD + step * len(groups) + 30
    parts = [_text(10, 20, title, "title"), *_legend(names), *_axis(_ceiling(longest), height)]
    for index, group in enumerate(groups):
        top = HEAD + index * step
        parts.append(_text(LEFT - 8, top + step // 2 - 3, group.title, "label"))
        for number, bar in enumerate(group.bars):
            parts += _bar(bar, top + number * BAR, COLOURS[number % len(COLOURS)], scale)
    style = (
        "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}"
        ".label{text-anchor:end}.tick{text-anchor:middle;fill:#666}.value{font-size:10px;fill:#444}"
    )
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{height}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{style}</style>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _bar(bar: Spread | None, y: int, colour: str, scale: float) -> list[str]:
    if bar is None:
        return []
    end = min(bar.middle * scale, float(WIDTH))
    value = "→" if math.isinf(bar.middle) else f"{bar.middle:.1f}"
    parts = [_rect(LEFT, y, max(end, 1.0), BAR - 2, colour)]
    reach = min(bar.most * scale, float(WIDTH))
    if bar.least < bar.most:
        parts.append(_rect(LEFT + bar.least * scale, y + BAR / 2 - 1.5, reach - bar.least * scale, 1, "#222"))
    parts.append(_text(LEFT + max(end, reach) + 4, y + BAR - 3, value, "value"))
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for index, name in enumerate(names):
        x = 8 + index * 140
        parts += [_rect(x, 32, 10, 10, COLOURS[index % len(COLOURS)]), _text(x + 14, 41, name, "name")]
    return parts


def _axis(ceiling: float, height: int) -> list[str]:
    parts = []
    for tick in range(TICKS + 1):
        x = LEFT + WIDTH * tick / TICKS
        parts += [
            _rect(x, HEAD - 4, 1, height - HEAD - 20, "#ddd"),
            _text(x, height - 8, f"{ceiling * tick / TICKS:g}", "tick"),
        ]
    return parts


def _most(bar: Spread) -> float:
    return max((value for value in (bar.middle, bar.most) if not math.isinf(value)), default=0.0)


def _ceiling(value: float) -> float:
    """A round number that is not less than `value`, and not less than 1."""
    if value <= 1:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= value)


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'
