"""Owns the pictures of `walstreet tca`: the shortfall's split, markouts, predicted against realised cost, fills."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from walstreet.domain.tca import PARTS, ParentCost
from walstreet.replay.tca_statistics import (
    calibration,
    calibration_pairs,
    fill_rates,
    markout_points,
)
from walstreet_events import TcaRow
from walstreet_services.cli.bot_canvas import BAD, GOOD, INK, LINES, QUIET, plain_axes, save
from walstreet_services.cli.tca_tables import parts_bps, total_bps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILL_RATE_TARGET = 0.95
HEIGHT_INCHES = 4.6
NOTHING = "nothing to show: no such fills on this TAPE"
FILES = ("tca-split.png", "tca-markouts.png", "tca-calibration.png", "tca-fills.png")


def draw_all(folder: Path, row: TcaRow | None, costs: Sequence[ParentCost], title: str) -> list[Path]:
    """Write the four pictures into ``folder`` and return their paths.

    Args:
        folder: Made if need be.
        row: Sums over all parents; None without any.
        costs: Of every parent.
        title: Which sessions.
    """
    draws = (
        lambda figure: _waterfall(figure, row, title),
        lambda figure: _markouts(figure, costs, title),
        lambda figure: _calibration(figure, costs, title),
        lambda figure: _fills(figure, costs, title),
    )
    paths = [folder / name for name in FILES]
    for path, draw in zip(paths, draws, strict=True):
        save(path, draw, height_inches=HEIGHT_INCHES)
    return paths


def _empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, NOTHING, transform=axes.transAxes, ha="center", color=QUIET)
    axes.set_xticks([])
    axes.set_yticks([])


def _waterfall(figure: Figure, row: TcaRow | None, title: str) -> None:
    axes = figure.subplots()
    plain_axes(axes, f"Implementation shortfall, {title}")
    if row is None or not row.wanted_nano:
        _empty(axes)
        return
    values, running = parts_bps(row), 0.0
    names = [*PARTS, "total"]
    for index, value in enumerate(values):
        axes.bar(index, value, bottom=running, color=BAD if value > 0 else GOOD, width=0.6)
        axes.plot([index - 0.3, index + 1.3], [running + value] * 2, color=QUIET, linewidth=0.8)
        _label(axes, index, max(running, running + value), value)
        running += value
    axes.bar(len(values), total_bps(row), color=INK, width=0.6)
    _label(axes, len(values), max(0.0, total_bps(row)), total_bps(row))
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.margins(y=0.15)
    axes.set_ylabel("bps of the notional wanted, cost up")
    axes.set_xlabel(
        f"{row.parents} parents, {row.fills} fills, {row.wanted_nano / 1e9:,.0f} USD wanted, "
        f"{row.traded_nano / 1e9:,.0f} USD traded"
    )


def _label(axes: Axes, x: float, y: float, value: float) -> None:
    axes.annotate(f"{value:+.2f}", (x, y), xytext=(0, 4), textcoords="offset points", ha="center", color=INK)


def _markouts(figure: Figure, costs: Sequence[ParentCost], title: str) -> None:
    axes = figure.subplots()
    plain_axes(axes, f"Markout after the fill, side * (price - mid then), {title}")
    points = [point for point in markout_points(costs) if point.count]
    if not points:
        _empty(axes)
        return
    x = list(range(len(points)))
    known = [index for index in x if math.isfinite(points[index].low_bps)]
    axes.fill_between(
        known,
        [points[index].low_bps for index in known],
        [points[index].high_bps for index in known],
        color=LINES[0],
        alpha=0.15,
        label="95 % of the mean, one observation per parent",
    )
    axes.plot(x, [point.mean_bps for point in points], color=LINES[0], marker="o", label="mean")
    for index in x:
        _label(axes, index, points[index].mean_bps, points[index].mean_bps)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    names = [f"fill\nn={p.count}" if not p.offset_s else f"+{p.offset_s} s\nn={p.count}" for p in points]
    axes.set_xticks(x, names)
    axes.set_ylabel("bps, cost up")
    axes.margins(x=0.08, y=0.2)
    axes.legend(loc="best")


def _calibration(figure: Figure, costs: Sequence[ParentCost], title: str) -> None:
    axes = figure.subplots()
    plain_axes(axes, f"Cost of one side, predicted and realised, {title}")
    pairs = calibration_pairs(costs)
    if not pairs:
        _empty(axes)
        return
    bins = calibration(costs)
    axes.scatter([a for a, _ in pairs], [b for _, b in pairs], s=10, color=QUIET, alpha=0.5, label="parents")
    axes.errorbar(
        [item.predicted_bps for item in bins],
        [item.realised_bps for item in bins],
        yerr=[item.error_bps if math.isfinite(item.error_bps) else 0.0 for item in bins],
        color=LINES[0],
        marker="o",
        capsize=3,
        label="bins of equal count, 95 % of the mean",
    )
    low, high = min(a for a, _ in pairs), max(a for a, _ in pairs)
    room = max(0.1, 0.1 * (high - low))
    axes.plot([low - room, high + room], [low - room, high + room], color=INK, linewidth=0.8, label="as predicted")
    axes.set_xlabel("predicted, bps, fees included")
    axes.set_ylabel("realised, bps")
    axes.legend(loc="best")


def _fills(figure: Figure, costs: Sequence[ParentCost], title: str) -> None:
    left, right = figure.subplots(1, 2)
    plain_axes(left, f"Time to fill, {title}")
    seconds = sorted(value / 1e3 for cost in costs for value in cost.fill_ms)
    if seconds:
        shares = [(index + 1) / len(seconds) for index in range(len(seconds))]
        left.step([0.0, *seconds], [0.0, *shares], where="post", color=LINES[0])
        left.set_ylim(0.0, 1.05)
        left.set_xlim(0.0, max(1.0, 1.05 * seconds[-1]))
        left.set_xlabel(f"seconds of session time since the order was sent, {len(seconds)} fills")
        left.set_ylabel("share of fills")
    else:
        _empty(left)
    plain_axes(right, f"Filled whole before the time in force ended; the line is {FILL_RATE_TARGET:.0%}")
    rates = fill_rates(costs)
    if not rates:
        _empty(right)
        return
    x = range(len(rates))
    good = [item.rate >= FILL_RATE_TARGET for item in rates]
    right.bar(x, [item.rate for item in rates], color=[GOOD if ok else BAD for ok in good], width=0.6)
    right.errorbar(
        x,
        [item.rate for item in rates],
        yerr=[[max(0.0, r.rate - r.low) for r in rates], [max(0.0, r.high - r.rate) for r in rates]],
        color=INK,
        fmt="none",
        capsize=3,
    )
    right.axhline(FILL_RATE_TARGET, color=LINES[1], linewidth=1.2)
    right.set_xticks(x, [f"{item.horizon_minutes}m\n{item.filled}/{item.sent}" for item in rates])
    right.set_ylim(0.0, 1.1)
    right.set_xlim(-0.6, len(rates) - 0.4)
