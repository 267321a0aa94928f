"""Owns bench.png: one bar for each row's ratio on a logarithmic axis, with the mark that it must reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from walstreet.testing.bench.row import BUDGET, Row

WIDTH_INCHES: Final = 12.0
ROW_INCHES: Final = 0.36
FRAME_INCHES: Final = 1.2
DOTS_PER_INCH: Final = 110
COLOUR_GOOD: Final = "#2f7d5b"
COLOUR_NOISY: Final = "#c98a1b"
COLOUR_BAD: Final = "#b3362b"
COLOUR_MARK: Final = "#1c2430"
ROOM_LEFT: Final = 0.8
"""The axis begins at this share of the smallest ratio or mark, and ends so many times beyond the largest, where
the figures stand."""
ROOM_RIGHT: Final = 20.0


class ChartUnavailableError(RuntimeError):
    """matplotlib is not installed."""


def draw(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Write the chart as PNG; rows stand from top to bottom in the order given.

    Raises:
        ChartUnavailableError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
        from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ChartUnavailableError(
            "the chart needs matplotlib; install the extra walstreet[bench], or run `make setup`"
        ) from error
    height = FRAME_INCHES + ROW_INCHES * len(rows)
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = range(len(rows))
    axes.set_xscale("log")
    marks = [value for row in rows for value in (row.ratio, row.target, row.required)]
    low, high = min([*marks, 1.0]) * ROOM_LEFT, max([*marks, 1.0]) * ROOM_RIGHT
    # A bar on a logarithmic axis has no zero to start from: it leaves 1, where ours and the peer are equal.
    widths = [row.ratio - 1.0 for row in rows]
    axes.barh(list(places), widths, left=1.0, height=0.62, color=[_colour(row) for row in rows], zorder=2)
    for place, row in zip(places, rows, strict=True):
        axes.plot([row.target] * 2, [place - 0.42, place + 0.42], color=COLOUR_MARK, linewidth=2.0, zorder=3)
        edge = max(row.ratio, row.target, 1.0)
        axes.text(edge * 1.05, place, _figures(row), va="center", fontsize=8, zorder=4)
    axes.axvline(1.0, color=COLOUR_MARK, linewidth=0.8, zorder=1)
    axes.set_yticks(list(places), [label(row) for row in rows], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, axis="x", color="#d8dee6", zorder=0)
    axes.set_xlabel("times better than the peer in the same run (medians)", fontsize=8)
    figure.suptitle(
        f"{title}\nblack mark: target; green: reached; amber: passes with the allowance for noise; red: fails",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="png")


def label(row: Row) -> str:
    """Return the text beside a bar: what, how large, against whom."""
    against = f"budget {number(row.peer_median)} {row.unit}" if row.peer == BUDGET else f"vs {row.peer}"
    return f"{row.name} ({row.size}) {against}"


def number(value: float) -> str:
    """Return ``value`` with three significant digits and thousands separators."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _figures(row: Row) -> str:
    return (
        f"{row.ratio:.2g}x   {number(row.median)} {row.unit}"
        if row.ratio < 100
        else (f"{row.ratio:,.0f}x   {number(row.median)} {row.unit}")
    )


def _colour(row: Row) -> str:
    if row.meets_target:
        return COLOUR_GOOD
    return COLOUR_NOISY if row.passes else COLOUR_BAD
