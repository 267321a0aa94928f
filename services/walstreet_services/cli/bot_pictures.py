"""Owns the pictures of a simulation: equity, drawdown, monthly returns, weights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.units import FloatArray
from walstreet.research.statistics import cagr, equity_curve, max_drawdown
from walstreet.research.swing_types import DateArray
from walstreet_services.cli.bot_canvas import AREAS, INK, LINES, QUIET, plain_axes, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAT_SHARE = 0.98
"""The colours end at this quantile of the absolute monthly returns, so that one month does not pale all others."""
DARK_SHARE = 0.6
"""Text on cells darker than this share of the scale is white."""
YEAR_INCHES = 0.34
OTHERS = "others"
CASH = "cash"
CASH_COLOUR = "#eef1f5"


def draw_equity(path: Path, dates: DateArray, series: Mapping[str, FloatArray], *, title: str) -> None:
    """Draw the growth of 1 under daily returns (D,) on a logarithmic axis; the first series stands out."""

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator  # noqa: PLC0415 - see bot_canvas

        axes = figure.add_subplot()
        plain_axes(axes, title)
        for number, (name, net) in enumerate(series.items()):
            label = f"{name}: {cagr(net):+.2%} a year"
            width = 1.8 if number == 0 else 1.1
            axes.plot(_days(dates), equity_curve(net), color=LINES[number % len(LINES)], linewidth=width, label=label)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylabel("growth of 1 (logarithmic)")
        axes.margins(x=0.01)
        axes.legend(loc="upper left")

    save(path, draw, height_inches=5.0)


def draw_drawdown(path: Path, dates: DateArray, series: Mapping[str, FloatArray], *, title: str) -> None:
    """Draw the fall from the highest equity so far; the first series is filled."""

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import PercentFormatter  # noqa: PLC0415 - see bot_canvas

        axes = figure.add_subplot()
        plain_axes(axes, title)
        for number, (name, net) in enumerate(series.items()):
            fall, colour = -_falls(net), LINES[number % len(LINES)]
            if number == 0:
                axes.fill_between(_days(dates), fall, 0.0, color=colour, alpha=0.25, linewidth=0.0)
            label = f"{name}: {max_drawdown(net):.1%} at most"
            axes.plot(_days(dates), fall, color=colour, linewidth=1.2 if number == 0 else 0.9, label=label)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel("below the highest equity so far")
        axes.margins(x=0.01)
        axes.legend(loc="lower left")

    save(path, draw, height_inches=3.6)


def draw_heatmap(path: Path, monthly: Mapping[str, float], *, title: str) -> None:
    """Draw monthly returns, a row for each year, with the year's own return at its end."""
    years = sorted({month[:4] for month in monthly})
    table = np.full((len(years), len(MONTHS)), np.nan)
    for month, value in monthly.items():
        table[years.index(month[:4]), int(month[5:7]) - 1] = value
    totals = [float(np.prod(1.0 + row[~np.isnan(row)])) - 1.0 for row in table]
    limit = float(np.quantile(np.abs(table[~np.isnan(table)]), HEAT_SHARE)) or 1.0

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.imshow(table, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
        for row, column in itertools.product(range(len(years)), range(len(MONTHS))):
            value = float(table[row, column])
            if not np.isnan(value):
                colour = "white" if abs(value) > DARK_SHARE * limit else INK
                axes.text(column, row, f"{value:+.1%}", ha="center", va="center", fontsize=8, color=colour)
        for row, total in enumerate(totals):
            axes.text(len(MONTHS) - 0.3, row, f"{total:+.1%}", ha="left", va="center", fontsize=8, fontweight="bold")
        axes.text(len(MONTHS) - 0.3, -0.62, "year", ha="left", va="bottom", fontsize=9, fontweight="bold")
        axes.set_xticks(range(len(MONTHS)), MONTHS)
        axes.set_yticks(range(len(years)), years)
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.set_title(title, pad=14)
        for spine in axes.spines.values():
            spine.set_visible(False)

    save(path, draw, height_inches=1.3 + YEAR_INCHES * len(years))


def draw_weights(path: Path, dates: DateArray, symbols: Sequence[str], held: FloatArray, *, title: str) -> None:
    """Draw what is held overnight as stacked areas; the symbols that are held least become one area."""
    names, stacked = _stacked(symbols, held)

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import PercentFormatter  # noqa: PLC0415 - see bot_canvas

        axes = figure.add_subplot()
        axes.set_title(title)
        colours = [*(AREAS[number % len(AREAS)] for number in range(len(names) - 1)), CASH_COLOUR]
        axes.stackplot(_days(dates), stacked, labels=names, colors=colours, step="post", linewidth=0.0)
        axes.set_ylim(0.0, 1.0)
        axes.margins(x=0.0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel("of equity")
        figure.legend(loc="outside lower center", ncols=min(len(names), 12), labelcolor=QUIET)

    save(path, draw, height_inches=4.2)


def _stacked(symbols: Sequence[str], held: FloatArray) -> tuple[list[str], list[FloatArray]]:
    """Return names and weights (D,) from bottom to top, cash last; universe order where all symbols fit."""
    room = len(AREAS)
    used = np.flatnonzero(held.any(axis=0)).tolist()
    most = sorted(used, key=lambda column: (-float(held[:, column].sum()), column))
    shown = sorted(most if len(used) <= room else most[: room - 1])
    names, areas = [symbols[column] for column in shown], [held[:, column] for column in shown]
    if len(used) > room:
        names.append(f"{len(used) - len(shown)} {OTHERS}")
        areas.append(held[:, sorted(frozenset(used) - frozenset(shown))].sum(axis=1))
    return [*names, CASH], [*areas, np.maximum(0.0, 1.0 - held.sum(axis=1))]


def _falls(net: FloatArray) -> FloatArray:
    curve = equity_curve(net)
    peaks = np.maximum(np.maximum.accumulate(curve), 1.0)
    falls: FloatArray = 1.0 - curve / peaks
    return falls


def _days(dates: DateArray) -> NDArray[np.datetime64]:
    return dates.astype("datetime64[D]")
