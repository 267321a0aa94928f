"""Owns two small charts as SVG text: lines over time, and horizontal bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 920, 240
LEFT, RIGHT, TOP, BOTTOM = 84, 12, 18, 26
BAR_HEIGHT, BAR_GAP, BAR_LABEL = 18, 6, 170
POINTS_MAX = 800
TICKS = 4
LABELS = 6

Line = tuple[str, str, Sequence[float]]


def lines(
    labels: Sequence[str],
    series: Sequence[Line],
    *,
    unit: str,
    label: str,
    bounds: tuple[float, float] | None = None,
) -> str:
    """Return a line chart; every line has one value for each label and a gap where it is not finite.

    Args:
        labels: Text of the horizontal axis, one for each point.
        series: Name, colour and values of each line.
        unit: Unit of the values.
        label: What the picture shows, for readers who do not see it.
        bounds: Ends of the vertical axis; None takes those of the values.
    """
    values = [value for _, _, line in series for value in line if math.isfinite(value)]
    low, high = bounds or (min(values, default=0.0), max(values, default=0.0))
    if high - low <= 0:
        low, high = low - 1.0, high + 1.0
    count = len(labels)
    step = max(1, count // POINTS_MAX)

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / max(1, count - 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(label)}'>"]
    for tick in range(TICKS + 1):
        value = low + (high - low) * tick / TICKS
        parts.append(
            f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y(value):.1f}' y2='{y(value):.1f}' stroke='var(--rule)'/>"
            f"<text x='{LEFT - 8}' y='{y(value) + 4:.1f}' text-anchor='end'>{_number(value, high - low)}</text>"
        )
    for tick in range(LABELS + 1 if count else 0):
        index = (count - 1) * tick // LABELS
        anchor = "end" if tick == LABELS else "start" if tick == 0 else "middle"
        parts.append(f"<text x='{x(index):.1f}' y='{HEIGHT - 8}' text-anchor='{anchor}'>{escape(labels[index])}</text>")
    for number, (name, colour, line) in enumerate(series):
        shown = [index for index in range(count) if index % step == 0 or index == count - 1]
        for run in _runs(line, shown):
            points = [f"{x(index):.1f},{y(line[index]):.1f}" for index in run]
            # A line of one point would not be seen: it is drawn to itself with round ends.
            points = points * 2 if len(points) == 1 else points
            parts.append(
                f"<polyline fill='none' stroke='{colour}' stroke-width='1.5' stroke-linecap='round' "
                f"points='{' '.join(points)}'/>"
            )
        parts.append(
            f"<rect x='{LEFT + 140 * number}' y='3' width='10' height='10' fill='{colour}'/>"
            f"<text x='{LEFT + 140 * number + 14}' y='12'>{escape(name)} ({escape(unit)})</text>"
        )
    return "".join([*parts, "</svg>"])


def _runs(line: Sequence[float], shown: Sequence[int]) -> list[list[int]]:
    """Return the stretches of ``shown`` without a missing value."""
    runs: list[list[int]] = [[]]
    for index in shown:
        if math.isfinite(line[index]):
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def bars(rows: Sequence[tuple[str, float]], *, label: str) -> str:
    """Return a horizontal bar chart of named, non-negative values."""
    height = TOP + len(rows) * (BAR_HEIGHT + BAR_GAP)
    longest = max((value for _, value in rows), default=0.0) or 1.0
    room = WIDTH - BAR_LABEL - 110
    parts = [f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{escape(label)}'>"]
    for number, (name, value) in enumerate(rows):
        top = number * (BAR_HEIGHT + BAR_GAP) + 4
        width = room * value / longest
        parts.append(
            f"<text x='{BAR_LABEL - 8}' y='{top + 13}' text-anchor='end'>{escape(name)}</text>"
            f"<rect x='{BAR_LABEL}' y='{top}' width='{width:.1f}' height='{BAR_HEIGHT}' fill='var(--a)'/>"
            f"<text x='{BAR_LABEL + width + 6:.1f}' y='{top + 13}'>{value:,.0f}</text>"
        )
    return "".join([*parts, "</svg>"])


def _number(value: float, span: float) -> str:
    digits = 0 if span >= 20 else 2 if span >= 0.2 else 4
    return f"{value:,.{digits}f}"
