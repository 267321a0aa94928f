"""Owns the pictures of many simulations: stability and choice of parameters, permutation histograms and p-values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from walstreet.domain.units import FloatArray
from walstreet.research.permutation import PermutationResult
from walstreet.research.swing_types import DateArray
from walstreet_services.cli.bot_canvas import BAD, GOOD, INK, LINES, QUIET, RULE, plain_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTOGRAMS_MAX = 40
"""More windows than this do not fit on a page; the newest are drawn."""
HISTOGRAM_COLUMNS = 5
BINS = 20
BESIDE_TITLE: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1.0, 0.98),
    "ncols": 3,
    "labelcolor": QUIET,
    "fontsize": 8,
}
"""A legend above its axes covers no value."""


def draw_stability(path: Path, tables: Sequence[Mapping[str, Any]], *, objective: str) -> None:
    """Draw the mean objective in training for pairs of parameters, on one scale of colours."""
    values = [np.array(table["mean_objective"], dtype=np.float64) for table in tables]
    low, high = min(float(np.nanmin(each)) for each in values), max(float(np.nanmax(each)) for each in values)

    def draw(figure: Figure) -> None:
        for number, (table, means) in enumerate(zip(tables, values, strict=True)):
            axes = figure.add_subplot(1, len(tables), number + 1)
            axes.imshow(means, cmap="viridis", vmin=low, vmax=high, aspect="auto")
            axes.set_xticks(range(len(table["columns"])), [f"{value:g}" for value in table["columns"]])
            axes.set_yticks(range(len(table["rows"])), [f"{value:g}" for value in table["rows"]])
            axes.set_xlabel(table["column"])
            axes.set_ylabel(table["row"], labelpad=8)
            axes.tick_params(length=0)
            for row, column in itertools.product(range(means.shape[0]), range(means.shape[1])):
                value = float(means[row, column])
                dark = high > low and (value - low) / (high - low) < 0.55
                colour = "white" if dark else INK
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=10)
        figure.suptitle(f"Mean {objective} in training, over all windows and all other parameters", x=0.01, ha="left")

    save(path, draw, height_inches=3.6)


def draw_choices(
    path: Path, starts: DateArray, choices: Mapping[str, Sequence[float]], offered: Mapping[str, Sequence[float]]
) -> None:
    """Draw what each window chose, one strip for each parameter, against the start of the window's test."""
    days = starts.astype("datetime64[D]")

    def draw(figure: Figure) -> None:
        for number, (name, values) in enumerate(choices.items()):
            axes = figure.add_subplot(len(choices), 1, number + 1)
            levels = list(offered[name])
            places = [levels.index(value) for value in values]
            axes.step(days, places, where="post", color=LINES[number % len(LINES)], linewidth=1.2)
            axes.plot(days, places, "o", color=LINES[number % len(LINES)], markersize=4)
            axes.set_yticks(range(len(levels)), [f"{level:g}" for level in levels])
            axes.set_ylim(-0.5, len(levels) - 0.5)
            axes.set_ylabel(name)
            # In one column, whatever the width of the levels beside it.
            axes.yaxis.set_label_coords(-0.035, 0.5)
            axes.grid(visible=True, color=RULE, linewidth=0.6)
            axes.tick_params(axis="x", labelbottom=number == len(choices) - 1)
        figure.suptitle("Parameters that each window chose, by the start of its test", x=0.01, ha="left")

    save(path, draw, height_inches=1.1 + 1.0 * len(choices))


def draw_histograms(path: Path, found: PermutationResult, labels: Sequence[str], *, objective: str) -> None:
    """Draw, for each window, the best objectives of the permuted orders and the real one as a line."""
    count = len(found.windows)
    first = max(0, count - HISTOGRAMS_MAX)
    shown = range(first, count)
    columns = min(HISTOGRAM_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    title = (
        f"Best {objective} of {len(found.permuted)} permuted orders; the line is the real order (green: p at most .05)"
    )
    if first:
        title += f" (the newest {len(shown)} of {count} windows)"

    def draw(figure: Figure) -> None:
        for place, index in enumerate(shown):
            axes = figure.add_subplot(rows, columns, place + 1)
            values, real = found.permuted[:, index], float(found.real[index])
            axes.hist(values, bins=_edges(values, real).tolist(), color=LINES[0], alpha=0.55)
            axes.axvline(real, color=_colour(float(found.p_values[index])), linewidth=1.8)
            axes.set_title(f"{labels[index]}   p = {found.p_values[index]:.3f}", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        figure.suptitle(title, x=0.01, ha="left")

    save(path, draw, height_inches=0.7 + 1.35 * rows)


def draw_p_values(path: Path, found: PermutationResult, labels: Sequence[str], *, objective: str, rate: float) -> None:
    """Draw the real best against the band of the permuted ones, and below it the p-values of every window."""
    places = np.arange(len(found.windows), dtype=np.float64)
    step = max(1, len(places) // 16)

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _bands(upper, found, places, objective)
        plain_axes(lower, "p-values of the windows")
        lower.bar(places - 0.2, found.p_values, width=0.4, color=LINES[0], label="p")
        lower.bar(places + 0.2, found.adjusted, width=0.4, color=LINES[4], alpha=0.6, label="Benjamini-Hochberg")
        lower.axhline(rate, color=BAD, linewidth=1.0, linestyle="--", label=f"{rate:.0%}")
        lower.set_ylim(0.0, 1.0)
        lower.set_xticks(
            places[::step], [labels[place] for place in range(0, len(places), step)], rotation=45, ha="right"
        )
        lower.set_xlabel("training until")
        lower.legend(**BESIDE_TITLE)

    save(path, draw, height_inches=6.0)


def _bands(axes: Axes, found: PermutationResult, places: FloatArray, objective: str) -> None:
    """Draw the middle 90 % of the permuted bests, their median, and the real ones coloured by their p-value."""
    low, middle, high = (np.quantile(found.permuted, share, axis=0) for share in (0.05, 0.5, 0.95))
    plain_axes(axes, f"Best {objective} in training: the real order and {len(found.permuted)} permuted ones")
    axes.vlines(places, low, high, color=LINES[0], alpha=0.35, linewidth=7, label="90 % of the permuted")
    axes.plot(places, middle, "_", color=LINES[0], markersize=9, label="their median")
    colours = [_colour(float(value)) for value in found.p_values]
    axes.scatter(places, found.real, c=colours, s=26, zorder=3, label="the real order (green: p at most .05)")
    axes.legend(**BESIDE_TITLE)


def _edges(values: FloatArray, real: float) -> FloatArray:
    """Return the bins from the smallest to the largest, the real value within."""
    low, high = min(float(values.min()), real), max(float(values.max()), real)
    if not math.isfinite(high - low) or high - low <= 0.0:
        low, high = low - 0.5, low + 0.5
    return np.linspace(low, high, BINS + 1)


def _colour(p_value: float) -> str:
    return GOOD if p_value <= 0.05 else BAD
